"""Each scenario with a Lambda function has twins that fail, by the right invariant, with evidence."""

from __future__ import annotations

import importlib.util

import pytest

from harness import runner
from harness.errors import InvariantViolated
from tests.scenarios.lambda_twins import POWERTOOLS, TWINS, LambdaTwin

#: What a run of Powertools needs beside it is moto, for DynamoDB.
_HAS_POWERTOOLS = importlib.util.find_spec("aws_lambda_powertools") is not None


def check(twin: LambdaTwin) -> None:
    result = runner.run(twin.scenario())
    assert result.verdict == "failed", [(one.name, one.status, one.detail) for one in result.verdicts]
    verdict = next(one for one in result.verdicts if one.name == twin.fails)
    assert verdict.status == "violated", [(one.name, one.status, one.detail) for one in result.verdicts]
    kinds = {event["n"]: event["kind"] for event in result.history}
    assert twin.evidence in {kinds[number] for number in verdict.evidence}, [kinds[n] for n in verdict.evidence]
    with pytest.raises(InvariantViolated):
        result.raise_for_violation()


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.of}/{twin.wrong.replace(' ', '-')}")
def test_the_twin_fails_by_the_right_invariant_with_evidence(twin: LambdaTwin) -> None:
    """The mistake is found, the verdict names the invariant, and its evidence is events that show it."""
    check(twin)


@pytest.mark.skipif(not _HAS_POWERTOOLS, reason="aws-lambda-powertools is not installed: pip install '.[adapters]'")
def test_the_twin_with_powertools_fails_likewise() -> None:
    """A record that nobody may take over leaves its message in the queue for ever."""
    check(POWERTOOLS)
