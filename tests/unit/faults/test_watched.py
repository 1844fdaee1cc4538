"""The watched engine tells of every passing, and decides as the plain one does."""

from __future__ import annotations

from harness import Fault, runner
from harness.faults.plan import FaultPlan
from tests.unit.explore.test_sweep import careful, made


def test_told_of_every_passing_before_it_strikes() -> None:
    """The same history and strikes; each passing told once, those inside the handler with its key."""
    plan = FaultPlan([Fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=2)])
    told: list[tuple[str, str, str | None]] = []
    options = runner.Options(passed=lambda point, side, key: told.append((point, side, key)))
    result = runner.run(made(careful), faults=plan, options=options)
    assert result.history.to_bytes() == runner.run(made(careful), faults=plan).history.to_bytes()
    deletes = [one for one in told if one[:2] == ("aws.sqs.DeleteMessage", "after")]
    assert len(deletes) == result.faults["aws.sqs.DeleteMessage.after"]["passed"] == 4
    assert result.faults["aws.sqs.DeleteMessage.after"]["struck"] == 1
