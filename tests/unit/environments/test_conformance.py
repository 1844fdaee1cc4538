"""Every rule that needs no server holds for the harness's SQS."""

from __future__ import annotations

from typing import Any

import pytest

from harness.environments import conformance
from harness.environments.conformance import try_simulated
from harness.fidelity.known import known, of_recording
from harness.fidelity.recording import document
from harness.fidelity.run import Outcome
from harness.fidelity.table import by_id, rows
from harness.sim.services.sqs_queue import StandardQueue


def found(outcomes: list[Outcome]) -> dict[str, str]:
    """By id: "" as AWS, else the difference."""
    made = document(outcomes, date="", endpoint="", region="", versions={})
    return dict(of_recording([made]).rows)


def test_ours_is_as_aws() -> None:
    """Each case passes on the harness's own SQS under real boto3, waits of five minutes among them."""
    outcomes = try_simulated(rows())
    assert [(one.row.id, one.detail) for one in outcomes if one.state not in ("same", "left out")] == []
    assert {one.row.id for one in outcomes if one.state == "left out"} == {
        row.id for row in rows() if row.http or row.run is None
    }
    assert found(outcomes).items() <= known()["memory"].rows.items()


def test_a_wrong_service_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that hides a message for half its time differs, with what was found and what AWS has."""
    right: Any = StandardQueue._hide

    def wrong(queue: Any, message: Any, state: int, until_us: int) -> None:
        now_us = message.received_us or message.sent_us
        right(queue, message, state, now_us + (until_us - now_us) // 2)

    monkeypatch.setattr(StandardQueue, "_hide", wrong)
    (outcome,) = try_simulated([by_id()["change-counts-from-the-call"]])
    assert outcome.state == "differs"
    assert "a receive finds ['a']" in outcome.detail


def test_an_error_of_a_case_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of the bench itself is no difference of the service: it is raised."""

    def broken(row: Any, site: Any) -> Outcome:
        raise AssertionError("a defect")

    monkeypatch.setattr(conformance, "attempt", broken)
    with pytest.raises(AssertionError, match="a defect"):
        try_simulated(rows()[:1])
