"""Tells a finding in at most ten lines: who did what with the message, what struck, what was then believed.

The story is told from the history and the verdict alone, so that a saved
history can be told years later. It ends with three lines: what was expected,
what was seen, and because of what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.explore import reasons
from harness.explore.plot import Plot, process_of, thread
from harness.faults.wording import ordinal
from harness.history import Event, History
from harness.invariants.base import Verdict

__all__ = ["EXPECTED", "Story", "tell"]

LINES_MAX = 10
_TOLD_MAX = LINES_MAX - 3

#: What each invariant asks for, in a customer's words.
EXPECTED: Mapping[str, str] = {
    "no-message-loss": "every message is handled, or is still somewhere",
    "at-least-once": "every message is handled at least once",
    "effects-once": "what a message stands for happens once",
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
    told = _joined([_Line(event, _weight(event, plot), _sentence(event, plot)) for event in plot.events])
    told = [line for line in told if line.text]
    return Story(
        invariant=verdict.name,
        key=plot.key,
        lines=tuple(f"{_clock(line.event['t'])}  {line.text}" for line in _most_telling(told)),
        expected=EXPECTED.get(verdict.name, f"{verdict.name} holds"),
        seen=verdict.detail,
        because=reasons.because(history, verdict, plot),
    )


@dataclass
class _Line:
    event: Event
    weight: int
    text: str


def _clock(t: float) -> str:
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
    "handler.end": 5,
    "call.failed": 5,
    "process.start": 3,
    "process.sigterm": 5,
    "process.exit": 4,
}


def _weight(event: Event, plot: Plot) -> int:
    if event["n"] in plot.evidence:
        return 20
    if event["kind"] == "handler.end" and event.get("outcome") == "ok":
        return 0
    return _WEIGHTS.get(event["kind"], 1)


def _most_telling(lines: list[_Line]) -> list[_Line]:
    """At most seven lines: the heaviest, the earlier of equals, in the order of time."""
    if len(lines) <= _TOLD_MAX:
        return lines
    ranked = sorted(range(len(lines)), key=lambda index: (-lines[index].weight, index))
    return [lines[index] for index in sorted(ranked[:_TOLD_MAX])]


def _joined(lines: list[_Line]) -> list[_Line]:
    """What is one thing is told in one line.

    A lost answer and the error that the caller then sees; a fault that kills
    or stops a process, and that it is killed or stopped.
    """
    found: list[_Line] = []
    for line in lines:
        before = found[-1] if found else None
        if before is not None and _same_call(before.event, line.event):
            before.text = f"{before.text}; {line.text}"
            before.weight = max(before.weight, line.weight)
            continue
        if before is not None and _same_blow(before.event, line.event):
            before.weight = max(before.weight, line.weight)
            continue
        found.append(line)
    return found


def _same_call(first: Event, second: Event) -> bool:
    return (
        first["kind"] == "fault.strike"
        and second["kind"] == "call.failed"
        and first["actor"] == second["actor"]
        and str(first.get("point", "")).startswith(str(second.get("point", "-")))
    )


def _same_blow(first: Event, second: Event) -> bool:
    blow = f"process.{first.get('fault_kind')}"
    return first["kind"] == "fault.strike" and second["kind"] == blow and bool(first["t"] == second["t"])


# sentences


def _sentence(event: Event, plot: Plot) -> str:
    teller = _TELLERS.get(event["kind"])
    return teller(event, plot) if teller is not None else _plain(event)


def _send(event: Event, plot: Plot) -> str:
    queue = event.get("queue", "a queue")
    if event.get("origin") == "workload":
        return f"message {_named(event, plot)} is sent to {queue}"
    what = "it" if plot.key is not None else f"message {_named(event, plot)}"
    return f"{_who(event)} sends {what} to {queue}"


def _receive(event: Event, plot: Plot) -> str:
    count = event.get("receive_count", 1)
    again = "" if count == 1 else f", the {ordinal(count)} time"
    hidden = event.get("visible_at")
    until = f"; hidden from others until {hidden:.3f} s" if isinstance(hidden, (int, float)) else ""
    return f"{_who(event)} receives it from {event.get('queue', 'a queue')}{again}{until}"


def _delete(event: Event, plot: Plot) -> str:
    if event.get("found") is False:
        return f"{_who(event)} deletes it from {event.get('queue', 'a queue')}, where it is no more"
    earlier = any(other["n"] < event["n"] for other in plot.of("effect"))
    before = "" if earlier or not plot.of("receive") else ", and nothing has happened for it yet"
    return f"{_who(event)} deletes it from {event.get('queue', 'a queue')}{before}"


def _effect(event: Event, plot: Plot) -> str:
    times = sum(
        other["n"] <= event["n"] and other.get("name") == event.get("name") and other.get("key") == event.get("key")
        for other in plot.of("effect")
    )
    again = "" if times <= 1 else f" for the {ordinal(times)} time"
    return f'"{event.get("name")}" happens for it{again}, by {_who(event)}'


def _effect_lost(event: Event, plot: Plot) -> str:
    return f'the store of "{event.get("name")}" loses it again'


def _strike(event: Event, plot: Plot) -> str:
    point, did, who = str(event.get("point", "?")), event.get("did", ""), _who(event)
    layer, _, rest = point.partition(".")
    kind = event.get("fault_kind")
    if layer in ("process", "clock"):
        return f"{rest} {_DONE_TO.get(str(kind), 'is struck')} ({did})"
    if layer == "workload":
        return f"fault: {did}"
    if kind in _DONE_TO:
        return f"{who} {_DONE_TO[str(kind)]} {_place(point)} ({did})"
    if layer in ("aws", "redis", "dependency") and not str(did).startswith("raised"):
        name, _, side = point.rpartition(".")
        if side == "after":
            return f"{who}'s {_call(name)} has taken effect, but {did}"
        return f"{who}'s {_call(name)} has no effect: {did}"
    return f"the work of {who} fails {_place(point)} ({did})"


#: What strikes a process or its work, whatever point it passes.
_DONE_TO = {
    "crash": "is killed",
    "sigterm": "gets SIGTERM",
    "pause": "stands still",
    "hang": "never goes on",
    "slow": "is slow",
    "jump": "has its clock moved",
    "drift": "has its clock run wrong",
}


def _place(point: str) -> str:
    """Where in the code a point is, for somebody who reads a story."""
    name, _, side = point.rpartition(".")
    if point.startswith("handler"):
        return {"before": "at the start of the handler", "after": "at the end of the handler"}.get(
            side, "in the middle of the handler"
        )
    if point.startswith("point."):
        return f"at {point.partition('.')[2]}"
    return f"just after its {_call(name)} has taken effect" if side == "after" else f"just before its {_call(name)}"


def _call_failed(event: Event, plot: Plot) -> str:
    return f"{_who(event)} sees {event.get('error')} and believes that its {_call(str(event.get('point', '?')))} failed"


def _handler_end(event: Event, plot: Plot) -> str:
    if event.get("outcome") == "ok":
        return f"the handler of {_who(event)} is done"
    return f"the handler of {_who(event)} fails: {event.get('error')}"


def _named(event: Event, plot: Plot) -> str:
    return str(plot.key if plot.key is not None else event.get("key") or event.get("message"))


def _who(event: Event) -> str:
    return process_of(str(event["actor"]))


def _call(point: str) -> str:
    """``DeleteMessage`` for ``aws.sqs.DeleteMessage``, ``Redis INCR``, ``call to payments``."""
    layer, _, name = point.partition(".")
    if layer == "aws":
        return name.rpartition(".")[2]
    if layer == "redis":
        return f"Redis {name}"
    if layer == "dependency":
        return f"call to {name}"
    return point


def _plain(event: Event) -> str:
    """An event without a sentence of its own: its kind and what it says."""
    left_out = ("n", "t", "actor", "kind", "cause", "handle", "message")
    fields = ", ".join(f"{name} {value}" for name, value in event.items() if name not in left_out)
    return f"{_who(event)}: {event['kind']} ({fields})" if fields else f"{_who(event)}: {event['kind']}"


_TELLERS: Mapping[str, Callable[[Event, Plot], str]] = {
    "send": _send,
    "receive": _receive,
    "delete": _delete,
    "effect": _effect,
    "effect.lost": _effect_lost,
    "fault.strike": _strike,
    "call.failed": _call_failed,
    "handler.start": lambda event, plot: "",
    "handler.end": _handler_end,
    "run.end": lambda event, plot: f"the run is over ({event.get('reason')})",
    "visibility": lambda event, plot: f"{_who(event)} hides it until {event.get('visible_at')} s",
    "move": lambda event, plot: f"SQS moves it from {event.get('queue')} to {event.get('to')}",
    "expire": lambda event, plot: f"its retention in {event.get('queue')} runs out: it is gone",
    "quarantine": lambda event, plot: f"{_who(event)} puts it in quarantine: {event.get('reason')}",
    "release": lambda event, plot: f"{_who(event)} lets it out of quarantine",
    "process.crash": lambda event, plot: f"{event.get('process')} is killed",
    "process.sigterm": lambda event, plot: f"{event.get('process')} gets SIGTERM",
    "process.pause": lambda event, plot: f"{event.get('process')} stands still until {event.get('until')} s",
    "process.exit": lambda event, plot: f"{event.get('process')} ends ({event.get('outcome')})",
    "process.start": lambda event, plot: f"{event.get('process')} starts again and remembers nothing",
    "breaker.transition": lambda event, plot: (
        f"breaker {event.get('breaker')} goes from {event.get('from')} to {event.get('to')} ({event.get('reason')})"
    ),
    "breaker.call": lambda event, plot: (
        f"a call through breaker {event.get('breaker')}, {event.get('state')}: {event.get('outcome')}"
    ),
    "retry.sleep": lambda event, plot: (
        f"{_who(event)} waits {event.get('delay')} s after attempt {event.get('attempt')} "
        f"(allowed: {event.get('low')} to {event.get('high')} s)"
    ),
    "retry.attempt": lambda event, plot: (
        f"{_who(event)}, attempt {event.get('attempt')}: {event.get('outcome')} {event.get('error') or ''}".rstrip()
    ),
}
