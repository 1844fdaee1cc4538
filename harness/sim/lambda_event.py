"""The event that a function gets for a batch of SQS messages, and the context beside it.

Sources: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS" (the example events of a standard and of a FIFO
queue: every field and its spelling), "Using the Lambda context object to retrieve Python function information", and
"Working with Lambda environment variables" (the reserved ones). The shape of a message attribute in an event
(``stringValue``, ``binaryValue`` in base64, empty ``stringListValues`` and ``binaryListValues``, ``dataType``) is that
of the published event types. The event goes through JSON, as it does on its way to a function.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

__all__ = ["EVENT_BYTES_MAX", "VERSION", "LambdaContext", "answer_text", "environment", "event_text", "record"]

#: The payload of a synchronous invocation: 6 MB ("Lambda quotas"), in which a batch must fit.
EVENT_BYTES_MAX = 6 * 1024 * 1024

VERSION = "$LATEST"


def record(message: Mapping[str, Any], queue_arn: str) -> dict[str, Any]:
    """A message, as boto3 gave it, as one of the event's ``Records``."""
    made: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
    }
    if "MD5OfMessageAttributes" in message:
        made["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    made["md5OfBody"] = message["MD5OfBody"]
    made["eventSource"] = "aws:sqs"
    made["eventSourceARN"] = queue_arn
    made["awsRegion"] = queue_arn.split(":")[3]
    return made


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "StringValue" in value:
        made["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        made["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode("ascii")
    return {**made, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def event_text(records: Sequence[Mapping[str, Any]]) -> str:
    """The event of a batch as the JSON that the runtime gets."""
    return json.dumps({"Records": list(records)}, ensure_ascii=False)


def answer_text(answer: object) -> str:
    """What a handler returned, as the runtime of Python sends it.

    Raises:
        TypeError, ValueError: it cannot be JSON; the runtime answers a Runtime.MarshalError then.
    """
    return json.dumps(answer, default=_decimal, ensure_ascii=False)


def _decimal(value: object) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def environment(name: str, *, memory: int, handler: str, region: str, stream: str, python: str) -> dict[str, str]:
    """The variables that Lambda sets for a function, beside the user's own."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{python}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "_HANDLER": handler,
        "TZ": ":UTC",
    }


class LambdaContext:
    """The second argument of a handler. The time that remains is told by the sandbox's wall clock, as on AWS."""

    client_context = None
    identity = None

    def __init__(self, *, name: str, arn: str, request_id: str, memory: int, log_stream: str, deadline_ms: int) -> None:
        self.function_name = name
        self.function_version = VERSION
        self.invoked_function_arn = arn
        self.memory_limit_in_mb = str(memory)  # a text, as in AWS's runtime
        self.aws_request_id = request_id
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = log_stream
        self._epoch_deadline_time_in_ms = deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is killed; 0 when they are over."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message: object) -> None:
        """Write to the function's log, which here is the standard output."""
        print(message, end="")

    def __repr__(self) -> str:
        return f"LambdaContext([aws_request_id={self.aws_request_id},function_name={self.function_name}])"
