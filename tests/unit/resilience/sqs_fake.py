"""A small SQS for unit tests, on a clock that moves only when somebody sleeps or waits.

It keeps the rules that the components depend on: visibility, receive counts,
handles, FIFO groups, long polls, partial failures. Errors are real ones of botocore.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


class Clock:
    """Seconds that move by ``sleep``; ``on_advance`` is called after each move."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.sleeps: list[float] = []
        self.on_advance: list[Callable[[], None]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.on_advance and end - self.now > 1.0:
            self.now += 1.0
            for call in self.on_advance:
                call()
        self.now = end
        for call in self.on_advance:
            call()


def aws_error(code: str, operation: str = "Operation", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": f"{code} happened"}, "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )


class _Stored:
    def __init__(self, message_id: str, body: str, attributes: dict[str, Any], system: dict[str, str]) -> None:
        self.id = message_id
        self.body = body
        self.attributes = attributes
        self.system = system
        self.visible_at = 0.0
        self.receives = 0
        self.first_received = 0.0
        self.handle = ""
        self.handles: set[str] = set()


class FakeSqs:
    """``errors[operation]`` is a list of errors to raise, one a call (``None``: none); ``calls`` what was called.

    ``on_idle`` is called when a receive finds a queue without any message, visible
    or not: tests stop their consumer there.
    """

    def __init__(self, clock: Clock, visibility: float = 30.0) -> None:
        self.clock = clock
        self.visibility = visibility
        self.queues: dict[str, list[_Stored]] = defaultdict(list)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, list[BaseException | None]] = defaultdict(list)
        self.after: dict[str, list[BaseException | None]] = defaultdict(list)
        self.fail_entries: dict[str, list[set[str]]] = defaultdict(list)
        self.attributes: dict[str, dict[str, str]] = {}
        self.on_idle: Callable[[], None] = lambda: None
        self._numbers = 0
        self._dedup: dict[tuple[str, str], str] = {}

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    def bodies(self, url: str) -> list[str]:
        return [stored.body for stored in self.queues[url]]

    def messages(self, url: str) -> list[dict[str, Any]]:
        """What is in a queue, as a receive would give it, without receiving it."""
        return [self._give(stored) for stored in self.queues[url]]

    def put(self, url: str, body: str, *, attributes: dict[str, Any] | None = None, group: str | None = None) -> str:
        self._numbers += 1
        message_id = f"m{self._numbers}"
        system = {"SentTimestamp": str(int(self.clock() * 1000)), "SenderId": "AIDA"}
        if group is not None:
            system |= {"MessageGroupId": group, "MessageDeduplicationId": f"d{self._numbers}"}
        self.queues[url].append(_Stored(message_id, body, dict(attributes or {}), system))
        return message_id

    # The operations

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        self._called("get_queue_attributes", request)
        own = self.attributes.get(request["QueueUrl"], {})
        return {"Attributes": {"VisibilityTimeout": str(int(self.visibility)), **own}}

    def receive_message(self, **request: Any) -> dict[str, Any]:
        self._called("receive_message", request)
        url = request["QueueUrl"]
        found = self._find(url, request)
        if not found:
            wait = request.get("WaitTimeSeconds", 0)
            soonest = min((stored.visible_at for stored in self.queues[url]), default=None)
            if soonest is None or soonest > self.clock() + wait:
                self.clock.advance(wait)
                if soonest is None:
                    self.on_idle()
            else:
                self.clock.advance(max(0.0, soonest - self.clock()))
                found = self._find(url, request)
        self._raise("receive_message", self.after)
        return {"Messages": found} if found else {}

    def _find(self, url: str, request: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        blocked: set[str] = set()
        for stored in list(self.queues[url]):
            group = stored.system.get("MessageGroupId") if url.endswith(".fifo") else None
            if len(found) == request["MaxNumberOfMessages"]:
                break
            if stored.visible_at > self.clock():
                if group is not None:
                    blocked.add(group)
                continue
            if group in blocked:
                continue
            stored.receives += 1
            stored.first_received = stored.first_received or self.clock()
            stored.visible_at = self.clock() + request.get("VisibilityTimeout", self.visibility)
            stored.handle = f"{stored.id}#{stored.receives}"
            stored.handles.add(stored.handle)
            given = self._give(stored)
            if "All" not in request.get("MessageSystemAttributeNames", []):
                del given["Attributes"]
            if "All" not in request.get("MessageAttributeNames", []):
                given.pop("MessageAttributes", None)
            found.append(given)
        return found

    def _give(self, stored: _Stored) -> dict[str, Any]:
        system = {
            **stored.system,
            "ApproximateReceiveCount": str(stored.receives),
            "ApproximateFirstReceiveTimestamp": str(int(stored.first_received * 1000)),
        }
        given = {"MessageId": stored.id, "ReceiptHandle": stored.handle, "Body": stored.body, "Attributes": system}
        if stored.attributes:
            given["MessageAttributes"] = dict(stored.attributes)
        return given

    def send_message(self, **request: Any) -> dict[str, Any]:
        self._called("send_message", request)
        url = request["QueueUrl"]
        key = (url, request.get("MessageDeduplicationId", ""))
        if key[1] and key in self._dedup:
            return {"MessageId": self._dedup[key]}
        message_id = self.put(
            url,
            request["MessageBody"],
            attributes=request.get("MessageAttributes"),
            group=request.get("MessageGroupId"),
        )
        if key[1]:
            self._dedup[key] = message_id
        self._raise("send_message", self.after)
        return {"MessageId": message_id}

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        self._called("send_message_batch", request)

        def send(entry: dict[str, Any]) -> dict[str, Any]:
            calls = len(self.calls)
            rest = {name: value for name, value in entry.items() if name != "Id"}
            answer = self.send_message(QueueUrl=request["QueueUrl"], **rest)
            del self.calls[calls:]
            return {"Id": entry["Id"], **answer}

        return self._batch("send_message_batch", request, send)

    def delete_message(self, **request: Any) -> dict[str, Any]:
        self._called("delete_message", request)
        self._delete(request["QueueUrl"], request["ReceiptHandle"])
        self._raise("delete_message", self.after)
        return {}

    def _delete(self, url: str, handle: str) -> None:
        for stored in self.queues[url]:
            if handle in stored.handles:
                if url.endswith(".fifo") and stored.visible_at <= self.clock():
                    raise aws_error("InvalidParameterValue", "DeleteMessage")
                self.queues[url].remove(stored)
                return

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        self._called("delete_message_batch", request)

        def delete(entry: dict[str, Any]) -> dict[str, Any]:
            self._delete(request["QueueUrl"], entry["ReceiptHandle"])
            return {"Id": entry["Id"]}

        return self._batch("delete_message_batch", request, delete)

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        self._called("change_message_visibility", request)
        self._change(request["QueueUrl"], request["ReceiptHandle"], request["VisibilityTimeout"])
        return {}

    def _change(self, url: str, handle: str, seconds: float) -> None:
        for stored in self.queues[url]:
            if handle in stored.handles:
                stored.visible_at = self.clock() + seconds
                return
        raise aws_error("InvalidParameterValue", "ChangeMessageVisibility")

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        self._called("change_message_visibility_batch", request)

        def change(entry: dict[str, Any]) -> dict[str, Any]:
            self._change(request["QueueUrl"], entry["ReceiptHandle"], entry["VisibilityTimeout"])
            return {"Id": entry["Id"]}

        return self._batch("change_message_visibility_batch", request, change)

    def _batch(
        self, operation: str, request: dict[str, Any], one: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        entries = request["Entries"]
        assert 1 <= len(entries) <= 10, f"{operation} with {len(entries)} entries"
        refuse = self.fail_entries[operation].pop(0) if self.fail_entries[operation] else set()
        answer: dict[str, Any] = {}
        for entry in entries:
            if entry["Id"] in refuse:
                failed = {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}
                answer.setdefault("Failed", []).append(failed)
                continue
            try:
                answer.setdefault("Successful", []).append(one(entry))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                answer.setdefault("Failed", []).append({"Id": entry["Id"], "Code": code, "SenderFault": True})
        if not answer.get("Successful"):
            answer.pop("Successful", None)
        return answer

    def _called(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append((operation, request))
        self._raise(operation, self.errors)

    def _raise(self, operation: str, errors: dict[str, list[BaseException | None]]) -> None:
        if errors[operation]:
            error = errors[operation].pop(0)
            if error is not None:
                raise error
