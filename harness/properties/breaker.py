"""Circuit breakers: are they what their contract says?

Calls overlap in every order, take their time, fail, are interrupted and come
back late, while the wall clock jumps; a reference model
(:mod:`harness.properties.breaker_model`) follows each decision. What only
threads can break is tried by itself, with the component's own code
pre-empted (:mod:`harness.properties.breaker_races`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from harness.properties import breaker_races
from harness.properties.bench import elsewhere
from harness.properties.breaker_case import Call, Case, Made, Round, Trace, carry_out, cases, essentials, smaller
from harness.properties.breaker_model import TOLERANCE_US, Model, State
from harness.properties.breaker_words import after, evidence, seconds
from harness.properties.contract import BreakerContract
from harness.properties.report import Report
from harness.properties.search import Broken, Judged, Search

__all__ = ["PROMISES", "judge", "probe_breaker"]

#: Property -> what it says, for people.
PROMISES = {
    "opens": "it opens at its threshold: the next call is refused",
    "counts": "it does not open before its threshold",
    "stays-open": "while it is open no call reaches the dependency before the recovery timeout has passed",
    "recovers": "after the recovery timeout a call reaches the dependency",
    "half-open-permits": "while it is half open, no more probes are under way at once than permitted",
    "reopens": "a probe that fails opens it again",
    "closes": "enough successful probes close it",
    "not-stuck": "half open with no probe under way, it lets the next call through",
    "generations": "the late result of a call that began before the last change of state decides nothing",
    "ignored-exceptions": "exceptions that are to be ignored never open it",
    "base-exceptions": "an interrupted or cancelled probe proves nothing: it does not close the breaker",
    "wall-clock": "a jump of the wall clock neither ends nor prolongs the open time",
    "exceptions-unchanged": "the function's exception reaches the caller, the same object",
    "result-unchanged": "the function's result reaches the caller, the same object",
    "refusals": "a call that is refused raises the open error",
    "not-serialised": "calls do not wait for each other",
    "no-lost-update": "failures of calls that run at the same time are all counted",
    "comes-to-rest": "no call waits without end, none is a busy loop",
}

#: What may be the cause of a wrong decision, and the property that it then breaks.
_CAUSES = {
    "late": "generations",
    "interrupt": "base-exceptions",
    "cancelled": "base-exceptions",
    "ignored": "ignored-exceptions",
    "jump": "wall-clock",
}


def probe_breaker(contract: BreakerContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    search: Search[Case] = Search(PROMISES, seed=seed, examples=examples, max_seconds=max_seconds)
    with elsewhere():
        search.drawn(
            cases(contract), lambda case: judge(contract, case), smaller, always=essentials(contract), share=0.7
        )
        breaker_races.probe(contract, search)
    name = contract.name or getattr(contract.call, "__qualname__", type(contract.call).__name__)
    findings = tuple(search.findings[one] for one in PROMISES if one in search.findings)
    return Report(name, "breaker", seed, search.results(), findings)


def judge(contract: BreakerContract, case: Case) -> Judged:
    """Run *case* and say what it breaks.

    A wrong decision after something that must not matter (a late result, an
    interrupt, a jump of the clock) is that thing's only if the decision is
    right without it.
    """
    raw = _judge(contract, case)
    wrong = raw.wrong
    if wrong is not None:
        name = _named(contract, case, raw, wrong.property)
        if name:
            raw.judged.breaks(replace(wrong, property=name))
    return raw.judged


def _named(contract: BreakerContract, case: Case, raw: _Raw, name: str) -> str:
    """The property that a wrong decision breaks; "" where that cannot be said of this case."""
    if name == "not-stuck":
        return name
    for cause, places in raw.causes.items():
        if not _breaks(contract, _without(case, cause, places), name):
            return _CAUSES[cause]
    if raw.ambiguous:
        return ""
    if name in ("stays-open", "half-open-permits"):  # or did it not open at all?
        at_once = Round((Call("success"),))
        sooner = replace(case, rounds=(*case.rounds[: raw.place], at_once))
        if any(_breaks(contract, sooner, other) for other in ("opens", "reopens")):
            return ""
    return name


def _breaks(contract: BreakerContract, case: Case, name: str) -> bool:
    if not case.rounds:
        return False
    wrong = _judge(contract, case).wrong
    return wrong is not None and wrong.property == name


def _without(case: Case, cause: str, places: set[tuple[int, int]]) -> Case:
    """*case* without what may be the cause of a decision: the calls at *places*, or all jumps."""
    if cause == "jump":
        return replace(case, rounds=tuple(replace(one, jump=0.0) for one in case.rounds))
    rounds = []
    for index, one in enumerate(case.rounds):
        calls = tuple(call for position, call in enumerate(one.calls) if (index, position) not in places)
        if calls:
            rounds.append(replace(one, calls=calls))
        elif rounds or index + 1 < len(case.rounds):
            rounds.append(replace(one, calls=()))
    return replace(case, rounds=tuple(rounds))


@dataclass
class _Raw:
    """What one run showed: the first wrong decision, and what had happened before that may be its cause."""

    judged: Judged = field(default_factory=Judged)
    wrong: Broken | None = None
    causes: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    ambiguous: bool = False  # right breakers could be in different states
    place: int = 0  # the round of the wrong decision


def _judge(contract: BreakerContract, case: Case) -> _Raw:
    trace, bench = carry_out(contract, case)
    follower = _Follower(contract, case, trace, tuple(evidence(bench.lines)))
    follower.decisions()
    for made in trace.calls:
        follower.call(made)
    judged = follower.raw.judged
    judged.tried("comes-to-rest")
    if bench.problem:
        text = f"{after(case, len(case.rounds))}{bench.problem}"
        judged.breaks(Broken("comes-to-rest", text, follower.lines, slow="blocked or span" in bench.problem))
    return follower.raw


class _Follower:
    """Follows one run with the model."""

    def __init__(self, contract: BreakerContract, case: Case, trace: Trace, lines: tuple[str, ...]) -> None:
        self.contract = contract
        self.case = case
        self.trace = trace
        self.lines = lines
        self.model = Model(contract)
        self.raw = _Raw()

    @property
    def state(self) -> State:
        """The state in which the plainest right breaker is."""
        return self.model.states[0]

    def decisions(self) -> None:
        """Until the first wrong one."""
        for event in self.trace.events:
            made, before = event.made, self.state
            if made is None:
                self.cause("jump", (-1, -1))
            elif event.kind == "leave":
                self.leaves(made, event.at_us)
            elif event.kind == "enter":
                self.try_for(before, entering=True)
                if not self.model.enters(made.number, event.at_us, inside=made.place[0] < 0):
                    self.entered_wrongly(made, before, event.at_us)
                    return
            else:
                self.try_for(before, entering=False)
                if not self.model.refuses(event.at_us):
                    self.refused_wrongly(made, before, event.at_us)
                    return
            if self.state.name == "closed" and self.state.generation != before.generation:
                self.raw.causes.clear()

    def leaves(self, made: Made, at_us: int) -> None:
        outcome = made.call.outcome
        if self.model.late(made.number):
            self.cause("late", made.place)
        elif outcome in _CAUSES:
            self.cause(outcome, made.place)
        self.model.leaves(made.number, at_us, outcome)

    def cause(self, name: str, place: tuple[int, int]) -> None:
        self.raw.causes.setdefault(name, set()).add(place)

    def try_for(self, state: State, *, entering: bool) -> None:
        """Which properties this decision could break."""
        names = {
            "closed": ("counts",) if state.generation == 0 or state.failures else ("closes",),
            "open": ("recovers", "stays-open")
            if entering
            else (("reopens",) if state.reopened else ("opens", "stays-open")),
            "half-open": ("half-open-permits",) if state.probes else ("not-stuck",),
        }[state.name]
        self.raw.judged.tried(*names, *(_CAUSES[cause] for cause in self.raw.causes))

    def wrong(self, name: str, made: Made, statement: str) -> None:
        where = made.place[0] if made.place[0] >= 0 else len(self.case.rounds) - 1
        self.raw.place = where
        self.raw.ambiguous = len({state.name for state in self.model.states}) > 1
        told, one = self.case, self.case.rounds[where]
        earlier = sum(other.place[0] == where and other.number < made.number for other in self.trace.calls)
        if one.times > 1 and earlier:  # the decision stands in the middle of a round of calls one after the other
            told = Case((*told.rounds[:where], replace(one, times=earlier)))
            where += 1
        self.raw.wrong = Broken(name, after(told, where, opening=True) + statement, self.lines)

    def entered_wrongly(self, made: Made, state: State, at_us: int) -> None:
        if state.name == "open":
            passed = (at_us - state.since_us) / 1e6
            timeout = self.contract.recovery_timeout
            if passed < min(1.0, timeout / 4):
                reason = (
                    "a probe failed" if state.reopened else f"it has failed {self.contract.failure_threshold} times"
                )
                name = "reopens" if state.reopened else "opens"
                self.wrong(
                    name, made, f"call {made.number} reached the dependency; {reason}, so the breaker has to be open"
                )
            else:
                self.wrong(
                    "stays-open",
                    made,
                    f"call {made.number} reached the dependency {seconds(passed)} after the breaker "
                    f"had to open; its recovery timeout is {seconds(timeout)}",
                )
            return
        permits = self.contract.half_open_permits
        permitted = f"{permits} {'was' if permits == 1 else 'were'} permitted"
        fellows = [one for one in self.trace.calls if one.place[0] == made.place[0]]
        reached = [one for one in fellows if one.entered_us >= 0]
        if len(reached) > permits and len({one.begun_us for one in fellows}) == 1:
            share = "all" if len(reached) == len(fellows) else f"{len(reached)}"
            verb = (
                f"{len(fellows)} calls that began together {share} reached"
                if share == "all"
                else (f"{share} of {len(fellows)} calls that began together reached")
            )
            self.wrong("half-open-permits", made, f"{verb} the dependency; {permitted}")
        else:
            self.wrong(
                "half-open-permits",
                made,
                f"{len(state.probes) + 1} calls were at the dependency at once while the "
                f"breaker was half open; {permitted}",
            )

    def refused_wrongly(self, made: Made, state: State, at_us: int) -> None:
        limit = self.contract.failure_threshold
        if state.name == "closed" and (state.generation == 0 or state.failures):
            count = len(state.failures)
            counted = f"{count} failure{'s' * (count != 1)}"
            row = " in a row" if self.contract.window is None else ""
            self.wrong("counts", made, f"the breaker was open after {counted}{row}; it opens at {limit}")
        elif state.name == "closed":
            needed = self.contract.success_threshold
            self.wrong(
                "closes",
                made,
                f"call {made.number} was refused; {needed} successful probe{'s' * (needed > 1)} "
                f"{'have' if needed > 1 else 'has'} closed the breaker",
            )
        elif state.name == "open":
            passed = (at_us - state.since_us) / 1e6
            self.wrong(
                "recovers",
                made,
                f"call {made.number} was refused {seconds(passed)} after the breaker had opened; "
                f"its recovery timeout is {seconds(self.contract.recovery_timeout)}",
            )
        else:
            self.wrong(
                "not-stuck",
                made,
                f"call {made.number} was refused; a probe has ended and none is under way, so it has to go through",
            )

    def call(self, made: Made) -> None:
        """What is judged of each call by itself."""
        judged = self.raw.judged
        if made.ended_us < 0:
            return
        words = after(self.case, made.place[0] + 1 if made.place[0] >= 0 else len(self.case.rounds))
        if made.refused:
            judged.tried("refusals")
            if not isinstance(made.raised, self.contract.open_error):
                what = f"raised {made.raised!r}" if made.raised is not None else f"returned {made.value!r}"
                judged.breaks(
                    Broken("refusals", f"{words}call {made.number} {what} without reaching the dependency", self.lines)
                )
        elif isinstance(made.gave, BaseException):
            judged.tried("exceptions-unchanged")
            if made.raised is not made.gave:
                got = f"raised {made.raised!r}" if made.raised is not None else f"returned {made.value!r}"
                text = f"{words}the function raised {made.gave!r} and the call {got}"
                judged.breaks(Broken("exceptions-unchanged", text, self.lines))
        elif made.left_us >= 0:
            judged.tried("result-unchanged")
            if made.raised is not None or made.value is not made.gave:
                got = f"raised {made.raised!r}" if made.raised is not None else f"returned {made.value!r}"
                text = f"{words}the function returned {made.gave!r} and the call {got}"
                judged.breaks(Broken("result-unchanged", text, self.lines))
        self.waiting(made, words)

    def waiting(self, made: Made, words: str) -> None:
        decided = made.entered_us if made.entered_us >= 0 else made.ended_us
        others = any(
            one is not made and one.entered_us >= 0 and one.entered_us <= decided and one.ended_us > made.begun_us
            for one in self.trace.calls
        )
        if not others:
            return
        self.raw.judged.tried("not-serialised")
        waited = decided - made.begun_us
        if waited > TOLERANCE_US:
            text = f"{words}call {made.number} waited {seconds(waited / 1e6)} while another call was at the dependency"
            self.raw.judged.breaks(Broken("not-serialised", text, self.lines))
