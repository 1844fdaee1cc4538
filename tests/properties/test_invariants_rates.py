"""Rates of success before, between and after faults against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes, and counts in fractions;
the verdict has to be the same one of three. Every test also makes sure that the histories led to each of the three.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, outcome, where

MESSAGES_MIN = 10

_STEPS = (
    *("done",) * 8,
    *("send", "send", "effect", "other effect", "delete", "not found", "dead letter", "back"),
    *("fault", "fault", "strike", "restart", "resume"),
)
#: What happens, how often in a row, and how many milliseconds before each (``None``: as before the first fault).
_steps = st.lists(
    st.tuples(st.sampled_from(_STEPS), st.integers(1, 15), st.sampled_from((None, None, None, 0, 50, 400, 2500))),
    max_size=14,
)
#: Successes before the first fault, and milliseconds between them.
_before = st.tuples(st.integers(8, 24), st.sampled_from((300, 500, 800, 1000)))


#: One fault, and then so many successes at a pace of their own (milliseconds between two).
_paces = st.tuples(st.integers(0, 20), st.sampled_from((100, 300, 700, 1000, 1500))).map(
    lambda pace: [("fault", 1, 0), ("done", *pace)]
)


class Outage:
    """Some messages; some are done one by one, then anything happens to them while faults come and go."""

    def __init__(self, messages: int, *, declared: bool) -> None:
        self.h = HistoryBuilder(effects=("charged",) if declared else ())
        self.ms = 1_000
        self.places: dict[str, str] = {}
        self.send(messages)

    def wait(self, ms: int) -> float:
        """Milliseconds pass; the time that it is then."""
        self.ms += ms
        return self.ms / 1_000

    def send(self, number: int) -> None:
        for _ in range(number):
            message = f"m{len(self.places)}"
            self.h.send(message, key=message[1:], at=self.wait(0))
            self.places[message] = self.h.queue

    def next_in(self, queue: str) -> str:
        """A message that is in *queue*; "" if none is."""
        return next((message for message, place in self.places.items() if place == queue), "")

    def step(self, what: str, wait: int) -> None:
        """One thing happens, after a wait."""
        h, at = self.h, self.wait(wait)
        message, letter = self.next_in(h.queue), self.next_in(h.dlq)
        fault: dict[str, Any] = {"fault": 0, "target": "aws.sqs.*", "fault_kind": "unavailable", "actor": "faults"}
        if what == "fault":
            h.add("fault.start", at=at, **fault)
            h.add("fault.end", at=self.wait(2_000), **fault)
        elif what == "strike":
            h.strike("aws.sqs.ReceiveMessage", "latency", at=at, until=at + 1.5)
        elif what == "restart":
            h.add("process.start", process="worker", incarnation=2, at=at)
        elif what == "resume":
            h.add("process.resume", actor="faults", process="worker", at=at)
        elif what == "send":
            self.send(1)
        elif what == "other effect":
            h.effect("0", name="seen", at=at)
        elif what == "back" and letter:
            self.places[letter] = h.queue
            h.move(letter, queue=h.dlq, to=h.queue, at=at)
        elif what == "dead letter" and message:
            self.places[message] = h.dlq
            h.move(message, at=at)
        elif what == "not found":
            h.delete("m0", found=False, at=at)
        elif message:
            if what in ("done", "effect"):
                h.effect(message[1:], at=at)
            if what in ("done", "delete"):
                self.places[message] = ""
                h.delete(message, at=at)


def outage(
    before: tuple[int, int],
    steps: list[tuple[str, int, int | None]],
    rest: int,
    *,
    messages: int = 60,
    declared: bool = True,
) -> HistoryBuilder:
    """A run that works at a rate, has faults, works at other rates, and ends after *rest* milliseconds."""
    run = Outage(messages, declared=declared)
    for _ in range(before[0]):
        run.step("done", before[1])
    for what, times, wait in steps:
        for _ in range(times if what in ("done", "dead letter") else 1):
            run.step(what, before[1] if wait is None else wait)
    run.h.end(at=run.wait(rest))
    return run.h


def time_of(event: Event) -> Fraction:
    return Fraction(round(event["t"] * 1_000_000), 1_000_000)


def successes(h: HistoryBuilder) -> list[Event]:
    """Declared effects; where none is declared, messages that left the source queue by an acknowledgement."""
    if h.header["system"]["effects"]:
        return [e for e in h.events if e["kind"] == "effect" and e["name"] == "charged"]
    return [e for e in h.events if e["kind"] == "delete" and e["queue"] == h.queue and e["found"]]


def rate_before(h: HistoryBuilder) -> Fraction | None:
    """Successes a second from the first of them to the first fault, if there were ten."""
    first_fault = next((e for e in h.events if e["kind"] in ("fault.start", "fault.strike")), None)
    if first_fault is None:
        return None
    before = [e for e in successes(h) if e["n"] < first_fault["n"]]
    if len(before) < MESSAGES_MIN or time_of(first_fault) == time_of(before[0]):
        return None
    return len(before) / (time_of(first_fault) - time_of(before[0]))


def last_fault(h: HistoryBuilder) -> tuple[int, Fraction]:
    """The last fault's end: its event, and the time at which all that was done to the system was over."""
    ends = [
        e
        for e in h.events
        if e["kind"] in ("fault.end", "fault.strike", "process.resume")
        or (e["kind"] == "process.start" and e["incarnation"] > 1)
    ]
    over = max(max(time_of(e), Fraction(round(e.get("until", 0) * 1_000_000), 1_000_000)) for e in ends)
    return ends[-1]["n"], over


def waiting(h: HistoryBuilder, after: int) -> list[str]:
    """The messages that are in the source queue after event number *after*."""
    messages = [e["message"] for e in h.events if e["kind"] == "send"]
    return [message for message in messages if where(h.events, message, after + 1) == h.queue]


def left(h: HistoryBuilder, message: str, after: int) -> Fraction | None:
    """When a message has left the source queue after event number *after*."""
    for event in h.events[after:]:
        if event.get("message") == message and where(h.events, message, event["n"] + 1) != h.queue:
            return time_of(event)
    return None


def best_rate(times: list[Fraction], window: Fraction) -> Fraction:
    """The most of *times* that lie within a window, for each second of it."""
    return max((sum(start <= t < start + window for t in times) / window for start in times), default=Fraction(0))


def returned(h: HistoryBuilder, share: Fraction, within: Fraction) -> str:
    """Throughput returns, from its definition."""
    before = rate_before(h)
    if before is None:
        return "inconclusive"
    number, over = last_fault(h)
    until = over + within
    times = [time_of(e) for e in successes(h) if e["n"] > number and over <= time_of(e) <= until]
    if best_rate(times, min(Fraction(5), within)) >= share * before:
        return "holds"
    leaves = [left(h, message, number) for message in waiting(h, number)]
    if not waiting(h, len(h.events)) and all(t is not None and t <= until for t in leaves):
        return "holds"
    return outcome(time_of(h.events[-1]) >= until, False)


def test_throughput_returns() -> None:
    """Violated where no five seconds after the last fault have the rate and something was left to do."""
    seen: set[str] = set()

    @settings(max_examples=examples(600))
    @given(
        _before,
        _steps,
        st.sampled_from((0, 500, 2_000, 30_000)),
        st.sampled_from(("0.5", "0.9", "1")),
        st.sampled_from(("2", "10", "30")),
        st.booleans(),
    )
    def run(before: Any, steps: Any, rest: int, share: str, within: str, declared: bool) -> None:
        h = outage(before, steps, rest, declared=declared)
        spec = invariants.throughput_returns(share=float(share), within=float(within))
        compare(spec, h, returned(h, Fraction(share), Fraction(within)), seen)

    run()
    assert seen == ALL


def stays_down(h: HistoryBuilder, share: Fraction) -> str:
    """Not metastable, from its definition, with its window of thirty seconds."""
    window, number_of_faults = Fraction(30), sum(e["kind"] in ("fault.start", "fault.strike") for e in h.events)
    if not number_of_faults:
        return "inconclusive"
    end, wait = time_of(h.events[-1]), len(waiting(h, len(h.events)))
    if wait < MESSAGES_MIN:
        return "holds"
    before = rate_before(h)
    if before is None or end - last_fault(h)[1] < window:
        return "inconclusive"
    late = sum(end - window < time_of(e) <= end for e in successes(h))
    return outcome(late < share * before * window and late < share * (late + wait), True)


def test_not_metastable() -> None:
    """Violated where ten messages wait and the last thirty seconds did too little, by rate and by what there was."""
    seen: set[str] = set()

    @settings(max_examples=examples(800))
    @given(
        _before,
        st.one_of(_steps, _paces, _paces),
        st.integers(0, 350),
        st.sampled_from((30, 40, 60)),
        st.sampled_from(("0.2", "0.5", "1")),
    )
    def run(before: Any, steps: Any, rest: int, messages: int, share: str) -> None:
        h = outage(before, steps, rest * 100, messages=messages)
        compare(invariants.not_metastable(share=float(share)), h, stays_down(h, Fraction(share)), seen)

    run()
    assert seen == ALL


def test_the_edge_of_being_down() -> None:
    """One success more or less in the last thirty seconds decides, and so does a tenth of a second at their start."""
    seen: set[str] = set()

    @settings(max_examples=examples(200))
    @given(st.integers(10, 16), st.integers(-1, 1), st.sampled_from((700, 1000, 1500)), st.sampled_from((-100, 0, 100)))
    def run(wait: int, more: int, pace: int, offset: int) -> None:
        late = wait + more
        steps: list[tuple[str, int, int | None]] = [("fault", 1, 0), ("done", late + 3, pace)]
        rest = 30_000 - (late - 1) * pace + offset
        h = outage((10, 500), steps, rest, messages=10 + late + 3 + wait)
        compare(invariants.not_metastable(), h, stays_down(h, Fraction("0.5")), seen)

    run()
    assert seen == {"holds", "violated"}
