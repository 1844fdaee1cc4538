"""Lambda functions with the mistakes that people make, each in the shape of the scenario whose twin it is."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import redis

from harness.points import effect
from harness.resilience import RedisIdempotencyStore
from harness.resilience.idempotency import Status


def charge(record: dict[str, Any]) -> None:
    """Charges one order: what the scenarios' handler faults strike."""
    effect("charged", json.loads(record["body"])["order_id"])


def reports(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Right by itself: reports what failed. Behind a mapping that does not look at reports it loses that."""
    failed = []
    for record in event["Records"]:
        try:
            charge(record)
        except Exception:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def lets_errors_through(event: dict[str, Any], context: Any) -> None:
    """Fails with the first message that fails: the whole batch comes back."""
    for record in event["Records"]:
        charge(record)


def takes_a_second_for_each(event: dict[str, Any], context: Any) -> None:
    """Charges one order after the other, a second each, and remembers none."""
    for record in event["Records"]:
        time.sleep(1)
        charge(record)


def reports_receipt_handles(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Names what failed by its receipt handle, which is no id: the whole batch comes back."""
    failed = []
    for record in event["Records"]:
        try:
            charge(record)
        except Exception:
            failed.append({"itemIdentifier": record["receiptHandle"]})
    return {"batchItemFailures": failed}


def reports_only_what_failed(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """On a FIFO queue: goes on with the group of a failed message, so that later ones overtake it."""
    return reports(event, context)


def takes_in_progress_for_done(event: dict[str, Any], context: Any) -> None:
    """Skips an order whose record says "in progress", as if another call would see it through."""
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    for record in event["Records"]:
        key, owner = record["messageId"], context.aws_request_id
        if store.begin(key, owner, 3600).status is Status.STARTED:
            charge(record)
            store.complete(key, owner, None, 86_400)


def claims_for_an_hour(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Takes a lease much longer than the call may last: nobody can take over from one that was killed."""
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    failed = []
    for record in event["Records"]:
        key, owner = record["messageId"], context.aws_request_id
        claim = store.begin(key, owner, 3600)
        if claim.status is Status.STARTED:
            charge(record)
            store.complete(key, owner, None, 86_400)
        elif claim.status is Status.IN_PROGRESS:
            failed.append({"itemIdentifier": key})
    return {"batchItemFailures": failed}


def keeps_its_context_from_powertools(event: dict[str, Any], context: Any) -> Any:
    """Powertools cannot know when the call ends: "in progress" lasts for an hour, whatever became of the call."""
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )

    @idempotent_function(
        data_keyword_argument="record",
        config=IdempotencyConfig(event_key_jmespath="messageId"),
        persistence_store=DynamoDBPersistenceLayer("records"),
    )
    def once(record: dict[str, Any]) -> None:
        charge(record)

    return process_partial_response(
        event=event,
        record_handler=lambda record: once(record=record.raw_event),
        processor=BatchProcessor(event_type=EventType.SQS),
        context=context,
    )
