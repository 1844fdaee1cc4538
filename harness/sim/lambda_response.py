"""Which messages of a batch Lambda deletes, by what the function answered.

Source: AWS Lambda Developer Guide, "Handling errors for an SQS event source in Lambda" [errors], and "Using Lambda
with Amazon SQS" [sqs]:

* [sqs] a function that ends without an error: every message of the batch is deleted; one that raises, times out or
  dies: none is, and all come back after the visibility timeout;
* [errors] with ReportBatchItemFailures the answer is looked at. A complete success: an empty or null
  ``batchItemFailures``, an empty or null answer. A complete failure: an answer that is no JSON, an item whose
  ``itemIdentifier`` is empty, null or missing (a wrong key), one that is the id of no message of the batch. Else the
  messages that are named come back, the others are deleted;
* [errors] without ReportBatchItemFailures the answer means nothing.

Not documented, decided here: an answer that is JSON but no object, a ``batchItemFailures`` that is no list, and an
item that is no object do not have the documented form and are complete failures; an object without
``batchItemFailures`` has a null list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

__all__ = ["Settlement", "settle"]

Outcome: TypeAlias = Literal["success", "partial", "malformed"]


class Settlement(NamedTuple):
    """What an answer means: ``failed`` are the ids of the messages that come back, in the order of the batch."""

    outcome: Outcome
    failed: tuple[str, ...]
    reason: str = ""


def settle(answer: str, batch: Sequence[str], *, reporting: bool) -> Settlement:
    """What *answer* (JSON text, as the runtime sent it) means for the messages whose ids are *batch*."""
    if not reporting:
        return Settlement("success", ())
    everything = tuple(batch)
    try:
        value: Any = json.loads(answer, parse_constant=_no_constant)
    except ValueError:
        return Settlement("malformed", everything, "the answer is no JSON")
    if value is None or value == {}:
        return Settlement("success", ())
    if not isinstance(value, dict):
        return Settlement("malformed", everything, f"the answer is {_kind(value)}, no object")
    items = value.get("batchItemFailures")
    if items is None or items == []:
        return Settlement("success", ())
    if not isinstance(items, list):
        return Settlement("malformed", everything, f"batchItemFailures is {_kind(items)}, no list")
    named: set[str] = set()
    for index, item in enumerate(items):
        wrong = _wrong(item, everything)
        if wrong:
            return Settlement("malformed", everything, f"batchItemFailures[{index}] {wrong}")
        named.add(item["itemIdentifier"])
    return Settlement("partial", tuple(one for one in batch if one in named))


def _wrong(item: Any, batch: tuple[str, ...]) -> str:
    """What is wrong with one item; "" if nothing is."""
    if not isinstance(item, dict):
        return f"is {_kind(item)}, no object"
    if "itemIdentifier" not in item:
        return "has no itemIdentifier"
    identifier = item["itemIdentifier"]
    if identifier is None:
        return "has a null itemIdentifier"
    if identifier == "":
        return "has an empty itemIdentifier"
    if identifier not in batch:
        return "names no message of the batch"
    return ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}.get(
        type(value), "null"
    )
