"""Settings of queues that defeat dead-lettering, found before they do.

:class:`~harness.resilience.dlq.DeadLetterQueueHandler` and
:class:`~harness.resilience.consumer.ResilientConsumer` look at their queues'
settings when they start and say what is wrong, as event ``misconfigured`` and in
the log. :func:`check_queues` does the same for a script or a deployment check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["ATTRIBUTES", "check_queues", "find_problems"]

#: What is asked of each queue.
ATTRIBUTES = ["VisibilityTimeout", "RedrivePolicy", "MessageRetentionPeriod", "MaximumMessageSize", "QueueArn"]


def check_queues(
    sqs: Any,
    queue_url: str,
    dlq_url: str | None = None,
    *,
    max_receives: int | None = None,
    handler_seconds: float | None = None,
    heartbeat: bool = True,
) -> list[str]:
    """What is wrong with the settings of *queue_url* and its dead-letter queue, as sentences; empty if nothing is.

    ``max_receives``: the receive at which the consumer itself dead-letters.
    ``handler_seconds``: how long a handler may take. Raises what *sqs* raises.
    """
    main = _attributes(sqs, queue_url)
    dead = _attributes(sqs, dlq_url) if dlq_url else None
    return find_problems(main, dead, max_receives=max_receives, handler_seconds=handler_seconds, heartbeat=heartbeat)


def find_problems(
    main: Mapping[str, str],
    dead: Mapping[str, str] | None,
    *,
    max_receives: int | None = None,
    handler_seconds: float | None = None,
    heartbeat: bool = True,
) -> list[str]:
    """The same from attributes as ``get_queue_attributes`` gives them."""
    problems = []
    native, target = _redrive(main)
    if native == 1:
        problems.append(
            "maxReceiveCount is 1: a message whose consumer stopped or died once is moved without a second try; "
            "set it to 3 or more"
        )
    elif native is not None and max_receives is not None and native < max_receives:
        problems.append(
            f"maxReceiveCount is {native}, but the consumer dead-letters at receive {max_receives}: SQS moves the "
            f"message before, without an envelope; set maxReceiveCount to {max_receives} or more"
        )
    if dead is not None and target is not None and target == dead.get("QueueArn") and not target.endswith(".fifo"):
        kept, dead_kept = _number(main, "MessageRetentionPeriod"), _number(dead, "MessageRetentionPeriod")
        if kept is not None and dead_kept is not None and dead_kept <= kept:
            problems.append(
                f"the dead-letter queue keeps messages for {dead_kept} s, the queue for {kept} s: a message that SQS "
                "moves keeps its age and may vanish at once; give the dead-letter queue a longer retention"
            )
    if dead is not None:
        size, dead_size = _number(main, "MaximumMessageSize"), _number(dead, "MaximumMessageSize")
        if size is not None and dead_size is not None and dead_size < size:
            problems.append(
                f"the dead-letter queue takes {dead_size} bytes, the queue {size}: large messages cannot be "
                "dead-lettered; make the two limits the same"
            )
    visibility = _number(main, "VisibilityTimeout")
    if visibility is not None and handler_seconds is not None and visibility <= handler_seconds and not heartbeat:
        problems.append(
            f"the visibility timeout is {visibility} s, a handler may take {handler_seconds:g} s: others receive the "
            "message meanwhile; raise the timeout or use the heartbeat"
        )
    return problems


def _attributes(sqs: Any, queue_url: str) -> dict[str, str]:
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=ATTRIBUTES)
    attributes = answer.get("Attributes") or {}
    return dict(attributes) if isinstance(attributes, Mapping) else {}


def _redrive(attributes: Mapping[str, str]) -> tuple[int | None, str | None]:
    try:
        policy = json.loads(attributes.get("RedrivePolicy") or "{}")
        return int(policy["maxReceiveCount"]), str(policy["deadLetterTargetArn"])
    except (KeyError, TypeError, ValueError):
        return None, None


def _number(attributes: Mapping[str, str], name: str) -> int | None:
    value = attributes.get(name)
    return int(value) if isinstance(value, str | int) and str(value).isdigit() else None
