"""Chains of causes: from the strike to the violation, by who woke whom, what came back and what was killed."""

from __future__ import annotations

from typing import Any

from harness.explore.causes import LINKS_MAX, Link, chain
from harness.explore.plot import thread
from tests.histories import HistoryBuilder


def _links(h: HistoryBuilder, evidence: list[int], origins: list[int]) -> tuple[Link, ...]:
    plot = thread(h.history, evidence)
    return chain(h.history, plot, origins, max(evidence))


def _told(links: tuple[Link, ...]) -> list[tuple[str, int | None, str]]:
    return [(link.event["kind"], link.after, link.how) for link in links]


def _strike(h: HistoryBuilder, **more: Any) -> int:
    fields: dict[str, Any] = {
        "fault": 0,
        "point": "aws.sqs.DeleteMessage.before",
        "fault_kind": "timeout",
        "did": "no answer came",
        **more,
    }
    return h.add("fault.strike", **fields)


def test_a_message_that_came_back() -> None:
    """The failed delete, the delivery to another worker, its effect: what the first did for others is passed over."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1", actor="worker.1")
    h.effect("7", actor="worker.1")
    strike = _strike(h, actor="worker.1")
    failed = h.add("call.failed", actor="worker.1", point="aws.sqs.DeleteMessage", error="ReadTimeoutError", fault=0)
    for number in range(5):
        h.send(f"x{number}", f"x{number}")
        h.handled(f"x{number}", f"x{number}")
    again = h.receive("m1", actor="worker.2", at=31)
    twice = h.effect("7", actor="worker.2")
    assert _told(_links(h, [twice], [strike])) == [
        ("fault.strike", None, ""),
        ("call.failed", strike, "then"),
        ("receive", failed, "came back"),
        ("effect", again, "then"),
    ]


def test_who_woke_whom() -> None:
    """A cause in the history is a link, whatever lies between."""
    h = HistoryBuilder()
    strike = _strike(h, actor="worker.1/Thread-1")
    h.send("m1", "7")
    woken = h.add("handler.end", actor="worker.1/Thread-2", outcome="error", error="TimeoutError", cause=strike)
    assert _told(_links(h, [woken], [strike])) == [("fault.strike", None, ""), ("handler.end", strike, "woke")]


def test_a_process_that_was_killed() -> None:
    """The strike killed it, it was started again, and what it did then was the violation."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    strike = _strike(h, actor="faults", point="process.worker.before", fault_kind="crash", did="killed", at=1.0)
    crash = h.add("process.crash", actor="faults", process="worker", at=1.0)
    h.add("process.start", actor="-", process="worker", incarnation=2)
    h.receive("m1", at=31)
    twice = h.effect("7")
    hows = [how for _, _, how in _told(_links(h, [twice], [strike]))]
    assert hows[:2] == ["", "did"]
    assert "came back" in hows
    assert crash in [link.after for link in _links(h, [twice], [strike])]


def test_a_breaker_that_others_tripped() -> None:
    """A call that was refused goes back, over the transition, to the failure that opened the breaker."""
    h = HistoryBuilder()
    strike = _strike(h, actor="worker.1", point="dependency.payments.before")
    failure = h.add("breaker.call", actor="worker.1", breaker="b", outcome="failure", state="closed")
    opened = h.transition("closed", "open", 1, actor="-", breaker="b")
    refused = h.add("breaker.call", actor="worker.2", breaker="b", outcome="rejected", state="open")
    assert _told(_links(h, [refused], [strike])) == [
        ("fault.strike", None, ""),
        ("breaker.call", strike, "then"),
        ("breaker.transition", failure, "tripped it"),
        ("breaker.call", opened, "decided it"),
    ]


def test_two_faults_that_meet() -> None:
    """Each fault's nearest strike begins a way; where the ways meet, an event is told once."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    _strike(h, fault=0)
    near, other = _strike(h, fault=0), _strike(h, fault=1)
    end = h.effect("7")
    links = _links(h, [end], [3, near, other])
    assert [link.event["n"] for link in links] == sorted({link.event["n"] for link in links})
    assert {link.event.get("fault") for link in links if link.event["kind"] == "fault.strike"} == {0, 1}
    assert links[-1].event["n"] == end


def test_without_a_fault_it_begins_with_the_message() -> None:
    """Where nothing struck, the chain begins at the first event of the finding."""
    h = HistoryBuilder()
    sent = h.send("m1", "7")
    received = h.receive("m1")
    deleted = h.delete("m1")
    assert _told(_links(h, [deleted], [])) == [
        ("send", None, ""),
        ("receive", sent, "sent"),
        ("delete", received, "then"),
    ]


def test_no_way_leads_there() -> None:
    """A strike that has nothing to do with it, and no message: nothing is claimed."""
    h = HistoryBuilder()
    strike = _strike(h, actor="elsewhere")
    end = h.add("alarm.delete", actor="-", alarm="a")
    links = chain(h.history, thread(h.history, []), [strike], end)
    assert links == ()


def test_it_is_bounded() -> None:
    """A message that came back thirty times: at most twelve links, the first and the last among them."""
    h = HistoryBuilder(max_receives=None)
    h.send("m1", "7")
    strike = _strike(h)
    h.receive("m1")
    for _ in range(30):
        h.receive("m1")
    end = h.effect("7")
    links = _links(h, [end], [strike])
    assert len(links) <= LINKS_MAX
    assert links[-1].event["n"] == end
