"""Threads as actors: ``_thread``, ``threading``, ``queue.SimpleQueue`` and thread pools.

``threading``'s own Python code (Condition, Event, Semaphore, Barrier, Timer,
Thread, and ``queue.Queue``) runs unchanged on what is replaced here: locks,
the start of a thread, its identity.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.thread as pool
import gc
import queue
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.errors import SimulationError
from harness.sim import ending, real, world
from harness.sim.actors import Actor, RunOver
from harness.sim.patches.local import local
from harness.sim.patches.locks import Lock, RLock
from harness.sim.patches.swap import swap
from harness.sim.patches.time import to_us

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel
    from harness.sim.process import Process

__all__ = ["attributes", "begin_step", "close_step", "existing_locks", "exit_step", "pairs"]

JOINABLE = sys.version_info >= (3, 13)  # threads are started with a handle that join() waits for


class _ActorThread(threading.Thread):
    """The ``Thread`` object of an actor that no Thread started: a process's main actor, a raw thread."""

    def __init__(self, actor: Actor, name: str) -> None:
        super().__init__(name=name, daemon=actor.daemon)
        self._actor = actor
        self._started.set()  # type: ignore[attr-defined]  # threading.Thread's own event
        self._ident = self._native_id = actor.ident

    def is_alive(self) -> bool:
        return not self._actor.dead

    def join(self, timeout: float | None = None) -> None:
        kernel, actor = _current()
        if actor is self._actor:
            raise RuntimeError("cannot join current thread")
        until_us = None if timeout is None else kernel.now_us + to_us(max(timeout, 0))
        ending.join(kernel, actor, self._actor, until_us)


def _current() -> tuple[Kernel, Actor]:
    """The kernel and the actor that runs; an error in code that runs in no process."""
    run = world.current()
    if run is None or run.kernel.current is None:
        raise SimulationError("code that runs in no process (a timer, the set-up of the run) has no threads")
    return run.kernel, run.kernel.current


def _actor_or_none() -> Actor | None:
    run = world.current()
    return run.kernel.current if run is not None else None


class _Threads:
    """The shims of modules ``_thread`` and ``threading``; bound methods, as the originals bind to no instance."""

    def get_ident(self) -> int:
        actor = _actor_or_none()
        return real.get_ident() if actor is None else actor.ident

    def get_native_id(self) -> int:
        actor = _actor_or_none()
        return real.get_native_id() if actor is None else actor.ident

    def allocate_lock(self) -> Lock:
        return Lock()

    def start_new_thread(
        self, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None, /
    ) -> int:
        if world.current() is None:
            return real.start_new_thread(function, args, kwargs or {})
        return _spawn(function, args, kwargs or {}, None).ident

    def set_sentinel(self) -> Any:
        actor = _actor_or_none()
        if actor is None:
            return real.set_sentinel()
        actor.sentinel = Lock()
        return actor.sentinel

    def current_thread(self) -> threading.Thread:
        actor = _actor_or_none()
        if actor is None:
            return real.current_thread()
        return _thread_of(actor)

    def main_thread(self) -> threading.Thread:
        actor = _actor_or_none()
        if actor is None or actor.process.main is None:
            return real.main_thread()
        return _thread_of(actor.process.main)

    def enumerate(self) -> list[threading.Thread]:
        actor = _actor_or_none()
        if actor is None:
            return real.enumerate_threads()
        return [_thread_of(other) for other in actor.process.actors if other.greenlet is not None or other is actor]

    def active_count(self) -> int:
        return len(self.enumerate())

    def excepthook(self, args: Any, /) -> None:
        run = world.current()
        if run is None:
            _outer_excepthook(args)
            return
        if run.kernel.closing or isinstance(args.exc_value, RunOver | SystemExit):
            return
        actor = run.kernel.current
        if run.kernel.on_thread_error is not None and actor is not None:
            run.kernel.on_thread_error(actor, args.exc_value)
        else:
            _outer_excepthook(args)

    def counter(self) -> int:
        """Numbers of threads called ``Thread-N``: from 1, for each process."""
        actor = _actor_or_none()
        if actor is None:
            number: int = real.thread_counter()
            return number
        return actor.process.count("thread") + 1

    def pool_counter(self) -> int:
        """Numbers of pools called ``ThreadPoolExecutor-N``: from 0, for each process."""
        actor = _actor_or_none()
        if actor is None:
            number: int = real.pool_counter()
            return number
        return actor.process.count("pool")

    def register_atexit(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        actor = _actor_or_none()
        if actor is None:
            real.register_atexit(function, *args, **kwargs)
            return
        if actor.process.shutting_down:
            raise RuntimeError("can't register atexit after shutdown")
        actor.process.at_threading_exit.append(lambda: function(*args, **kwargs))


def _thread_of(actor: Actor) -> threading.Thread:
    active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]  # compat checks it
    thread = active.get(actor.ident)
    if thread is None:
        name = "MainThread" if actor is actor.process.main else actor.name.rpartition("/")[2]
        thread = active[actor.ident] = _ActorThread(actor, name)
    return thread


def _spawn(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any], handle: Any) -> Actor:
    kernel, parent = _current()
    thread = getattr(function, "__self__", None)
    if isinstance(thread, threading.Thread):
        name, daemon = thread.name, thread.daemon
    else:
        name, daemon = f"thread-{parent.process.count('raw') + 1}", True
    actor = kernel.spawn(parent.process, lambda: function(*args, **kwargs), name, daemon=daemon)
    if handle is not None:
        actor.sentinel = handle
    return actor


# -- CPython 3.13: a thread is started with a handle ----------------------------------------------


class ThreadHandle:
    """What ``_thread._ThreadHandle()`` gives while the shims are in: a real handle, or an actor's."""

    __slots__ = ("_actor", "_real")

    def __init__(self, handle: Any = None) -> None:
        self._real = handle
        self._actor: Actor | None = None

    def _outside(self) -> Any:
        if self._real is None:
            self._real = real.ThreadHandle()
        return self._real

    @property
    def ident(self) -> int:
        if self._actor is not None:
            return self._actor.ident
        ident: int = self._outside().ident
        return ident

    def is_done(self) -> bool:
        if self._actor is not None:
            return self._actor.dead
        done: bool = self._outside().is_done()
        return done

    def join(self, timeout: float | None = None, /) -> None:
        if self._actor is None:
            self._outside().join(timeout)
            return
        if self._actor.dead and world.current() is None:
            return
        kernel, actor = _current()
        until_us = None if timeout is None or timeout < 0 else kernel.now_us + to_us(timeout)
        ending.join(kernel, actor, self._actor, until_us)

    def _set_done(self) -> None:
        if self._actor is None:
            self._outside()._set_done()

    def release(self) -> None:
        """The actor has ended. Who joins it is woken by the kernel."""


def _start_joinable_thread(function: Callable[..., object], handle: Any = None, daemon: bool = True) -> Any:
    if world.current() is None:
        if isinstance(handle, ThreadHandle):
            real.start_joinable_thread(function, handle=handle._outside(), daemon=daemon)
            return handle
        return real.start_joinable_thread(function, handle=handle, daemon=daemon)
    if handle is None:
        handle = ThreadHandle()
    handle._actor = _spawn(function, (), {}, handle)
    return handle


def _make_thread_handle(ident: int) -> ThreadHandle:
    return ThreadHandle(real.make_thread_handle(ident))


# -- queue.SimpleQueue and thread pools -----------------------------------------------------------


class SimpleQueue(queue._PySimpleQueue):  # type: ignore[name-defined,misc]  # compat checks that it is there
    """``queue.SimpleQueue`` on Python locks: the C one blocks the thread of the whole run."""


def _hash(self: Any) -> int:
    """A hash by order of creation inside a run: pools keep threads, and ``wait()`` futures, in sets.

    The default hash is the address, so that a set's order would differ from run to run.
    """
    found: int | None = self.__dict__.get("_harness_hash")
    if found is None:
        run = world.current()
        if run is None:
            found = object.__hash__(self)
        else:
            run.kernel.hashes += 1
            found = run.kernel.hashes
        self.__dict__["_harness_hash"] = found
    return found


class _ShuttingDown:
    """``concurrent.futures.thread._shutdown`` inside a run: whether the current process is ending."""

    def __bool__(self) -> bool:
        actor = _actor_or_none()
        return bool(real.pool_shutdown) if actor is None else actor.process.shutting_down


# -- what the installer takes ---------------------------------------------------------------------

_threads = _Threads()
_SHUTTING_DOWN = _ShuttingDown()


def pairs() -> list[tuple[object, object]]:
    """Functions and classes to be replaced wherever they are kept."""
    found: list[tuple[object, object]] = [
        (real.get_ident, _threads.get_ident),
        (real.get_native_id, _threads.get_native_id),
        (real.allocate_lock, _threads.allocate_lock),
        (real.start_new_thread, _threads.start_new_thread),
        (real.current_thread, _threads.current_thread),
        (real.main_thread, _threads.main_thread),
        (real.enumerate_threads, _threads.enumerate),
        (real.active_count, _threads.active_count),
        (real.register_atexit, _threads.register_atexit),
        (real.LockType, Lock),
        (real.RLockType, RLock),
        (real.local, local),
        (real.SimpleQueue, SimpleQueue),
    ]
    if JOINABLE:
        found += [
            (real.start_joinable_thread, _start_joinable_thread),
            (real.make_thread_handle, _make_thread_handle),
        ]
    else:
        found += [(real.set_sentinel, _threads.set_sentinel)]
    return found


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    found: list[tuple[Any, str, object]] = [
        (threading, "_counter", _threads.counter),
        (pool.ThreadPoolExecutor, "_counter", _threads.pool_counter),
        (pool, "_shutdown", _SHUTTING_DOWN),
        (threading.Thread, "__hash__", _hash),
        (concurrent.futures.Future, "__hash__", _hash),
    ]
    if JOINABLE:
        found.append((threading, "_ThreadHandle", ThreadHandle))
    return found


_outer_excepthook: Any = real.excepthook  # what was in force when the run began
_EXCEPTHOOK = _threads.excepthook


def begin_step(kernel: Kernel) -> None:
    """Take the errors of threads, whoever's hook is in force (a test runner sets one)."""
    global _outer_excepthook
    _outer_excepthook = threading.excepthook
    threading.excepthook = _EXCEPTHOOK


def exit_step(kernel: Kernel, process: Process) -> None:
    """What ``threading._shutdown`` does at a process's exit: pools drain and end, then other exit functions."""
    while process.at_threading_exit:
        process.at_threading_exit.pop()()
    queues = pool._threads_queues  # compat checks it
    idents = {actor.ident for actor in process.actors}
    items = [(thread, work) for thread, work in queues.items() if thread.ident in idents]
    for _, work in items:
        work.put(None)  # what ends a worker
    for thread, _ in items:
        thread.join()


def close_step(kernel: Kernel) -> None:
    """Forget the run's threads in the tables of ``threading`` and of the pools."""
    threading.excepthook = _outer_excepthook
    active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]  # compat checks it
    for ident in [ident for ident in active if ident <= kernel.identities]:
        del active[ident]
    limbo: dict[threading.Thread, threading.Thread] = threading._limbo  # type: ignore[attr-defined]  # as above
    limbo.clear()
    queues: Any = pool._threads_queues
    for thread in [thread for thread in list(queues) if thread.ident is not None and thread.ident <= kernel.identities]:
        del queues[thread]
    if not JOINABLE:
        locks: set[Any] = threading._shutdown_locks  # type: ignore[attr-defined]  # 3.11 and 3.12
        locks.difference_update([lock for lock in locks if isinstance(lock, Lock)])


# -- locks that exist already ---------------------------------------------------------------------


def existing_locks() -> list[tuple[object, object]]:
    """Replace the locks, thread-locals and simple queues that were made before; returns the pairs, for undoing.

    Only what is free: a lock that is held is somebody's of the real world.
    """
    found: list[tuple[object, object]] = []
    conditions: list[threading.Condition] = []
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is real.LockType:
            if not thing.locked():
                found.append((thing, Lock(thing)))
        elif kind is real.RLockType:
            if thing.acquire(blocking=False):
                thing.release()
                if not thing._is_owned():
                    found.append((thing, RLock(thing)))
        elif kind is real.local:
            fresh = local()
            vars(fresh).update(vars(thing))
            found.append((thing, fresh))
        elif kind is real.SimpleQueue:
            if thing.empty():
                found.append((thing, SimpleQueue()))
        elif issubclass(kind, threading.Condition):  # of the type: isinstance() would ask a lazy proxy for its class
            conditions.append(thing)
    swap(found, everywhere=True)
    rebind_conditions(conditions)
    return found


def restore_locks(found: list[tuple[object, object]]) -> None:
    """Undo :func:`existing_locks`, but for a queue that holds something by now."""
    back: list[tuple[object, object]] = []
    for original, shim in found:
        if isinstance(shim, local):
            vars(original).update(vars(shim))
        if not isinstance(shim, SimpleQueue) or shim.empty():
            back.append((shim, original))
    swap(back, everywhere=True)
    rebind_conditions([thing for thing in gc.get_objects() if issubclass(type(thing), threading.Condition)])


def rebind_conditions(conditions: list[threading.Condition]) -> None:
    """A Condition keeps bound methods of its lock: take them from the lock that it has now."""
    for condition in conditions:
        lock: Any = condition._lock  # type: ignore[attr-defined]  # since Python 2
        own = vars(condition)
        for name in ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned"):
            if name in own and hasattr(lock, name):
                own[name] = getattr(lock, name)
            elif name in own and name.startswith("_"):
                del own[name]  # the class's own version, for a lock that has none
