"""Every touch of private names of the interpreter and of libraries underneath, with self-checks.

What is private may move with a version. Each family has a check that names
the version it cannot serve, so that the harness refuses instead of giving a
wrong verdict.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import EnvironmentFailed

__all__ = [
    "SUPPORTED",
    "check_interpreter",
    "check_threading",
    "environ_data",
    "leak",
    "raw_environ",
    "running_loop",
    "swap_environ",
]

#: The interpreters that the simulation has been seen to work on.
SUPPORTED = ((3, 11), (3, 12), (3, 13))


def check_interpreter() -> None:
    """Refuse an interpreter that the simulation does not know.

    Raises:
        EnvironmentFailed: another minor version, another implementation, or a free-threaded build.
    """
    version = sys.version_info[:2]
    name = f"{sys.implementation.name} {version[0]}.{version[1]}"
    served = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EnvironmentFailed(
            f"harness.sim needs an interpreter with the GIL (CPython {served}); this is a free-threaded {name}"
        )
    if sys.implementation.name != "cpython" or version not in SUPPORTED:
        raise EnvironmentFailed(f"harness.sim runs on CPython {served}; this is {name}")


def check_threading() -> None:
    """Check the private names of ``threading`` and ``concurrent.futures`` that the simulation stands on.

    Raises:
        EnvironmentFailed: one is missing; the message names it and the Python version.
    """
    import concurrent.futures.thread
    import logging
    import queue
    import tempfile
    import threading

    wanted: list[tuple[object, str]] = [
        *((threading, name) for name in ("_allocate_lock", "_CRLock", "_counter", "_active", "_limbo", "_newname")),
        *((threading, name) for name in ("_active_limbo_lock", "_register_atexit", "_time", "_DummyThread")),
        *((concurrent.futures.thread, name) for name in ("_threads_queues", "_shutdown", "_global_shutdown_lock")),
        (concurrent.futures.thread.ThreadPoolExecutor, "_counter"),
        (queue, "_PySimpleQueue"),
    ]
    if sys.version_info >= (3, 13):
        wanted += [(threading, "_start_joinable_thread"), (threading, "_ThreadHandle")]
    else:
        wanted += [(threading, "_start_new_thread"), (threading, "_set_sentinel"), (threading, "_shutdown_locks")]
    wanted += [(logging, "_startTime"), (tempfile, "_name_sequence")]
    missing = [f"{getattr(owner, '__name__', owner)}.{name}" for owner, name in wanted if not hasattr(owner, name)]
    if not hasattr(os.environ, "_data"):
        missing.append("os.environ._data")
    if missing:
        raise EnvironmentFailed(
            f"harness.sim cannot serve Python {sys.version.split()[0]}: {', '.join(missing)} is not there"
        )


def running_loop() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """asyncio's functions that read and set the running loop of this OS thread."""
    from asyncio.events import _get_running_loop, _set_running_loop

    return _get_running_loop, _set_running_loop


def environ_data(environ: Mapping[str, str]) -> dict[Any, Any]:
    """*environ* as ``os.environ`` keeps it inside: encoded."""
    real = os.environ
    return {real.encodekey(key): real.encodevalue(value) for key, value in environ.items()}


def raw_environ() -> dict[Any, Any]:
    """What ``os.environ`` keeps inside, encoded. Not a copy."""
    environ: Any = os.environ
    data: dict[Any, Any] = environ._data
    return data


def swap_environ(data: Any) -> Any:
    """Make *data* (of ``environ_data``) what ``os.environ`` shows; returns what it showed before."""
    environ: Any = os.environ
    before = environ._data
    environ._data = data
    if os.supports_bytes_environ:
        bytes_environ: Any = os.environb
        bytes_environ._data = data
    return before


def leak(thing: object) -> None:
    """Keep *thing* for ever, also when the interpreter ends: releasing it would run code."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
