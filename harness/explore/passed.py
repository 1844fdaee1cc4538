"""Every passing of a fault point in one run: who passed it, in which state the system was, and what was in their hands.

A run with :class:`Watch`'s two functions among its options leaves a list of
:class:`Passing`. What a passing *touched* is what a fault there could have
hurt: the messages that its process held, the key that the point itself names,
and whatever the passing actor recorded until its next passing (messages,
keys, breakers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.explore.coverage import State
from harness.explore.space import is_passed
from harness.sim import world as _world
from harness.sim.lines import name_of

__all__ = ["Passing", "Place", "Watch"]

#: A point, its side, and the number of the passing.
Place: TypeAlias = tuple[str, str, int]
Trail: TypeAlias = tuple[tuple[str, str], ...]

#: How many passings back an actor's way counts: an attempt before this one stands there.
_TRAIL = 3

#: Events after which a process has no more to do with a message.
_LET_GO = ("delete", "expire", "message.lost", "move")


@dataclass(frozen=True)
class Passing:
    """One passing.

    Attributes:
        touched: messages and keys, breakers by name.
        trail: where the same actor came by just before.
        after: how many events had happened.
    """

    point: str
    side: str
    nth: int
    process: str
    state: str
    touched: frozenset[str]
    trail: Trail
    after: int

    @property
    def place(self) -> Place:
        return self.point, self.side, self.nth

    @property
    def context(self) -> tuple[Any, ...]:
        """What must be the same in two runs for the passing to be the same one."""
        return self.process, self.state, self.touched, self.trail


class Watch:
    """Collects the passings of one run: hand ``event`` and ``passed`` to its options as ``witness`` and ``passed``."""

    def __init__(self) -> None:
        self._state = State()
        self._events = 0
        self._counts: dict[tuple[str, str], int] = {}
        self._found: list[tuple[Place, str, str, set[str], Trail, int]] = []
        self._trails: dict[str, Trail] = {}  # by the actor's name
        self._latest: dict[str, set[str]] = {}  # by the actor's name: what its latest passing touched
        self._held: dict[str, dict[str, str]] = {}  # by process: its messages, and how they are known
        self._keys: dict[str, str] = {}  # of messages

    def event(self, event: Mapping[str, Any]) -> None:
        """Take one event in, where it happens."""
        self._events += 1
        self._state.step(event)
        message, kind = event.get("message"), event["kind"]
        known = event.get("key")
        if message is not None:
            known = self._keys.setdefault(message, str(message if known is None else known))
        process = str(event["actor"]).partition("/")[0]
        if message is not None and known is not None:
            if kind == "receive":
                self._held.setdefault(process, {})[message] = known
            elif kind in _LET_GO:
                for held in self._held.values():
                    held.pop(message, None)
        touched = self._latest.get(event["actor"])
        if touched is not None:
            if known is not None:
                touched.add(f"message {known}")
            if "breaker" in event:
                touched.add(f"breaker {event['breaker']}")

    def passed(self, point: str, side: str, key: str | None) -> None:
        """Take one passing in, in the actor that passes."""
        run = _world.current()
        actor = None if run is None else run.kernel.current
        if actor is None or not is_passed(point):
            return
        nth = self._counts[point, side] = self._counts.get((point, side), 0) + 1
        process = actor.process.name
        touched = {f"message {known}" for known in self._held.get(process, {}).values()}
        if key is not None:
            touched.add(f"message {key}")
        name = name_of(actor)
        self._latest[name] = touched
        trail = self._trails.get(name, ())
        self._trails[name] = (*trail, (point, side))[-_TRAIL:]
        self._found.append(((point, side, nth), process, str(self._state), touched, trail, self._events))

    @property
    def passings(self) -> list[Passing]:
        """All of them, in order."""
        return [
            Passing(*place, process, state, frozenset(touched), trail, after)
            for place, process, state, touched, trail, after in self._found
        ]
