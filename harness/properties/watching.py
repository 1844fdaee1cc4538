"""What stands between a component and its run in a probe: its effects, points and keys go through here."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from harness import points
from harness.effects import Bench, Effect, SendObserver, Undo
from harness.sim import world

__all__ = ["BEFORE", "EFFECT", "Book", "LookingHook", "StagedEffect", "StagedSink"]

#: The fault points of an effect: somebody is about to do it, somebody has just done it.
BEFORE, EFFECT = "point.effect", "point.effected"


class Book(Protocol):
    """Who knows which message is which."""

    effect_s: float
    names: tuple[str, ...]

    def enter(self, bench: Bench) -> Undo:
        """A run begins."""
        ...

    def canonical(self, key: object) -> str:
        """The message that the component calls *key*."""
        ...

    def look(self) -> None:
        """Take down what has happened since the last look."""
        ...


class StagedEffect(Effect):
    """An effect whose key is led back to the message; the first one of a stage opens it."""

    def __init__(self, inner: Effect, stage: Book, *, first: bool) -> None:
        self.inner = inner
        self.name = inner.name
        self.source = inner.source  # type: ignore[misc]
        self._stage = stage
        self._first = first

    @property
    def key(self) -> str | None:
        return self.inner.key

    def describe(self) -> str:
        return self.inner.describe()

    def observe(self, bench: Bench) -> Undo:
        leave = self._stage.enter(bench) if self._first else None
        end = self.inner.observe(_Leading(bench, self._stage))

        def undo() -> None:
            end()
            if leave is not None:
                leave()

        return undo


class _Leading:
    """A bench that leads keys back to messages."""

    def __init__(self, bench: Bench, stage: Book) -> None:
        self._bench = bench
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench, name)

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        self._bench.record_effect(name, None if key is None else self._stage.canonical(key), source)

    def record_effect_lost(self, name: str, key: str | None) -> None:
        self._bench.record_effect_lost(name, None if key is None else self._stage.canonical(key))

    def on_send(self, observer: SendObserver) -> Undo:
        return self._bench.on_send(observer)


class StagedSink:
    """The run's sink, behind the stage: an effect takes time, and faults may strike before and after it."""

    def __init__(self, inner: points.Sink, stage: Book) -> None:
        self._inner = inner
        self._stage = stage

    def effect(self, name: str, key: object) -> None:
        run = world.current()
        if run is None or run.kernel.current is None or name not in self._stage.names:
            self._inner.effect(name, key)
            return
        message = self._stage.canonical(key)
        run.hook.passing(BEFORE, "before", message)
        if not _in_a_task():
            run.kernel.sleep_us(max(1, round(self._stage.effect_s * 1e6)))
        self._inner.effect(name, message)
        run.hook.passing(EFFECT, "before", message)

    def point(self, name: str) -> None:
        self._inner.point(name)

    def always(self, condition: bool, name: str) -> None:
        self._inner.always(condition, name)

    def sometimes(self, condition: bool, name: str) -> None:
        self._inner.sometimes(condition, name)

    def reachable(self, name: str) -> None:
        self._inner.reachable(name)


def _in_a_task() -> bool:
    """Whether this is a coroutine of an event loop, which must not be held up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class LookingHook:
    """The run's hook, which looks what has happened before anything may strike."""

    def __init__(self, inner: world.Hook, stage: Book) -> None:
        self._inner = inner
        self._stage = stage

    def passing(self, point: str, side: str, key: str | None = None) -> Any:
        self._stage.look()
        return self._inner.passing(point, side, key)

    def latency_us(self, point: str) -> int:
        return self._inner.latency_us(point)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
