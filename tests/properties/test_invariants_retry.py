"""Invariants of retries, of assertions and of repeated delivery against brute force, on histories made by chance."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from harness.invariants.base import Spec
from tests.budget import examples
from tests.histories import HistoryBuilder

ACTORS = ("worker", "worker/Thread-1", "other")

_steps = st.lists(
    st.tuples(
        st.sampled_from(("attempt", "attempt", "attempt", "sleep", "sleep", "end", "restart")),
        st.integers(1, 2),  # the call
        st.sampled_from((0.0, 0.5, 1.0, 2.0, 3.0)),  # the delay
        st.sampled_from(("error", "error", "success", "permanent")),
        st.sampled_from(ACTORS),
        st.booleans(),  # whether the delay is waited
    ),
    max_size=25,
)

_LIMITS: dict[str, Any] = {"max_attempts": 3, "cap": 2.5, "deadline": 4.0}
_BAND: dict[str, Any] = {"low": 0.4, "high": 2.1}


def retries(steps: list[tuple[str, int, float, str, str, bool]]) -> HistoryBuilder:
    """Calls of one policy in two processes, in which anything may follow anything; attempts are numbered rightly."""
    h = HistoryBuilder()
    for process in ("worker", "other"):
        h.policy(actor=process, **_LIMITS)
    made: dict[tuple[str, int], int] = {}
    for what, call, delay, outcome, actor, waited in steps:
        process = actor.partition("/")[0]
        attempts = made.get((process, call), 0)
        if what == "restart":
            h.add("process.start", actor=process, process=process, incarnation=2)
            for key in [key for key in made if key[0] == process]:
                del made[key]
            h.policy(actor=process, **_LIMITS)
        elif what == "end" or (what == "attempt" and attempts and outcome == "success"):
            if attempts:
                h.add("retry.end", actor=actor, policy="pay", call=call, attempts=attempts, outcome="error", error="x")
                del made[process, call]
        elif what == "attempt":
            made[process, call] = attempts + 1
            permanent = outcome == "permanent"
            ended = "success" if outcome == "success" else "error"
            h.attempt(call, attempts + 1, ended, actor=actor, permanent=permanent if ended == "error" else None)
        elif attempts:
            h.sleep(call, attempts, delay, wait=waited, actor=actor, **_BAND)
    h.end()
    return h


def calls_of(events: list[Event]) -> list[list[Event]]:
    """The attempts and waits of each call, from its first to its last."""
    open_: dict[tuple[str, int], list[Event]] = {}
    found: list[list[Event]] = []
    for event in events:
        process = event["actor"].partition("/")[0]
        if event["kind"] == "process.start":
            for key in [key for key in open_ if key[0] == process]:
                del open_[key]
        elif event["kind"] == "retry.end":
            open_.pop((process, event["call"]), None)
        elif event["kind"] in ("retry.attempt", "retry.sleep"):
            if (process, event["call"]) not in open_:
                found.append(open_.setdefault((process, event["call"]), []))
            open_[process, event["call"]].append(event)
    return found


def attempts_of(call: list[Event]) -> list[Event]:
    return [event for event in call if event["kind"] == "retry.attempt"]


def outside_its_band(call: list[Event]) -> bool:
    """A wait outside [low, high] or over the cap, or one that the next attempt did not wait for."""
    for place, event in enumerate(call):
        if event["kind"] != "retry.sleep":
            continue
        if not 0.399 <= event["delay"] <= 2.101 or event["delay"] > _LIMITS["cap"] + 0.001:
            return True
        after = call[place + 1] if place + 1 < len(call) else None
        if after is not None and after["kind"] == "retry.attempt" and after["t"] - event["t"] < 0.399:
            return True
    return False


def past_its_deadline(call: list[Event]) -> bool:
    return any(
        event["t"] + event["delay"] - call[0]["t"] > _LIMITS["deadline"] + 0.001
        for event in call
        if event["kind"] == "retry.sleep"
    )


def goes_on_after_a_permanent_error(call: list[Event]) -> bool:
    return any(event["kind"] == "retry.attempt" and event["permanent"] for event in call[:-1])


def beyond_the_budget(events: list[Event], ratio: float, per_second: float, window: float) -> bool:
    """Replays every retry against every deposit, first come first spent, with the floor as a bucket."""
    for process in ("worker", "other"):
        deposits: list[list[float]] = []
        bucket, filled_at = per_second * window, None
        for call_event in [e for e in events if e["kind"] in ("retry.attempt", "retry.sleep")]:
            if call_event["actor"].partition("/")[0] != process:
                continue
            call = next(one for one in calls_of(events) if any(e is call_event for e in one))
            place = next(number for number, e in enumerate(call) if e is call_event)
            first = call_event["kind"] == "retry.attempt" and call_event["attempt"] == 1
            waited = place > 0 and call[place - 1]["kind"] == "retry.sleep"
            if first:
                deposits.append([call_event["t"] + window + 0.001, ratio])
                continue
            if call_event["kind"] == "retry.attempt" and waited:
                continue  # paid for when its wait began
            now = call_event["t"]
            wanted = 1.0
            for deposit in deposits:
                if deposit[0] >= now:
                    taken = min(wanted, deposit[1])
                    deposit[1] -= taken
                    wanted -= taken
            if filled_at is not None:
                bucket = min(per_second * window, bucket + (now - filled_at) * per_second)
            filled_at = now
            bucket -= wanted
            if bucket < -1e-6:
                return True
            bucket = max(0.0, bucket)
    return False


def check(spec: Spec, h: HistoryBuilder, broken: bool) -> None:
    (verdict,) = h.judged([spec]).finish()
    assert (verdict.status == "violated") == broken, verdict


@settings(max_examples=examples(500))
@given(_steps)
def test_retries(steps: list[Any]) -> None:
    """Each rule about retries is violated exactly where its definition says so."""
    h = retries(steps)
    calls = calls_of(h.events)
    check(invariants.backoff_bounds(), h, any(map(outside_its_band, calls)))
    check(invariants.attempts_bounded(), h, any(len(attempts_of(call)) > _LIMITS["max_attempts"] for call in calls))
    check(invariants.deadline_kept(), h, any(map(past_its_deadline, calls)))
    check(invariants.permanent_not_retried(), h, any(map(goes_on_after_a_permanent_error, calls)))


@settings(max_examples=examples(300))
@given(_steps, st.sampled_from(((0.2, 0.0, 10.0), (1.0, 0.0, 2.0), (0.5, 0.5, 4.0))))
def test_the_budget(steps: list[Any], limits: tuple[float, float, float]) -> None:
    """Retries beyond what first attempts paid in and the floor gives are found, and no others."""
    h = retries(steps)
    ratio, per_second, window = limits
    spec = invariants.retry_budget(ratio=ratio, per_second=per_second, window=window)
    check(spec, h, beyond_the_budget(h.events, ratio, per_second, window))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=10))
def test_assertions(held: list[tuple[str, bool]]) -> None:
    """One condition that did not hold is a violation; without any the verdict is open."""
    h = HistoryBuilder()
    for name, outcome in held:
        h.add("assert.always", name=name, held=outcome)
    (verdict,) = h.judged([invariants.assertions_hold()]).finish()
    expected = "violated" if not all(outcome for _, outcome in held) else "holds" if held else "inconclusive"
    assert verdict.status == expected


_deliveries = st.lists(
    st.tuples(st.sampled_from(("receive", "receive", "effect", "effect", "undo", "delete")), st.integers(0, 2)),
    max_size=20,
)


@settings(max_examples=examples(300))
@given(_deliveries, st.integers(0, 3))
def test_repetitions(actions: list[tuple[str, int]], bound: int) -> None:
    """Repetitions are counted over all keys; without a number, each must have a delivery that explains it."""
    h = HistoryBuilder()
    for number in range(3):
        h.send(f"m{number}", key=str(number))
    for action, number in actions:
        if action == "effect":
            h.effect(str(number))
        elif action == "undo":
            h.add("effect.lost", name="charged", key=str(number))
        else:
            getattr(h, action)(f"m{number}")
    h.end()
    repeated = 0
    unexplained = False
    for key in map(str, range(3)):
        standing = deliveries = begun = 0
        for event in h.events:
            if event.get("key") != key:
                continue
            deliveries += event["kind"] == "receive"
            standing -= event["kind"] == "effect.lost" and standing > 0
            if event["kind"] == "effect":
                standing += 1
                if standing > 1:
                    begun += 1
                    repeated += 1
                    unexplained |= begun + 1 > deliveries
    check(invariants.duplicates_bounded(at_most=bound), h, repeated > bound)
    check(invariants.duplicates_bounded(), h, unexplained)
