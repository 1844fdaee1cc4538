"""A whole scenario on aiobotocore clients. Skipped without the extra ``async``; .ci/nightly has it."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants, runner
from tests.requirements import required

if importlib.util.find_spec("aiobotocore") is None and "async" not in required():
    pytest.skip("aiobotocore is not installed (extra async)", allow_module_level=True)

from tests.systems import aiobotocore_consumer

SCENARIO = Scenario(
    name="aiobotocore",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("worker", aiobotocore_consumer.worker, count=2)],
    workload=Workload(to="orders", messages=40, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    invariants=invariants.defaults(),
)


def run(*faults: Any, seed: int = 0) -> runner.Result:
    """Run the scenario under *faults*."""
    return runner.run(SCENARIO, faults=list(faults), seed=seed)


def test_every_message_is_handled() -> None:
    """Without faults each of the messages is charged once and deleted."""
    result = run()
    assert result.verdict == "passed", result.verdicts
    assert (result.messages.sent, result.messages.processed, result.messages.duplicated) == (40, 40, 0)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("aws.sqs.ReceiveMessage", "throttled", start=5, end=15),
        Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=5, end=15),
        Fault("aws.sqs.*", "unavailable", start=5, end=15),
        Fault("dependency.payments", "status", code=503, start=5, end=15),
        Fault("dependency.payments", "reset", start=5, end=15),
        Fault("process.worker.1", "crash", start=10.5, restart_after=5),
        Fault("process.worker", "sigterm", start=10.5, grace=5),
        Fault("process.worker", "pause", start=10.5, seconds=45),
    ],
    ids=lambda fault: f"{fault.target}/{fault.kind}",
)
def test_no_message_is_lost(fault: Fault) -> None:
    """Under each kind of fault every message is charged in the end, and the same seed gives the same history."""
    result = run(fault)
    assert result.messages.lost == 0
    assert result.messages.processed == 40
    assert list(run(fault).history.lines())[1:] == list(result.history.lines())[1:]
