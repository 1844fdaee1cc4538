"""Invariants of degradation against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, outcome, process_of

LEVELS = ["normal", "light", "severe"]
MEASURES = {"processing-rate": 1, "features": 2}
THRESHOLDS: dict[str, list[float | None]] = {"error_rate": [0.1, 0.5], "latency": [5.0, None]}


def degraded(*kinds: str) -> st.SearchStrategy[list[tuple[str, str, int, int, float, int]]]:
    """What happens to the managers, of these kinds: process, two numbers of levels, seconds before it, and a die."""
    step = st.tuples(
        st.sampled_from(kinds),
        st.sampled_from(("worker.1", "worker.1", "worker.1", "worker.2")),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from((0.0, 1.0, 4.0, 15.0)),
        st.integers(0, 11),
    )
    return st.lists(step, min_size=4, max_size=25)


class Managers(HistoryBuilder):
    """A manager in each of two processes, its events in any order at all."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = {"worker.1": 0, "worker.2": 0}
        for process in self.levels:
            self.created(process, at=0.0)

    def note(self, kind: str, process: str, at: float, **fields: Any) -> int:
        return self.add(f"degradation.{kind}", actor=f"{process}/manager", at=at, manager="m", **fields)

    def created(self, process: str, at: float) -> None:
        self.levels[process] = 0
        limits: dict[str, Any] = {"levels": LEVELS, "thresholds": THRESHOLDS, "measures": MEASURES}
        self.note("created", process, at, **limits, features=["hints"], breakers=0, queues=["orders"])

    def look(self, process: str, at: float, assessed: int, allows: int, dice: int) -> None:
        health = {"error_rate": (0.0, 0.05, 0.3)[assessed] if dice else 0.7, "latency": 3.0 if dice != 1 else None}
        names = {"assessed": LEVELS[assessed], "allows": LEVELS[max(assessed, allows)]}
        level = LEVELS[self.levels[process]]
        self.note("health", process, at, health=health, level=level, pinned=dice == 2, **names)

    def change(self, process: str, at: float, level: int, by_hand: bool) -> None:
        before, self.levels[process] = self.levels[process], level
        fields = {"level": LEVELS[level], "before": LEVELS[before], "by_hand": by_hand}
        self.note("level", process, at, health={}, reason="", **fields)

    def measure(self, process: str, at: float, measure: str, active: bool, dice: int) -> None:
        rate = (None if dice == 0 else 0.5 if dice < 3 else 2.0) if active or dice == 3 else None
        off = ["hints"] if active and dice != 1 else []
        error = {"error": "ValueError"} if dice == 2 else {}
        self.note("measure", process, at, measure=measure, active=active, level="", rate=rate, off=off, **error)

    def other(self, process: str, at: float, dice: int) -> None:
        if dice < 6:
            self.add("process.crash", actor="faults", at=at, process=process)
            self.add("process.start", actor=process, at=at, process=process, incarnation=2)
            self.created(process, at)
        elif dice < 9:
            self.created(process, at)
        else:
            self.add("process.resume", actor="faults", at=at, process=process)


def managers(steps: list[tuple[str, str, int, int, float, int]]) -> Managers:
    h = Managers()
    now = 0.0
    for what, process, one, two, wait, dice in steps:
        now += wait
        if what == "look":
            for _ in range(1 + dice % 3):
                now += 1
                h.look(process, now, one, two, dice)
        elif what in ("level", "full"):
            before = h.levels[process]
            h.change(process, now, one, by_hand=dice == 0)
            for measure, number in MEASURES.items() if what == "full" else ():
                if number <= one or number <= before:
                    h.measure(process, now, measure, number <= one, 5)
        elif what == "measure":
            h.measure(process, now, list(MEASURES)[one % 2], bool(two), dice)
        elif what == "rate":
            h.measure(process, now, "processing-rate", bool(two), 1 + one)
        elif what == "receive":
            for number in range(dice * 2):
                queue = h.queue if one else "others"
                h.receive(f"m{number}", queue=queue, actor=f"{process}/loop", at=now)
        else:
            h.other(process, now, dice)
    h.end(at=now + 30)
    return h


def lives(events: list[Event]) -> Iterator[list[Event]]:
    """Everything about each manager, from its making (or that of its process) to the next."""
    for process in ("worker.1", "worker.2"):
        life: list[Event] = []
        for event in events:
            if process not in (event.get("process"), process_of(event)):
                continue
            if event["kind"] in ("process.start", "degradation.created"):
                yield life
                life = []
            life.append(event)
        yield life


def looks(life: list[Event]) -> list[Event]:
    return [e for e in life if e["kind"] == "degradation.health"]


def left_behind(life: list[Event], within: float, lowered_within: float) -> bool:
    """For longer than allowed, at four looks at least and without a break, the level is off on the same side."""
    rank = LEVELS.index

    def low(look: Event) -> bool:
        return not look["pinned"] and rank(look["level"]) < rank(look["assessed"])

    def high(look: Event) -> bool:
        return not look["pinned"] and rank(look["level"]) > rank(look["allows"])

    for off, allowed in ((low, within), (high, lowered_within)):
        for start in looks(life):
            for end in looks(life):
                between = [e for e in life if start["n"] <= e["n"] <= end["n"]]
                if any(e["kind"] in ("degradation.level", "process.resume") for e in between):
                    continue
                row = looks(between)
                if len(row) >= 4 and all(map(off, row)) and end["t"] - start["t"] > allowed:
                    return True
    return False


def overlooks_a_metric(life: list[Event]) -> bool:
    for look in looks(life):
        for metric, limits in THRESHOLDS.items():
            value = look["health"][metric]
            above = [limit for limit in limits if limit is not None and value is not None and value > limit]
            if len(above) > LEVELS.index(look["assessed"]):
                return True
    return False


def test_levels() -> None:
    """A level that is off for too long, and a metric that is left out, are found; without a need nothing is said."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(degraded("look", "look", "look", "level", "other"), st.sampled_from((3.0, 10.0)))
    def run(steps: list[Any], within: float) -> None:
        h = managers(steps)
        asked = any(not e["pinned"] and e["assessed"] != "normal" for e in looks(h.events))
        broken = any(overlooks_a_metric(life) or left_behind(life, within, 2 * within) for life in lives(h.events))
        spec = invariants.level_follows_health(within=within, lowered_within=2 * within)
        compare(spec, h, outcome(broken, asked), seen)

    run()
    assert seen == ALL


def turns_of(life: list[Event]) -> list[tuple[float, float]]:
    """When the level turned round, and how long after the change before; changes by hand part what is before them."""
    found = []
    moves = [e for e in life if e["kind"] == "degradation.level" and e["level"] != e["before"]]
    for earlier, later in itertools.pairwise(moves):
        if earlier["by_hand"] or later["by_hand"]:
            continue
        ways = [LEVELS.index(e["level"]) > LEVELS.index(e["before"]) for e in (earlier, later)]
        if ways[0] != ways[1]:
            found.append((later["t"], later["t"] - earlier["t"]))
    return found


def test_flapping() -> None:
    """A turn too soon, and too many of them in a window, are found, each manager by itself."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(
        degraded("level", "level", "level", "other"),
        st.sampled_from(((2.0, 9), (0.1, 1), (0.1, 2))),
        st.sampled_from((15.0, 60.0)),
    )
    def run(steps: list[Any], limits: tuple[float, int], window: float) -> None:
        h = managers(steps)
        apart, at_most = limits
        broken = False
        for turns in map(turns_of, lives(h.events)):
            broken |= any(lasted < apart for _, lasted in turns)
            broken |= any(sum(t <= other <= t + window for other, _ in turns) > at_most for t, _ in turns)
        levels = [e for e in h.events if e["kind"] == "degradation.level"]
        judged = any(e["level"] != e["before"] and not e["by_hand"] for e in levels)
        spec = invariants.no_flapping(apart=apart, at_most=at_most, window=window)
        compare(spec, h, outcome(broken, judged), seen)

    run()
    assert seen == ALL


def in_force(life: list[Event], before: int) -> set[str]:
    """The measures that were applied and not lifted before event number *before*."""
    told = {e["measure"]: e["active"] for e in life if e["kind"] == "degradation.measure" and e["n"] < before}
    return {measure for measure, active in told.items() if active}


def lifts_something(life: list[Event]) -> bool:
    told = [e for e in life if e["kind"] == "degradation.measure"]
    return any(not e["active"] and e["measure"] in in_force(life, e["n"]) for e in told)


def wrong_measures(life: list[Event], within: float) -> bool:
    """At a look or a change, *within* seconds after the level changed, others are in force than are the level's."""
    for event in life:
        if event["kind"] not in ("degradation.health", "degradation.level"):
            continue
        earlier = [e for e in life if e["kind"] == "degradation.level" and e["n"] < event["n"]]
        level, since = (LEVELS.index(earlier[-1]["level"]), earlier[-1]["t"]) if earlier else (0, life[0]["t"])
        wanted = {measure for measure, number in MEASURES.items() if number <= level}
        if event["t"] - since > within and in_force(life, event["n"]) != wanted:
            return True
    return False


def does_nothing(life: list[Event]) -> bool:
    for event in life:
        if event["kind"] == "degradation.measure" and event["active"] and "error" not in event:
            if event["measure"] == "processing-rate" and event["rate"] is None:
                return True
            if event["measure"] == "features" and not event["off"]:
                return True
    return False


def rate_at(life: list[Event], number: int) -> float | None:
    """The limit that is in force just before event *number*."""
    told = [e["rate"] for e in life if e["kind"] == "degradation.measure" and e["n"] < number]
    return told[-1] if told else None


def beyond_the_rate(life: list[Event]) -> bool:
    """Between some moment and a receive more was received than the rate, a second of it and two batches allow."""
    for place, last in enumerate(life):
        if last["kind"] != "receive" or rate_at(life, last["n"]) is None:
            continue
        received, allowed = int(last["queue"] == "orders"), 0.0
        later = last
        for event in reversed(life[:place]):
            rate = rate_at(life, later["n"])
            if rate is None:
                break  # nothing was limited before
            # Just before `later` there was at most as much as the rate stores.
            if received > max(1.0, rate) + 20 + allowed:
                return True
            allowed += rate * (later["t"] - event["t"])
            received += event["kind"] == "receive" and event["queue"] == "orders"
            later = event
    return False


def test_measures() -> None:
    """Measures that are missing, that stay, that do nothing, and a rate that is not kept, are found."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(degraded("look", "full", "full", "measure", "receive", "other"), st.sampled_from((1.0, 5.0)))
    def run(steps: list[Any], within: float) -> None:
        h = managers(steps)
        all_lives = list(lives(h.events))
        broken = any(wrong_measures(one, within) or does_nothing(one) or beyond_the_rate(one) for one in all_lives)
        judged = any(lifts_something(life) for life in all_lives)
        spec = invariants.measures_applied().with_parameters(within=within)
        compare(spec, h, outcome(broken, judged), seen)

    run()
    assert seen == ALL


def test_rates() -> None:
    """One receive more than the rate allows is found, over lifted, changed and renewed rates."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(degraded("rate", "receive", "receive", "receive"))
    def run(steps: list[Any]) -> None:
        h = managers(steps)
        all_lives = list(lives(h.events))
        judged = any(lifts_something(life) for life in all_lives)
        expected = outcome(any(map(beyond_the_rate, all_lives)), judged)
        compare(invariants.measures_applied(), h, expected, seen)

    run()
    assert seen == ALL
