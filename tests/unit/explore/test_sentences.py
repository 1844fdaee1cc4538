"""Sentences of stories: who did what, which request or answer was lost, what was then seen."""

from __future__ import annotations

from typing import Any

import pytest

from harness.explore.plot import thread
from harness.explore.sentences import effect_name, seconds, sentence
from harness.explore.story import tell
from harness.invariants.base import Verdict
from tests.histories import HistoryBuilder


def told(history: HistoryBuilder, *evidence: int) -> list[str]:
    """The lines of a story, without their times."""
    story = tell(history.history, Verdict("effects-once", "violated", "twice", evidence))
    return [line.strip().partition("  ")[2] for line in story.lines]


def one(kind: str, **fields: Any) -> str:
    """The sentence of one event about message 7."""
    h = HistoryBuilder()
    first = h.send("m1", "7")
    h.receive("m1")
    h.add(kind, **fields)
    plot = thread(h.history, (first,))
    return sentence(h.history.events[-1], plot)


@pytest.mark.parametrize(
    ("point", "kind", "did", "says"),
    [
        (
            "aws.sqs.DeleteMessage.before",
            "timeout",
            "no answer came",
            "DeleteMessage was lost on its way and had no effect",
        ),
        (
            "aws.sqs.DeleteMessage.after",
            "timeout",
            "no answer came",
            "DeleteMessage took effect, but its answer was lost",
        ),
        ("dependency.pay.before", "status", "answered 503", "call to pay was answered 503 and had no effect"),
        ("dependency.pay.after", "status", "answered 503", "call to pay took effect, but was answered 503"),
        ("redis.INCR.before", "refused", "connection refused", "Redis INCR had no effect: connection refused"),
        ("redis.INCR.before", "reset", "connection reset", "Redis INCR had no effect: the connection broke"),
        (
            "redis.INCR.after",
            "reset",
            "connection reset",
            "Redis INCR took effect, but the connection broke before the",
        ),
        ("dependency.pay.before", "slow", "took 10 s longer", "call to pay took 10 s longer"),
    ],
)
def test_strikes_on_calls(point: str, kind: str, did: str, says: str) -> None:
    """A lost request and a lost answer are told apart, for every client."""
    assert one("fault.strike", fault=0, point=point, fault_kind=kind, did=did).startswith(f"worker's {says}")


@pytest.mark.parametrize(
    ("point", "kind", "did", "says"),
    [
        ("handler.before", "crash", "killed for good", "worker was killed for good at the start of the handler"),
        (
            "point.paid.before",
            "crash",
            "killed, restart after 5 s",
            "worker was killed at paid.before (restart after 5 s)",
        ),
        (
            "aws.sqs.DeleteMessage.before",
            "pause",
            "stood still for 45 s",
            "worker stood still for 45 s just before its",
        ),
        (
            "aws.sqs.DeleteMessage.after",
            "hang",
            "never returned",
            "worker did not go on just after its DeleteMessage had",
        ),
        (
            "handler.middle",
            "transient",
            "raised ConnectionError",
            "the work of worker failed in the middle of the handler:",
        ),
        ("clock.worker", "jump", "clock moved by 240 s", "worker's clock moved by 240 s"),
        ("process.worker", "sigterm", "SIGTERM, SIGKILL after 30 s", "worker got SIGTERM (SIGKILL after 30 s)"),
        ("workload.orders", "malformed", "body cut", "fault: body cut"),
    ],
)
def test_strikes_on_processes_and_handlers(point: str, kind: str, did: str, says: str) -> None:
    """What strikes a process or its work says where it was and how long it lasts."""
    assert one("fault.strike", fault=0, point=point, fault_kind=kind, did=did).startswith(says)


def test_a_wait_for_an_answer_that_never_came() -> None:
    """A client that retries by itself tells nobody: how long it waited is told from what it did next."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    first = h.effect("7")
    h.add("fault.strike", fault=0, point="aws.sqs.DeleteMessage.before", fault_kind="timeout", did="no answer came")
    h.delete("m1", at=60.04)
    assert "worker's DeleteMessage was lost on its way and had no effect; worker waited 60 s for an answer" in told(
        h, first
    )


def test_a_failure_is_told_with_its_strike_and_not_with_another_call() -> None:
    """What the caller saw stands beside the strike on that call only."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.add("fault.strike", fault=0, point="dependency.pay.after", fault_kind="timeout", did="no answer came")
    h.add("call.failed", point="dependency.other", error="ReadTimeout", fault=None, took=0.1)
    first = h.effect("7")
    lines = told(h, first)
    assert "worker's call to pay took effect, but its answer was lost" in lines
    assert "worker saw ReadTimeout from its call to other" in lines


def test_deliveries() -> None:
    """First, again since nobody deleted it, twice at once, and after its delete: each is told for what it is."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1", actor="worker.1", at=1)
    h.receive("m1", actor="worker.2", at=2)
    first = h.effect("7", actor="worker.2")
    h.receive("m1", actor="worker.1", at=40)
    h.delete("m1", actor="worker.1")
    h.receive("m1", actor="worker.2", at=41)
    second = h.effect("7", actor="worker.2")
    lines = " | ".join(sentence(event, thread(h.history, (first, second))) for event in h.history.of("receive"))
    assert lines == (
        "worker.1 received it from orders, which hid it from other consumers until 31.000 s | "
        "worker.2 received it from orders too, as standard queues may deliver (2nd delivery) | "
        "worker.1 received it from orders, since nobody had deleted it within 30 s (3rd delivery) | "
        "worker.2 received it from orders although it had been deleted, as standard queues may deliver (4th delivery)"
    )


def test_effects_of_http_are_calls() -> None:
    """An HTTP effect is told as the call that it is, without templates; the second time is counted."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    name = "POST {http:payments}/charges"
    first = h.add("effect", name=name, key="7", source="http")
    second = h.add("effect", name=name, key="7", source="http")
    lines = told(h, first, second)
    assert lines[-2:] == [
        "worker called POST payments/charges for it, which took effect",
        "worker called POST payments/charges for it, which took effect for the 2nd time",
    ]
    assert effect_name(name) == "POST payments/charges"


def test_a_process_that_ended() -> None:
    """How a process ended, and by what."""
    assert one("process.exit", process="worker", outcome="error", error="KeyError: 'x'") == (
        "worker ended by an error: KeyError: 'x'"
    )
    assert one("process.exit", process="worker", outcome="returned") == "worker ended (returned)"


def test_an_event_without_a_sentence() -> None:
    """A kind that no sentence is made for is told as it is."""
    assert one("alarm.state", alarm="errors", to="ALARM") == "worker: alarm.state (alarm errors, to ALARM)"


def test_what_came_after_the_finding_gives_way() -> None:
    """With too much to tell, the deliveries that led to the finding stay and later ones go."""
    h = HistoryBuilder()
    h.send("m1", "7")
    effects = []
    for turn in range(4):
        h.receive("m1", at=1 + 31 * turn)
        effects.append(h.effect("7"))
        h.add("handler.end", key="7", outcome="error", error="ValueError")
    for turn in range(4, 8):
        h.receive("m1", at=1 + 31 * turn)
        h.delete("m1")
    lines = told(h, *effects[:2])
    assert len(lines) == 7
    assert any("for the 2nd time" in line for line in lines)
    assert not any("8th delivery" in line for line in lines)


@pytest.mark.parametrize(("value", "text"), [(30.0, "30 s"), (5.008, "5 s"), (5.26, "5.3 s"), (0.2504, "0.25 s")])
def test_seconds(value: float, text: str) -> None:
    """Figures as people read them."""
    assert seconds(value) == text
