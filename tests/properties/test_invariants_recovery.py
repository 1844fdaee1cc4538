"""Invariants of recovery and dead letters against brute force, on histories made by chance."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.test_invariants import KEYS, _actions, deliveries, place_of, standing_effects
from tests.properties.test_invariants_retry import check

WINDOW = (5.0, 10.0)
WITHIN = 4.0

_timed = st.lists(
    st.tuples(
        st.sampled_from(("send", "send", "handle", "handle", "delete", "effect", "dead letter")),
        st.integers(0, 3),
        st.sampled_from((0.0, 0.5, 1.0, 2.0, 3.0)),
    ),
    min_size=3,
    max_size=20,
)


def outage(actions: list[tuple[str, int, float]]) -> HistoryBuilder:
    """Messages that come and go before, during and after one fault's window."""
    h = HistoryBuilder()
    sent = 0
    now = 1.0
    opened = closed = False
    fields: dict[str, Any] = {"fault": 0, "target": "aws.sqs.*", "fault_kind": "unavailable", "actor": "faults"}
    for action, number, wait in actions:
        now = round(now + wait, 3) + 0.001
        if now >= WINDOW[0] and not opened:
            opened = True
            h.add("fault.start", at=WINDOW[0], **fields)
        if now >= WINDOW[1] and not closed:
            closed = True
            h.add("fault.end", at=WINDOW[1], **fields)
        if action == "send":
            h.send(f"m{sent}", key=str(sent), at=now)
            sent += 1
        elif sent:
            key = str(number % sent)
            if action in ("effect", "handle"):
                h.effect(key, at=now)
                now += 0.001
            if action in ("delete", "handle"):
                h.delete(f"m{key}", at=now)
            elif action == "dead letter":
                h.move(f"m{key}", at=now)
    for kind, at, done in (("fault.start", WINDOW[0], opened), ("fault.end", WINDOW[1], closed)):
        if not done:
            h.add(kind, at=at, **fields)
    h.end(at=max(now, WINDOW[1]) + 100)
    return h


def times_in_queue(events: list[Event]) -> dict[str, tuple[float, float | None]]:
    """When each message came into the source queue, and when it left it."""
    found: dict[str, tuple[float, float | None]] = {}
    for event in events:
        if event["kind"] == "send":
            found[event["message"]] = (event["t"], None)
        elif event["kind"] in ("delete", "move") and found[event["message"]][1] is None:
            found[event["message"]] = (found[event["message"]][0], event["t"])
    return found


def _at_the_end_of_the_fault(came: float, left: float | None) -> bool:
    """Whether a message was in its queue then."""
    return came <= WINDOW[1] and (left is None or left > WINDOW[1])


@settings(max_examples=examples(300))
@given(_timed)
def test_a_backlog(actions: list[Any]) -> None:
    """What was queued at the fault's end must have left within the limit: later is a violation, and never too."""
    h = outage(actions)
    queued = [left for came, left in times_in_queue(h.events).values() if _at_the_end_of_the_fault(came, left)]
    (verdict,) = h.judged([invariants.backlog_drains(WITHIN)]).finish()
    if not queued:
        assert verdict.status == "inconclusive"
    else:
        late = any(left is None or left > WINDOW[1] + WITHIN for left in queued)
        assert verdict.status == ("violated" if late else "holds"), verdict


@settings(max_examples=examples(300))
@given(_timed)
def test_the_first_success(actions: list[Any]) -> None:
    """With something left to do when the fault ends, an effect must come within the limit of that moment."""
    h = outage(actions)
    queued = {
        message for message, (came, left) in times_in_queue(h.events).items() if _at_the_end_of_the_fault(came, left)
    }
    sends = [event["t"] for event in h.events if event["kind"] == "send" and event["t"] > WINDOW[1]]
    effects = [event["t"] for event in h.events if event["kind"] == "effect" and event["t"] > WINDOW[1]]
    (verdict,) = h.judged([invariants.recovers_within(WITHIN)]).finish()
    if not queued and not sends:
        assert verdict.status == "inconclusive"
        return
    begins = WINDOW[1] if queued else sends[0]
    if effects:
        assert verdict.status == ("violated" if effects[0] - begins > WITHIN else "holds"), verdict
    elif not any(event["kind"] == "move" for event in h.events):
        # Where all that was queued was put aside instead, that is a success; else there was none.
        acknowledged = [e for e in h.events if e["kind"] == "delete" and e["message"] in queued and e["t"] > WINDOW[1]]
        left = all(times_in_queue(h.events)[message][1] is not None for message in queued)
        already = all(standing_effects(h.events, event["message"][1:]) for event in acknowledged)
        if not queued or not left or not already:
            assert verdict.status == "violated", verdict


@settings(max_examples=examples(300))
@given(_actions)
def test_given_up_or_done(actions: list[tuple[str, int, str]]) -> None:
    """At least once, and never both done and dead-lettered: from what stands at the end."""
    h = deliveries(actions)
    places = {
        key: [place_of(h.events, e["message"], e) for e in h.events if e["kind"] == "send" and e["key"] == key]
        for key in KEYS
    }
    both = [key for key in KEYS if standing_effects(h.events, key) and h.dlq in places[key] and _from_source(h, key)]
    check(invariants.not_processed_and_dead_lettered(), h, bool(both))
    (verdict,) = h.judged([invariants.at_least_once()]).finish()
    nothing = [
        key
        for key in KEYS
        if _from_source(h, key)
        and not any(e["kind"] == "effect" and e["key"] == key for e in h.events)
        and not any(e["kind"] in ("quarantine", "release") and e["key"] == key for e in h.events)
        and not {h.dlq, "expired"} & set(places[key])
    ]
    if nothing:
        assert verdict.status == "violated" or "key of no message" in verdict.detail, verdict
    if verdict.status == "violated":
        for key in KEYS:
            if f'"{key}"' in verdict.detail:
                assert not standing_effects(h.events, key)
                assert h.dlq not in places[key]


def _from_source(h: HistoryBuilder, key: str) -> bool:
    """Whether a message of *key* was ever in the source queue: sent there, or really moved there."""
    for event in h.events:
        if event.get("key") != key:
            continue
        if event["kind"] == "send" and event["queue"] == h.queue:
            return True
        if event["kind"] == "move" and event["to"] == h.queue:
            sent = next(e for e in h.events if e["kind"] == "send" and e["message"] == event["message"])
            if place_of(h.events[: event["n"] - 1], event["message"], sent) not in ("gone", "expired"):
                return True
    return False


_OF_POISON = ("receive", "receive", "receive", "effect", "undo", "quarantine", "move")
_poison = st.lists(st.tuples(st.sampled_from(_OF_POISON), st.integers(0, 1)), max_size=18)


@settings(max_examples=examples(300))
@given(_poison)
def test_poison(actions: list[tuple[str, int]]) -> None:
    """Violated exactly where a message without an effect is delivered from its queue more often than allowed."""
    h = HistoryBuilder(max_receives=3)
    for number in range(2):
        h.send(f"m{number}", key=str(number))
    broken = False
    moved: set[int] = set()
    for action, number in actions:
        key, message = str(number), f"m{number}"
        if action == "effect":
            h.effect(key)
        elif action == "undo":
            h.add("effect.lost", name="charged", key=key)
        elif action == "quarantine":
            h.quarantine(message, key=key)
        elif action == "move" and number not in moved:
            moved.add(number)
            h.move(message)
        elif action == "receive" and number not in moved:
            h.receive(message)
            count = h.events[-1]["receive_count"]
            aside = any(e["kind"] == "quarantine" and e["key"] == key for e in h.events)
            broken |= count > 3 and not standing_effects(h.events, key) and not aside
    check(invariants.poison_contained(), h, broken)
