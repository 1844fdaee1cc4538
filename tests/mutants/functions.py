"""Lambda functions behind a queue: one that is right, and others with one defect each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness import points

Event = Mapping[str, Any]
Record = Mapping[str, Any]


def charge(record: Record) -> None:
    points.effect("charged", json.loads(record["body"])["order_id"])


def failures(*identifiers: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]}


def _failed(event: Event) -> list[Record]:
    failed = []
    for record in event["Records"]:
        try:
            charge(record)
        except Exception:
            failed.append(record)
    return failed


def right(event: Event, context: object) -> dict[str, Any]:
    return failures(*(record["messageId"] for record in _failed(event)))


def swallows_then_acknowledges(event: Event, context: object) -> dict[str, Any]:
    _failed(event)
    return failures()


def names_the_receipt_handle(event: Event, context: object) -> dict[str, Any]:
    return failures(*(record["receiptHandle"] for record in _failed(event)))


def spells_the_field_wrong(event: Event, context: object) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemidentifier": one["messageId"]} for one in _failed(event)]}


def spells_the_answer_wrong(event: Event, context: object) -> dict[str, Any]:
    return {"BatchItemFailures": [{"itemIdentifier": one["messageId"]} for one in _failed(event)]}


def raises_for_all(event: Event, context: object) -> dict[str, Any]:
    for record in event["Records"]:
        charge(record)
    return failures()


def stops_at_the_first_failure(event: Event, context: object) -> dict[str, Any]:
    for record in event["Records"]:
        try:
            charge(record)
        except Exception:
            return failures(record["messageId"])
    return failures()


def reads_all_bodies_first(event: Event, context: object) -> dict[str, Any]:
    orders = [(record, json.loads(record["body"])["order_id"]) for record in event["Records"]]
    failed = []
    for record, order in orders:
        try:
            points.effect("charged", order)
        except Exception:
            failed.append(record["messageId"])
    return failures(*failed)


_remembered: list[str] = []


def remembers_failures_of_earlier_batches(event: Event, context: object) -> dict[str, Any]:
    _remembered.extend(record["messageId"] for record in _failed(event))
    return failures(*_remembered)


def charges_twice(event: Event, context: object) -> dict[str, Any]:
    for record in event["Records"]:
        charge(record)
        charge(record)
    return failures()


#: Mutant -> the property that it breaks.
WRONG: dict[str, str] = {
    "swallows_then_acknowledges": "no-message-loss",
    "names_the_receipt_handle": "response-well-formed",
    "spells_the_field_wrong": "others-not-held-up",
    "spells_the_answer_wrong": "no-message-loss",
    "raises_for_all": "others-not-held-up",
    "stops_at_the_first_failure": "no-message-loss",
    "reads_all_bodies_first": "others-not-held-up",
    "remembers_failures_of_earlier_batches": "response-well-formed",
    "charges_twice": "duplicates-bounded",
}
