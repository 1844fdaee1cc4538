"""A queue's attributes: which there are, what they may be, what they mean.

Values travel as strings. Each is normalised when it is set, so that two ways
to write one value (``"True"`` and ``"true"``, a count as number or string in
a redrive policy) compare equal when a queue is created again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.sim.services.sqs_errors import (
    SqsError,
    fifo_only,
    invalid_attribute_value,
    invalid_parameter,
    one_encryption_only,
    parameter_reason,
    unknown_attribute,
)

__all__ = [
    "DEFAULTS",
    "FIFO_DEFAULTS",
    "MAX_MESSAGE_BYTES",
    "READABLE",
    "check_queue_name",
    "normalise",
    "parse_arn",
    "redrive_of",
]

#: 1 MiB, recorded 19 August 2025: the most for a message, and for a batch in total.
MAX_MESSAGE_BYTES = 1_048_576

#: What a new standard queue has, recorded 10 December 2025.
DEFAULTS: Mapping[str, str] = {
    "DelaySeconds": "0",
    "MaximumMessageSize": str(MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
#: What a new FIFO queue has besides.
FIFO_DEFAULTS: Mapping[str, str] = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoQueue": "true",
    "FifoThroughputLimit": "perQueue",
}

_RANGES: Mapping[str, tuple[int, int]] = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1_024, MAX_MESSAGE_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoQueue": ("true", "false"),
    "FifoThroughputLimit": ("perMessageGroupId", "perQueue"),
    "SqsManagedSseEnabled": ("true", "false"),
}
_TEXTS = frozenset({"KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "RedrivePolicy"})
_COMPUTED = frozenset(
    {
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "QueueArn",
    }
)
#: Every name that GetQueueAttributes knows.
READABLE = frozenset(_RANGES) | frozenset(_CHOICES) | _TEXTS | _COMPUTED | {"All"}

#: Setting one of these values removes the attribute.
_REMOVES: Mapping[str, str] = {
    "KmsDataKeyReusePeriodSeconds": "300",
    "KmsMasterKeyId": "",
    "Policy": "",
    "RedriveAllowPolicy": "",
    "RedrivePolicy": "",
}

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ARN = re.compile(r"arn:(aws[a-z-]*):sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_.-]{1,80})")


def check_queue_name(name: str, *, fifo: bool) -> None:
    """A queue's name: 1 to 80 letters, digits, hyphens and underscores; ``.fifo`` at the end of a FIFO queue's."""
    stem = name.removesuffix(".fifo") if fifo else name
    if (fifo and not name.endswith(".fifo")) or len(name) > 80 or not _NAME.fullmatch(stem):
        # The code is recorded, the text is not.
        raise invalid_parameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")


def parse_arn(arn: object) -> tuple[str, str, str] | None:
    """Region, account and name of an SQS ARN; ``None`` if it is none."""
    match = _ARN.fullmatch(arn) if isinstance(arn, str) else None
    return (match[2], match[3], match[4]) if match else None


def redrive_of(policy: str | None) -> tuple[str, int] | None:
    """The dead-letter queue's ARN and the count of a normalised redrive policy."""
    if not policy:
        return None
    value = json.loads(policy)
    return value["deadLetterTargetArn"], value["maxReceiveCount"]


def normalise(attributes: Mapping[str, str], *, fifo: bool, creating: bool) -> dict[str, str | None]:
    """Check the attributes of a CreateQueue or SetQueueAttributes request.

    Returns them in normal form; ``None`` removes the attribute.

    Raises:
        SqsError: a name is unknown or not for this type of queue, or a value is refused.
    """
    result: dict[str, str | None] = {}
    for name, value in attributes.items():
        _check_name(name, value, fifo=fifo, creating=creating)
        if _REMOVES.get(name) == value:
            result[name] = None
        elif name in _RANGES:
            result[name] = _number(name, value)
        elif name in _CHOICES:
            result[name] = _choice(name, value)
        else:
            result[name] = _POLICIES[name](value) if name in _POLICIES else value
    if result.get("KmsMasterKeyId"):
        if result.get("SqsManagedSseEnabled") == "true":
            raise one_encryption_only()
        result["SqsManagedSseEnabled"] = "false"
    return result


def _check_name(name: str, value: str, *, fifo: bool, creating: bool) -> None:
    if name not in READABLE or name in _COMPUTED or name == "All":
        raise unknown_attribute(name)
    if name in FIFO_DEFAULTS:
        if not fifo:
            if name in ("DeduplicationScope", "FifoThroughputLimit"):
                raise fifo_only(name)
            raise unknown_attribute(name)
        if name == "FifoQueue" and not creating and value.lower() != "true":
            raise invalid_attribute_value("FifoQueue", "Modifying queue type is not supported.")


def _number(name: str, value: str) -> str:
    low, high = _RANGES[name]
    try:
        number = int(value)
    except ValueError:
        raise invalid_attribute_value(name) from None
    if not low <= number <= high:
        raise invalid_attribute_value(name)
    return str(number)


def _choice(name: str, value: str) -> str:
    for choice in _CHOICES[name]:
        if value.lower() == choice.lower():
            return choice
    raise invalid_attribute_value(name)


def _redrive_policy(text: str) -> str:
    """The redrive policy in normal form. That these are refused is recorded, the texts are not."""
    value = _object(text, "RedrivePolicy")
    arn, count = value.get("deadLetterTargetArn"), value.get("maxReceiveCount")
    for name, given in (("maxReceiveCount", count), ("deadLetterTargetArn", arn)):
        if given is None:
            raise parameter_reason(
                text, "RedrivePolicy", f"Redrive policy does not contain mandatory attribute: {name}."
            )
    if parse_arn(arn) is None:
        raise parameter_reason(text, "RedrivePolicy", "Invalid value for deadLetterTargetArn.")
    try:
        number = int(count) if isinstance(count, (int, str)) and not isinstance(count, bool) else 0
    except ValueError:
        number = 0
    if not 1 <= number <= 1_000:
        raise parameter_reason(text, "RedrivePolicy", "Invalid value for maxReceiveCount.")
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": number}, separators=(",", ":"))


def _redrive_allow_policy(text: str) -> str:
    value = _object(text, "RedriveAllowPolicy")
    permission = value.get("redrivePermission")
    sources = value.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise parameter_reason(text, "RedriveAllowPolicy", "Invalid value for redrivePermission.")
    if permission == "byQueue":
        if not isinstance(sources, list) or not 1 <= len(sources) <= 10 or not all(map(parse_arn, sources)):
            raise parameter_reason(text, "RedriveAllowPolicy", "Invalid value for sourceQueueArns.")
    elif sources is not None:
        raise parameter_reason(text, "RedriveAllowPolicy", "sourceQueueArns is for byQueue only.")
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _object(text: str, name: str) -> dict[str, Any]:
    refused: SqsError = parameter_reason(text, name, f"{name} is not a valid JSON object.")
    try:
        value = json.loads(text)
    except ValueError:
        raise refused from None
    if not isinstance(value, dict):
        raise refused
    return value


_POLICIES: Mapping[str, Callable[[str], str]] = {
    "RedriveAllowPolicy": _redrive_allow_policy,
    "RedrivePolicy": _redrive_policy,
}
