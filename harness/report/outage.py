"""One run as an outage: from when to when something was broken, and how many messages came late because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import PlanError
from harness.history import Event, Header

__all__ = ["LATE_RULE", "Outage", "outage"]

#: How "late" is defined, for the page.
LATE_RULE = (
    "A message is late if it took effect more than a limit after it was sent. The limit is five times the time that "
    "nineteen of twenty messages sent before the first strike needed, and at least one second; where none was sent "
    "before it, 30 seconds."
)
_TIMES = 5
_LEAST_S = 1.0
_WITHOUT_CALM_S = 30.0
_OVER = frozenset({"fault.end", "fault.strike", "process.resume", "process.start"})


@dataclass(frozen=True, slots=True)
class Outage:
    """What a manager asks of a run. Times in seconds since its start; ``None`` where no fault struck.

    Attributes:
        first: the first strike.
        over: the last strike, end of a window, restart or resumption.
        late: messages that took effect later than *late_over* seconds after they were sent; ``None``: no effect is
            declared.
        classes: how often each class of fault (``aws.timeout``) struck.
    """

    first: float | None
    over: float | None
    late: int | None
    late_over: float
    classes: Mapping[str, int]

    @property
    def seconds(self) -> float | None:
        """How long it lasted."""
        return None if self.first is None or self.over is None else self.over - self.first

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": dict(self.classes), "seconds": self.seconds}


def outage(header: Header, events: Iterable[Event]) -> Outage:
    """Read it from a run's events, in one pass."""
    system: Mapping[str, Any] = header.get("system") or {}
    sources = frozenset(system.get("sources") or ())
    names = _classes_by_index(header)
    sent: dict[str, float] = {}
    took: list[tuple[float, float]] = []  # when a message was sent, how long until its first effect
    seen: set[str] = set()
    classes: dict[str, int] = {}
    first = over = None
    for event in events:
        kind = event["kind"]
        if kind == "send":
            if event.get("key") is not None and (not sources or event.get("queue") in sources):
                sent.setdefault(str(event["key"]), event["t"])
        elif kind == "effect":
            key = str(event.get("key"))
            if key in sent and key not in seen:
                seen.add(key)
                took.append((sent[key], event["t"] - sent[key]))
        elif kind in _OVER:
            if kind == "fault.strike":
                first = event["t"] if first is None else first
                name = names.get(event.get("fault", -1), str(event.get("fault_kind")))
                classes[name] = classes.get(name, 0) + 1
            if first is not None:
                over = event["t"]
    limit = _limit([seconds for at, seconds in took if first is None or at + seconds < first])
    late = sum(seconds > limit for _, seconds in took) if system.get("effects") else None
    return Outage(first, over, late, limit, dict(sorted(classes.items())))


def _limit(calm: list[float]) -> float:
    if not calm:
        return _WITHOUT_CALM_S
    usual = sorted(calm)[int(0.95 * (len(calm) - 1))]
    return max(_LEAST_S, _TIMES * usual)


def _classes_by_index(header: Header) -> dict[int, str]:
    """The class of each fault of the plan: the layer that defines its kind, and the kind."""
    plan: Mapping[str, Any] = header.get("plan") or {}
    return {index: fault_class(fault) for index, fault in enumerate(plan.get("faults") or ())}


def fault_class(fault: Mapping[str, Any]) -> str:
    """``aws.timeout`` for a fault of a plan's JSON; its target's layer where this harness does not know the kind."""
    from harness.faults.kinds import find

    layer, kind = str(fault.get("target", "")).partition(".")[0], str(fault.get("kind", ""))
    try:
        return f"{find(layer, kind).layer}.{kind}"
    except (PlanError, KeyError):
        return f"{layer}.{kind}"
