"""Invariants name the rules of SQS that their verdicts rest on."""

from __future__ import annotations

from harness import invariants
from harness.fidelity.table import by_id
from harness.invariants.base import Invariant, make_spec
from harness.invariants.rests_on import RULES


def test_rules_and_invariants_are_there() -> None:
    """Each rule stands in the table and each name is that of an invariant, so that neither is renamed unnoticed."""
    assert set(RULES) <= set(invariants.NAMES)
    for ids in RULES.values():
        assert len(ids) == len(set(ids))
        assert set(ids) <= set(by_id())


def test_invariants_of_delivery_rest_on_some() -> None:
    """What is judged of messages rests on rules of SQS; what is judged of breakers does not."""
    assert "hidden-after-receive" in invariants.no_message_loss().rests_on
    assert invariants.no_message_loss().rests_on == invariants.rests_on("no-message-loss")
    assert invariants.breaker_opens().rests_on == ()


def test_an_own_invariant_names_its_own() -> None:
    """A class attribute comes before the list by names."""

    class Mine(Invariant):
        name = "no-message-loss"
        rests_on = ("long-poll-empty",)

    assert make_spec(Mine).rests_on == ("long-poll-empty",)
