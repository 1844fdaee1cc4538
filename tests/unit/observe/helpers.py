"""A record that keeps what observers write, and says no to what the vocabulary does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness import observe
from harness.history import KINDS


class Recorded:
    """The events of one run, as dictionaries with ``kind``."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.running = True
        self.process = "worker.1"

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int:
        assert kind in KINDS, kind
        for name in fields:
            assert f"`{name}`" in KINDS[kind] or name == "owner", f"{kind} has no field {name}"
        event = {"kind": kind, **fields}
        if message is not None:
            event["message"] = message
        self.events.append(event)
        return len(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]


@contextmanager
def observed(
    recorded: Recorded | None = None, *, key_of: Callable[[str], str | None] | None = None
) -> Iterator[Recorded]:
    """Observers in force, as in a run, until the block ends."""
    recorded = recorded if recorded is not None else Recorded()
    stop: Callable[[], None] = observe.install(
        recorded, active=lambda: recorded.running, process=lambda: recorded.process, key_of=key_of
    )
    try:
        yield recorded
    finally:
        stop()


class Clock:
    """Seconds that only move when told to; sleeping moves them."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def fail(error: BaseException) -> None:
    raise error
