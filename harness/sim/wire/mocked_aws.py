"""AWS as moto's own patch serves it in somebody's test: its calls made fault points, moto untouched.

moto answers a client of boto3 from an event handler, before any byte would
leave. That handler is wrapped: each call that moto is about to answer passes
its point before and after, takes its latency, and is struck like any other
call. What is beside AWS (who called, what SQS took in and gave out) goes to
whoever listens.

Nothing is put back: this is for a process that ends with the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from harness.sim.process import EPOCH_US
from harness.sim.verdicts import Twist
from harness.sim.wire import botocore_privates as _privates
from harness.sim.wire import mocked_privates
from harness.sim.wire.botocore import failure_as_seen
from harness.sim.wire.botocore_exchange import Call, Failed, Result, exchange
from harness.sim.wire.botocore_protocols import Reply
from harness.sim.world import World

__all__ = ["KINDS_OF_SQS", "Carried", "install"]

#: Kinds of fault of SQS itself that moto's answers can be given; the others need the simulated service.
KINDS_OF_SQS = frozenset({"duplicate", "empty-receive", "partial-failure", "reorder"})

#: botocore's own read timeout: how long a client waits for an answer that never comes.
_READ_TIMEOUT_US = 60_000_000

#: The operation whose request is under way in this context: its model, and the client's region.
_under_way: ContextVar[tuple[Any, str] | None] = ContextVar("harness_mocked_call", default=None)


@dataclass(frozen=True)
class Carried:
    """A call that moto has carried out. ``asked`` and ``answered`` are SQS's documents, empty for other services."""

    service: str
    operation: str
    status: int
    asked: Mapping[str, Any]
    answered: Mapping[str, Any]


#: Told of each call that moto has carried out.
Listener = Callable[[Carried], object]


def install(world: World, listener: Listener, seed: int) -> bool:
    """Let calls that moto answers pass the points of *world*; false where moto is not installed.

    Raises:
        EnvironmentFailed: this version of moto cannot be served.
    """
    try:
        kind, answered_by_moto = mocked_privates.stubber()
    except ImportError:
        return False
    mocked_privates.seed_moto(seed)
    endpoint = _privates.endpoint.Endpoint
    endpoint.make_request = _remembering(endpoint.make_request)
    wire = world.elsewhere = _Wire(world, listener)

    def answer(self: Any, event_name: str, request: Any, **rest: Any) -> Any:
        if not self.enabled:
            return None
        return wire.answer(request, lambda: answered_by_moto(self, event_name, request))

    kind.__call__ = answer
    return True


def _remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    def make_request(self: Any, operation_model: Any, request_dict: dict[str, Any]) -> Any:
        region = (request_dict.get("context") or {}).get("client_region") or ""
        token = _under_way.set((operation_model, region))
        try:
            return original(self, operation_model, request_dict)
        finally:
            _under_way.reset(token)

    return make_request


class _Request:
    """A request that moto is about to answer, and what it has answered."""

    def __init__(self, request: Any, ask: Callable[[], Any]) -> None:
        self.request = request
        self.response: Any = None
        self._ask = ask

    def carry_out(self, document: Mapping[str, Any] | None = None) -> Any:
        """moto's answer; to *document* instead of the request's own body where there is one."""
        body = self.request.body
        if document is not None:
            self.request.body = json.dumps(document).encode()
        try:
            self.response = self._ask()
        finally:
            self.request.body = body
        return self.response

    def make_up(self, document: Mapping[str, Any]) -> None:
        """An answer without moto."""
        data = json.dumps(document).encode()
        headers = {"Content-Type": "application/x-amz-json-1.0"}
        self.response = _privates.response(self.request.url, 200, headers, BytesIO(data), data)


class _Wire:
    """Between botocore and moto. Stands for the services elsewhere in the exchanges of one run."""

    def __init__(self, world: World, listener: Listener) -> None:
        self._world = world
        self._listener = listener
        self._requests = 0

    def answer(self, request: Any, ask: Callable[[], Any]) -> Any:
        """moto's answer to *request*, or what a fault makes of it; ``None`` where moto has none.

        Raises:
            HTTPClientError: a fault broke the connection.
        """
        known = _under_way.get()
        if known is None:
            return ask()
        operation, region = known
        model = operation.service_model
        service = model.service_name
        asked = _Request(request, ask)
        call = Call(
            point=f"aws.{service}.{operation.name}",
            service=f"mocked {service}",  # none of the exchange's own
            operation=operation.name,
            region=region,
            parameters=_document(service, request.body),
            read_timeout_us=_READ_TIMEOUT_US,
            signed_us=EPOCH_US + self._world.kernel.now_us,  # moto looks at no clock of the client's
            request=request,
            context=asked,
        )
        self._requests += 1
        token = _under_way.set(None)  # moto itself calls AWS now and then
        try:
            exchange(self._world, call)
        except Failed as failed:
            if not isinstance(failed.refusal, Reply):
                return failure_as_seen(request, model, failed, f"{self._requests:08x}-0000-4000-8000-000000000000")
        finally:
            _under_way.reset(token)
        return asked.response

    def serve(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        """The effect of *call* in moto; as :meth:`harness.sim.wire.botocore_moto.MotoServices.serve`."""
        asked: _Request = call.context
        service = call.service.removeprefix("mocked ")
        document: Mapping[str, Any] = call.parameters
        if twist is None:
            asked.carry_out()
        else:
            document = self._twisted(asked, call, twist)
        response = asked.response
        if response is None:
            return Reply(200, {}, b""), False
        status = int(response.status_code)
        answered = _document(service, response.content) if service == "sqs" and status < 400 else {}
        self._listener(Carried(service, call.operation, status, document, answered))
        return Reply(status, {}, b"", "" if status < 400 else str(status)), False

    def _twisted(self, asked: _Request, call: Call, twist: Twist) -> Mapping[str, Any]:
        """SQS behaves oddly; returns what it was asked in effect."""
        document = call.parameters
        if twist.kind == "empty-receive":
            self._world.kernel.sleep_us(max(1, int(document.get("WaitTimeSeconds") or 0) * 1_000_000))
            asked.make_up({})
        elif twist.kind == "partial-failure" and isinstance(document.get("Entries"), list):
            return _partly(asked, document, float(twist.parameters["share"]))
        elif twist.kind == "duplicate" and call.operation.startswith("Send"):
            asked.carry_out()
            asked.carry_out()
        else:
            response = asked.carry_out()
            messages = _document("sqs", response.content).get("Messages") if response is not None else None
            if messages and twist.kind == "reorder":
                response._content = json.dumps({"Messages": list(reversed(messages))}).encode()
            elif messages and twist.kind == "duplicate":
                queue = str(document.get("QueueUrl") or "").rpartition("/")[2]
                mocked_privates.make_visible(queue, messages[0]["ReceiptHandle"])
        return document


def _partly(asked: _Request, document: Mapping[str, Any], share: float) -> Mapping[str, Any]:
    """A batch of which the last *share*, at least one entry, fails."""
    entries = document["Entries"]
    count = max(1, round(len(entries) * share))
    failed = [
        {"Id": one.get("Id"), "SenderFault": False, "Code": "InternalError", "Message": "struck by a fault"}
        for one in entries[-count:]
    ]
    rest = {**document, "Entries": entries[:-count]}
    done: dict[str, Any] = {}
    if rest["Entries"]:
        response = asked.carry_out(rest)
        if response is None or response.status_code >= 400:
            return rest
        done = _document("sqs", response.content)
    asked.make_up({"Successful": done.get("Successful", []), "Failed": [*done.get("Failed", []), *failed]})
    return rest


def _document(service: str, body: Any) -> dict[str, Any]:
    """What SQS is asked with; nothing for other services, whose bodies stay as they are."""
    if service != "sqs" or not isinstance(body, (bytes, str)):
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
