"""Makes a failing run small: the fewest faults, the plainest faults, the fewest messages, the plainest schedule.

Delta debugging (Zeller, Hildebrandt, "Simplifying and Isolating
Failure-Inducing Input", IEEE TSE 2002) on values: each step tries something
plainer, keeps it if the same invariant still breaks, and the best so far is
always at hand, however early the time is over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness import runner
from harness.errors import HarnessError
from harness.explore.schedules import Schedule
from harness.faults.plan import Fault, FaultPlan
from harness.result import Result
from harness.scenario import Scenario
from harness.sim import real
from harness.sim.preempt import Level

__all__ = ["Candidate", "Minimised", "carry_out", "limited", "minimise"]

_NTH_TRIED = 4  # passings that are tried in the place of a window
_LENGTHS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 90.0)
_STEPS_MAX = 2_000_000


@dataclass(frozen=True)
class Candidate:
    """A run as a value.

    ``messages``: how many each workload sends at most; ``None``: as the scenario says. ``preempt``: at which level
    the scenario's modules give way inside their blocks; ``None``: not at all.
    """

    plan: FaultPlan
    seed: int = 0
    messages: int | None = None
    schedule: Schedule = dataclasses.field(default_factory=lambda: Schedule("random"))
    preempt: Level | None = None


@dataclass(frozen=True)
class Minimised:
    """The smallest run that was found to break the same invariant.

    ``runs``: how many were tried; ``finished``: false if the time was over before; ``interrupted``: by Ctrl-C.
    """

    candidate: Candidate
    result: Result
    runs: int
    finished: bool
    interrupted: bool = False


def limited(scenario: Scenario, messages: int | None) -> Scenario:
    """*scenario* with each workload cut to *messages*."""
    if messages is None:
        return scenario
    workloads = [dataclasses.replace(one, messages=min(one.messages, messages)) for one in scenario.workloads]
    return dataclasses.replace(scenario, workload=workloads)


def carry_out(scenario: Scenario, candidate: Candidate) -> Result:
    """Run *candidate*.

    Raises:
        HarnessError: the plan does not fit the scenario.
    """
    return runner.run(
        limited(scenario, candidate.messages),
        faults=candidate.plan,
        seed=candidate.seed,
        options=runner.Options(tape=candidate.schedule.for_run(), preempt=candidate.preempt, max_steps=_STEPS_MAX),
    )


def minimise(
    scenario: Scenario,
    candidate: Candidate,
    invariant: str,
    *,
    max_seconds: float = 20.0,
    max_runs: int = 500,
    size_ok: Callable[[int], bool] = lambda messages: True,
) -> Minimised | None:
    """Make *candidate*, which breaks *invariant*, as small as the limits allow; ``None`` if it does not break it.

    *size_ok* says whether a clean run with so many messages holds the invariant: where it does not, too few
    messages alone break it, and nothing would be shown. Deterministic but for *max_seconds*.
    """
    work = _Work(scenario, invariant, real.monotonic() + max_seconds, max_runs, size_ok)
    first = work.failing(candidate)
    if first is None:
        return None
    work.keep(candidate, first)
    # As it was recorded: from here on schedules are lists of numbers, whatever made them.
    recorded = dataclasses.replace(candidate, schedule=Schedule("tape", tape=_trimmed(first.schedule)))
    work.attempt(recorded)
    before: Candidate | None = None
    steps = (work.plain_schedule, work.fewer_faults, work.fewer_messages, work.plainer_faults, work.schedule)
    try:
        while before != work.best and not work.over:
            before = work.best
            for step in steps:
                step()
    except KeyboardInterrupt:
        return Minimised(work.best, work.result, work.runs, False, interrupted=True)
    return Minimised(work.best, work.result, work.runs, not work.over)


class _Work:
    """One minimisation: the best so far, and the steps that make it smaller."""

    best: Candidate
    result: Result

    def __init__(
        self, scenario: Scenario, invariant: str, until: float, max_runs: int, size_ok: Callable[[int], bool]
    ) -> None:
        self.scenario = scenario
        self.invariant = invariant
        self.runs = 0
        self._until = until
        self._max_runs = max_runs
        self._size_ok = size_ok
        self._tried: set[Candidate] = set()

    @property
    def over(self) -> bool:
        """Whether time or runs are spent."""
        return self.runs >= self._max_runs or real.monotonic() > self._until

    def failing(self, candidate: Candidate) -> Result | None:
        """The run of *candidate*, if it breaks the invariant."""
        self.runs += 1
        self._tried.add(candidate)
        try:
            result = carry_out(self.scenario, candidate)
        except HarnessError:  # what was drawn does not fit: another place to go on from
            return None
        return result if any(one.name == self.invariant for one in result.violated) else None

    def keep(self, candidate: Candidate, result: Result) -> None:
        self.best, self.result = candidate, result

    def attempt(self, candidate: Candidate) -> bool:
        """Try *candidate* and keep it if it fails likewise."""
        if candidate in self._tried or self.over:
            return False
        result = self.failing(candidate)
        if result is None:
            return False
        self.keep(candidate, result)
        return True

    def attempt_plan(self, plan: FaultPlan) -> bool:
        return self.attempt(dataclasses.replace(self.best, plan=plan))

    # steps, each of which leaves the best as small as it could make it

    def plain_schedule(self) -> None:
        """First come first served, if that is enough; else without anybody being held up inside a block."""
        if not self.attempt(dataclasses.replace(self.best, schedule=Schedule("tape"), preempt=None)):
            self.attempt(dataclasses.replace(self.best, preempt=None))

    def fewer_faults(self) -> None:
        """No fault at all; each alone; then one less at a time."""
        faults = self.best.plan.faults
        if not faults or self.attempt_plan(FaultPlan()):
            return
        if len(faults) > 2 and any(self.attempt_plan(FaultPlan([one])) for one in faults):
            return
        index = 0
        while len(self.best.plan) > 1 and index < len(self.best.plan):
            if not self.attempt_plan(self.best.plan.remove(index)):
                index += 1

    def fewer_messages(self) -> None:
        """1, 2, 3, ... as long as these are fewer."""
        most = max((one.messages for one in self.scenario.workloads), default=0)
        now = most if self.best.messages is None else min(most, self.best.messages)
        for number in _counting_up_to(now):
            if self._size_ok(number) and self.attempt(dataclasses.replace(self.best, messages=number)):
                return

    def plainer_faults(self) -> None:
        """Each fault: a passing in the place of a window, an earlier one, the kind's own parameters."""
        for index in range(len(self.best.plan)):
            going = True
            while going and not self.over:
                fault = self.best.plan[index]
                going = any(self.attempt_plan(self.best.plan.replace(index, one)) for one in _plainer(fault))

    def schedule(self) -> None:
        """Fewer choices that are not first come: chunks of them are set to 0, from large to small."""
        tape = list(self.best.schedule.tape)
        size = len(tape)
        while size and tape and not self.over:
            for start in range(0, len(tape), size):
                if not any(tape[start : start + size]):
                    continue
                trial = _trimmed([*tape[:start], *([0] * len(tape[start : start + size])), *tape[start + size :]])
                if self.attempt(dataclasses.replace(self.best, schedule=Schedule("tape", tape=trial))):
                    tape = [*trial, *([0] * (len(tape) - len(trial)))]
            size = size // 2


def _counting_up_to(number: int) -> Iterator[int]:
    """Numbers below *number*: all small ones, then doubled."""
    one = 1
    while one < number:
        yield one
        one = one + 1 if one < 8 else one * 2


def _plainer(fault: Fault) -> Iterator[Fault]:
    """Faults that say less than *fault*, the plainest first."""
    if fault.nth is not None:
        for number in dict.fromkeys((1, fault.nth // 2, fault.nth - 1)):
            if 1 <= number < fault.nth:
                yield fault.replace(nth=number)
    elif _counted(fault):
        for number in range(1, _NTH_TRIED + 1):
            yield fault.replace(nth=number, start=None, end=None, probability=1.0)
    if fault.probability < 1:
        yield fault.replace(probability=1.0)
    yield from _shorter(fault)
    defaults = _plain_parameters(fault)
    if dict(defaults) != dict(fault.parameters):
        yield fault.replace(**defaults)


def _counted(fault: Fault) -> bool:
    """Whether passings can be counted for it."""
    return (
        not fault.momentary and fault.kind != "slow-start" and fault.where.layer not in ("network", "process", "clock")
    )


def _shorter(fault: Fault) -> Iterator[Fault]:
    """Shorter windows, and those that open at the start or at a whole second."""
    start, end = fault.start, fault.end
    if start is None:
        return
    if end is None:
        for earlier in dict.fromkeys((0.0, float(int(start)))):
            if earlier < start:
                yield fault.replace(start=earlier)
        return
    for length in _LENGTHS:
        if length < end - start:
            yield fault.replace(end=round(start + length, 3))
    for earlier in dict.fromkeys((0.0, float(int(start)))):
        if earlier < start:
            yield fault.replace(start=earlier, end=round(earlier + end - start, 3))


def _plain_parameters(fault: Fault) -> dict[str, object]:
    """The kind's own parameters; a killed process is started again after 5 seconds, as in a sweep."""
    from harness.explore.space import PARAMETERS

    own = {parameter.name: parameter.default for parameter in fault.spec.parameters}
    return {**own, **PARAMETERS.get(fault.kind, {})}


def _trimmed(tape: Sequence[int]) -> tuple[int, ...]:
    """*tape* without the zeros at its end, which mean the same as nothing."""
    last = next((index for index in range(len(tape), 0, -1) if tape[index - 1]), 0)
    return tuple(tape[:last])
