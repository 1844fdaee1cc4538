"""Dead letters that nobody tried: found where SQS moved them, and nowhere else."""

from __future__ import annotations

import pytest

from harness import invariants
from tests.histories import HistoryBuilder


@pytest.fixture
def h() -> HistoryBuilder:
    return HistoryBuilder()


SPEC = invariants.tried_before_dead_lettered()


def test_a_message_that_was_only_received_and_then_moved_breaks_it(h: HistoryBuilder) -> None:
    """Throttled until its receives were spent: send, first and last receive and the move are the evidence."""
    sent = h.send("m1", "1")
    received = [h.receive("m1") for _ in range(3)]
    h.add("lambda.throttled", function="fn", messages=["m1"], attempt=1, again=False, reason="Rate Exceeded.")
    moved = h.move("m1")
    h.end()
    verdict = h.judge(SPEC)
    assert verdict.status == "violated"
    assert verdict.evidence == (sent, received[0], received[2], moved)
    assert 'message "1" went to orders-dlq after 3 deliveries' in verdict.detail


@pytest.mark.parametrize("how", ["handler", "function"])
def test_one_attempt_is_enough(h: HistoryBuilder, how: str) -> None:
    """A handler that began, or a function that was given the message, has tried it, whatever came of that."""
    h.send("m1", "1")
    h.receive("m1")
    if how == "handler":
        h.add("handler.start", "m1", key="1")
    else:
        h.add("lambda.invoke", function="fn", request="r", sandbox="fn.1", cold=True, messages=["m1"])
    h.receive("m1")
    h.move("m1")
    h.end()
    assert h.judge(SPEC).status == "holds"


@pytest.mark.parametrize("later", ["handler.start", "lambda.throttled"])
def test_moved_before_any_attempt_is_seen(h: HistoryBuilder, later: str) -> None:
    """The very first message moved is judged too: as soon as another's attempt shows that attempts can be seen."""
    sent = h.send("m1", "1")
    received = h.receive("m1")
    moved = h.move("m1")
    h.send("m2", "2")
    if later == "handler.start":
        h.add(later, "m2", key="2")
    else:
        h.add(later, function="fn", messages=["m2"], attempt=1, again=False, reason="Rate Exceeded.")
    assert h.judge(SPEC).evidence == (sent, received, moved)


def test_a_declared_handler_that_never_begins(h: HistoryBuilder) -> None:
    """Where the scenario declares the handler, a run in which it never began shows that nothing was tried."""
    h.header["system"]["handler"] = "app:handle"
    h.send("m1", "1")
    received = h.receive("m1")
    moved = h.move("m1")
    assert h.judge(SPEC).evidence == (1, received, moved)


def test_what_a_consumer_puts_aside_itself_is_not_judged(h: HistoryBuilder) -> None:
    """An envelope that a consumer sends is its own decision: it has looked at the message."""
    h.send("m0", "0")
    h.add("handler.start", "m0", key="0")
    h.send("m1", "1")
    h.receive("m1")
    h.dead_letter("d1", "1", original="m1")
    h.delete("m1")
    h.end()
    assert h.judge(SPEC).status == "holds"


def test_without_a_handler_nothing_can_be_said(h: HistoryBuilder) -> None:
    """Where no handler is declared an attempt cannot be seen: inconclusive, with the line to add."""
    h.send("m1", "1")
    h.receive("m1")
    h.move("m1")
    h.end()
    verdict = h.judge(SPEC)
    assert verdict.status == "inconclusive"
    assert 'handler="module:function"' in verdict.detail
