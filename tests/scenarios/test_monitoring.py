"""Error monitoring in simulated runs: CloudWatch down, processes that end, queues that fill."""

from __future__ import annotations

import dataclasses
import signal
from typing import Any

import pytest

from harness import Fault, Process, Queue, Result, Scenario, Workload, effects, invariants, run
from harness.invariants.judge import Judge
from harness.points import effect
from harness.resilience import ErrorMonitoring, ResilientConsumer, json_body


def handle(message: dict[str, Any]) -> None:
    effect("charged", json_body(message)["n"])


def worker(env: Any) -> None:
    monitoring = ErrorMonitoring(service_name="orders", dead_letter_queues=["orders-dlq"])
    monitoring.create_error_alarms(depth_threshold=3, depth_period=60)
    ResilientConsumer(
        env.queue_url("orders"),
        handle,
        dlq_url=env.queue_url("orders-dlq"),
        max_receives=100,
        retry_delay=lambda receives: 20,
        listeners=[monitoring.observe],
    ).run(stop_on=[signal.SIGTERM])


FAILING = Fault("handler", "transient", start=30, end=330)
scenario = Scenario(
    name="monitored",
    queues=[Queue("orders", dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    handler=handle,
    workload=Workload(to="orders", messages=60, per_second=0.25),
    effects=effects.point("charged"),
    faults=[FAILING],
    invariants=[*invariants.defaults(), invariants.errors_counted_once()],
    duration=600,
)


def verdict(result: Result, name: str = "errors-counted-once") -> tuple[str, str]:
    found = next(one for one in result.verdicts if one.name == name)
    return found.status, found.detail


def strictly(result: Result) -> str:
    """What the invariant says of the same run where the fault model does not weaken it."""
    judge = Judge([invariants.errors_counted_once()], result.history.header)
    for event in result.history:
        judge.step(event)
    (found,) = judge.finish()
    return found.detail


@pytest.mark.parametrize(
    "fault",
    [
        Fault("aws.cloudwatch.PutMetricData", "unavailable", start=60, end=400),
        Fault("aws.cloudwatch.PutMetricData", "throttled", start=60, end=400),
        Fault("aws.cloudwatch.PutMetricData", "timeout", start=60, end=400),
        Fault("aws.cloudwatch.PutMetricData", "access-denied", start=60, end=400),
        Fault("aws.cloudwatch.PutMetricData", "internal-error", nth=2),
    ],
    ids=str,
)
def test_cloudwatch_down_neither_loses_counts_nor_holds_up_the_consumer(fault: Fault) -> None:
    """With CloudWatch down in the middle every error is counted once, and orders are handled as fast as without."""
    plain = run(scenario)
    result = run(scenario, faults=[FAILING, fault])
    assert result.verdict == "passed", [(one.name, one.detail) for one in result.verdicts if one.status != "holds"]
    assert verdict(result)[0] == "holds"

    def handled(one: Result) -> list[float]:
        return sorted(event["t"] for event in one.history if event["kind"] == "effect")

    latest = max(abs(a - b) for a, b in zip(handled(plain), handled(result), strict=True))
    assert latest < 1.0


def test_an_error_storm_is_a_request_a_minute() -> None:
    """However many errors: no more requests than minutes, by one process."""
    result = run(scenario)
    requests = {event["t"] for event in result.history if event.get("source") == "cloudwatch"}
    errors = sum(event["value"] for event in result.history if event.get("source") == "tracked")
    assert errors > 400
    assert len(requests) <= result.history.events[-1]["t"] / 45 + 1


def test_sigterm_publishes_what_waits() -> None:
    """A process that stops on SIGTERM publishes at its exit: nothing is lost, although the model would allow it."""
    result = run(scenario, faults=[FAILING, Fault("process.worker", "sigterm", start=100, grace=30)])
    tracked = sum(event["value"] for event in result.history if event.get("source") == "tracked")
    stored = sum(
        event["value"]
        for event in result.history
        if event.get("source") == "cloudwatch" and event["metric"] == "ErrorCount" and not event["dimensions"]
    )
    assert any(event["kind"] == "process.exit" for event in result.history)
    assert stored == tracked


def test_a_crash_may_take_counts_with_it() -> None:
    """Killed between two requests, a process's counts are gone: weakened, and said so."""
    result = run(scenario, faults=[FAILING, Fault("process.worker", "crash", start=100, restart_after=5)])
    assert verdict(result)[0] == "holds"
    assert "errors-counted-once" in [entry["invariant"] for entry in result.history.header["weakened"]]
    assert "are lost" in strictly(result)


def test_a_lost_answer_may_count_again() -> None:
    """An answer of CloudWatch that is lost: at least once, and said so."""
    lost = Fault("aws.cloudwatch.PutMetricData", "timeout", side="after", nth=2)
    result = run(scenario, faults=[FAILING, lost])
    assert verdict(result)[0] == "holds"
    assert "errors-counted-once" in [entry["invariant"] for entry in result.history.header["weakened"]]
    assert "counted again" in strictly(result)


def test_an_alarm_on_the_dead_letter_queue() -> None:
    """Dead letters beyond the threshold: DLQDepthHigh fires; they stay, so that it has nothing to clear for."""
    poison = [Fault("handler", "permanent", error="harness.resilience:PermanentError", start=30, end=330)]
    spec = invariants.alarms_fire_and_clear("DLQDepthHigh")
    result = run(dataclasses.replace(scenario, invariants=[spec], faults=poison))
    states = [
        event["to"] for event in result.history if event["kind"] == "alarm.state" and event["alarm"] == "DLQDepthHigh"
    ]
    assert states == ["ALARM"]
    assert {event["actor"] for event in result.history if event["kind"] == "alarm.state"} == {"cloudwatch"}
    assert verdict(result, "alarms-fire-and-clear") == (
        "inconclusive",
        "DLQDepthHigh fired and had not to clear before the run ended: let it go on for longer",
    )


def test_a_run_without_cloudwatch_never_makes_it() -> None:
    """No CloudWatch call: no event of it, and no step more than without."""

    def plain(env: Any) -> None:
        ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()

    result = run(dataclasses.replace(scenario, processes=[Process("worker", plain)], faults=[], invariants=None))
    assert result.verdict == "passed"
    assert not [event for event in result.history if event["kind"].startswith(("alarm.", "monitoring."))]
