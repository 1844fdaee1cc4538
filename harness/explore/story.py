"""Tells a finding in at most ten lines: who did what with the message, what struck, what was then believed.

The story is told from the history and the verdict alone, so that a saved
history can be told years later. It ends with three lines: what was expected,
what was seen, and because of what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.explore import reasons
from harness.explore.plot import Plot, process_of, thread
from harness.explore.sentences import effect_name, failure, sentence
from harness.history import Event, History
from harness.invariants.base import Verdict

__all__ = ["EXPECTED", "Line", "Story", "clock", "tell", "telling"]

LINES_MAX = 10
_TOLD_MAX = LINES_MAX - 3

#: What each invariant asks for, in a customer's words.
EXPECTED: Mapping[str, str] = {
    "no-message-loss": "every message is handled, or is still somewhere",
    "at-least-once": "every message is handled at least once",
    "effects-once": "what a message asks for is done once",
    "duplicates-bounded": "a message is handled twice only where it was delivered twice, and not too often",
    "fifo-order": "messages of one group are handled in the order in which they were sent",
    "batch-integrity": "each entry of a batch is treated by its own result",
    "not-stuck": "when everything works again, every message comes to its end",
    "breaker-transitions": "a breaker changes its state only as breakers may",
    "breaker-opens": "a breaker opens at its threshold of failures",
    "breaker-stays-open": "an open breaker lets nothing through until its recovery time is over",
    "breaker-half-open-permits": "a half-open breaker lets its permitted probes through and no more",
    "breaker-generations": "a late answer to an earlier call changes nothing",
    "breaker-ignores-permanent": "an error that no waiting cures does not open a breaker",
    "backoff-bounds": "each wait is within the policy's bounds",
    "attempts-bounded": "no call is tried more often than the policy allows",
    "deadline-kept": "retries end at their deadline",
    "permanent-not-retried": "what no retry cures is not tried again",
    "retry-budget": "retries stay within their budget",
    "no-herd": "clients that failed together do not all come back together",
    "poison-contained": "a message that always fails is set aside after a few attempts",
    "envelope-complete": "a dead letter carries everything that is needed to handle it later",
    "not-processed-and-dead-lettered": "a message is handled or dead-lettered, not both",
    "tried-before-dead-lettered": "a message is given to somebody before it is given up",
    "replay-once": "replaying dead letters brings each message back once",
    "recovers-within": "the first success comes soon after the last fault",
    "backlog-drains": "what piled up during the outage is worked off",
    "throughput-returns": "after the outage as much is handled as before",
    "not-metastable": "when the trigger is gone, the system comes back",
    "amplification-bounded": "an outage does not multiply the calls",
}


@dataclass(frozen=True)
class Story:
    """A finding in words; ``str()`` gives its lines."""

    invariant: str
    key: str | None
    lines: tuple[str, ...]
    expected: str
    seen: str
    because: str

    def __str__(self) -> str:
        return "\n".join(
            [
                *self.lines,
                f"expected: {self.expected}",
                f"seen:     {self.seen}",
                f"because:  {self.because}",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """This story as JSON values."""
        return {
            "invariant": self.invariant,
            "key": self.key,
            "lines": list(self.lines),
            "expected": self.expected,
            "seen": self.seen,
            "because": self.because,
        }


def tell(history: History, verdict: Verdict) -> Story:
    """The story of a verdict on a history."""
    plot = thread(history, verdict.evidence)
    return Story(
        invariant=verdict.name,
        key=plot.key,
        lines=tuple(f"{clock(line.event['t'])}  {line.text}" for line in telling(plot, _TOLD_MAX)),
        expected=EXPECTED.get(verdict.name, f"{verdict.name} holds"),
        seen=effect_name(verdict.detail),
        because=reasons.because(history, verdict, plot),
    )


def telling(plot: Plot, most: int) -> list[Line]:
    """The events of *plot* that tell most, *most* at most, in the order of time."""
    told = _joined([Line(event, _weight(event, plot), sentence(event, plot)) for event in plot.events], plot)
    return _most_telling([line for line in told if line.text], most)


@dataclass
class Line:
    """An event as a story tells it. ``with_it``: events that are told in the same line."""

    event: Event
    weight: int
    text: str
    with_it: Sequence[Event] = ()


def clock(t: float) -> str:
    """``12.345 s``, right-aligned, so that lines stand under one another."""
    return f"{t:9.3f} s"


#: How much each kind of event tells, when not all fit.
_WEIGHTS = {
    "effect": 9,
    "delete": 8,
    "process.crash": 8,
    "effect.lost": 8,
    "fault.strike": 7,
    "send": 7,
    "move": 6,
    "receive": 6,
    "quarantine": 6,
    "expire": 6,
    "purge": 6,
    "process.pause": 6,
    "lambda.answer": 7,
    "lambda.throttled": 6,
    "lambda.filtered": 8,
    "lambda.invoke": 5,
    "handler.end": 5,
    "call.failed": 5,
    "process.start": 3,
    "process.sigterm": 5,
    "process.exit": 4,
}


def _weight(event: Event, plot: Plot) -> int:
    """How much *event* tells: the evidence most, then the deliveries that led to it, least what came after it all."""
    if event["n"] in plot.evidence:
        return 20
    if event["kind"] == "handler.end" and event.get("outcome") == "ok":
        return 0
    if event["n"] in _deliveries(plot):
        return 15
    weight = _WEIGHTS.get(event["kind"], 1)
    after = bool(plot.evidence) and event["n"] > max(plot.evidence)
    return weight // 3 if after and event["kind"] in ("effect", "delete", "receive", "send") else weight


def _deliveries(plot: Plot) -> set[int]:
    """The numbers of the receives from which the evidence came: the last of the same process before each."""
    found = set()
    for proof in plot.events:
        if proof["n"] in plot.evidence:
            receives = [
                event["n"]
                for event in plot.of("receive")
                if event["n"] < proof["n"] and process_of(event["actor"]) == process_of(proof["actor"])
            ]
            found.update(receives[-1:])
    return found


def _most_telling(lines: list[Line], most: int) -> list[Line]:
    """At most so many lines: the heaviest, the earlier of equals, in the order of time."""
    if len(lines) <= most:
        return lines
    ranked = sorted(range(len(lines)), key=lambda index: (-lines[index].weight, index))
    return [lines[index] for index in sorted(ranked[:most])]


def _joined(lines: list[Line], plot: Plot) -> list[Line]:
    """What is one thing is told in one line.

    A lost answer and the error that the caller then saw; a fault that kills
    or stops a process, and that it is killed or stopped.
    """
    seen = {failed["n"]: (strike, failed) for strike, failed in plot.seen()}
    by_number = {line.event["n"]: line for line in lines}
    found: list[Line] = []
    for line in lines:
        if line.event["n"] in seen:
            strike, failed = seen[line.event["n"]]
            first = by_number[strike["n"]]
            first.text += failure(failed, strike)
            first.weight = max(first.weight, line.weight)
            first.with_it = (*first.with_it, failed)
            continue
        before = found[-1] if found else None
        if before is not None and _same_blow(before.event, line.event):
            before.weight = max(before.weight, line.weight)
            before.with_it = (*before.with_it, line.event)
            continue
        found.append(line)
    return found


def _same_blow(first: Event, second: Event) -> bool:
    blow = f"process.{first.get('fault_kind')}"
    return first["kind"] == "fault.strike" and second["kind"] == blow and bool(first["t"] == second["t"])
