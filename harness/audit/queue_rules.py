"""The rules on queues, their dead-letter queues and the alarms on those."""

from __future__ import annotations

import re
from typing import Final

from harness.audit.changes import Change
from harness.audit.estate import DEFAULTS, Estate, QueueSettings, Unknown
from harness.audit.judging import DAY_S, NotTold, Seen, in_time, told

__all__ = [
    "alarm_metric",
    "alarm_there",
    "comes_to_rest",
    "dead_letter_queue",
    "keeps_order",
    "large_enough",
    "lets_its_source",
    "long_polling",
    "outlives_redrive",
    "outlives_source",
    "retention",
    "same_type",
    "spares_passing_failures",
    "visibility",
]

_CALLED_DEAD: Final = re.compile(r"(dlq|dead([-_]?letters?)?([-_]?queue)?)(\.fifo)?$", re.IGNORECASE)
_FOURTEEN_DAYS: Final = 14 * DAY_S  # the longest that SQS keeps a message


def dead_letter_queue(estate: Estate, queue: QueueSettings) -> Seen | None:
    if estate.sources_of(queue) or _CALLED_DEAD.search(queue.name) or _CALLED_DEAD.search(queue.id):
        return None  # a consumer may send its dead letters itself: the name is all that tells
    if told(queue.dead_letter, "RedrivePolicy") is not None:
        return None
    retention = "" if isinstance(queue.retention, Unknown) else f" ({in_time(queue.retention)})"
    return Seen(
        queue.id,
        queue.where,
        "has no redrive policy",
        f"a message that can never be handled is received again and again until its retention{retention} is over, and "
        "is then gone without a trace",
        Change("redrive", queue.id, {"maxReceiveCount": 5}),
    )


def spares_passing_failures(estate: Estate, queue: QueueSettings) -> Seen | None:
    if queue.dead_letter is None:
        return None
    count = told(queue.max_receives, "maxReceiveCount")
    invoked = bool(estate.mappings_of(queue))
    if count is None or count >= (5 if invoked else 2):
        return None
    return Seen(
        queue.id,
        queue.where,
        f"maxReceiveCount is {count}",
        "an invocation that Lambda throttles spends a receive too, so a short spell of throttling moves good messages "
        "to the dead-letter queue"
        if invoked
        else "one failed attempt, one killed consumer, one lost answer moves a good message to the dead-letter queue",
        Change("queue", queue.id, {"RedrivePolicy.maxReceiveCount": 5}),
    )


def outlives_redrive(estate: Estate, queue: QueueSettings) -> Seen | None:
    if queue.dead_letter is None:
        return None
    count = told(queue.max_receives, "maxReceiveCount")
    visibility = told(queue.visibility_timeout, "VisibilityTimeout")
    kept = told(queue.retention, "MessageRetentionPeriod")
    if count is None or count * visibility < kept:
        return None
    needed = count * visibility
    return Seen(
        queue.id,
        queue.where,
        f"{count} receives of {in_time(visibility)} take {in_time(needed)}, the retention is {in_time(kept)}",
        "a message that fails every time is deleted by its age before it has been received often enough to reach the "
        "dead-letter queue",
        Change("queue", queue.id, {"MessageRetentionPeriod": min(_FOURTEEN_DAYS, max(4 * DAY_S, 2 * needed))})
        if needed < _FOURTEEN_DAYS
        else Change("words", queue.id, {"maxReceiveCount": f"at most {_FOURTEEN_DAYS // visibility // 2}"}),
    )


def outlives_source(queue: QueueSettings, source: QueueSettings) -> Seen | None:
    if source.fifo:
        return None  # the age of a FIFO queue's message starts anew when it is moved
    kept = told(queue.retention, "MessageRetentionPeriod")
    before = told(source.retention, f"MessageRetentionPeriod of {source.id}")
    if kept > before or kept >= _FOURTEEN_DAYS:
        return None
    return Seen(
        queue.id,
        queue.where,
        f"keeps messages {in_time(kept)}, its source {source.id} {in_time(before)}",
        "a standard queue's message keeps its age when it is moved: one that failed late in its life is deleted from "
        "the dead-letter queue soon after it came, perhaps before anybody has looked",
        Change("queue", queue.id, {"MessageRetentionPeriod": _FOURTEEN_DAYS}),
    )


def same_type(estate: Estate, queue: QueueSettings) -> Seen | None:
    dead_letter = told(queue.dead_letter, "RedrivePolicy")
    if dead_letter is None:
        return None
    target = estate.queue(dead_letter)
    if (target.fifo if target is not None else dead_letter.endswith(".fifo")) == queue.fifo:
        return None
    kind = "FIFO" if queue.fifo else "standard"
    return Seen(
        queue.id,
        queue.where,
        f"is a {kind} queue, its dead-letter queue {dead_letter} is not",
        "AWS refuses the redrive policy: the deployment fails, or failed messages have nowhere to go",
        Change("words", queue.id, {"RedrivePolicy": f"name a {kind} queue"}),
    )


def comes_to_rest(estate: Estate, queue: QueueSettings) -> Seen | None:
    seen, at = [queue.id], estate.queue(queue.dead_letter)
    while at is not None and at.id not in seen:
        seen.append(at.id)
        at = estate.queue(at.dead_letter)
    if at is None or at.id != queue.id or min(seen) != queue.id:
        return None  # one finding a circle: on the first of its queues
    return Seen(
        queue.id,
        queue.where,
        f"dead letters go round: {' -> '.join([*seen, queue.id])}",
        "a poison message never comes to rest: it is moved round until its retention is over, and then lost",
        Change("words", queue.id, {"RedrivePolicy": "name a queue that has no redrive policy itself"}),
    )


def lets_its_source(estate: Estate, queue: QueueSettings) -> Seen | None:
    allowed = told(queue.allows, "RedriveAllowPolicy")
    if allowed is None:
        return None
    named = [estate.queue(name) for name in allowed]
    missing = [source.id for source in estate.sources_of(queue) if source not in named]
    if not missing:
        return None
    return Seen(
        queue.id,
        queue.where,
        f"its RedriveAllowPolicy does not let {', '.join(missing)} use it",
        "AWS refuses the source's redrive policy: failed messages have nowhere to go",
        Change("words", queue.id, {"RedriveAllowPolicy": f"add {', '.join(missing)} to sourceQueueArns, or allowAll"}),
    )


def large_enough(queue: QueueSettings, source: QueueSettings) -> Seen | None:
    takes = told(queue.max_message_size, "MaximumMessageSize")
    comes = told(source.max_message_size, f"MaximumMessageSize of {source.id}")
    if takes >= comes:
        return None
    return Seen(
        queue.id,
        queue.where,
        f"takes {takes:,} bytes, its source {source.id} {comes:,}",
        "a consumer that sends dead letters itself, in an envelope above all, is refused the large ones",
        Change("queue", queue.id, {"MaximumMessageSize": DEFAULTS["MaximumMessageSize"]}),
    )


def alarm_there(estate: Estate, queue: QueueSettings) -> Seen | None:
    if estate.alarms is None:
        raise NotTold("alarms could not be read from this source")
    if estate.alarms_of(queue):
        return None
    if any(isinstance(alarm.queue, Unknown) for alarm in estate.alarms):
        raise NotTold("which queue an alarm watches could not be read, it may be this one")
    return Seen(
        queue.id,
        queue.where,
        "no alarm watches it",
        "dead letters come in and nobody is told, until a customer asks or their retention is over",
        Change("alarm", queue.id, {"MetricName": "ApproximateNumberOfMessagesVisible"}),
    )


def alarm_metric(estate: Estate, queue: QueueSettings) -> Seen | None:
    alarms = estate.alarms_of(queue)
    if not alarms or not {alarm.metric for alarm in alarms} <= {"NumberOfMessagesSent", "SentMessageSize"}:
        return None
    return Seen(
        alarms[0].id,
        alarms[0].where,
        f"watches {alarms[0].metric} of {queue.id}",
        "a message that SQS itself moves to the dead-letter queue does not count as sent: the alarm never fires",
        Change("metric", alarms[0].id, {"MetricName": "ApproximateNumberOfMessagesVisible"}),
    )


def keeps_order(estate: Estate, queue: QueueSettings) -> Seen | None:
    if not queue.fifo or told(queue.dead_letter, "RedrivePolicy") is None:
        return None
    return Seen(
        queue.id,
        queue.where,
        "is a FIFO queue with a dead-letter queue",
        "once a message has gone there, later ones of its group are handled before it",
        Change(
            "words",
            queue.id,
            {"RedrivePolicy": "keep it where later messages of a group do without a lost one, else stop the group"},
        ),
    )


def visibility(estate: Estate, queue: QueueSettings) -> Seen | None:
    if told(queue.visibility_timeout, "VisibilityTimeout") > 0:
        return None
    return Seen(
        queue.id,
        queue.where,
        "VisibilityTimeout is 0",
        "every other consumer may receive a message while the first one is still at it",
        Change("queue", queue.id, {"VisibilityTimeout": DEFAULTS["VisibilityTimeout"]}),
    )


def retention(estate: Estate, queue: QueueSettings) -> Seen | None:
    if estate.sources_of(queue):
        return None  # a dead-letter queue has a rule of its own
    kept = told(queue.retention, "MessageRetentionPeriod")
    if kept >= DAY_S:
        return None
    return Seen(
        queue.id,
        queue.where,
        f"keeps messages {in_time(kept)}",
        "an outage of the consumers that lasts longer, and one night will do, deletes the backlog unread",
        Change("queue", queue.id, {"MessageRetentionPeriod": DEFAULTS["MessageRetentionPeriod"]}),
    )


def long_polling(estate: Estate, queue: QueueSettings) -> Seen | None:
    if estate.sources_of(queue) or estate.mappings_of(queue):
        return None  # nobody polls the former all day, and Lambda polls long by itself
    if told(queue.wait, "ReceiveMessageWaitTimeSeconds") > 0:
        return None
    return Seen(
        queue.id,
        queue.where,
        "ReceiveMessageWaitTimeSeconds is 0",
        "a receive that does not ask for a wait itself looks at some of the servers only, and may find nothing "
        "although messages are there",
        Change("queue", queue.id, {"ReceiveMessageWaitTimeSeconds": 20}),
    )
