"""An SQS server of somebody else's in a live run: moto's or ElasticMQ, started here, or any by URL.

It has no control API: what happened is what its clients say of it. Consumers
tell each SQS call of their boto3 (``worker.py``), the run its own sends. A
delete whose answer never came counts as done if the message was not seen
again and the queue is empty at the end. Messages that the server itself moved
to a dead-letter queue are found there at the end.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from harness.environments.live.elasticmq import elasticmq_command
from harness.environments.live.options import LiveOptions
from harness.environments.live.services import check_url, create_queues, credentials
from harness.errors import EnvironmentFailed, PlanError
from harness.faults.plan import FaultPlan
from harness.net.child import Child, free_port, listens
from harness.net.guard import guarded
from harness.scenario import Queue, Scenario
from harness.servers.server_history import Keys
from harness.toxiproxy.launcher import loopback

__all__ = ["OtherSqs"]

_COUNTS: Final = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
_MOST_DEAD_LETTERS: Final = 10_000


class OtherSqs:
    """``url``: its address; ``proxied``: whether a proxy can stand in front of it (not of TLS)."""

    own = False

    def __init__(self, scenario: Scenario, options: LiveOptions, seed: int) -> None:
        import boto3
        from botocore.config import Config

        self.child: Child | None = None
        self._scenario = scenario
        if options.sqs in ("moto", "elasticmq"):
            self._start(options.sqs)
        else:
            assert options.sqs is not None
            check_url(options.sqs, "--sqs", options.allow_remote)
            self.url = options.sqs.rstrip("/")
        self.proxied = urlsplit(self.url).scheme == "http"
        #: Of queues on a server that others may use: no run may touch what is theirs.
        self.prefix = "" if loopback(urlsplit(self.url).hostname or "") else f"harness-{secrets.token_hex(4)}-"
        self.environ = credentials() if self.proxied else None
        given: dict[str, Any] = {}
        if self.environ is not None:
            given = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
        self._client = boto3.client("sqs", endpoint_url=self.url, config=config, **given)
        paths = [work.key for work in scenario.workloads if work.key is not None]
        self._keys = Keys(paths[0] if paths else None)
        self._urls: dict[str, str] = {}
        self._names: dict[str, str] = {}  # by the last part of a queue's URL
        self._visibility = {queue.name: float(queue.visibility_timeout) for queue in scenario.queues}
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._began = time.monotonic()
        self._sent: dict[str, str] = {}  # queue of a message
        self._received: dict[str, list[float]] = {}
        self._handles: dict[tuple[str, str], str] = {}
        self._deleting: dict[tuple[str, str], tuple[float, str]] = {}

    def _start(self, name: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        if name == "moto":
            what, command = "moto's server", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        else:
            what, command = "ElasticMQ", elasticmq_command(port)
        self.child = Child(what, guarded(command), ready=lambda: listens(port), timeout=40.0)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.child is None or self.child.alive

    def check(self, plan: FaultPlan) -> None:
        """Raises PlanError for faults that only our own server, or a proxy in front of it, has."""
        for index, fault in enumerate(plan):
            layer = fault.spec.layer
            if layer in ("aws", "sqs"):
                problem = "only the harness's own SQS server answers so"
            elif layer == "network" and not self.proxied and fault.where.name in ("sqs", "*"):
                problem = "no proxy can stand in front of a server with TLS"
            else:
                continue
            raise PlanError(
                f"{fault.kind} at {fault.target} cannot be injected at {self.url}: {problem}",
                field=f"faults[{index}]",
                remedy="Leave out --sqs, or use faults of network.sqs",
            )

    # What a run asks of its SQS server

    def empty(self) -> None:
        """Nothing of an earlier run counts."""
        with self._lock:
            self._events.clear()

    def begin(self, began: float) -> None:
        """The run's times count from *began* (monotonic)."""
        self._began = began

    def create(self, scenario: Scenario) -> dict[str, str]:
        """Make the scenario's queues; returns their URLs by name.

        Raises:
            EnvironmentFailed: one of the name is there already.
        """
        with self._asking():
            there = {url.rpartition("/")[2] for url in self._client.list_queues().get("QueueUrls", ())}
            for queue in scenario.queues:
                if self.prefix + queue.name in there:
                    raise EnvironmentFailed(
                        f"there is a queue {self.prefix + queue.name} at {self.url} already, and a run uses none of "
                        "somebody else's. Delete it, or start the server anew"
                    )
            made: dict[str, str] = {}
            try:
                create_queues(self._client, scenario, made, self.prefix)
            finally:
                self._urls = made
        self._names = {url.rpartition("/")[2]: name for name, url in made.items()}
        return made

    def set_faults(self, plan: Mapping[str, Any]) -> None:
        """None: ``check`` has refused them."""

    def fault_state(self) -> dict[str, Any]:
        """Nothing strikes there."""
        return {"struck": [], "points": {}}

    def send(self, document: Mapping[str, Any]) -> None:
        """A message of the workload, past every proxy."""
        request: dict[str, Any] = {"QueueUrl": self._urls[document["queue"]], "MessageBody": document["body"]}
        if document.get("attributes"):
            request["MessageAttributes"] = {
                name: {field: b64decode(text) if field == "BinaryValue" else text for field, text in attribute.items()}
                for name, attribute in document["attributes"].items()
            }
        if document.get("group") is not None:
            request["MessageGroupId"] = document["group"]
            request["MessageDeduplicationId"] = document["deduplication"]
        if document.get("key") is not None:
            self._keys.learn_body(document["body"], str(document["key"]))
        began = time.monotonic()
        with self._asking():
            message = self._client.send_message(**request)["MessageId"]
        self._note_send("-", began, document["queue"], message, document["body"], {}, "workload", document.get("key"))

    def inventory(self) -> dict[str, dict[str, int]]:
        """What is in each queue, by its attributes."""
        found = {}
        with self._asking():
            for name, url in self._urls.items():
                told = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))["Attributes"]
                found[name] = {mine: int(told.get(theirs, 0)) for theirs, mine in _COUNTS.items()}
        return found

    def new_events(self) -> list[dict[str, Any]]:
        """Events since the last call."""
        with self._lock:
            found, self._events = self._events, []
        return found

    def finish(self, inventory: Mapping[str, Mapping[str, int]]) -> None:
        """Nobody acts any more: what calls without an answer did, and what lies in dead-letter queues."""
        for (queue, handle), (at, message) in self._deleting.items():
            again = any(received > at for received in self._received.get(message, ()))
            if not again and not sum(inventory.get(queue, {}).values()):
                self._add("-", "delete", at, message, queue=queue, handle=_short(handle), found=True)
        for one in self._scenario.queues:
            if isinstance(one, Queue) and one.dead_letter is not None and one.max_receives is not None:
                self._find_dead(one.name, one.dead_letter)

    def stop(self) -> None:
        """Take away what was made there, and the server if it was started here."""
        try:
            if self.child is None:
                with self._asking():
                    for url in self._urls.values():
                        self._client.delete_queue(QueueUrl=url)
        finally:
            self._client.close()
            if self.child is not None:
                self.child.stop()

    # What consumers say

    def told(self, process: str, line: Mapping[str, Any]) -> None:
        """A call of a consumer's, about to begin (``"begins"``) or with its answer."""
        asked, answer = line["asked"], line.get("answer")
        queue = self._names.get(str(asked.get("QueueUrl", "")).rpartition("/")[2])
        if queue is None:
            return
        with self._lock:
            for one, result in _each(line["aws"], asked, answer):
                self._take(process, line, queue, one, result)

    def _take(
        self, process: str, line: Mapping[str, Any], queue: str, one: Mapping[str, Any], result: Mapping[str, Any]
    ) -> None:
        operation, at = line["aws"].removesuffix("Batch"), line["at"]
        if operation == "ReceiveMessage":
            message, handle = result["MessageId"], result["ReceiptHandle"]
            self._handles[queue, handle] = message
            times = self._received.setdefault(message, [])
            times.append(at)
            timeout = one.get("VisibilityTimeout", self._visibility[queue])
            fields = {"receive_count": len(times), "handle": _short(handle), "visible_at": at - self._began + timeout}
            self._append(process, "receive", at, message, queue=queue, **fields)
        elif operation == "SendMessage":
            attributes = one.get("MessageAttributes") or {}
            self._append_send(
                process, line["began"], queue, result["MessageId"], one["MessageBody"], attributes, "process", None
            )
        else:
            self._acknowledge(process, operation, at, queue, one, done="answer" in line)

    def _acknowledge(
        self, process: str, operation: str, at: float, queue: str, one: Mapping[str, Any], *, done: bool
    ) -> None:
        handle = one["ReceiptHandle"]
        message = self._handles.get((queue, handle))
        if message is None:
            return
        if operation == "ChangeMessageVisibility":
            visible_at = at - self._began + one["VisibilityTimeout"]
            self._append(process, "visibility", at, message, queue=queue, handle=_short(handle), visible_at=visible_at)
        elif not done:
            self._deleting[queue, handle] = (at, message)
        else:
            self._deleting.pop((queue, handle), None)
            self._append(process, "delete", at, message, queue=queue, handle=_short(handle), found=True)

    # Events

    def _note_send(self, *arguments: Any) -> None:
        with self._lock:
            self._append_send(*arguments)

    def _append_send(
        self,
        actor: str,
        at: float,
        queue: str,
        message: str,
        body: str,
        attributes: Mapping[str, Any],
        origin: str,
        key: str | None,
    ) -> None:
        found, original = self._keys.of_send(queue, body, attributes)
        key = found if key is None else str(key)
        if key is not None:
            self._keys.learn(message, key)
        self._sent[message] = queue
        fields: dict[str, Any] = {"queue": queue, "bytes": len(body.encode()), "origin": origin, "body": body}
        if original is not None:
            fields["original"] = original
        self._append(actor, "send", at, message, key=key, **fields)

    def _add(self, *arguments: Any, **fields: Any) -> None:
        with self._lock:
            self._append(*arguments, **fields)

    def _append(self, actor: str, kind: str, at: float, message: str, **fields: Any) -> None:
        event = {"t": max(0.0, at - self._began), "actor": actor, "kind": kind, "message": message, **fields}
        event.setdefault("key", self._keys.of(message))
        self._events.append(event)

    def _find_dead(self, source: str, target: str) -> None:
        with self._asking():
            for _ in range(_MOST_DEAD_LETTERS):
                answer = self._client.receive_message(
                    QueueUrl=self._urls[target], MaxNumberOfMessages=10, VisibilityTimeout=3600
                )
                if not answer.get("Messages"):
                    return
                for message in answer["Messages"]:
                    if self._sent.get(message["MessageId"]) == source:
                        count = len(self._received.get(message["MessageId"], ()))
                        self._add(
                            "-",
                            "move",
                            time.monotonic(),
                            message["MessageId"],
                            queue=source,
                            to=target,
                            receive_count=count,
                        )

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong there is told as the server's failure."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            died = "" if self.alive or self.child is None else f"; its process ended: {self.child.printed()}"
            raise EnvironmentFailed(f"the SQS server at {self.url} failed: {error}{died}") from None


def _each(
    name: str, asked: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The single requests of a call with their results: of a receive its messages, of a batch what succeeded."""
    if name == "ReceiveMessage":
        for message in (answer or {}).get("Messages") or ():
            yield asked, message
    elif name.endswith("Batch"):
        entries = {entry["Id"]: entry for entry in asked.get("Entries") or ()}
        done = entries.keys() if answer is None else [one["Id"] for one in answer.get("Successful") or ()]
        results = {one["Id"]: one for one in (answer or {}).get("Successful") or ()}
        for identity in done:
            if identity in entries:
                yield entries[identity], results.get(identity, {})
    else:
        yield asked, answer or {}


def _short(handle: str) -> str:
    """A handle as a history shows it: real ones are long, and open a message to whoever has them."""
    return hashlib.blake2b(handle.encode(), digest_size=8).hexdigest()


#: Calls that a consumer tells: the operations whose effect on messages the history has.
TOLD: Final = frozenset(
    (
        "SendMessage",
        "SendMessageBatch",
        "ReceiveMessage",
        "DeleteMessage",
        "DeleteMessageBatch",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
    )
)


def plain(value: Any) -> Any:
    """A request or answer without what JSON has no form for, and without what nobody needs here."""
    text = json.dumps(value, default=lambda one: None)
    return json.loads(text)
