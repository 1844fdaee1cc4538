"""Clocks and sleep: ``time`` in all its names, ``datetime.now`` and ``datetime.utcnow``.

The shims are bound methods, which no class attribute binds again: a class
may keep ``clock = time.time`` as it did with the built-in function.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import sys
import time as _time
import warnings
from collections.abc import Callable
from typing import Any

from harness.sim import real, world
from harness.sim.patches.swap import keep

__all__ = ["attach", "detach", "pairs", "to_us"]

_get_ident = real.get_ident
_REALTIME_CLOCKS = frozenset(getattr(_time, name) for name in ("CLOCK_REALTIME", "CLOCK_TAI") if hasattr(_time, name))
_LONGEST_US = 1 << 60


def to_us(seconds: float) -> int:
    """Seconds as whole microseconds, bounded; a positive wait takes one at least."""
    us = seconds * 1e6
    if us >= _LONGEST_US:
        return _LONGEST_US
    return round(us) or (1 if seconds > 0 else 0)


class _Clocks:
    """The shims of module ``time``."""

    def sleep(self, seconds: float, /) -> None:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            real.sleep(seconds)
            return
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if seconds != seconds:
            raise ValueError("Invalid value NaN (not a number)")
        kernel = run.kernel
        if kernel.on_sleep is not None and kernel.current is not None:
            kernel.on_sleep()
        kernel.sleep_us(to_us(seconds))

    def time(self) -> float:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            return real.time()
        return run.kernel.read_wall_us() / 1e6

    def time_ns(self) -> int:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            return real.time_ns()
        return run.kernel.read_wall_us() * 1000

    def localtime(self, seconds: float | None = None, /) -> _time.struct_time:
        return real.localtime(self._given(seconds))

    def gmtime(self, seconds: float | None = None, /) -> _time.struct_time:
        return real.gmtime(self._given(seconds))

    def ctime(self, seconds: float | None = None, /) -> str:
        return real.ctime(self._given(seconds))

    def asctime(self, t: Any = None, /) -> str:
        return real.asctime(self.localtime() if t is None else t)

    def strftime(self, format: str, t: Any = None, /) -> str:
        return real.strftime(format, self.localtime() if t is None else t)

    def _given(self, seconds: float | None) -> float | None:
        if seconds is None and world.current() is not None:
            return self.time()
        return seconds

    def clock_gettime(self, clk_id: int, /) -> float:
        if world.current() is None:
            return real.clock_gettime(clk_id)
        return self.clock_gettime_ns(clk_id) // 1000 / 1e6

    def clock_gettime_ns(self, clk_id: int, /) -> int:
        run = world.current()
        if run is None:
            return real.clock_gettime_ns(clk_id)
        if clk_id in _REALTIME_CLOCKS:
            return run.kernel.read_wall_us() * 1000
        return run.kernel.read_monotonic_us() * 1000


def _seconds_clock(name: str, original: Callable[[], float]) -> Callable[[object], float]:
    # A default argument, not a closure: what the harness keeps there is exempt from being replaced.
    def clock(self: object, /, original: Callable[[], float] = original) -> float:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            return original()
        return run.kernel.read_monotonic_us() / 1e6

    clock.__name__ = clock.__qualname__ = name
    return clock


def _nanoseconds_clock(name: str, original: Callable[[], int]) -> Callable[[object], int]:
    # A default argument, not a closure: what the harness keeps there is exempt from being replaced.
    def clock(self: object, /, original: Callable[[], int] = original) -> int:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            return original()
        return run.kernel.read_monotonic_us() * 1000

    clock.__name__ = clock.__qualname__ = name
    return clock


_SECONDS = ("monotonic", "perf_counter", "process_time", "thread_time")
_DEFINED = (
    *("sleep", "time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"),
    *("clock_gettime", "clock_gettime_ns"),
)
for _name in _SECONDS:
    setattr(_Clocks, _name, _seconds_clock(_name, getattr(real, _name)))
    setattr(_Clocks, f"{_name}_ns", _nanoseconds_clock(f"{_name}_ns", getattr(real, f"{_name}_ns")))
_clocks = _Clocks()
# One object for each shim: every access to a method makes another.
_SHIMS = keep({name: getattr(_clocks, name) for name in (*_DEFINED, *_SECONDS, *(f"{name}_ns" for name in _SECONDS))})


def pairs() -> list[tuple[object, object]]:
    """The functions to be replaced wherever they are kept, each with its shim."""
    return [(getattr(real, name), shim) for name, shim in _SHIMS.items()]


# -- datetime: methods of a type that C made ------------------------------------------------------


def _type_dict(kind: type) -> dict[str, Any]:
    """The dict behind the read-only ``__dict__`` of *kind*."""
    found = gc.get_referents(kind.__dict__)[0]
    assert type(found) is dict
    return found


_now = datetime.datetime.__dict__["now"]
_utcnow = datetime.datetime.__dict__["utcnow"]


def _virtual_now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
    run = world.current()
    if run is None:
        found: datetime.datetime = _now.__get__(None, cls)(tz)
        return found
    return cls.fromtimestamp(run.kernel.read_wall_us() / 1e6, tz)


def _virtual_utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
    if sys.version_info >= (3, 12):  # here, so that the warning names the caller and not this file
        warnings.warn(
            "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. Use "
            "timezone-aware objects to represent datetimes in UTC: datetime.datetime.now(datetime.UTC).",
            DeprecationWarning,
            stacklevel=2,
        )
    return _virtual_now(cls, datetime.UTC).replace(tzinfo=None)


_virtual_now.__name__ = "now"
_virtual_utcnow.__name__ = "utcnow"


def _put(now: object, utcnow: object) -> None:
    methods = _type_dict(datetime.datetime)
    methods["now"] = now
    methods["utcnow"] = utcnow
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime.datetime))


def attach() -> None:
    """Replace ``datetime.datetime.now`` and ``utcnow`` in the type itself, which subclasses then inherit."""
    _put(classmethod(_virtual_now), classmethod(_virtual_utcnow))


def detach() -> None:
    """Put the built-in methods back."""
    _put(_now, _utcnow)
