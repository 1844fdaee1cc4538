"""aioboto3's resources in a run. Skipped where it is not installed, for it pins an older boto3; .ci/nightly has it."""

from __future__ import annotations

import importlib.util

import pytest

from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants, runner
from tests.requirements import required

if importlib.util.find_spec("aioboto3") is None and "aioboto3" not in required():
    pytest.skip("aioboto3 is not installed", allow_module_level=True)

from tests.systems import aioboto3_consumer


def test_resources_reach_the_runs_queue() -> None:
    """A consumer on resources handles every message, also where deletions fail for a while."""
    scenario = Scenario(
        name="aioboto3",
        queues=[Queue("orders", visibility_timeout=30)],
        processes=[Process("worker", aioboto3_consumer.worker, count=2)],
        workload=Workload(to="orders", messages=20, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        faults=[Fault("aws.sqs.ReceiveMessage", "unavailable", start=5, end=9)],
        invariants=invariants.defaults(),
    )
    result = runner.run(scenario)
    assert result.verdict == "passed", result.verdicts
    assert (result.messages.sent, result.messages.processed, result.messages.lost) == (20, 20, 0)
