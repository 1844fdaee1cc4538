"""What a toxic is: a type with attributes, and on each connection and direction a stage that the bytes pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from harness.net.reactor import Reactor, Timer
from harness.toxiproxy.errors import invalid

__all__ = [
    "MAX_MILLISECONDS",
    "Attribute",
    "Carrier",
    "Receiver",
    "Stage",
    "ToxicType",
    "at_least",
    "between",
    "one_of",
]

#: A hundred days: nobody waits longer, and no sum of such times overflows.
MAX_MILLISECONDS = 100 * 24 * 3600 * 1000

Check = Callable[[Any], str]


def at_least(low: float) -> Check:
    """A check: the value is not below *low*."""
    return lambda value: "" if value >= low else f"must be at least {low}"


def between(low: float, high: float) -> Check:
    """A check: the value is in [*low*, *high*]."""
    return lambda value: "" if low <= value <= high else f"must be between {low} and {high}"


def one_of(*values: str) -> Check:
    """A check: the value is one of *values*."""
    return lambda value: "" if value in values else f"must be one of {', '.join(values)}"


@dataclass(frozen=True, slots=True)
class Attribute:
    """``kind`` as in Go (``int64``, ``float32``, ``string``); ``check`` says what is wrong with a value, or nothing."""

    name: str
    kind: str = "int64"
    default: Any = 0
    check: Check = field(default=lambda value: "")


class Receiver(Protocol):
    """Where bytes go: the next stage, or the socket at the end."""

    def feed(self, data: bytes, at: float) -> None:
        """*data* came, at the monotonic time *at*."""
        ...

    def end(self) -> None:
        """No more data comes."""
        ...


class Carrier(Protocol):
    """The connection as a stage sees it."""

    reactor: Reactor

    def resume(self) -> None:
        """A stage holds less than before: the source may be read again."""
        ...

    def close(self, *, reset: bool = False) -> None:
        """Close both sides when what was sent on is delivered; with ``reset`` at once, by RST."""
        ...


class Stage:
    """One toxic on one direction of one connection. This one passes everything on.

    ``values``: the toxic's attributes, by name.
    """

    #: A link reads no more from its source while a stage holds more than this.
    MOST_HELD: ClassVar[int] = 65_536

    def __init__(self, values: Mapping[str, Any], carrier: Carrier, onward: Receiver, rng: random.Random) -> None:
        self.values = values
        self.carrier = carrier
        self.next = onward
        self.rng = rng
        self.held = 0
        self._timer: Timer | None = None
        self._gone = False

    @property
    def full(self) -> bool:
        """Whether the source must wait."""
        return self.held > self.MOST_HELD

    def feed(self, data: bytes, at: float) -> None:
        self.next.feed(data, at)

    def end(self) -> None:
        self.next.end()

    def updated(self, values: Mapping[str, Any]) -> None:
        """The attributes are *values* from now on."""
        self.values = values

    def removed(self) -> None:
        """The toxic is taken away: pass on what is held, at once and in order."""

    def dropped(self) -> None:
        """The connection is gone, or the toxic: no timer of this stage goes off any more."""
        self._gone = True
        self._cancel()

    def _after(self, seconds: float, function: Callable[[], object]) -> None:
        """One timer a stage: a new one takes the place of the last."""
        self._at(self.carrier.reactor.now() + max(0.0, seconds), function)

    def _at(self, at: float, function: Callable[[], object]) -> None:
        self._cancel()
        if not self._gone:
            self._timer = self.carrier.reactor.call_at(at, function)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@dataclass(frozen=True, slots=True)
class ToxicType:
    """``extra``: unknown to a real Toxiproxy. ``together``: what is wrong with the attributes taken together."""

    name: str
    stage: type[Stage]
    attributes: tuple[Attribute, ...] = ()
    together: Check = field(default=lambda values: "")
    extra: bool = False

    @property
    def go_name(self) -> str:
        """The name of Toxiproxy's own type, as its error texts have it."""
        words = self.name.removesuffix("_peer").split("_")
        return "".join(word.capitalize() for word in words) + "Toxic"

    @property
    def passes(self) -> bool:
        """Whether bytes pass it untouched: then a link has no stage for it, and the kernel may move them."""
        return self.stage is Stage

    def defaults(self) -> dict[str, Any]:
        """The attributes where nothing is said."""
        return {one.name: one.default for one in self.attributes}

    def types(self) -> dict[str, str]:
        """The attributes' kinds."""
        return {one.name: one.kind for one in self.attributes}

    def validate(self, values: Mapping[str, Any]) -> None:
        """Raises ApiError (400) for values that mean nothing, or that would be the end of the server."""
        for one in self.attributes:
            wrong = one.check(values[one.name])
            if wrong:
                raise invalid(f"attribute {one.name} of {self.name} {wrong}, not {values[one.name]!r}")
        wrong = self.together(values)
        if wrong:
            raise invalid(f"attributes of {self.name}: {wrong}")
