"""The rules on Lambda functions behind queues."""

from __future__ import annotations

from typing import Final

from harness.audit.changes import Change
from harness.audit.estate import Function, Mapping, QueueSettings
from harness.audit.judging import Seen, told

__all__ = ["batch_size", "concurrency", "partial_batch", "visibility_for_function"]

_VISIBILITY_MAX: Final = 43_200
_FIRST_POLLERS: Final = 5  # batches at a time with which a mapping of a standard queue begins
_MAXIMUM_CONCURRENCY_MIN: Final = 2


def visibility_for_function(mapping: Mapping, queue: QueueSettings, function: Function) -> Seen | None:
    hidden = told(queue.visibility_timeout, f"VisibilityTimeout of {queue.id}")
    timeout = told(function.timeout, f"Timeout of {function.id}")
    window = told(mapping.window, "MaximumBatchingWindowInSeconds")
    needed = 6 * timeout + window
    if hidden >= needed:
        return None
    seen = f"VisibilityTimeout is {hidden} s, {function.id} has a timeout of {timeout} s"
    return Seen(
        queue.id,
        queue.where,
        f"{seen} and a batching window of {window} s" if window else seen,
        "AWS refuses the mapping"
        if hidden < timeout
        else "while Lambda still tries again after throttling, or the function still runs, the messages become visible "
        "and are handled a second time",
        Change("queue", queue.id, {"VisibilityTimeout": min(_VISIBILITY_MAX, needed)}),
    )


def partial_batch(mapping: Mapping, queue: QueueSettings) -> Seen | None:
    size = told(mapping.batch_size, "BatchSize")
    if told(mapping.report_batch_item_failures, "FunctionResponseTypes") or size <= 1:
        return None
    return Seen(
        mapping.id,
        mapping.where,
        f"batches of up to {size} without ReportBatchItemFailures",
        "one message that fails brings the whole batch back: those that were handled are handled again, and all of "
        "them spend a receive on the way to the dead-letter queue",
        Change("mapping", mapping.id, {"FunctionResponseTypes": ["ReportBatchItemFailures"]}),
    )


def concurrency(mapping: Mapping, queue: QueueSettings, function: Function) -> Seen | None:
    reserved = told(function.reserved_concurrency, f"ReservedConcurrentExecutions of {function.id}")
    limit = told(mapping.maximum_concurrency, "MaximumConcurrency")
    if queue.fifo or reserved is None or (limit is not None and limit <= reserved):
        return None
    pollers = (
        f"starts with {_FIRST_POLLERS} batches at a time and adds more"
        if limit is None
        else f"may invoke {limit} at a time"
    )
    return Seen(
        mapping.id,
        mapping.where,
        f"{function.id} has a reserved concurrency of {reserved}, the mapping {pollers}",
        "what is over it is throttled, and every throttled batch has spent a receive: messages that no code has seen "
        "end in the dead-letter queue",
        Change("mapping", mapping.id, {"ScalingConfig.MaximumConcurrency": reserved})
        if reserved >= _MAXIMUM_CONCURRENCY_MIN
        else Change("function", function.id, {"ReservedConcurrentExecutions": _FIRST_POLLERS}),
    )


def batch_size(mapping: Mapping, queue: QueueSettings) -> Seen | None:
    size, window = told(mapping.batch_size, "BatchSize"), told(mapping.window, "MaximumBatchingWindowInSeconds")
    settings: dict[str, int] = {}
    if queue.fifo:
        settings |= {"BatchSize": 10} if size > 10 else {}
        settings |= {"MaximumBatchingWindowInSeconds": 0} if window else {}
    elif size > 10 and window < 1:
        settings |= {"MaximumBatchingWindowInSeconds": 1}
    if not settings:
        return None
    return Seen(
        mapping.id,
        mapping.where,
        f"BatchSize is {size}, MaximumBatchingWindowInSeconds {window}",
        "AWS refuses the mapping: "
        + (
            "a FIFO queue has batches of at most 10 and no batching window"
            if queue.fifo
            else "batches of more than 10 need a batching window of a second at least"
        ),
        Change("mapping", mapping.id, settings),
    )
