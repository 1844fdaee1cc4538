"""Marks for production code: where a fault may strike, and what happened in the outside world.

::

    from harness.points import effect, point

    def handle(order):
        charge(order)
        effect("charged", order["order_id"])   # this happened in the outside world
        point("after-charge")                  # a fault may strike here

Outside a run each call is one global look-up and a comparison (under 100 ns)
and has no effect. This module imports the standard library only and nothing
else of ``harness``: it is safe in a production image.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Sink", "always", "effect", "point", "reachable", "set_sink", "sometimes"]


class Sink(Protocol):
    """Where a run receives what the code under test reports."""

    def effect(self, name: str, key: object) -> None: ...
    def point(self, name: str) -> None: ...
    def always(self, condition: bool, name: str) -> None: ...
    def sometimes(self, condition: bool, name: str) -> None: ...
    def reachable(self, name: str) -> None: ...


_sink: Sink | None = None


def set_sink(sink: Sink | None) -> Sink | None:
    """Send reports to *sink* (``None``: nowhere); returns the sink that was in force."""
    global _sink
    before, _sink = _sink, sink
    return before


def effect(name: str, key: object) -> None:
    """The effect *name* of the message whose key is *key* has happened in the outside world."""
    if _sink is not None:
        _sink.effect(name, key)


def point(name: str) -> None:
    """A fault may strike here, as ``Fault("point.<name>", ...)``."""
    if _sink is not None:
        _sink.point(name)


def always(condition: bool, name: str) -> None:
    """*condition* must hold each time that this is passed, else the run fails."""
    if _sink is not None:
        _sink.always(condition, name)


def sometimes(condition: bool, name: str) -> None:
    """*condition* must hold at least once in a campaign, else the campaign is inconclusive."""
    if _sink is not None:
        _sink.sometimes(condition, name)


def reachable(name: str) -> None:
    """This line must be reached at least once in a campaign."""
    if _sink is not None:
        _sink.reachable(name)
