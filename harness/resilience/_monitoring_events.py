"""What error monitoring tells its listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from harness.resilience.monitoring import ErrorMonitoring

__all__ = [
    "Counted",
    "MonitoringEvent",
    "MonitoringListener",
    "PublishFailed",
    "Published",
    "watch_monitoring",
    "watchers",
]


@dataclass(frozen=True, slots=True)
class Counted:
    """Something was counted: ``ErrorCount`` for an error, ``EventCount`` for what a component did."""

    monitoring: ErrorMonitoring
    metric: str
    dimensions: Mapping[str, str]
    number: int


@dataclass(frozen=True, slots=True)
class Published:
    """CloudWatch accepted a request of so many ``series`` that stand for so many ``errors``."""

    monitoring: ErrorMonitoring
    series: int
    errors: int


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """A request failed. ``refused``: so many errors in it CloudWatch will never take; the others are kept."""

    monitoring: ErrorMonitoring
    error: BaseException
    refused: int


MonitoringEvent: TypeAlias = Counted | Published | PublishFailed
#: A plain function qualifies. Called in the thread where it happened; one that raises is logged.
MonitoringListener: TypeAlias = Callable[[MonitoringEvent], object]

_watchers: tuple[MonitoringListener, ...] = ()


def watch_monitoring(listener: MonitoringListener) -> Callable[[], None]:
    """Tell *listener* what every monitoring of this process does; returns a function that ends it."""
    global _watchers
    _watchers = (*_watchers, listener)

    def stop() -> None:
        global _watchers
        rest = list(_watchers)
        if listener in rest:
            rest.remove(listener)
        _watchers = tuple(rest)

    return stop


def watchers() -> tuple[MonitoringListener, ...]:
    """Who is told of every monitoring of this process."""
    return _watchers
