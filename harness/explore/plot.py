"""What of a history belongs to one finding: the events of a message, and the faults that struck whoever had it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.history import Event, History

__all__ = ["Plot", "process_of", "thread"]

#: Kinds of event that are about a message or a key.
ABOUT_A_MESSAGE = frozenset(
    {
        "send",
        "receive",
        "delete",
        "visibility",
        "move",
        "expire",
        "effect",
        "effect.lost",
        "quarantine",
        "release",
        "handler.start",
        "handler.end",
    }
)
#: Kinds that are about a batch of messages, which a Lambda function was given or not.
ABOUT_A_BATCH = frozenset({"lambda.invoke", "lambda.answer", "lambda.throttled", "lambda.filtered"})
#: Kinds that are about a process: they belong to a finding if the process had the message then.
ABOUT_A_PROCESS = frozenset({"process.crash", "process.sigterm", "process.pause", "process.exit", "thread.error"})


def process_of(actor: str) -> str:
    """The process of an actor: ``worker.1`` for ``worker.1/Thread-2``."""
    return actor.partition("/")[0]


@dataclass
class Plot:
    """The events of one finding, in order.

    Attributes:
        key: the message's key, ``None`` where the finding is about no message.
        events: what belongs to it.
        evidence: all numbers of the evidence.
        waits: by the number of a strike, the seconds until whoever was struck did the next thing.
    """

    key: str | None
    events: list[Event]
    evidence: frozenset[int] = field(default_factory=frozenset)
    waits: Mapping[int, float] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds."""
        return [event for event in self.events if event["kind"] in kinds]

    def between(self, first: int, last: int, *kinds: str) -> list[Event]:
        """The events of these kinds with numbers between *first* and *last*, neither included."""
        return [event for event in self.of(*kinds) if first < event["n"] < last]

    def seen(self) -> list[tuple[Event, Event]]:
        """Each strike on a call with the failure that the caller then saw of that call."""
        found: list[tuple[Event, Event]] = []
        last: dict[str, Event] = {}
        for event in self.events:
            strike = last.get(event["actor"])
            if event["kind"] == "call.failed" and strike is not None and _same_call(strike, event):
                found.append((strike, event))
            last[event["actor"]] = event
        return found


def _same_call(strike: Event, failed: Event) -> bool:
    point, _, _ = str(strike.get("point", "")).rpartition(".")
    return strike["kind"] == "fault.strike" and point == failed.get("point")


def thread(history: History, evidence: Sequence[int]) -> Plot:
    """The events that tell how a verdict with this *evidence* came about."""
    wanted = frozenset(evidence)
    key = _key_of(history, wanted)
    if key is None:
        return Plot(None, _around(history, wanted), wanted, _waits(history))
    return Plot(key, _follow(history, key, wanted), wanted, _waits(history))


def _waits(history: History) -> dict[int, float]:
    """How long each strike's victim did nothing after it, in seconds."""
    struck: dict[str, Event] = {}
    found: dict[int, float] = {}
    for event in history.events:
        strike = struck.pop(event["actor"], None)
        if strike is not None:
            found[strike["n"]] = event["t"] - strike["t"]
        if event["kind"] == "fault.strike":
            struck[event["actor"]] = event
    return found


def _key_of(history: History, evidence: frozenset[int]) -> str | None:
    """The key that the evidence is about: that of its first event which has one."""
    ids: dict[str, str] = {}
    found: str | None = None
    for event in history.events:
        key, message = event.get("key"), event.get("message")
        if key is not None and message is not None:
            ids.setdefault(message, key)
        if found is None and event["n"] in evidence and event["kind"] in ABOUT_A_MESSAGE:
            found = key if key is not None else ids.get(message, message) if message is not None else None
    return found


def _around(history: History, evidence: frozenset[int]) -> list[Event]:
    """Without a message: the evidence itself and the strikes before its last event that hit the same processes."""
    last = max(evidence, default=0)
    shown = [event for event in history.events if event["n"] in evidence]
    processes = {process_of(event["actor"]) for event in shown}
    strikes = [
        event
        for event in history.events
        if event["kind"] == "fault.strike" and event["n"] < last and process_of(event["actor"]) in processes
    ]
    return sorted([*strikes[:1], *strikes[1:][-1:], *shown], key=lambda event: event["n"])


def _follow(history: History, key: str, evidence: frozenset[int]) -> list[Event]:
    """Everything about the message, and about the processes that had it while they had it."""
    messages: set[str] = set()
    holders: set[str] = set()  # processes that received it and did not yet delete it
    crashed: set[str] = set()  # of those, the ones that were killed: their new start is told
    focus: dict[str, bool] = {}  # by actor: is this message the one that it worked on last?
    found = []
    for event in history.events:
        kind, actor = event["kind"], event["actor"]
        message = event.get("message")
        if event.get("key") == key or event.get("original") in messages or message in messages:
            mine = True
            if message is not None:
                messages.add(message)
        else:
            mine = message is not None and message == key
        if kind in ABOUT_A_MESSAGE:
            focus[actor] = mine
            if mine:
                found.append(event)
                if kind == "receive":
                    holders.add(process_of(actor))
        elif kind in ABOUT_A_BATCH:
            sandbox = event.get("sandbox", actor)
            focus[sandbox] = False
            if not messages.isdisjoint(event["messages"]):
                found.append(event)
                if kind == "lambda.invoke":
                    focus[sandbox] = True
                    holders.add(sandbox)
        elif kind in ("fault.strike", "call.failed"):
            if mine or focus.get(actor, False) or (event["n"] in evidence):
                found.append(event)
        elif kind in ABOUT_A_PROCESS:
            process = event.get("process") or process_of(actor)
            if process in holders:
                found.append(event)
                if kind == "process.crash":
                    holders.discard(process)
                    crashed.add(process)
        elif kind == "process.start":
            if event.get("process") in crashed:
                crashed.discard(event["process"])
                found.append(event)
        elif event["n"] in evidence:
            found.append(event)
    return found
