"""Turns counts into requests of PutMetricData within CloudWatch's limits, and sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness.resilience._monitoring_counts import Count

__all__ = ["BYTES_MAX", "DATA_MAX", "Outcome", "is_refusal", "publish", "requests"]

#: CloudWatch takes 1,000 metrics and 1 MB a request, whether that is before or after compression is not said.
DATA_MAX = 1_000
BYTES_MAX = 900_000

_PAST_S = 14 * 86_400 - 3_600
_REFUSALS = frozenset(
    {
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "MissingParameter",
        "MissingRequiredParameterException",
        "RequestEntityTooLarge",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)

Send = Callable[[list[dict[str, Any]]], object]


def requests(counts: Sequence[Count], now: float) -> Iterator[list[tuple[Count, dict[str, Any]]]]:
    """*counts* as lists of MetricData, each within the limits of one request.

    A time that CloudWatch would refuse, because the counts have waited for
    two weeks or the clock was ahead when they were counted, is brought within
    its bounds.
    """
    batch: list[tuple[Count, dict[str, Any]]] = []
    size = 0
    for count in counts:
        at = min(max(count.minute, now - _PAST_S), now)
        datum: dict[str, Any] = {
            "MetricName": count.metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in count.dimensions],
            "Timestamp": datetime.fromtimestamp(int(at), UTC),
            # So many errors, one each: the same sum and sample count as if each were sent by itself.
            "Values": [1.0 if count.number else 0.0],
            "Counts": [float(count.number or 1)],
            "Unit": "Count",
        }
        length = 200 + sum(40 + len(name) + len(value) for name, value in count.dimensions)
        if batch and (len(batch) >= DATA_MAX or size + length > BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append((count, datum))
        size += length
    if batch:
        yield batch


class Outcome(NamedTuple):
    """What became of one request: its counts, accepted, never to be accepted, and left to be sent again."""

    accepted: list[Count]
    refused: list[tuple[Count, Exception]]
    left: list[Count]
    error: Exception | None  # why they are left


def publish(batch: Sequence[tuple[Count, dict[str, Any]]], send: Send) -> Outcome:
    """Send one request; where CloudWatch refuses it for what is in it, send its halves."""
    accepted: list[Count] = []
    refused: list[tuple[Count, Exception]] = []
    waiting = [list(batch)]
    while waiting:
        part = waiting.pop(0)
        try:
            send([datum for _, datum in part])
        except Exception as error:
            if not is_refusal(error):
                left = [count for each in (part, *waiting) for count, _ in each]
                return Outcome(accepted, refused, left, error)
            if len(part) == 1:
                refused.append((part[0][0], error))
            else:
                middle = len(part) // 2
                waiting[:0] = [part[:middle], part[middle:]]
        else:
            accepted += [count for count, _ in part]
    return Outcome(accepted, refused, [], None)


def is_refusal(error: BaseException) -> bool:
    """Whether *error* says that the request's contents are wrong, so that it will never be taken."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str((response.get("Error") or {}).get("Code")) in _REFUSALS
    return type(error).__name__ == "ParamValidationError"
