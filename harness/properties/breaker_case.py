"""A circuit breaker at work: rounds of calls, drawn up front, and the decisions that it then made."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from harness.properties.bench import Bench, run
from harness.properties.contract import BreakerContract, is_async, make_error, one_or_more
from harness.sim.actors import Actor, RunOver
from harness.sim.preempt import Level

__all__ = ["Call", "Case", "Event", "Made", "Round", "Trace", "carry_out", "cases", "essentials", "smaller"]

#: How a call ends; plain ones first.
OUTCOMES = ("success", "failure", "ignored", "interrupt", "cancelled", "nested")
_WORDS = {
    "success": "success",
    "failure": "failure",
    "ignored": "ignored exception",
    "interrupt": "KeyboardInterrupt",
    "cancelled": "CancelledError",
    "nested": "success with another call inside",
}
_CALLERS_MAX = 4
#: Beside the recovery timeout by so many seconds a breaker may still, or already, be open.
_BESIDE = 0.05


@dataclass(frozen=True, slots=True)
class Call:
    """One call: how the function ends, and after how many seconds."""

    outcome: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return _WORDS[self.outcome] + (f" after {self.seconds:g} s" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class Round:
    """After *wait* seconds and a *jump* of the wall clock: *calls* that begin together, or one call *times* times.

    ``awaited``: the next round begins when all of them have ended.
    """

    calls: tuple[Call, ...]
    wait: float = 0.0
    jump: float = 0.0
    times: int = 1
    awaited: bool = True

    def __str__(self) -> str:
        several = {str(call): 0 for call in self.calls}
        for call in self.calls:
            several[str(call)] += self.times
        text = " and ".join(f"{count} x {name}" if count > 1 else f"1 {name}" for name, count in several.items())
        if len(self.calls) > 1:
            text += " together"
        before = [f"{self.wait:g} s"] if self.wait else []
        if self.jump:
            before.append(f"the wall clock jumps {self.jump:+g} s")
        return ", ".join([*before, text])


@dataclass(frozen=True, slots=True)
class Case:
    """Rounds, in order. *seed* decides where threads are held up, under pre-emption."""

    rounds: tuple[Round, ...]
    seed: int = 0

    def __str__(self) -> str:
        return "; ".join(str(one) for one in self.rounds)


@dataclass(slots=True)
class Made:
    """A call that was made. ``place`` is (round, position) in the case; times in microseconds, -1: never."""

    number: int
    place: tuple[int, int]
    call: Call
    begun_us: int
    entered_us: int = -1
    left_us: int = -1
    ended_us: int = -1
    gave: Any = None
    raised: BaseException | None = None
    value: Any = None

    @property
    def refused(self) -> bool:
        """Whether it ended without reaching the function."""
        return self.entered_us < 0 <= self.ended_us


@dataclass(frozen=True, slots=True)
class Event:
    """``enter``, ``leave``, ``refuse`` or ``jump`` (call ``None``) at a time, in the order in which they happened."""

    kind: str
    at_us: int
    made: Made | None = None


@dataclass(slots=True)
class Trace:
    """What happened in one case."""

    calls: list[Made] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def cases(contract: BreakerContract) -> st.SearchStrategy[Case]:
    """Everything that is drawn."""
    timeout = contract.recovery_timeout
    outcomes = [outcome for outcome in OUTCOMES if outcome != "ignored" or contract.ignored is not None]
    lengths = (0.0, 1.0, timeout / 2, timeout + 2, 2 * timeout)
    calls = [Call(outcome, seconds) for outcome in outcomes for seconds in lengths]
    plain = [Call("success"), Call("failure"), Call("success", 1.0), Call("failure", 1.0)]
    call = st.one_of(st.sampled_from(plain), st.sampled_from(calls))
    threshold = contract.failure_threshold
    failing = st.sampled_from(
        [Round((Call("failure"),), times=times) for times in sorted({max(1, threshold - 1), threshold, threshold + 1})]
    )
    timing = st.sampled_from(
        [
            (wait, jump)
            for wait in (0.0, timeout + 1, timeout / 2, timeout - _BESIDE, timeout + _BESIDE, 3 * timeout)
            for jump in (0.0, 0.0, 0.0, 2 * timeout, -3 * timeout)
        ]
    )
    mixed = st.builds(
        lambda calls, timing, awaited: Round(tuple(calls), timing[0], timing[1], awaited=awaited),
        st.lists(call, min_size=1, max_size=_CALLERS_MAX),
        timing,
        st.booleans(),
    )
    return st.lists(st.one_of(failing, mixed), min_size=1, max_size=6).map(lambda rounds: Case(tuple(rounds)))


def essentials(contract: BreakerContract) -> Iterator[Case]:
    """Cases that every probe tries."""
    threshold, timeout = contract.failure_threshold, contract.recovery_timeout
    success, failure = Call("success"), Call("failure")
    opening = Round((failure,), times=threshold)
    recovered = timeout + 1
    after = Round((Call("success", 1.0),) * (contract.half_open_permits + 2), wait=recovered)
    yield Case((Round((Call("success", 1.0),) * 3),))
    yield Case((Round((Call("nested"),)),))
    yield Case((opening, Round((success,))))
    yield Case((opening, Round((success,), wait=timeout / 2)))
    yield Case((opening, Round((success,), wait=timeout - _BESIDE)))
    yield Case((opening, after))
    yield Case((opening, Round((success,), jump=2 * timeout)))
    yield Case((opening, Round((success,), wait=recovered, jump=-3 * timeout)))
    if threshold > 1:
        row = Round((failure,), times=threshold - 1)
        yield Case((row, Round((success,)), row, Round((success,))))
    for outcome in OUTCOMES:
        if outcome == "ignored" and contract.ignored is None:
            continue
        yield Case((Round((Call(outcome),)), Round((failure,), times=max(1, threshold - 1)), Round((success,))))
        yield Case((opening, Round((Call(outcome),), wait=recovered), Round((success,))))
        yield Case((opening, Round((Call(outcome),), wait=recovered), after))
    for outcome in ("success", "failure"):  # late: while it is open, and while a probe is under way
        slow = Round((Call(outcome, timeout / 2),), awaited=False)
        yield Case((slow, opening, Round((success,), wait=timeout - _BESIDE)))
        slow = Round((Call(outcome, 2 * timeout),), awaited=False)
        probe = Round((Call("success", timeout + 2),) * contract.half_open_permits, wait=recovered, awaited=False)
        yield Case((slow, opening, probe, Round((success,) * 2, wait=recovered)))


def smaller(case: Case) -> Iterator[Case]:
    """Cases that say less than *case*."""
    rounds = case.rounds
    for index in range(len(rounds)):
        if len(rounds) > 1:
            yield replace(case, rounds=rounds[:index] + rounds[index + 1 :])
    for index, one in enumerate(rounds):
        for less in _smaller_round(one):
            yield replace(case, rounds=(*rounds[:index], less, *rounds[index + 1 :]))
    for seed in range(min(case.seed, 3)):
        yield replace(case, seed=seed)


def _smaller_round(one: Round) -> Iterator[Round]:
    calls = one.calls
    if len(calls) > 1:
        for index in range(len(calls)):
            yield replace(one, calls=calls[:index] + calls[index + 1 :])
    if one.times > 1:
        yield replace(one, times=one.times - 1)
    if not one.awaited:
        yield replace(one, awaited=True)
    if one.jump:
        yield replace(one, jump=0.0)
    if one.wait:
        yield replace(one, wait=0.0)
    for index, call in enumerate(calls):
        plainer = [Call(outcome, call.seconds) for outcome in OUTCOMES[: min(OUTCOMES.index(call.outcome), 2)]]
        if call.seconds:
            plainer += [Call(call.outcome), *([Call(call.outcome, 1.0)] if call.seconds > 1 else [])]
        for less in plainer:
            yield replace(one, calls=(*calls[:index], less, *calls[index + 1 :]))


class _Work:
    """Makes the calls of one case on one breaker."""

    def __init__(self, bench: Bench, contract: BreakerContract, breaker: Any, trace: Trace) -> None:
        self.bench = bench
        self.contract = contract
        self.breaker = breaker
        self.trace = trace

    def begin(self, place: tuple[int, int], call: Call) -> Made:
        made = Made(len(self.trace.calls) + 1, place, call, self.bench.now_us)
        self.trace.calls.append(made)
        return made

    def event(self, kind: str, made: Made | None, text: str) -> None:
        self.trace.events.append(Event(kind, self.bench.now_us, made))
        self.bench.note(text)

    def entered(self, made: Made) -> None:
        made.entered_us = self.bench.now_us
        self.event("enter", made, f"call {made.number} reaches the dependency")

    def left(self, made: Made) -> Any:
        """The function ends: returns or raises what it was drawn to."""
        made.left_us = self.bench.now_us
        outcome = made.call.outcome
        if outcome in ("success", "nested"):
            made.gave = f"result {made.number}"
        elif outcome == "failure":
            made.gave = make_error(one_or_more(self.contract.failure)[0])
        elif outcome == "ignored":
            made.gave = make_error(one_or_more(self.contract.ignored)[0])
        else:
            made.gave = KeyboardInterrupt() if outcome == "interrupt" else asyncio.CancelledError()
        self.event("leave", made, f"call {made.number} ends there: {_WORDS[outcome]}")
        if isinstance(made.gave, BaseException):
            raise made.gave
        return made.gave

    def ended(self, made: Made, value: Any, raised: BaseException | None) -> None:
        made.value, made.raised, made.ended_us = value, raised, self.bench.now_us
        if made.refused:
            what = "nothing raised" if raised is None else type(raised).__name__
            self.event("refuse", made, f"call {made.number} is refused ({what})")

    def perform(self, place: tuple[int, int], call: Call) -> None:
        made = self.begin(place, call)

        def function() -> Any:
            self.entered(made)
            self.bench.sleep(call.seconds)
            if call.outcome == "nested":
                self.perform((-1, -1), Call("success"))
            return self.left(made)

        value, raised = None, None
        try:
            value = self.contract.call(self.breaker, function)
        except RunOver:
            raise
        except BaseException as error:
            raised = error
        self.ended(made, value, raised)

    async def perform_async(self, place: tuple[int, int], call: Call) -> None:
        made = self.begin(place, call)

        async def function() -> Any:
            self.entered(made)
            if call.seconds:
                await asyncio.sleep(call.seconds)
            if call.outcome == "nested":
                await self.perform_async((-1, -1), Call("success"))
            return self.left(made)

        value, raised = None, None
        try:
            value = await self.contract.call(self.breaker, function)
        except RunOver:
            raise
        except BaseException as error:
            raised = error
        self.ended(made, value, raised)

    def jump(self, seconds: float) -> None:
        if seconds:
            self.bench.jump(seconds)
            self.event("jump", None, f"the wall clock jumps {seconds:+g} s")


def carry_out(contract: BreakerContract, case: Case, *, preempt: Level | None = None) -> tuple[Trace, Bench]:
    """Run *case* on a fresh breaker."""
    trace = Trace()

    def main(bench: Bench) -> None:
        work = _Work(bench, contract, None, trace)
        if is_async(contract.call):
            asyncio.run(_all_async(work, case))
        else:
            work.breaker = contract.make()
            _all(work, case)

    return trace, run(main, seed=case.seed, preempt=preempt)


def _all(work: _Work, case: Case) -> None:
    callers: list[Actor] = []
    for index, one in enumerate(case.rounds):
        work.bench.sleep(one.wait)
        work.jump(one.jump)
        if len(one.calls) == 1 and one.awaited:
            for _ in range(one.times):
                work.perform((index, 0), one.calls[0])
            continue
        together = [
            work.bench.spawn(functools.partial(work.perform, (index, position), call), f"round-{index}.{position}")
            for position, call in enumerate(one.calls)
        ]
        callers += together
        if one.awaited:
            work.bench.wait_for(together)
        else:
            work.bench.sleep(1e-6)  # so that they begin before what comes next
    work.bench.wait_for(callers)


async def _all_async(work: _Work, case: Case) -> None:
    made = work.contract.make()
    work.breaker = await made if asyncio.iscoroutine(made) else made
    callers: list[asyncio.Task[None]] = []
    for index, one in enumerate(case.rounds):
        if one.wait:
            await asyncio.sleep(one.wait)
        work.jump(one.jump)
        for _ in range(one.times):
            together = [
                asyncio.create_task(work.perform_async((index, position), call))
                for position, call in enumerate(one.calls)
            ]
            callers += together
            if one.awaited:
                await asyncio.gather(*together)
            else:
                await asyncio.sleep(0)
    await asyncio.gather(*callers)
