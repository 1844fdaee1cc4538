"""The rules. Each names the damage, AWS's own source, and what of this tool shows the damage happening.

A rule that needs a value which the source does not tell is not judged, and
that is said: an audit that could not look at something has not passed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from harness.audit import function_rules, queue_rules
from harness.audit.changes import in_words
from harness.audit.estate import Estate
from harness.audit.judging import (
    Check,
    NotTold,
    Seen,
    on_dead_letter_queues,
    on_functions,
    on_mappings,
    on_queues,
    on_redrives,
)

__all__ = ["RULES", "Audit", "Finding", "Rule", "Unjudged", "audit"]

_SQS: Final = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
_SQS_API: Final = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
_LAMBDA: Final = "https://docs.aws.amazon.com/lambda/latest/dg/"
_SHOW_RULE: Final = "harness conformance sqs --simulated --only "

#: What is at stake: a message lost, handled twice or out of order, held up, a failure that nobody sees, or AWS refuses.
Stake = Literal["loss", "duplicates", "order", "delay", "blind", "refused"]


@dataclass(frozen=True)
class Rule:
    """One rule: *id*, what it asks for, what is at stake, AWS's source, and the command that shows the damage."""

    id: str
    title: str
    stake: Stake
    source: str
    shown_by: str
    check: Check


@dataclass(frozen=True)
class Finding:
    """What a rule found, and the exact change in the syntax of the source."""

    rule: Rule
    seen: Seen
    change: str


@dataclass(frozen=True)
class Unjudged:
    """A rule that could not be applied to a resource, and why."""

    rule: Rule
    resource: str
    why: str


@dataclass(frozen=True)
class Audit:
    """What came of an audit: its findings, and what could not be judged, in the order of the rules."""

    estate: Estate
    findings: tuple[Finding, ...]
    unjudged: tuple[Unjudged, ...]

    def to_json(self) -> dict[str, object]:
        """As ``harness audit --json`` writes it."""
        return {
            "source": self.estate.source,
            "queues": [queue.id for queue in self.estate.queues],
            "rules": [rule.id for rule in RULES],
            "findings": [
                {
                    "rule": finding.rule.id,
                    "stake": finding.rule.stake,
                    "resource": finding.seen.resource,
                    "where": finding.seen.where,
                    "seen": finding.seen.seen,
                    "why": finding.seen.why,
                    "change": finding.change,
                    "source": finding.rule.source,
                    "shown_by": finding.rule.shown_by,
                }
                for finding in self.findings
            ],
            "not_judged": [{"rule": one.rule.id, "resource": one.resource, "why": one.why} for one in self.unjudged],
            "remarks": list(self.estate.remarks),
        }


def audit(estate: Estate) -> Audit:
    """Every rule on everything of an estate."""
    findings: list[Finding] = []
    unjudged: list[Unjudged] = []
    for rule in RULES:
        for resource, judge in rule.check(estate):
            try:
                seen = judge()
            except NotTold as reason:
                unjudged.append(Unjudged(rule, resource, str(reason)))
                continue
            if seen is not None:
                findings.append(Finding(rule, seen, in_words(seen.change, estate)))
    return Audit(estate, tuple(findings), tuple(unjudged))


#: In the order in which they are reported: what loses messages first.
RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "dead-letter-queue",
        "a queue has a dead-letter queue",
        "loss",
        _SQS + "sqs-dead-letter-queues.html",
        "harness run poison-message-among-good-ones",
        on_queues(queue_rules.dead_letter_queue),
    ),
    Rule(
        "expires-before-redrive",
        "a failing message reaches the dead-letter queue before it expires",
        "loss",
        _SQS + "setting-up-dead-letter-queue-retention.html",
        _SHOW_RULE + "retention",
        on_queues(queue_rules.outlives_redrive),
    ),
    Rule(
        "dead-letter-retention",
        "dead letters outlive the messages of their source",
        "loss",
        _SQS + "setting-up-dead-letter-queue-retention.html",
        _SHOW_RULE + "retention-runs-on-standard",
        on_redrives(queue_rules.outlives_source),
    ),
    Rule(
        "retention",
        "a backlog survives a day without consumers",
        "loss",
        _SQS_API + "API_SetQueueAttributes.html",
        _SHOW_RULE + "retention",
        on_queues(queue_rules.retention),
    ),
    Rule(
        "max-receives",
        "a passing failure sends nothing to the dead-letter queue",
        "loss",
        _LAMBDA + "services-sqs-configure.html",
        "harness run lambda-reserved-concurrency",
        on_queues(queue_rules.spares_passing_failures),
    ),
    Rule(
        "lambda-concurrency",
        "a mapping does not invoke more than the function may run",
        "loss",
        _LAMBDA + "services-sqs-scaling.html",
        "harness run lambda-reserved-concurrency",
        on_functions(function_rules.concurrency),
    ),
    Rule(
        "dead-letter-circle",
        "dead letters come to rest",
        "loss",
        _SQS + "sqs-dead-letter-queues.html",
        "harness run poison-message-among-good-ones",
        on_queues(queue_rules.comes_to_rest),
    ),
    Rule(
        "dead-letter-size",
        "a dead-letter queue takes what its source takes",
        "loss",
        _SQS_API + "API_SetQueueAttributes.html",
        "harness run malformed-and-oversized",
        on_redrives(queue_rules.large_enough),
    ),
    Rule(
        "visibility-timeout",
        "a received message is hidden",
        "duplicates",
        _SQS + "sqs-visibility-timeout.html",
        "harness run slow-handler-past-visibility",
        on_queues(queue_rules.visibility),
    ),
    Rule(
        "lambda-visibility-timeout",
        "the visibility timeout is six times the function's, and the batching window",
        "duplicates",
        _LAMBDA + "services-sqs-configure.html",
        "harness run lambda-timeout-past-visibility",
        on_functions(function_rules.visibility_for_function),
    ),
    Rule(
        "lambda-partial-batch",
        "a function reports which messages of a batch failed",
        "duplicates",
        _LAMBDA + "services-sqs-errorhandling.html",
        "harness run lambda-batch-without-report",
        on_mappings(function_rules.partial_batch),
    ),
    Rule(
        "fifo-order",
        "a FIFO queue keeps its order",
        "order",
        _SQS + "sqs-dead-letter-queues.html",
        _SHOW_RULE + "fifo-group-free-after-move",
        on_queues(queue_rules.keeps_order),
    ),
    Rule(
        "dead-letter-alarm",
        "an alarm watches the dead-letter queue",
        "blind",
        _SQS + "dead-letter-queues-alarms-cloudwatch.html",
        "harness run alarm-fires-and-clears",
        on_dead_letter_queues(queue_rules.alarm_there),
    ),
    Rule(
        "dead-letter-alarm-metric",
        "the alarm watches a metric that redrive changes",
        "blind",
        _SQS + "sqs-dead-letter-queues.html",
        "harness run alarm-fires-and-clears",
        on_dead_letter_queues(queue_rules.alarm_metric),
    ),
    Rule(
        "long-polling",
        "receives wait for messages",
        "delay",
        _SQS + "sqs-short-and-long-polling.html",
        _SHOW_RULE + "long-poll-by-attribute",
        on_queues(queue_rules.long_polling),
    ),
    Rule(
        "dead-letter-type",
        "a dead-letter queue is of its source's type",
        "refused",
        _SQS + "sqs-dead-letter-queues.html",
        _SHOW_RULE + "redrive-same-type",
        on_queues(queue_rules.same_type),
    ),
    Rule(
        "redrive-allowed",
        "the dead-letter queue lets its source use it",
        "refused",
        _SQS_API + "API_SetQueueAttributes.html",
        _SHOW_RULE + "redrive-by-queue",
        on_dead_letter_queues(queue_rules.lets_its_source),
    ),
    Rule(
        "lambda-batch-size",
        "batch size and batching window are ones that AWS takes",
        "refused",
        _LAMBDA + "services-sqs-parameters.html",
        "harness run lambda-partial-batch",
        on_mappings(function_rules.batch_size),
    ),
)
