"""moto's SQS inside a run: on virtual time, with everything that happens to a message written to the history.

Calls reach moto through the wire as they are. What is added here:

* long polls wait in the kernel: moto is asked without a wait, and again when
  something may have changed;
* what each call did to which message is read off moto's queues and recorded
  as the in-memory service records it;
* moto's SQS reads the service's clock directly: its own way of asking costs
  more than the rest of a call.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from harness.sim.kernel import EPOCH_US, Kernel
from harness.sim.services.errors import ServiceError
from harness.sim.services.sqs_content import attributes_size, body_size
from harness.sim.services.sqs_core import KeyOf, Origin
from harness.sim.services.timebase import KernelTimebase, Waiters
from harness.sim.verdicts import Twist
from harness.sim.wire.botocore_exchange import Call, Result
from harness.sim.wire.botocore_moto import ACCOUNT, MotoServices
from harness.sim.wire.botocore_protocols import Reply
from harness.sim.world import HOME_REGION, Recorder

__all__ = ["MotoSqs"]

_SECOND = 1_000_000
_NEVER_US = 1 << 62
_STRICT_MS = 1e-3


def _no_key(queue: str, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str | None]:
    return None, None


class _Sending(NamedTuple):
    """Who sends what moto's queues take in now."""

    origin: Origin = "process"
    key: str | None = None
    delay_s: float = 0.0
    moved_from: Any = None  # the queue that a receive takes dead letters from


_BY_A_PROCESS = _Sending()


class _Polls:
    """The long polls that wait at one queue, and the latest time that one of them sleeps to (0: nobody waits)."""

    __slots__ = ("recheck", "until_us", "waiters")

    def __init__(self) -> None:
        self.waiters = Waiters()
        self.until_us = 0
        self.recheck = False  # something will appear before that: all of them must look again


class MotoSqs:
    """The queues of one run in moto: a :class:`harness.environments.queues.QueueService`.

    ``install()`` before the first call, ``uninstall()`` at the end.
    """

    region = HOME_REGION
    account = ACCOUNT

    def __init__(self, kernel: Kernel, record: Recorder, elsewhere: MotoServices, *, record_bodies: bool) -> None:
        self.key_of: KeyOf = _no_key
        self.send_observers: list[Callable[[str, str, str, str], None]] = []
        self._record = record
        self._elsewhere = elsewhere
        self._kernel = kernel
        self._timebase = KernelTimebase(kernel)
        self._record_bodies = record_bodies
        self._models: Any = None
        self._undo: list[Callable[[], None]] = []
        self._polls: dict[Any, _Polls] = {}  # by moto's queue
        self._keys: dict[str, str] = {}  # by message id
        self._handles: dict[str, str] = {}  # message ids by receipt handle
        self._sending = _BY_A_PROCESS
        self._added: list[tuple[Any, Any, _Sending]] = []  # what queues took in: queue, message, how
        self._operations: dict[str, Callable[[Call, Twist | None, int], tuple[Result, bool]]] = {
            "ChangeMessageVisibility": self._change,
            "ChangeMessageVisibilityBatch": self._change,
            "CreateQueue": self._create,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete,
            "DeleteQueue": self._drop,
            "PurgeQueue": self._drop,
            "ReceiveMessage": self._receive,
            "SendMessage": self._send,
            "SendMessageBatch": self._send,
        }

    # -- into moto and out of it

    def install(self) -> None:
        """Take moto's SQS over for this run."""
        models = self._models = self._elsewhere.open().sqs
        add = models.Queue.add_message
        seconds, milliseconds = models.unix_time, models.unix_time_millis
        kernel = self._kernel

        def add_message(queue: Any, message: Any) -> None:
            before = len(queue._messages)
            add(queue, message)
            if len(queue._messages) > before:  # else: a duplicate within five minutes
                self._added.append((queue, message, self._sending))

        def unix_time(moment: Any = None) -> float:
            return (EPOCH_US + kernel.now_us) / 1e6 if moment is None else seconds(moment)

        def unix_time_millis(moment: Any = None) -> float:
            return (EPOCH_US + kernel.now_us) / 1e3 if moment is None else milliseconds(moment)

        self._replace(models.Queue, "add_message", add_message)
        self._replace(models, "unix_time", unix_time)
        self._replace(models, "unix_time_millis", unix_time_millis)
        # Half of what a call costs in there is spent on the same fifteen names.
        self._replace(models, "camelcase_to_underscores", functools.cache(models.camelcase_to_underscores))
        self._elsewhere.handlers["sqs"] = self._serve
        self._elsewhere.settle = self._settle

    def uninstall(self) -> None:
        """Give it back. Idempotent."""
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        before = vars(owner)[name]
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))

    # -- from Python

    def create_queue(self, name: str, attributes: Mapping[str, str] | None = None, *, region: str | None = None) -> str:
        """Make a queue as CreateQueue does; returns its URL."""
        backend = self._backend(region or self.region)
        self._elsewhere.within(
            lambda: backend.create_queue(name, region=region or self.region, **dict(attributes or {}))
        )
        self._record("queue.create", queue=name)
        return self.queue_url(name, region=region)

    def queue_url(self, name: str, *, region: str | None = None) -> str:
        """The URL of the queue called *name*: in *region*, else wherever a queue of this name is, at home first."""
        if region is None and name not in self._backend(self.region).queues:
            region = next((queue.region for queue in self._elsewhere.open().queues() if queue.name == name), None)
        return f"https://sqs.{region or self.region}.amazonaws.com/{self.account}/{name}"

    def put(
        self,
        queue_name: str,
        body: str,
        *,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group: str | None = None,
        dedup: str | None = None,
        delay: int | None = None,
        key: str | None = None,
        origin: Origin = "workload",
        region: str | None = None,
    ) -> str:
        """Send a message from outside the wire; returns its id."""
        backend = self._backend(region or self.region)
        with self._as(_Sending(origin, key)):
            message = self._elsewhere.within(
                lambda: backend.send_message(
                    queue_name,
                    body,
                    message_attributes=None
                    if attributes is None
                    else {name: dict(one) for name, one in attributes.items()},
                    delay_seconds=delay,
                    deduplication_id=dedup,
                    group_id=group,
                )
            )
        self._settle()
        return str(message.id)

    def inventory(self) -> dict[str, dict[str, int]]:
        """Exact counts of every queue now, by name (``region/name`` where a name was met before)."""
        found: dict[str, dict[str, int]] = {}
        for queue in sorted(self._elsewhere.open().queues(), key=self._place):
            counts = {"visible": 0, "in_flight": 0, "delayed": 0}
            for message in queue._messages:
                counts["delayed" if message.delayed else "visible" if message.visible else "in_flight"] += 1
            found[f"{queue.region}/{queue.name}" if queue.name in found else queue.name] = counts
        return found

    def _place(self, queue: Any) -> tuple[bool, str, str]:
        return queue.region != self.region, queue.region, queue.name

    # -- calls

    def _serve(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        if "X-Amz-Target" not in call.request.headers:
            raise ServiceError(
                "NotSimulated",
                "NotSimulated",
                "harness: SQS in moto is spoken to in JSON only; run this on memory",
                501,
                sender_fault=False,
            )
        operation = self._operations.get(call.operation)
        if operation is not None:
            return operation(call, twist, deadline_us)
        return self._elsewhere.send(call, call.request.body), False

    def _send(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        delay_s = float(twist.parameters["seconds"]) if twist is not None and twist.kind == "delay" else 0.0
        with self._as(_Sending(delay_s=delay_s)):
            return self._elsewhere.send(call, call.request.body), False

    def _receive(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        """A long poll: ask without a wait, and again until something comes or the time is over."""
        queue = self._queue(call)
        kernel, parameters = self._kernel, call.parameters
        wait_s = parameters.get("WaitTimeSeconds")
        if wait_s is None:
            wait_s = queue.receive_message_wait_time_seconds if queue is not None else 0
        patience_s = max(0, deadline_us - kernel.now_us) // _SECOND
        impatient = isinstance(wait_s, int) and patience_s < wait_s <= 20
        if queue is None or not isinstance(wait_s, int) or not 0 <= wait_s <= 20:
            return self._elsewhere.send(call, call.request.body), False
        until_us = self._timebase.now_us() + min(wait_s, patience_s) * _SECOND
        if twist is not None and twist.kind == "empty-receive":
            self._wait(Waiters(), until_us)
            return {}, impatient and self._hang(deadline_us)
        if twist is not None and twist.kind == "delay":
            self._postpone(queue, parameters.get("MaxNumberOfMessages") or 1, float(twist.parameters["seconds"]))
        polls = self._polls.setdefault(queue, _Polls())
        while True:
            reply = self._poll(call, queue)
            if reply.code or self._delivered(reply, queue) or self._timebase.now_us() >= until_us:
                break
            sleep_us = min(until_us, self._next_due_us(queue))
            polls.until_us = max(polls.until_us, sleep_us)
            self._wait(polls.waiters, sleep_us)
            if not polls.waiters.waiting:
                polls.until_us = 0
        self._wake(queue)
        return reply, impatient and not reply.code and not _messages(reply) and self._hang(deadline_us)

    def _poll(self, call: Call, queue: Any) -> Reply:
        with self._as(_Sending(moved_from=queue)):
            return self._elsewhere.send(
                call, json.dumps({**json.loads(_bytes(call.request.body)), "WaitTimeSeconds": 0})
            )

    def _wait(self, waiters: Waiters, until_us: int) -> None:
        if until_us > self._timebase.now_us():
            self._timebase.wait(waiters, until_us)

    def _hang(self, deadline_us: int) -> bool:
        """The caller's patience is shorter than its long poll: it waits to the end of it. Always true."""
        if deadline_us > self._kernel.now_us:
            self._kernel.sleep_us(deadline_us - self._kernel.now_us)
        return True

    def _delivered(self, reply: Reply, queue: Any) -> bool:
        """Record what a receive gave; false if that was nothing."""
        given = _messages(reply)
        by_id = {message.id: message for message in queue._messages} if given else {}
        for answer in given:
            message = by_id[answer["MessageId"]]
            handle = answer["ReceiptHandle"]
            self._handles[handle] = message.id
            self._note(
                "receive",
                message.id,
                queue=queue.name,
                receive_count=message.approximate_receive_count,
                handle=handle,
                visible_at=self._hidden_until(queue, message),
            )
        return bool(given)

    def _delete(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        queue = self._queue(call)
        entries = call.parameters.get("Entries", [call.parameters])
        there = {entry["ReceiptHandle"]: _holder(queue, entry["ReceiptHandle"]) for entry in entries}
        reply = self._elsewhere.send(call, call.request.body)
        for entry in _successful(reply, entries):
            handle = entry["ReceiptHandle"]
            message = there[handle]
            if message is not None:
                self._note("delete", message.id, queue=queue.name, handle=handle, found=True)
            else:
                self._record("delete", self._handles.get(handle, ""), queue=queue.name, handle=handle, found=False)
        if queue is not None:
            self._wake(queue)
        return reply, False

    def _change(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        queue = self._queue(call)
        entries = call.parameters.get("Entries", [call.parameters])
        reply = self._elsewhere.send(call, call.request.body)
        for entry in _successful(reply, entries):
            message = _holder(queue, entry["ReceiptHandle"])
            if message is not None:
                handle, until = entry["ReceiptHandle"], self._hidden_until(queue, message)
                self._note("visibility", message.id, queue=queue.name, handle=handle, visible_at=until)
        if queue is not None:
            self._wake(queue)
        return reply, False

    def _create(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        name = call.parameters["QueueName"]
        before = name in self._backend(call.region).queues
        reply = self._elsewhere.send(call, call.request.body)
        if not reply.code and not before:
            self._record("queue.create", queue=name)
        return reply, False

    def _drop(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        queue = self._queue(call)
        ids = [] if queue is None else [message.id for message in queue._messages]
        reply = self._elsewhere.send(call, call.request.body)
        if queue is not None and not reply.code:
            kind = "purge" if call.operation == "PurgeQueue" else "queue.delete"
            self._record(kind, queue=queue.name, messages=ids)
            self._polls.setdefault(queue, _Polls()).recheck = True
            self._wake(queue)
        return reply, False

    # -- what stands in moto

    def _backend(self, region: str) -> Any:
        return self._elsewhere.within(lambda: self._models.sqs_backends[self.account][region])

    def _queue(self, call: Call) -> Any:
        name = str(call.parameters.get("QueueUrl") or "").rpartition("/")[2]
        return self._backend(call.region).queues.get(name)

    def _next_due_us(self, queue: Any) -> int:
        """When the next hidden message of *queue* appears, on the service's clock."""
        now_ms = self._timebase.now_us() / 1e3
        due = [max(message.visible_at + _STRICT_MS, message.delayed_until) for message in queue._messages]
        soonest = min((at for at in due if at > now_ms), default=None)
        return _NEVER_US if soonest is None else math.ceil(round(soonest * 1e3, 1))

    def _postpone(self, queue: Any, limit: int, seconds: float) -> None:
        for message in queue.messages[:limit]:
            message.delayed_until = self._timebase.now_us() / 1e3 + seconds * 1e3

    def _wake(self, queue: Any) -> None:
        """After a change: wake one long poll if there may be something for it, all if they sleep too long."""
        polls = self._polls.get(queue)
        if polls is None or not polls.waiters:
            return
        count = len(polls.waiters.waiting) if polls.recheck else 1 if queue.messages else 0
        polls.recheck = False
        for _ in range(count):
            self._timebase.notify(polls.waiters)

    # -- the history

    def _as(self, sending: _Sending) -> _Within:
        return _Within(self, sending)

    def _settle(self) -> None:
        """Record what moto's queues have taken in since the last call, whichever service's it was."""
        added, self._added = self._added, []
        for queue, message, sending in added:
            source = sending.moved_from
            if source is not None and source.dead_letter_queue is queue:
                count = message.approximate_receive_count
                self._note("move", message.id, queue=source.name, to=queue.name, receive_count=count)
            else:
                self._note_send(queue, message, sending)
                if sending.delay_s:
                    now_ms = self._timebase.now_us() / 1e3
                    message.delayed_until = max(now_ms, message.delayed_until) + sending.delay_s * 1e3
            self._wake(queue)

    def _note_send(self, queue: Any, message: Any, sending: _Sending) -> None:
        attributes = message.message_attributes
        key, original = sending.key, None
        if key is None:
            key, original = self.key_of(queue.name, message.body, attributes)
        if key is not None:
            self._keys[message.id] = key
        size = body_size(message.body) + (attributes_size(attributes) if attributes else 0)
        fields: dict[str, Any] = {"queue": queue.name, "bytes": size, "origin": sending.origin}
        if sending.origin == "workload" or self._record_bodies:
            fields["body"] = message.body
        else:
            fields["length"] = len(message.body)
            data = message.body.encode("utf-8")
            fields["digest"] = hashlib.blake2b(data, digest_size=8, key=b"harness").hexdigest()
        if original is not None:
            fields["original"] = original
        if message.group_id is not None:
            fields["group"] = message.group_id
        delay_ms = message.delayed_until - self._timebase.now_us() / 1e3
        if delay_ms > 0:
            fields["delay"] = round(delay_ms) / 1e3
        self._note("send", message.id, **fields)
        for observer in self.send_observers:
            observer(queue.name, message.body, message.id, sending.origin)

    def _note(self, kind: str, message_id: str, **fields: Any) -> None:
        key = self._keys.get(message_id)
        if key is not None:
            fields["key"] = key
        self._record(kind, message_id, **fields)

    def _hidden_until(self, queue: Any, message: Any) -> float:
        """When a message that was just hidden appears again, in seconds since the start of the run.

        moto shows it after that moment, not at it: its time is set so much earlier.
        """
        at_us = round(message.visible_at * 1e3)
        message.visible_at -= _STRICT_MS
        polls = self._polls.get(queue)
        if polls is not None and at_us < polls.until_us:
            polls.recheck = True
        at_s: float = (at_us - EPOCH_US) / 1e6
        return max(at_s, self._kernel.now)


class _Within:
    """For a call into moto: who sends what its queues take in meanwhile."""

    __slots__ = ("_before", "_sending", "_service")

    def __init__(self, service: MotoSqs, sending: _Sending) -> None:
        self._service = service
        self._sending = sending

    def __enter__(self) -> None:
        self._before, self._service._sending = self._service._sending, self._sending

    def __exit__(self, *error: object) -> None:
        self._service._sending = self._before


def _bytes(body: Any) -> bytes | str:
    return body if isinstance(body, (bytes, str)) else bytes(body.read())


def _messages(reply: Reply) -> list[dict[str, Any]]:
    """What a receive was answered with."""
    return [] if reply.code else json.loads(reply.body or b"{}").get("Messages") or []


def _successful(reply: Reply, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of a batch that were carried out; the one of a single call, if it was."""
    if reply.code:
        return []
    if not entries or "Id" not in entries[0]:
        return entries
    done = {one["Id"] for one in json.loads(reply.body or b"{}").get("Successful") or ()}
    return [entry for entry in entries if entry["Id"] in done]


def _holder(queue: Any, handle: str) -> Any:
    """The message of *queue* that ever had this receipt handle; ``None`` if it is gone."""
    if queue is None:
        return None
    return next((message for message in queue._messages if message.had_receipt_handle(handle)), None)
