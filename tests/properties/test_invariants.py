"""Invariants against brute force: on histories made by chance, the folds agree with slow definitions."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from harness.invariants.base import Spec
from tests.budget import examples
from tests.histories import HistoryBuilder

KEYS = ("a", "b", "c")

_actions = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "send",
                "resend",
                "receive",
                "delete",
                "delete",
                "nothing deleted",
                "effect",
                "effect",
                "undo",
                "move",
                "move back",
                "dead letter",
                "quarantine",
                "release",
                "expire",
                "purge",
            )
        ),
        st.integers(0, 5),
        st.sampled_from(KEYS),
    ),
    max_size=30,
)


def deliveries(actions: list[tuple[str, int, str]]) -> HistoryBuilder:
    """A history in which anything at all happens to the messages that were sent, and to their keys."""
    h = HistoryBuilder()
    key_of: dict[str, str] = {}
    copies = 0
    for action, number, key in actions:
        message = f"m{number % copies}" if copies else ""
        if action in ("send", "resend", "dead letter"):
            message = f"m{copies}"
            copies += 1
            key_of[message] = key
            if action == "dead letter":
                h.dead_letter(message, key=key)
            else:
                h.send(message, key=key, origin="workload" if action == "send" else "process")
        elif action == "effect":
            h.effect(key)
        elif action == "undo":
            h.add("effect.lost", name="charged", key=key)
        elif action in ("quarantine", "release"):
            h.add(action, message, key=key, **({"reason": "x"} if action == "quarantine" else {}))
        elif action == "purge":
            h.add("purge", queue=h.queue, messages=sorted(key_of))
        elif message in key_of:
            if action == "move back":
                h.move(message, queue=h.dlq, to=h.queue)
            elif action == "nothing deleted":
                h.delete(message, found=False)
            else:
                getattr(h, action)(message)
    h.end()
    return h


def place_of(events: list[Event], message: str, sent: Event) -> str:
    """Where a message is at the end: its queue, "expired" or "gone"; the first thing that takes it away counts."""
    place: str = sent["queue"]
    for event in events[sent["n"] :]:
        about = event.get("message") == message or message in (event.get("messages") or ())
        if not about or place in ("gone", "expired"):
            continue
        if (event["kind"] == "delete" and event["found"]) or event["kind"] == "purge":
            place = "gone"
        elif event["kind"] == "expire":
            place = "expired"
        elif event["kind"] == "move":
            place = event["to"]
    return place


def standing_effects(events: list[Event], key: str) -> list[int]:
    """The effects of a key that were not undone, by a stack: an undo takes the latest away."""
    standing: list[int] = []
    for event in events:
        if event.get("key") != key:
            continue
        if event["kind"] == "effect":
            standing.append(event["n"])
        elif event["kind"] == "effect.lost" and standing:
            standing.pop()
    return standing


def ever_twice(events: list[Event], key: str) -> bool:
    """Whether at any moment two effects of a key stood."""
    return any(len(standing_effects(events[:end], key)) > 1 for end in range(len(events) + 1))


class BruteForce:
    """The delivery facts of a finished history, each from its definition."""

    def __init__(self, h: HistoryBuilder) -> None:
        events = self.events = h.events
        sends = [event for event in events if event["kind"] == "send"]
        entered = [e for e in events if h.queue in (e.get("to"), e["queue"] if e["kind"] == "send" else None)]
        self.source_keys = [key for key in KEYS if any(e["key"] == key and self._moves(e) for e in entered)]
        self.places = {
            key: [place_of(events, event["message"], event) for event in sends if event["key"] == key] for key in KEYS
        }
        self.standing = {key: standing_effects(events, key) for key in KEYS}
        self.quarantined = {key: self._quarantined(key) for key in KEYS}
        self.queue, self.dlq = h.queue, h.dlq

    def _moves(self, event: Event) -> bool:
        """Whether *event* really put its message into a queue: what is gone cannot be moved."""
        if event["kind"] == "send":
            return True
        sent = next(e for e in self.events if e["kind"] == "send" and e["message"] == event["message"])
        return place_of(self.events[: event["n"] - 1], event["message"], sent) not in ("gone", "expired")

    def _quarantined(self, key: str) -> bool:
        last = [e["kind"] for e in self.events if e["kind"] in ("quarantine", "release") and e["key"] == key]
        first_send = next((e["n"] for e in self.events if e["kind"] == "send" and e["key"] == key), 10**9)
        known = [
            e["kind"]
            for e in self.events
            if e["kind"] in ("quarantine", "release") and e["key"] == key and e["n"] > self._known_from(key, first_send)
        ]
        return bool(last) and bool(known) and known[-1] == "quarantine"

    def _known_from(self, key: str, first_send: int) -> int:
        """A key is known from its first send or effect on; a quarantine of an unknown one is about nothing."""
        first_effect = next((e["n"] for e in self.events if e["kind"] == "effect" and e["key"] == key), 10**9)
        return min(first_send, first_effect)

    def alive(self, key: str) -> bool:
        return any(place in (self.queue, self.dlq) for place in self.places[key])

    def lost(self) -> list[str]:
        return [
            key
            for key in self.source_keys
            if not self.standing[key]
            and not self.quarantined[key]
            and not self.alive(key)
            and "expired" not in self.places[key]
        ]


@settings(max_examples=examples(400))
@given(_actions)
def test_counts_and_loss(actions: list[tuple[str, int, str]]) -> None:
    """Lost, expired, queued, dead-lettered, quarantined, duplicated and processed agree with their definitions."""
    h = deliveries(actions)
    truth = BruteForce(h)
    judge = h.judged([invariants.no_message_loss(), invariants.not_stuck()])
    loss, stuck = judge.finish()
    counts = judge.messages()
    assert counts.sent == len(truth.source_keys)
    assert counts.lost == len(truth.lost())
    assert counts.processed == sum(1 for key in truth.source_keys if truth.standing[key])
    assert counts.dead_lettered == sum(1 for key in truth.source_keys if truth.dlq in truth.places[key])
    assert counts.quarantined == sum(1 for key in truth.source_keys if truth.quarantined[key])
    assert counts.duplicated == sum(1 for key in truth.source_keys if len(truth.standing[key]) > 1)
    waiting = sum(places.count(truth.queue) for places in truth.places.values())
    assert (counts.in_queue or 0) + (counts.in_flight or 0) == waiting
    if not truth.source_keys:
        assert {loss.status, stuck.status} == {"inconclusive"}
        return
    if not truth.lost():
        assert loss.status == "holds"
    elif loss.status == "violated":
        assert all(f'"{key}"' in loss.detail for key in truth.lost())
    else:
        # Only effects that fit no message, or dead letters that cannot be told apart, keep it from an accusation.
        assert "key of no message" in loss.detail or "cannot be told apart" in loss.detail
    assert stuck.status == ("violated" if waiting else "holds")


@settings(max_examples=examples(300))
@given(_actions)
def test_effects_once(actions: list[tuple[str, int, str]]) -> None:
    """Violated exactly if two effects of one key stand at some moment, and the evidence shows two of them."""
    h = deliveries(actions)
    (verdict,) = h.judged([invariants.effects_once()]).finish()
    twice = any(ever_twice(h.events, key) for key in KEYS)
    assert (verdict.status == "violated") == twice
    if twice:
        effects = [h.events[n - 1] for n in verdict.evidence if h.events[n - 1]["kind"] == "effect"]
        assert len(effects) == 2
        assert effects[0]["key"] == effects[1]["key"]


_FIFO = st.lists(
    st.tuples(st.sampled_from(("send", "send", "effect", "effect", "move", "delete")), st.integers(0, 7)), max_size=25
)


@settings(max_examples=examples(300))
@given(_FIFO)
def test_fifo_order(actions: list[tuple[str, int]]) -> None:
    """Violated exactly if a first effect overtakes that of an earlier message that was waiting, or came to it later."""
    h = HistoryBuilder(fifo=True)
    sent: list[str] = []
    for action, number in actions:
        if action == "send":
            key = str(len(sent))
            sent.append(key)
            h.send(f"m{key}", key=key, group=f"g{len(sent) // 4}")
        elif sent:
            key = sent[number % len(sent)]
            if action == "effect":
                h.effect(key)
            else:
                getattr(h, action)(f"m{key}")
    h.end()
    (verdict,) = h.judged([invariants.fifo_order()]).finish()
    assert (verdict.status == "violated") == _overtaken(h.events, sent)


def _overtaken(events: list[Event], sent: list[str]) -> bool:
    def first(kind: str, key: str, after: int = 0) -> int:
        return next((e["n"] for e in events if e["kind"] == kind and e.get("key") == key and e["n"] > after), 10**9)

    for place, later in enumerate(sent):
        since = first("send", later)
        done = first("effect", later, since)
        for earlier in sent[:place]:
            if (int(earlier) + 1) // 4 != (int(later) + 1) // 4 or done == 10**9:
                continue
            mine = first("effect", earlier, first("send", earlier))
            if mine < done:
                continue
            gone = first("move", earlier) if first("move", earlier) < first("delete", earlier) else 10**9
            if gone < done:
                continue  # dead-lettered in time: overtaken rightly
            if first("delete", earlier) > done or mine < 10**9:
                return True  # it still waited, or its own effect comes late
    return False


_breaker_steps = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "begin",
                "success",
                "failure",
                "ignored",
                "begin and success",
                "begin and failure",
                "begin and failure",
                "next",
                "next",
                "open",
                "half_open",
                "closed",
            )
        ),
        st.integers(1, 4),
        st.sampled_from((1.0, 30.0, 60.0)),
    ),
    min_size=4,
    max_size=25,
)


def breaker_history(steps: list[tuple[str, int, float]]) -> HistoryBuilder:
    """A breaker that does anything at all; every event at a time of its own."""
    h = HistoryBuilder()
    h.breaker(failure_threshold=2)
    state, generation = "closed", 1
    running: dict[int, tuple[str, int]] = {}
    for step, call, wait in steps:
        at = h.t + wait
        if step.startswith("begin"):
            if call not in running:
                running[call] = (state, generation)
                h.begin(call, state, generation, at=at)
            step, at = step[len("begin and ") :], at + 1
        if step == "next":
            step = {"closed": "open", "open": "half_open", "half_open": "closed"}[state]
        if step in ("open", "half_open", "closed"):
            if step != state:
                generation += 1
                h.transition(state, step, generation, at=at)
                state = step
        elif step and call in running:
            began, of = running.pop(call)
            h.called(call, step, began, of, at=at)
    h.end()
    return h


def states(events: list[Event]) -> list[tuple[str, int, float]]:
    """The breaker's state, generation and the time of its beginning, as they are before each event and at the end."""
    found = []
    state, generation, since = "closed", 1, 0.0
    for event in events:
        found.append((state, generation, since))
        if event["kind"] == "breaker.transition":
            state, generation, since = event["to"], event["generation"], event["t"]
    return found


def failures_in_a_row(events: list[Event], end: int) -> int:
    """Failures since the last success, of calls that began in the state that is in force before event *end*."""
    generation = states(events)[end][1]
    row = 0
    for event in events[:end]:
        if event["kind"] == "breaker.call" and event["generation"] == generation and event["state"] == "closed":
            row = row + 1 if event["outcome"] == "failure" else 0 if event["outcome"] == "success" else row
    return row


def _illegal(events: list[Event]) -> bool:
    legal = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}
    return any(e["kind"] == "breaker.transition" and (e["from"], e["to"]) not in legal for e in events)


def _opens_wrongly(events: list[Event]) -> bool:
    for place, event in enumerate(events):
        state, _, _ = states(events)[place]
        row = failures_in_a_row(events, place)
        if event["kind"] == "breaker.transition" and state == "closed" and event["to"] == "open" and row < 2:
            return True
        if event["kind"] == "breaker.begin" and state == "closed" and row >= 2:
            return True
    return False


def _opens_for_too_short(events: list[Event]) -> bool:
    for place, event in enumerate(events):
        state, _, since = states(events)[place]
        if state == "open" and event["kind"] in ("breaker.begin", "breaker.transition") and event["t"] < since + 59.99:
            return True
    return False


def _too_many_probes(events: list[Event]) -> bool:
    for place, event in enumerate(events):
        state, generation, _ = states(events)[place]
        if state != "half_open" or event["kind"] != "breaker.begin":
            continue
        begun = {
            e["call"]: e for e in events[: place + 1] if e["kind"] == "breaker.begin" and e["generation"] == generation
        }
        ended = [
            e["n"]
            for e in events[:place]
            if e["kind"] == "breaker.call" and e["call"] in begun and e["n"] > begun[e["call"]]["n"]
        ]
        if len(begun) - len(ended) > 1:
            return True
    return False


def _check(spec: Spec, h: HistoryBuilder, broken: bool) -> None:
    (verdict,) = h.judged([spec]).finish()
    assert (verdict.status == "violated") == broken, verdict


@settings(max_examples=examples(500))
@given(_breaker_steps)
def test_breakers(steps: list[tuple[str, int, float]]) -> None:
    """Each rule about breakers is violated exactly where its definition says so."""
    h = breaker_history(steps)
    events: list[Any] = h.events
    _check(invariants.breaker_transitions(), h, _illegal(events))
    _check(invariants.breaker_opens(), h, _opens_wrongly(events))
    _check(invariants.breaker_stays_open(), h, _opens_for_too_short(events))
    _check(invariants.breaker_half_open_permits(), h, _too_many_probes(events))


@settings(max_examples=examples(200))
@given(_actions, st.integers(0, 30))
def test_a_history_cut_anywhere_is_never_accused_of_what_is_missing(
    actions: list[tuple[str, int, str]], cut: int
) -> None:
    """Without its end a history may break safety, but nothing that only the end can show, and no checker fails."""
    h = deliveries(actions)
    h.events = h.events[: min(cut, len(h.events) - 1)]
    specs = [*invariants.defaults(), invariants.replay_once(), invariants.poison_contained()]
    from harness.invariants.judge import judge

    verdicts, one = judge(specs, h.header, h.events)
    for verdict in (*verdicts, *one.left_out):
        assert "checker failed" not in verdict.detail
        if verdict.name in ("no-message-loss", "at-least-once", "not-stuck"):
            assert verdict.status == "inconclusive"
