"""Why a counterexample breaks its invariant: what it takes, where the nearest run that passes parts from it, and how.

The counterexample is run again, and then with one thing less each time: a
fault, the last message, a choice of the schedule that is not first come. A
fault without which the invariant holds is *needed*. Of the runs that break
nothing, the one that is the same for longest is the *nearest*; the first
event that differs is where the two part. The chain of causes
(:mod:`harness.explore.causes`) leads from the faults to the violation.

(Delta debugging's question "why does this input fail and that one not?":
Zeller, "Isolating Cause-Effect Chains from Computer Programs", FSE 2002.)

An explanation is a value; how it is shown is somebody else's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

from harness import runner
from harness.errors import HarnessError
from harness.explore.causes import Link, chain
from harness.explore.chart import Chart, draw
from harness.explore.counterexample import Counterexample
from harness.explore.difference import Difference
from harness.explore.plot import Plot, thread
from harness.explore.replay import Replay, as_it_ran, replay, scenario_of
from harness.explore.sentences import effect_name, sentence
from harness.explore.story import Line, telling
from harness.faults.plan import FaultPlan
from harness.history import Event, History
from harness.invariants.base import Verdict
from harness.result import Result
from harness.scenario import Scenario
from harness.sim import world

__all__ = ["CHOICES_MAX", "Explanation", "NotReproduced", "Row", "Without", "explain", "parting"]

#: So many choices of the schedule are left out, one at a time, the latest first.
CHOICES_MAX: Final = 24
_ROWS_MAX = 16
_LINES_EACH = 10
_NEVER = 1_000_000_000

#: What a run with one fault less says otherwise, without anything being otherwise.
_UNTOLD = frozenset({"fault.start", "fault.end"})
_RENUMBERED = frozenset({"n", "cause", "fault"})


class NotReproduced(HarnessError):
    """The counterexample's run breaks none of its invariants any more: there is nothing to explain."""

    def __init__(self, done: Replay) -> None:
        changed = "; ".join(done.changed)
        super().__init__(
            f"{done.counterexample.scenario}: not reproduced: the run breaks none of "
            f"{', '.join(one.name for one in done.counterexample.violated)}" + (f" ({changed})" if changed else "")
        )
        self.replay = done


@dataclass(frozen=True)
class Without:
    """The same run with one thing less.

    Attributes:
        kind: ``fault``, ``message`` or ``choice`` (of the schedule).
        index: which fault of the plan, or which decision of the schedule; 0 for the last message.
        what: it in words.
        breaks: whether the invariant breaks all the same: then the thing is not needed.
        others: what else that run breaks.
        error: why it could not be run.
        parts_at: the number of the first event of the counterexample that is otherwise there; ``None``: none is.
    """

    kind: str
    index: int
    what: str
    breaks: bool
    others: tuple[str, ...] = ()
    error: str = ""
    parts_at: int | None = None
    result: Result | None = field(default=None, compare=False, repr=False)

    @property
    def passed(self) -> bool:
        """Whether that run broke nothing at all."""
        return not (self.breaks or self.others or self.error)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "index": self.index,
            "what": self.what,
            "needed": not self.breaks and not self.error,
            "also_breaks": list(self.others),
            "error": self.error,
            "parts_at": self.parts_at,
        }


@dataclass(frozen=True)
class Row:
    """One line of two runs set beside each other; ``of``: ``both``, ``failed`` or ``passed``."""

    of: str
    t: float
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"of": self.of, "t": self.t, "text": self.text}


@dataclass(frozen=True)
class Explanation:
    """Why a counterexample breaks an invariant.

    Attributes:
        plan: its faults.
        faults: each fault left out in turn.
        more: the last message and choices of the schedule left out, as far as they were tried.
        nearest: of all those the run that broke nothing and is the same for longest; ``None``: every one breaks
            something.
        difference: where the two part: (event of the failing run, event of the other); event ``None``: none is left.
        beside: what became of the finding's message in both.
        links: the chain of events from the faults to the violation, with their sentences in ``texts``.
    """

    scenario: str
    verdict: Verdict
    plan: FaultPlan
    seed: int
    chart: Chart
    faults: tuple[Without, ...]
    more: tuple[Without, ...]
    nearest: Without | None
    difference: Difference | None
    beside: tuple[Row, ...]
    links: tuple[Link, ...]
    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[Without, ...]:
        """The faults without which the invariant holds."""
        return tuple(one for one in self.faults if not one.breaks and not one.error)

    def to_json(self) -> dict[str, Any]:
        """This explanation as JSON values: what a report embeds."""
        difference = self.difference
        return {
            "version": 1,
            "scenario": self.scenario,
            "seed": self.seed,
            "plan": self.plan.to_json(),
            "violated": self.verdict.name,
            "detail": effect_name(self.verdict.detail),
            "evidence": list(self.verdict.evidence),
            "faults": [one.to_json() for one in self.faults],
            "more": [one.to_json() for one in self.more],
            "nearest": None if self.nearest is None else self.nearest.to_json(),
            "difference": None
            if difference is None
            else {
                "n": difference.number,
                "failed": None if difference.first is None else dict(difference.first),
                "passed": None if difference.second is None else dict(difference.second),
                "words": {"failed": _words(difference.first), "passed": _words(difference.second)},
            },
            "beside": [row.to_json() for row in self.beside],
            "chain": [link.to_json(text) for link, text in zip(self.links, self.texts, strict=True)],
            "story": {**self.chart.story.to_json(), "chart": self.chart.to_json(), "mermaid": self.chart.mermaid()},
            "notes": list(self.notes),
        }


def explain(
    source: Counterexample | Path | str, *, scenario: Scenario | None = None, choices: int = CHOICES_MAX
) -> Explanation:
    """Explain a counterexample; *scenario* replaces the one in the file that it names.

    At most *choices* of its schedule are left out in turn, and only where no
    fault and no message makes the difference.

    Raises:
        UsageError: the counterexample or its scenario cannot be read.
        NotReproduced: it breaks nothing any more.
    """
    found = source if isinstance(source, Counterexample) else Counterexample.load(source)
    runner.install()  # before the scenario's file imports anything
    given = scenario if scenario is not None else scenario_of(found)
    moments = _Moments()
    done = replay(found, scenario=given, witness=moments)
    verdict = done.violation
    if verdict is None:
        raise NotReproduced(done)
    lesser = _Lesser(found, given, done.result, verdict.name)
    faults = [lesser.fault(index) for index in range(len(found.plan))]
    more = [*lesser.message()]
    if not any(one.passed for one in (*faults, *more)):
        more += lesser.choices(moments, choices, verdict)
    return _explanation(found, done, verdict, faults, more)


def _explanation(
    found: Counterexample, done: Replay, verdict: Verdict, faults: Sequence[Without], more: Sequence[Without]
) -> Explanation:
    history = done.result.history
    plot = thread(history, verdict.evidence)
    passed = [one for one in (*faults, *more) if one.passed]
    nearest = max(passed, key=lambda one: one.parts_at or _NEVER, default=None)
    difference: Difference | None = None
    beside: tuple[Row, ...] = ()
    if nearest is not None and nearest.result is not None:
        difference = parting(history, nearest.result.history)
        beside = tuple(_beside(plot, nearest.result.history))
    needed = {one.index for one in faults if not one.breaks}
    links = _chain(history, plot, needed or set(range(len(found.plan))))
    return Explanation(
        scenario=found.scenario,
        verdict=verdict,
        plan=found.plan,
        seed=found.seed,
        chart=draw(history, verdict),
        faults=tuple(faults),
        more=tuple(more),
        nearest=nearest,
        difference=difference,
        beside=beside,
        links=links,
        texts=tuple(sentence(link.event, plot) or _words(link.event) for link in links),
        notes=tuple(done.changed),
    )


def _chain(history: History, plot: Plot, faults: set[int]) -> tuple[Link, ...]:
    """From the strikes of these faults to the last event of the evidence, or of the message.

    What did not happen has no event that faults could lead to: then to the end of a process that was not started
    again, and would have been needed.
    """
    strikes = [event for event in history.of("fault.strike") if event.get("fault") in faults]
    target = max(plot.evidence, default=0) or max((event["n"] for event in plot.events), default=0)
    links: tuple[Link, ...] = ()
    for goal in (target, _end_of_a_process(history)):
        origins = [event["n"] for event in strikes if event["n"] <= goal]
        found = chain(history, plot, origins, goal) if goal else ()
        if found and (not strikes or found[0].event["kind"] == "fault.strike"):
            return found
        links = links or found
    return links


def _end_of_a_process(history: History) -> int:
    """The number of the event by which the last of those that were down at the end went down; 0: none was."""
    down: dict[str, int] = {}
    for event in history.of("process.start", "process.exit", "process.crash"):
        if event["kind"] == "process.start":
            down.pop(event["process"], None)
        else:
            down[event["process"]] = event["n"]
    return max(down.values(), default=0)


# with one thing less


class _Moments:
    """A witness: before which event each decision of the schedule was made."""

    def __init__(self) -> None:
        self._made: list[int] = []  # by event: how many decisions had been made

    def __call__(self, event: Event) -> None:
        run = world.current()
        self._made.append(0 if run is None else len(run.kernel.decisions))

    def event_after(self, decision: int) -> int | None:
        """The number of the first event after decision *decision* (from 0)."""
        return next((number for number, made in enumerate(self._made, start=1) if made > decision), None)


class _Lesser:
    """Runs a counterexample with one thing less."""

    def __init__(self, found: Counterexample, scenario: Scenario, result: Result, invariant: str) -> None:
        self._found = found
        self._scenario = scenario
        self._result = result
        self._invariant = invariant

    def fault(self, index: int) -> Without:
        """Without fault *index* of the plan."""
        plan = self._found.plan
        what = f"fault {index + 1}: {plan[index]}"
        return self._run("fault", index, what, plan=_less(plan, index))

    def message(self) -> Iterator[Without]:
        """Without the last message of each workload, if there is more than one."""
        now = max((one.messages for one in as_it_ran(self._scenario, self._found.messages).workloads), default=0)
        if now > 1:
            yield self._run("message", 0, f"message {now} of {now}", messages=now - 1)

    def choices(self, moments: _Moments, most: int, verdict: Verdict) -> Iterator[Without]:
        """Without one choice of the schedule that is not first come: the latest first, until one makes a difference."""
        tape = list(self._result.schedule)
        last = max(verdict.evidence, default=len(self._result.history))
        made = [index for index, choice in enumerate(tape) if choice]
        before = [(index, moments.event_after(index)) for index in made]
        wanted = [(index, number) for index, number in before if number is not None and number <= last]
        for index, number in wanted[::-1][:most]:
            schedule = (*tape[:index], 0, *tape[index + 1 :])
            what = f"choice {index + 1} of the schedule, made before event {number}"
            one = self._run("choice", index, what, schedule=schedule)
            yield one
            if one.passed:
                return

    def _run(
        self,
        kind: str,
        index: int,
        what: str,
        *,
        plan: FaultPlan | None = None,
        messages: int | None = None,
        schedule: tuple[int, ...] | None = None,
    ) -> Without:
        found = self._found
        tape = found.schedule if schedule is None else schedule
        try:
            result = runner.run(
                as_it_ran(self._scenario, found.messages if messages is None else messages),
                faults=found.plan if plan is None else plan,
                seed=found.seed,
                backend=found.backend,
                options=runner.Options(tape=tape or None, preempt=found.preempt),
            )
        except HarnessError as error:  # a plan that is none without the fault, for one
            return Without(kind, index, what, breaks=False, error=str(error))
        broken = [one.name for one in result.violated]
        parted = parting(self._result.history, result.history)
        return Without(
            kind,
            index,
            what,
            breaks=self._invariant in broken,
            others=tuple(name for name in broken if name != self._invariant),
            error=result.reason.partition("\n")[0] if result.verdict == "error" else "",
            parts_at=None if parted is None else parted.number,
            result=result,
        )


def _less(plan: FaultPlan, index: int) -> FaultPlan:
    """*plan* without one fault, the others with the chance that they had.

    A fault's chance is drawn from the run's seed and its place in the plan: where a later one has some, this one
    stays and strikes no passing.
    """
    by_chance = any(fault.probability < 1 for fault in list(plan)[index + 1 :])
    fault = plan[index]
    if by_chance and not fault.momentary and fault.where.layer not in ("network", "process", "clock"):
        return plan.replace(index, fault.replace(nth=_NEVER, start=None, end=None, probability=1.0))
    return plan.remove(index)


# beside each other


def parting(first: History, second: History) -> Difference | None:
    """The first event that says something else in the *second* run; ``None`` if both say the same throughout.

    Windows that open and close, and numbers of events and faults, are not compared: one fault less changes these
    without anything having happened.
    """
    one, other = _compared(first), _compared(second)
    for left, right in zip(one, other, strict=False):
        if left[1] != right[1]:
            return Difference(left[0]["n"], left[0], right[0])
    if len(one) == len(other):
        return None
    longer = (one if len(one) > len(other) else other)[min(len(one), len(other))][0]
    left_event, right_event = (longer, None) if len(one) > len(other) else (None, longer)
    return Difference(longer["n"], left_event, right_event)


def _compared(history: History) -> list[tuple[Event, dict[str, Any]]]:
    return [
        (event, {name: value for name, value in event.items() if name not in _RENUMBERED})
        for event in history.events
        if event["kind"] not in _UNTOLD
    ]


def _beside(plot: Plot, other: History) -> list[Row]:
    """What became of the plot's message in its own run and in *other*, line by line, what is the same joined."""
    theirs = _counterpart(plot, other)
    failed, passed = telling(plot, _LINES_EACH), telling(theirs, _LINES_EACH)
    rows: list[Row] = []
    matcher = SequenceMatcher(None, [*map(_said, failed)], [*map(_said, passed)], autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            rows += [Row("both", line.event["t"], line.text) for line in failed[a:b]]
        else:
            rows += [Row("failed", line.event["t"], line.text) for line in failed[a:b]]
            rows += [Row("passed", line.event["t"], line.text) for line in passed[c:d]]
    return rows[:_ROWS_MAX]


def _said(line: Line) -> tuple[float, str, str]:
    """What makes two lines the same: a sentence says more than its event where later ones explain it."""
    return line.event["t"], line.event["actor"], line.event["kind"]


def _counterpart(plot: Plot, other: History) -> Plot:
    """The same message's events in another run."""
    if plot.key is None:
        return Plot(None, [])
    about = next((event["n"] for event in other.events if event.get("key") == plot.key), None)
    theirs = thread(other, () if about is None else (about,))
    return Plot(theirs.key, theirs.events, frozenset(), theirs.waits)


def _words(event: Event | None) -> str:
    """One event by itself, in words."""
    if event is None:
        return "nothing more happened"
    return sentence(event, Plot(None, [event])) or f"{event['actor']}: {event['kind']}"
