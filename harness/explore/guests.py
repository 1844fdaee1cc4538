"""Sweeping somebody's own tests: which faults to try, what a repetition came to, and how that is told.

Everything here is a value that goes between processes as JSON; who runs the
tests is :mod:`harness.pytest_sweep`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.environments.guest import Called, Handled, Stay
from harness.explore.space import Choice, choices
from harness.explore.sweep import Single, singles
from harness.faults.plan import FaultPlan
from harness.sim.wire import mocked_aws, mocked_redis

__all__ = ["EXCUSED", "Run", "Trial", "judge", "judge_sim", "trials", "trials_of_sim"]

#: Kinds that a right program may answer with an error, or with doing nothing for now: invariants judge alone.
EXCUSED: Final = frozenset(
    {"access-denied", "expired-token", "clock-skew", "readonly", "out-of-memory", "empty-receive"}
)

_OF_PROCESSES: Final = frozenset({"crash", "sigterm", "pause"})
_OF_SQS: Final = frozenset({"partial-failure", "duplicate", "reorder", "delay", "empty-receive", "stale-attributes"})
_LOSSES: Final = ("no-message-loss", "at-least-once")


@dataclass(frozen=True)
class Trial:
    """One repetition: exactly this fault. ``call``: whose report it belongs to (point, and the line that called)."""

    single: Single
    call: str

    @property
    def name(self) -> str:
        return self.single.name

    @property
    def kind(self) -> str:
        return self.single.choice.kind

    @property
    def plan(self) -> FaultPlan:
        return FaultPlan([self.single.fault])

    @property
    def excused(self) -> bool:
        """Whether a test that fails shows nothing.

        Beside the kinds of :data:`EXCUSED`: a receive whose answer is lost is an empty one, and that SQS makes
        two of a message that was sent is nothing that its sender can do anything about.
        """
        choice = self.single.choice
        operation = choice.point.rpartition(".")[2]
        return (
            choice.kind in EXCUSED
            or (operation == "ReceiveMessage" and choice.side == "after")
            or (operation.startswith("SendMessage") and choice.kind == "duplicate")
        )

    @property
    def sort(self) -> str:
        """What it is one of: the first of each is tried before the rest."""
        return f"{self.single.choice.name} at {self.call}"


@dataclass(frozen=True)
class Run:
    """What one repetition said. ``failed``: the phases of the test that did; ``error``: the first one's, one line."""

    stay: Stay
    failed: Sequence[str] = ()
    error: str = ""


def trials(clean: Stay) -> list[Trial]:
    """Every (call, kind) of a clean run, one of each first. Calls that the test itself makes are left out."""
    return _one_of_each_first(_trials(clean.called))


def _trials(called: Iterable[Called]) -> Iterator[Trial]:
    for one in called:
        if one.own:
            continue
        for choice in choices(one.point, one.side):
            if _can_strike(choice):
                yield Trial(Single(choice, one.nth), f"{one.point} at {one.site}")


def _can_strike(choice: Choice) -> bool:
    if choice.kind in _OF_PROCESSES:
        return False
    if choice.point.startswith("redis."):
        return choice.kind in mocked_redis.KINDS
    return choice.kind not in _OF_SQS or choice.kind in mocked_aws.KINDS_OF_SQS


def trials_of_sim(passed: Mapping[tuple[str, str], int]) -> list[Trial]:
    """Every single fault of a scenario that a test builds with ``sim``."""
    return _one_of_each_first(Trial(one, one.choice.point) for one in singles(passed))


def _one_of_each_first(found: Iterable[Trial]) -> list[Trial]:
    seen: set[str] = set()
    firsts: list[Trial] = []
    rest: list[Trial] = []
    for one in found:
        (rest if one.sort in seen else firsts).append(one)
        seen.add(one.sort)
    return [*firsts, *rest]


def judge(trial: Trial, clean: Stay, run: Run) -> tuple[str, str]:
    """What a repetition came to, and why: handled, test fails, message lost, hang, not reached."""
    stay = run.stay
    if stay.ended != "done":
        return "hang", stay.reason
    if not any(stay.struck):
        return "not reached", "the test took another way before it"
    lost = _lost(clean.handled, stay.handled)
    if lost:
        return "message lost", lost
    if run.failed and not trial.excused:
        return "test fails", f"{run.error} ({', '.join(run.failed)})" if run.failed != ["call"] else run.error
    return "handled", "with an error, as it may be" if run.failed else ""


def _lost(clean: Sequence[Handled], seen: Sequence[Handled]) -> str:
    """The message that is gone without its effect; "" if none is.

    In the clean run a message was received, something in the world outside
    was changed, and the message was deleted. Now it was deleted too, yet a
    change is missing and nothing else was done instead: nobody will ever
    make up for it.
    """
    gone = Counter(one.of for one in clean if one.what == "delete")
    if not gone or gone - Counter(one.of for one in seen if one.what == "delete"):
        return ""
    missing = _effects_after_receive(clean) - Counter(one.of for one in seen if one.what == "effect")
    instead = _effects(seen) - _effects(clean)
    if not missing or instead:
        return ""
    message = next(iter(gone))
    text = message if len(message) <= 60 else f"{message[:57]}..."
    what = ", ".join(sorted(missing))
    others = f" (one of {sum(gone.values())})" if sum(gone.values()) > 1 else ""
    return f"the message {text!r}{others} was deleted, yet {what} never took effect, and nothing was done instead"


def _effects(handled: Iterable[Handled]) -> Counter[str]:
    return Counter(one.of for one in handled if one.what == "effect")


def _effects_after_receive(handled: Sequence[Handled]) -> Counter[str]:
    first = next((index for index, one in enumerate(handled) if one.what == "receive"), len(handled))
    return _effects(handled[first:])


def judge_sim(trial: Trial, run: Run, result: Mapping[str, Any] | None) -> tuple[str, str]:
    """The same for a test that builds a scenario with ``sim``, whose run has been judged by the invariants."""
    if run.stay.ended != "done":
        return "hang", run.stay.reason
    if result is None:
        return "test fails", run.error or "it ended before sim.run()"
    violated: Mapping[str, str] = result["violated"]
    for name in _LOSSES:
        if name in violated:
            return "message lost", f"{name}: {violated[name]}"
    if "not-stuck" in violated:
        return "hang", f"not-stuck: {violated['not-stuck']}"
    if violated:
        name, detail = next(iter(violated.items()))
        return "test fails", f"{name}: {detail}"
    if result["verdict"] == "error":
        return "hang", result["reason"].partition("\n")[0]
    if result["unstruck"]:
        return "not reached", "the run took another way before it"
    if run.failed and result["verdict"] == "passed" and not trial.excused:
        return "test fails", run.error
    return "handled", ""
