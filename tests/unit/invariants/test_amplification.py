"""Amplification on histories written by hand."""

from __future__ import annotations

import pytest

from harness import invariants
from harness.errors import ScenarioError
from tests.histories import HistoryBuilder


def test_deliveries_and_failing_calls_are_counted() -> None:
    """Two messages, three deliveries and three failing calls are 3.0 a message; polls are not counted."""
    h = HistoryBuilder()
    for message in ("m1", "m2"):
        h.send(message, key=message)
        h.receive(message)
    again = h.receive("m1")
    failed = [h.failed("dependency.payments") for _ in range(3)]
    h.failed("aws.sqs.ReceiveMessage")
    assert h.judge(invariants.amplification_bounded(3.0)).status == "holds"
    verdict = h.judge(invariants.amplification_bounded(2.9))
    assert (verdict.status, verdict.evidence) == ("violated", (again, *failed))


def test_a_clean_run_is_one() -> None:
    """One delivery a message and no failure is 1.00."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.handled("m1", "1")
    assert "1.00 for each" in h.judge(invariants.amplification_bounded(1.0)).detail


def test_dead_letters_are_not_deliveries() -> None:
    """Receiving from the dead-letter queue does not amplify."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.receive("m1")
    h.move("m1")
    h.receive("m1", queue=h.dlq)
    assert h.judge(invariants.amplification_bounded(1.0)).status == "holds"


def test_nothing_delivered_and_bad_bounds() -> None:
    """Without a delivery nothing is judged; a bound of zero is refused."""
    assert HistoryBuilder().judge(invariants.amplification_bounded()).status == "inconclusive"
    with pytest.raises(ScenarioError, match="at_most"):
        invariants.amplification_bounded(0)


def test_a_delivery_after_the_delete_counts() -> None:
    """SQS may deliver again what was handled and deleted: that is work, too."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.handled("m1", "1")
    again = h.receive("m1")
    verdict = h.judge(invariants.amplification_bounded(1.5))
    assert (verdict.status, verdict.evidence) == ("violated", (again,))
