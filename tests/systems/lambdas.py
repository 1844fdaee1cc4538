"""Lambda handlers as people write them, right and wrong. Each cold start imports this module afresh."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

from harness.points import effect

calls = 0  # since this sandbox was started


def order_of(record: dict[str, Any]) -> Any:
    """The number of the order that a record is about."""
    return json.loads(record["body"])["order_id"]


def charge(record: dict[str, Any]) -> None:
    """Charges one order."""
    effect("charged", order_of(record))


def charges_all(event: dict[str, Any], context: Any) -> None:
    """Charges every order of the batch and returns nothing."""
    for record in event["Records"]:
        charge(record)


def tells_what_it_is_given(event: dict[str, Any], context: Any) -> None:
    """Writes event, context and variables down, as effects."""
    effect("event", json.dumps(event, sort_keys=True))
    names = ("function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb", "aws_request_id",
             "log_group_name", "log_stream_name", "client_context", "identity")  # fmt: skip
    effect("context", json.dumps({name: getattr(context, name) for name in names}))
    before = context.get_remaining_time_in_millis()
    time.sleep(1.25)
    effect("remaining", json.dumps([before, context.get_remaining_time_in_millis()]))
    variables = ("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_REGION", "_HANDLER", "TABLE")
    effect("environ", json.dumps([os.environ.get(name) for name in variables]))
    effect("trace", os.environ["_X_AMZN_TRACE_ID"])


def counts_its_calls(event: dict[str, Any], context: Any) -> None:
    """Remembers in its module how often it was called."""
    global calls
    calls += 1
    effect("calls", calls)


def hangs_on_seven(event: dict[str, Any], context: Any) -> None:
    """Counts its calls; order 7 takes a minute."""
    counts_its_calls(event, context)
    if any(order_of(record) == 7 for record in event["Records"]):
        time.sleep(60)


def leaves_on_seven(event: dict[str, Any], context: Any) -> None:
    """Counts its calls; order 7 ends the process."""
    counts_its_calls(event, context)
    if any(order_of(record) == 7 for record in event["Records"]):
        raise SystemExit(3)


def raises_on_seven(event: dict[str, Any], context: Any) -> None:
    """Charges in order until order 7, at which it raises: the rest of the batch is not looked at."""
    counts_its_calls(event, context)
    for record in event["Records"]:
        if order_of(record) == 7:
            raise ValueError("order 7 cannot be read")
        charge(record)


def reports_seven(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Charges all but order 7, which it reports."""
    failed = []
    for record in event["Records"]:
        if order_of(record) == 7:
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            charge(record)
    return {"batchItemFailures": failed}


def returns_what_cannot_be_json(event: dict[str, Any], context: Any) -> object:
    """Charges all and returns a set."""
    charges_all(event, context)
    return {1, 2}


def works_on_behind_its_answer(event: dict[str, Any], context: Any) -> None:
    """Leaves the work to a thread and returns at once: the sandbox is frozen before the thread is done."""

    def work() -> None:
        time.sleep(0.5)
        charges_all(event, context)

    threading.Thread(target=work).start()


def takes_two_seconds(event: dict[str, Any], context: Any) -> None:
    """Charges all after two seconds."""
    time.sleep(2)
    charges_all(event, context)


def takes_four_seconds(event: dict[str, Any], context: Any) -> None:
    """Charges all at once and then takes four seconds."""
    charges_all(event, context)
    time.sleep(4)
