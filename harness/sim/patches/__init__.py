"""Shims: installed once, they dispatch on the run in force and do nothing outside one.

``install()`` puts them in, ``uninstall()`` takes them out and leaves every
name as it was; both are idempotent. Install before the code under test is
imported; what was imported before is found as far as the interpreter can
tell (:mod:`harness.sim.patches.swap`).
"""

from __future__ import annotations

from typing import Any

from harness import compat
from harness.sim.kernel import Kernel
from harness.sim.patches import (
    asyncio_loops,
    audit,
    bound,
    library,
    process,
    random,
    select,
    signals,
    sockets,
    threads,
    time,
)
from harness.sim.patches.swap import keep, release, swap

__all__ = ["install", "installed", "uninstall"]

_ABSENT = object()


class _Installation:
    """What is in force, and how to undo it."""

    def __init__(self) -> None:
        self.pairs: list[tuple[object, object]] = []
        self.attributes: list[tuple[Any, str, object]] = []
        self.locks: list[tuple[object, object]] = []
        self.methods: list[tuple[object, object]] = []

    def put_in(self) -> None:
        process.prepare()
        self.locks = keep(threads.existing_locks())
        for family in (time, random, threads, sockets, select, asyncio_loops, process, signals):
            self.pairs += family.pairs()
        keep(self.pairs)
        swap(self.pairs)
        for owned in (random, threads, sockets, select, asyncio_loops, process):
            for owner, name, shim in owned.attributes():
                self.attributes.append((owner, name, vars(owner).get(name, _ABSENT)))
                setattr(owner, name, shim)
        time.attach()
        self.methods = keep(bound.kept_methods(self.locks))
        swap(self.methods)
        asyncio_loops.attach()
        audit.arm()
        Kernel.begin_steps += [threads.begin_step, library.begin_step, asyncio_loops.begin_step]
        Kernel.exit_steps.append(threads.exit_step)
        Kernel.close_steps += [asyncio_loops.close_step, threads.close_step, library.close_step]

    def take_out(self) -> None:
        Kernel.begin_steps.clear()
        Kernel.exit_steps.clear()
        Kernel.close_steps.clear()
        audit.disarm()
        asyncio_loops.detach()
        methods = keep([(shim, original) for original, shim in self.methods])
        swap(methods, everywhere=True)
        time.detach()
        for owner, name, before in reversed(self.attributes):
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        back = [(shim, original) for original, shim in self.pairs]
        keep(back)
        swap(back, everywhere=True)
        threads.restore_locks(self.locks)
        for kept in (back, methods, self.pairs, self.locks, self.methods):
            release(kept)


_installation: _Installation | None = None


def installed() -> bool:
    """Whether the shims are in."""
    return _installation is not None


def install() -> None:
    """Put the shims in. Nothing if they are.

    Raises:
        EnvironmentFailed: this Python lacks a private name that they stand on.
    """
    global _installation
    if _installation is not None:
        return
    compat.check_threading()
    installation = _Installation()
    try:
        installation.put_in()
    except BaseException:
        installation.take_out()
        raise
    _installation = installation


def uninstall() -> None:
    """Take the shims out. Nothing if they are out."""
    global _installation
    if _installation is None:
        return
    installation, _installation = _installation, None
    installation.take_out()
