"""Late results and permanent errors at breakers against brute force, on histories made by chance.

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
from tests.properties.slow_definitions import ALL, compare, outcome

_STATES = {"closed": ("open",), "open": ("half_open",), "half_open": ("open", "closed")}


def calls_and_changes(*kinds: str) -> st.SearchStrategy[list[tuple[str, int, str, float]]]:
    """What happens to the breaker, of these kinds: the call, how it ends, and seconds before it."""
    ends = st.sampled_from(("success", "failure", "failure", "failure", "permanent", "ignored"))
    return st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(0, 3), ends, st.sampled_from((0.0, 0.0, 1.0))), max_size=25
    )


def breakers(steps: list[tuple[str, int, str, float]]) -> HistoryBuilder:
    """A breaker and calls through it that end in any of its states; many events carry the same time."""
    h = HistoryBuilder()
    h.breaker(failure_threshold=2)
    state, generation, now = "closed", 1, 1.0
    running: dict[int, tuple[str, int]] = {}
    for step, number, result, wait in steps:
        now += wait
        if step == "begin" or (step == "end" and number not in running):
            running[number] = (state, generation)
            h.begin(number, state, generation, at=now)
        if step == "end":
            began, of = running.pop(number)
            ended = "failure" if result == "permanent" else result
            transient = None if result == "success" else result == "failure"
            h.called(number, ended, began, of, transient=transient, at=now)
        elif step in ("change", "by hand"):
            generation += 1
            after = _STATES[state][number % len(_STATES[state])]
            h.transition(state, after, generation, reason="forced" if step == "by hand" else "", at=now)
            state = after
    h.end()
    return h


def ended_calls(events: list[Event]) -> list[Event]:
    return [e for e in events if e["kind"] == "breaker.call"]


def changes(events: list[Event], *, by_hand: bool = False) -> list[Event]:
    return [e for e in events if e["kind"] == "breaker.transition" and (by_hand or e["reason"] != "forced")]


def changed_by_a_late_result(events: list[Event]) -> bool:
    """At the instant of a change calls of earlier states ended, and none of the state that it ended."""
    for change in changes(events):
        ended = change["generation"] - 1
        at_once = [e for e in ended_calls(events) if e["t"] == change["t"]]
        late = [e for e in at_once if e["generation"] < ended]
        own = [e for e in at_once if e["generation"] == ended]
        if change["from"] != "open" and late and not own:
            return True
    return False


def outlived_its_state(events: list[Event]) -> bool:
    """A call ended later than the change that ended the state in which it began."""
    return any(
        change["generation"] == call["generation"] + 1 and change["t"] < call["t"]
        for call in ended_calls(events)
        for change in changes(events, by_hand=True)
    )


def opened_by_permanent_errors(events: list[Event]) -> bool:
    """Without the permanent errors among the failures that opened it, too few are left."""
    for change in changes(events):
        if change["to"] != "open":
            continue
        own = [e for e in ended_calls(events) if e["generation"] == change["generation"] - 1]
        together = [e for e in own if e["t"] == change["t"] and e["outcome"] == "failure"]
        if change["from"] == "half_open":
            causes, needed = together, 1
        else:
            before = [e for e in own if e["n"] < change["n"]]
            succeeded = max((e["n"] for e in before if e["outcome"] == "success"), default=0)
            causes = [e for e in before if e["n"] > succeeded and e["outcome"] == "failure"]
            causes += [e for e in together if e["n"] > change["n"]]
            needed = 2
        transient = [e for e in causes if e["transient"]]
        if len(transient) < len(causes) and len(transient) < needed:
            return True
    return False


def test_late_results() -> None:
    """A change that only results of earlier states explain is found; it takes a call that outlived its state."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(calls_and_changes("begin", "end", "end", "end", "change", "change", "by hand"))
    def run(steps: list[Any]) -> None:
        h = breakers(steps)
        expected = outcome(changed_by_a_late_result(h.events), outlived_its_state(h.events))
        compare(invariants.breaker_generations(), h, expected, seen)

    run()
    assert seen == ALL


def test_permanent_errors() -> None:
    """A breaker that permanent errors opened is found, and no other."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(calls_and_changes("begin", "end", "end", "end", "end", "end", "change", "by hand"))
    def run(steps: list[Any]) -> None:
        h = breakers(steps)
        permanent = any(e["transient"] is False for e in ended_calls(h.events))
        expected = outcome(opened_by_permanent_errors(h.events), permanent)
        compare(invariants.breaker_ignores_permanent(), h, expected, seen)

    run()
    assert seen == ALL
