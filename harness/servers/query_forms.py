"""What SQS's query protocol has beside a form by POST: queues' URLs as endpoints, and answers in JSON.

Recorded on AWS are: CreateQueue and ListQueues refused at a queue's URL, the
answer to a request there without an action, and that ``Accept:
application/json`` is answered in JSON for some actions, under the names of
the XML, attributes as a list of names and values. Here it is so for all of
them; what the others look like is not recorded.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any, Final

from harness.sim.services.errors import ServiceError
from harness.sim.wire.botocore_protocols import Reply

__all__ = ["NO_ACTION", "at_a_queue", "json_answer", "json_refusal", "refused_at_a_queue"]

#: The body of the 404 for a request to a queue's URL without an action; it is XML whatever is asked for.
NO_ACTION: Final = b"<UnknownOperationException/>\n"

_QUEUE_PATH: Final = re.compile(r"/\d{12}/[A-Za-z0-9_.-]{1,80}/?")
#: Actions of the service, not of a queue.
_SERVICE_ACTIONS: Final = frozenset({"CreateQueue", "ListQueues"})
_LOWER: Final = {"Messages": "messages", "QueueUrls": "queueUrls"}
_MAPS: Final = frozenset({"Attributes", "MessageAttributes", "Tags"})


def at_a_queue(path: str) -> bool:
    """Whether a request's path is that of a queue's URL."""
    return _QUEUE_PATH.fullmatch(path) is not None


def refused_at_a_queue(service: str, action: str, path: str) -> bool:
    """Whether a query request's action is not valid for its endpoint."""
    return service == "sqs" and action in _SERVICE_ACTIONS and at_a_queue(path)


def json_answer(action: str, result: dict[str, Any], request_id: str) -> Reply:
    """A query request's answer in JSON."""
    inside = {f"{action}Result": _named(result)} if result else {}
    return _reply(200, {f"{action}Response": {**inside, "ResponseMetadata": {"RequestId": request_id}}})


def json_refusal(error: ServiceError, request_id: str) -> Reply:
    """A query request's refusal in JSON."""
    kind = "Sender" if error.sender_fault else "Receiver"
    found = {"Type": kind, "Code": error.code, "Message": error.query_message, "Detail": None}
    return _reply(error.status, {"Error": found, "RequestId": request_id})


def _reply(status: int, document: dict[str, Any]) -> Reply:
    body = json.dumps(document, separators=(",", ":"), default=_text).encode("utf-8")
    return Reply(status, {"Content-Type": "application/json"}, body)


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {_LOWER.get(name, name): _pairs(item) if name in _MAPS else _named(item) for name, item in value.items()}
    return [_named(item) for item in value] if isinstance(value, (list, tuple)) else value


def _pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "Value": _named(value)} for name, value in attributes.items()]


def _text(value: bytes) -> str:
    return b64encode(value).decode("ascii")
