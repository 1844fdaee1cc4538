"""The fault engine, watched: somebody is told of every passing as it happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.faults.engine import FaultEngine
from harness.sim import verdicts

__all__ = ["Passed", "WatchedEngine"]

#: Called with point, side, and the key of the message where it is known, in the actor that passes, before any strike.
Passed: TypeAlias = Callable[[str, str, str | None], object]


class WatchedEngine(FaultEngine):
    """A :class:`FaultEngine` that tells *passed* of every passing. Nothing else differs, not a byte of the history."""

    def __init__(self, passed: Passed, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._passed = passed

    def passing(self, point: str, side: str, key: str | None = None) -> verdicts.Verdict | None:
        """See :meth:`harness.sim.world.Hook.passing`."""
        self._passed(point, side, key)
        return super().passing(point, side, key)
