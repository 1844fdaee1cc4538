"""Each scenario has a twin with one component broken: it fails, by the right invariant, with evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import runner
from harness.errors import InvariantViolated
from harness.faults.plan import Fault
from harness.loading import load
from harness.scenario import Process, Scenario
from tests.scenarios.lambda_twins import TWINS as LAMBDA_TWINS
from tests.systems import asyncio_consumers, aws_services, broken, redis_queues

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"


@dataclass(frozen=True)
class Twin:
    """A scenario's name, the broken worker, the invariant that must fail, a kind of event that must be its evidence."""

    of: str
    worker: Callable[[Any], None]
    fails: str
    evidence: str
    changes: dict[str, Any] = field(default_factory=dict)

    def scenario(self) -> Scenario:
        found = load(CATALOGUE / f"{self.of.replace('-', '_')}.py")[0]
        count = found.processes[0].count
        return dataclasses.replace(found, processes=[Process("worker", self.worker, count=count)], **self.changes)


CRASH_BEFORE = {"faults": [Fault("aws.sqs.SendMessage", "crash", side="before", nth=1, restart_after=5)]}
KILLED_WITH_ONE_IN_HAND = {"faults": [Fault("point.took", "crash", nth=5, restart_after=3)]}

TWINS = [
    Twin("sqs-throttling-storm", broken.dies_of_the_first_error, "not-stuck", "send"),
    Twin(
        "asyncio-cancelled-on-sigterm",
        asyncio_consumers.deletes_what_a_cancelled_task_has_in_hand,
        "no-message-loss",
        "delete",
    ),
    Twin("sqs-down-five-minutes", broken.waits_ten_minutes_after_an_error, "recovers-within", "fault.end"),
    Twin("delete-answer-lost", broken.remembers_in_a_dict, "effects-once", "effect"),
    Twin(
        "killed-between-dead-letter-and-delete",
        broken.deletes_before_it_dead_letters,
        "no-message-loss",
        "delete",
        CRASH_BEFORE,
    ),
    Twin(
        "slow-handler-past-visibility",
        broken.does_not_extend_visibility,
        "effects-once",
        "effect",
        {"handler": broken.ships},
    ),
    Twin(
        "poison-message-among-good-ones",
        broken.never_asks_for_the_receive_count,
        "poison-contained",
        "receive",
        {"handler": broken.charges},
    ),
    Twin(
        "redis-down-while-poison-detection-needs-it",
        broken.lets_redis_errors_through,
        "not-stuck",
        "send",
        {"handler": broken.charges},
    ),
    Twin("redis-failover-loses-writes", broken.trusts_redis_with_the_only_copy, "no-message-loss", "delete"),
    Twin("redis-failover-loses-writes", broken.idempotent_by_nothing, "effects-once", "effect"),
    Twin("dependency-down", broken.lets_everybody_in_at_half_open, "breaker-half-open-permits", "breaker.begin"),
    Twin("shared-breaker", broken.probes_in_every_process, "breaker-half-open-permits", "breaker.begin"),
    Twin("clock-four-minutes-off", broken.breaker_on_the_wall_clock, "breaker-stays-open", "breaker.transition"),
    Twin("clock-an-hour-off", broken.gives_up_when_refused, "not-stuck", "send"),
    Twin("malformed-and-oversized", broken.skips_what_it_cannot_read, "no-message-loss", "delete"),
    Twin("rolling-mix", broken.deletes_in_finally, "effects-once", "effect"),
    Twin("tenacity-and-pybreaker", broken.deletes_in_finally, "no-message-loss", "delete"),
    Twin(
        "replay-after-bad-deployment",
        broken.replays_past_its_visibility,
        "replay-once",
        "send",
        {"handler": broken.charges},
    ),
    Twin("two-workers-one-duplicate", broken.checks_then_acts, "effects-once", "effect"),
    Twin(
        "alarm-fires-and-clears",
        broken.one_call_for_each_error,
        "errors-counted-once",
        "call.failed",
        {"handler": broken.pays},
    ),
    Twin(
        "alarm-fires-and-clears",
        broken.alarm_without_namespace_and_statistic,
        "alarms-fire-and-clear",
        "call.failed",
        {"handler": broken.pays},
    ),
    Twin(
        "alarm-fires-and-clears",
        broken.alarm_without_the_dimensions_of_its_metric,
        "alarms-fire-and-clear",
        "alarm.put",
        {"handler": broken.pays},
    ),
    Twin(
        "alarm-fires-and-clears",
        broken.alarm_that_takes_silence_for_an_outage,
        "alarms-fire-and-clear",
        "alarm.state",
        {"handler": broken.pays, "duration": 3000},
    ),
    Twin("degradation-under-overload", broken.degrades_without_hysteresis, "no-flapping", "degradation.level"),
    Twin("retry-storm-with-budget", broken.retries_without_a_budget, "not-metastable", "fault.end"),
    Twin("botocore-retries-alone", broken.dies_of_the_first_error, "not-stuck", "send"),
    Twin(
        "claim-check-in-s3",
        aws_services.drops_what_it_cannot_fetch,
        "no-message-loss",
        "delete",
        {"handler": aws_services.charges},
    ),
    Twin("idempotency-in-dynamodb", aws_services.writes_what_it_read, "effects-once", "effect"),
    Twin("region-down-fail-over", aws_services.remembers_in_each_region, "effects-once", "effect"),
    Twin("orders-through-sns", aws_services.publishes_and_forgets, "no-message-loss", "delete"),
    Twin("redis-list-worker", redis_queues.pops_before_it_works, "no-message-loss", "delete", KILLED_WITH_ONE_IN_HAND),
    Twin(
        "redis-list-worker", redis_queues.never_looks_into_its_own_list, "not-stuck", "receive", KILLED_WITH_ONE_IN_HAND
    ),
    Twin(
        "redis-stream-workers",
        redis_queues.acknowledges_before_it_works,
        "no-message-loss",
        "delete",
        KILLED_WITH_ONE_IN_HAND,
    ),
    Twin("redis-stream-workers", redis_queues.never_claims, "not-stuck", "receive", KILLED_WITH_ONE_IN_HAND),
]


#: Whose runs are long: a storm of many thousand calls.
LONG = {"retries_without_a_budget"}


@pytest.mark.parametrize(
    "twin",
    [
        pytest.param(
            twin,
            id=f"{twin.of}/{twin.worker.__name__}",
            marks=[pytest.mark.slow] if twin.worker.__name__ in LONG else [],
        )
        for twin in TWINS
    ],
)
def test_the_twin_fails_by_the_right_invariant_with_evidence(twin: Twin) -> None:
    """The broken component is found, the verdict names the invariant, and its evidence is events that show it."""
    result = runner.run(twin.scenario())
    assert result.verdict == "failed", [(one.name, one.status, one.detail) for one in result.verdicts]
    verdict = next(one for one in result.verdicts if one.name == twin.fails)
    assert verdict.status == "violated", [(one.name, one.status, one.detail) for one in result.verdicts]
    kinds = {event["n"]: event["kind"] for event in result.history}
    assert twin.evidence in {kinds[number] for number in verdict.evidence}, [kinds[n] for n in verdict.evidence]
    with pytest.raises(InvariantViolated):
        result.raise_for_violation()


def test_every_scenario_has_a_twin() -> None:
    """No scenario of the catalogue passes because it could not fail."""
    names = {path.stem.replace("_", "-") for path in CATALOGUE.glob("[a-z]*.py")}
    assert names == {twin.of for twin in TWINS} | {twin.of for twin in LAMBDA_TWINS}
