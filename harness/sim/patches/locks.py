"""Locks that are real outside a run and virtual inside it, whenever they were made.

Inside, a contended acquire parks the actor in the kernel. Each run starts
from the real state, so that a lock may be made at import, used in one run
after the other, and held by nobody of an earlier one. As with real locks, who
releases may take it again before the waiter that it woke; a waiter to whom
this has happened once is handed the lock by the next release.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from harness.errors import SimulationError
from harness.sim import real, world
from harness.sim.patches.time import to_us

if TYPE_CHECKING:
    from harness.sim.actors import Actor
    from harness.sim.kernel import Kernel

__all__ = ["Lock", "RLock"]

_get_ident = real.get_ident
_allocate = real.allocate_lock


def _deadline_us(kernel: Kernel, blocking: bool, timeout: float) -> int | None:
    """Check the arguments of acquire() as the real locks do; when a wait ends."""
    if timeout == -1:
        return None
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")
    return kernel.now_us + to_us(timeout)


class _Waiters:
    """The part that waits. Subclasses say when the lock is free."""

    __slots__ = ("__weakref__", "_granted", "_kernel", "_owed", "_real", "_waiters", "holder")

    _real: Any
    _kernel: Kernel | None  # the run that the virtual state belongs to
    _waiters: deque[Actor] | None
    _owed: bool  # the first waiter was woken before, and found the lock taken again
    _granted: Actor | None  # who was handed the lock and has not run since
    holder: Actor | None  # None also while the hub holds it

    def taken(self) -> bool:
        """Whether anybody holds it in the run."""
        raise NotImplementedError

    def _take(self, actor: Actor) -> None:
        """*actor* holds it from now on."""
        raise NotImplementedError

    def _free(self) -> None:
        """Nobody holds it any more."""
        raise NotImplementedError

    def _wait(self, kernel: Kernel, until_us: int | None) -> bool:
        """Park until the lock is free (True) or the deadline has come."""
        actor = kernel.current
        if actor is None:
            raise SimulationError("code that runs in no process (a timer, the set-up) met a lock that an actor holds")
        if self._waiters is None:
            self._waiters = deque()
        waiters = self._waiters
        again = False
        while self.taken():
            holder = self.holder
            if holder is not None and holder.process is not actor.process and not holder.process.alive:
                self._free()  # its holder's process is gone, and its memory with it
                break
            if until_us is not None and until_us <= kernel.now_us:
                return False
            if again:
                self._owed = True
                waiters.appendleft(actor)
            else:
                again = True
                waiters.append(actor)
            self._park(kernel, actor, waiters, until_us)
            if self._granted is actor:
                self._granted = None
                break
        return True

    def _park(self, kernel: Kernel, actor: Actor, waiters: deque[Actor], until_us: int | None) -> None:
        kernel.lock_waiters[actor] = self
        try:
            kernel.park(until_us)
        except BaseException:  # a signal handler's: what was given to this actor goes to the next
            if self._granted is actor:
                self._granted = None
                self._free()
            if not self.taken():
                self._wake(kernel)
            raise
        finally:
            kernel.lock_waiters.pop(actor, None)
            if actor in waiters:
                waiters.remove(actor)

    def _wake(self, kernel: Kernel) -> None:
        """The lock is free: wake the first waiter, or hand it the lock if it was woken in vain before."""
        waiters = self._waiters
        while waiters:
            actor = waiters.popleft()
            if actor.dead:
                continue
            if self._owed and not kernel.closing:
                self._owed = False
                self._granted = actor
                self._take(actor)
            kernel.wake(actor)
            return


class Lock(_Waiters):
    """What ``threading.Lock()`` and ``_thread.allocate_lock()`` give while the shims are in."""

    __slots__ = ("_locked",)

    _locked: bool

    def __init__(self, lock: Any = None) -> None:
        self._real = _allocate() if lock is None else lock
        self._kernel = None
        self._waiters = None
        self._owed = False
        self._granted = None
        self.holder = None

    def _adopt(self, kernel: Kernel) -> None:
        """Begin in a new run: from the real state, which is that of before the run."""
        self._kernel = kernel
        self._locked = self._real.locked()
        self._waiters = None
        self._owed = False
        self._granted = None
        self.holder = None

    def taken(self) -> bool:
        return self._locked

    def _take(self, actor: Actor) -> None:
        self._locked = True
        self.holder = actor

    def _free(self) -> None:
        self._locked = False
        self.holder = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            taken: bool = self._real.acquire(blocking, timeout)
            return taken
        kernel = run.kernel
        if self._kernel is not kernel:
            self._adopt(kernel)
        if kernel.closing and kernel.current is not None:
            kernel.refuse()
        if timeout != -1 or self._locked:
            until_us = _deadline_us(kernel, blocking, timeout)
            if self._locked and not (blocking and self._wait(kernel, until_us)):
                return False
        self._locked = True
        self.holder = kernel.current
        return True

    acquire_lock = acquire

    def __enter__(self) -> bool:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            taken: bool = self._real.acquire()
            return taken
        kernel = run.kernel
        if self._kernel is kernel and not self._locked and not kernel.closing:
            self._locked = True
            self.holder = kernel.current
            return True
        return self.acquire()

    def release(self) -> None:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            self._real.release()
            return
        kernel = run.kernel
        if self._kernel is not kernel:
            self._adopt(kernel)
        if not self._locked:
            if kernel.closing:  # the acquire that belongs to it was refused
                return
            raise RuntimeError("release unlocked lock")
        self._locked = False
        self.holder = None
        if self._waiters:
            self._wake(kernel)

    release_lock = release

    def __exit__(self, *exc: object) -> None:
        self.release()

    def locked(self) -> bool:
        run = world.current()
        if run is None:
            locked: bool = self._real.locked()
            return locked
        if self._kernel is not run.kernel:
            self._adopt(run.kernel)
        return self._locked

    locked_lock = locked

    def _at_fork_reinit(self) -> None:
        self._real._at_fork_reinit()
        self._kernel = None

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} {type(self).__module__}.Lock object>"


class RLock(_Waiters):
    """What ``threading.RLock()`` gives while the shims are in."""

    __slots__ = ("_count",)

    _count: int

    def __init__(self, lock: Any = None) -> None:
        self._real = real.RLock() if lock is None else lock
        self._kernel = None
        self._waiters = None
        self._owed = False
        self._granted = None
        self._count = 0
        self.holder = None

    def _adopt(self, kernel: Kernel) -> None:
        """Begin in a new run. Who holds it for real is the thread that the run is on, or nobody who matters."""
        self._kernel = kernel
        self._count = 0
        self._waiters = None
        self._owed = False
        self._granted = None
        self.holder = None

    def taken(self) -> bool:
        return self._count != 0

    def _take(self, actor: Actor) -> None:
        self._count = 1
        self.holder = actor

    def _free(self) -> None:
        self._count = 0
        self.holder = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            taken: bool = self._real.acquire(blocking, timeout)
            return taken
        kernel = run.kernel
        if self._kernel is not kernel:
            self._adopt(kernel)
        actor = kernel.current
        if kernel.closing and actor is not None:
            kernel.refuse()
        if self._count:
            if self.holder is actor:
                self._count += 1
                return True
            until_us = _deadline_us(kernel, blocking, timeout)
            if not (blocking and self._wait(kernel, until_us)):
                return False
        self._count = 1
        self.holder = actor
        return True

    def __enter__(self) -> bool:
        return self.acquire()

    def release(self) -> None:
        run = world._world
        if run is None or run.thread_id != _get_ident():
            self._real.release()
            return
        kernel = run.kernel
        if self._kernel is not kernel:
            self._adopt(kernel)
        if not self._count or self.holder is not kernel.current:
            if kernel.closing:  # the acquire that belongs to it was refused
                return
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self.holder = None
            if self._waiters:
                self._wake(kernel)

    def __exit__(self, *exc: object) -> None:
        self.release()

    # What threading.Condition asks of its lock.

    def _is_owned(self) -> bool:
        run = world.current()
        if run is None:
            owned: bool = self._real._is_owned()
            return owned
        return self._kernel is run.kernel and self._count != 0 and self.holder is run.kernel.current

    def _release_save(self) -> Any:
        run = world.current()
        if run is None:
            return self._real._release_save()
        kernel = run.kernel
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        count, self._count = self._count, 0
        self.holder = None
        if self._waiters:
            self._wake(kernel)
        return count

    def _acquire_restore(self, state: Any) -> None:
        run = world.current()
        if run is None:
            self._real._acquire_restore(state)
            return
        self.acquire()
        self._count = state

    def _recursion_count(self) -> int:
        run = world.current()
        if run is None:
            count: int = self._real._recursion_count()
            return count
        return self._count if self._is_owned() else 0

    def _at_fork_reinit(self) -> None:
        self._real._at_fork_reinit()
        self._kernel = None
        self._count = 0

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.RLock object count={self._count}>"
