"""Batches against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, where
from tests.properties.test_invariants import standing_effects

_BATCH = ("ok", "error", "error", "delete", "delete", "nothing deleted", "effect", "undo", "move", "letter", "aside")
_batch_steps = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), st.booleans()),
        st.tuples(st.sampled_from(("error and delete", "error and move")), st.integers(0, 3), st.just(False)),
        st.tuples(st.sampled_from(_BATCH), st.integers(0, 3), st.just(False)),
    ),
    max_size=14,
)


def batches(steps: list[tuple[str, Any, bool]], reason: str) -> HistoryBuilder:
    """Four messages in two queues, received in calls that may share their instant, and what becomes of each."""
    h = HistoryBuilder()
    h.header["system"]["sources"].append("returns")
    queue_of = {0: h.queue, 1: h.queue, 2: "returns", 3: "returns"}
    for number in range(4):
        h.send(f"m{number}", key=str(number), queue=queue_of[number])
    letters = 0
    for step, number, same in steps:
        if step == "receive":
            at = h.t if same else h.t + 1
            for one in sorted(number):
                place = where(h.events, f"m{one}", len(h.events) + 1)
                if place:
                    h.receive(f"m{one}", at=at, queue=place)
            continue
        if step.startswith("error and"):
            # As whole batches are deleted, or spent: one fails, and it or its neighbour goes.
            h.handler(str(number), "error")
            step, number = ("delete", number) if step == "error and delete" else ("move", number ^ 1)
        key, message = str(number), f"m{number}"
        place = where(h.events, message, len(h.events) + 1)
        if step in ("ok", "error"):
            h.handler(key, step)
        elif step == "effect":
            h.effect(key)
        elif step == "undo":
            h.add("effect.lost", name="charged", key=key)
        elif step == "aside":
            h.quarantine(message, key=key)
        elif step == "letter":
            h.dead_letter(f"d{letters}", key=key)
            letters += 1
        elif step == "nothing deleted":
            h.delete(message, found=False)
        elif step == "delete" and place:
            h.delete(message, queue=place)
        elif step == "move" and place and place != h.dlq:
            h.move(message, queue=place)
    h.end(reason=reason)
    return h


def call_of(h: HistoryBuilder, receive: Event) -> list[Event]:
    """The receives of one call: next to each other, of one instant, one actor and one queue."""
    call: list[Event] = []
    for event in h.events:
        if event["kind"] != "receive":
            continue
        if call and any(call[-1][name] != event[name] for name in ("t", "actor", "queue")):
            if receive in call:
                break
            call = []
        call.append(event)
    return call if receive in call and len(call) > 1 and receive["queue"] != h.dlq else []


def last_call(h: HistoryBuilder, key: str, before: int) -> tuple[int, list[Event]]:
    """The latest delivery of a key before an event, with the call that it came in (if that brought several)."""
    received = [e for e in h.events[: before - 1] if e["kind"] == "receive" and e["key"] == key]
    return (received[-1]["n"], call_of(h, received[-1])) if received else (0, [])


def failed(h: HistoryBuilder, key: str, after: int, before: int) -> bool:
    """Whether the last of a key's handlers that ended between two events, before its next delivery, failed."""
    outcome = "ok"
    for event in h.events[after : before - 1]:
        if event["kind"] == "receive" and event["key"] == key:
            break
        if event["kind"] == "handler.end" and event["key"] == key:
            outcome = event["outcome"]
    return outcome == "error"


def starved(h: HistoryBuilder, key: str, letter: int) -> bool:
    """Whether a key that became a dead letter was never begun while another of its batch failed."""
    if any(e["kind"] == "handler.start" and e["key"] == key for e in h.events[: letter - 1]):
        return False
    _, call = last_call(h, key, letter)
    return any(mate["key"] != key and failed(h, mate["key"], mate["n"], letter) for mate in call)


def nowhere(h: HistoryBuilder, key: str) -> bool:
    """Whether nothing is left of a key at the end: no message, no effect, no quarantine."""
    end = len(h.events) + 1
    messages = [e["message"] for e in h.events if e["kind"] == "send" and e["key"] == key]
    aside = any(e["kind"] == "quarantine" and e["key"] == key for e in h.events)
    return not (aside or standing_effects(h.events, key) or any(where(h.events, one, end) for one in messages))


def by_its_own_outcome(h: HistoryBuilder) -> str:
    """Batch integrity, from its definition."""
    for event in h.events:
        to_dead = event["kind"] == "move" or (event["kind"] == "send" and event["queue"] == h.dlq)
        if to_dead and starved(h, event["key"], event["n"]):
            return "violated"
    any_batch = any(call_of(h, event) for event in h.events if event["kind"] == "receive")
    handlers = any(event["kind"] == "handler.start" for event in h.events)
    if not any_batch or not handlers or h.events[-1]["reason"] != "quiet":
        return "inconclusive"
    for event in h.events:
        if event["kind"] == "delete" and event["found"] and nowhere(h, event["key"]):
            received, call = last_call(h, event["key"], event["n"])
            if call and failed(h, event["key"], received, event["n"]):
                return "violated"
    return "holds"


def test_batch_integrity() -> None:
    """Violated where a failed message is acknowledged and nowhere else, or one is starved by another of its batch."""
    seen: set[str] = set()

    @settings(max_examples=examples(600))
    @given(_batch_steps, st.sampled_from(("quiet", "quiet", "quiet", "budget")))
    def run(steps: list[Any], reason: str) -> None:
        h = batches(steps, reason)
        compare(invariants.batch_integrity(), h, by_its_own_outcome(h), seen)

    run()
    assert seen == ALL
