"""Each scenario with a Lambda function has twins that fail, by the right invariant, with evidence."""

from __future__ import annotations

import pytest

from harness import runner
from harness.errors import InvariantViolated
from tests.scenarios.lambda_twins import TWINS, LambdaTwin


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.of}/{twin.wrong.replace(' ', '-')}")
def test_the_twin_fails_by_the_right_invariant_with_evidence(twin: LambdaTwin) -> None:
    """The mistake is found, the verdict names the invariant, and its evidence is events that show it."""
    result = runner.run(twin.scenario())
    assert result.verdict == "failed", [(one.name, one.status, one.detail) for one in result.verdicts]
    verdict = next(one for one in result.verdicts if one.name == twin.fails)
    assert verdict.status == "violated", [(one.name, one.status, one.detail) for one in result.verdicts]
    kinds = {event["n"]: event["kind"] for event in result.history}
    assert twin.evidence in {kinds[number] for number in verdict.evidence}, [kinds[n] for n in verdict.evidence]
    with pytest.raises(InvariantViolated):
        result.raise_for_violation()
