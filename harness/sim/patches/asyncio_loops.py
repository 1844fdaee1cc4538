"""asyncio inside a run: the standard library's own event loop, on virtual selectors, sockets and threads.

Nothing of the loop is replaced; its selector parks in the kernel, its
self-pipe is a simulated socket pair, its clock is the virtual one. What is
patched makes one run the same as the next:

* **Order.** Before each turn, steps of tasks that stand next to one another
  in the ready queue are brought into an order of the scheduler's choice.
  Plain callbacks keep theirs, as the documentation of ``call_soon`` promises;
  asyncio's transports rely on it.
* **Names.** Tasks are called ``Task-N``, N counting for each process; however they are made, for libraries call
  ``asyncio.Task`` themselves.
* **Hashes.** Tasks and futures hash by order of creation: asyncio keeps them
  in sets, so that the order of a cancellation would follow their addresses.
* **State.** The event loop policy, what it keeps for each thread, and the
  set of all tasks are those of the run.

When the run ends, what is left of the tasks is closed silently with every
kernel call refused; the tasks of a killed process are no exception.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import asyncio.selector_events
import asyncio.tasks
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from harness import compat
from harness.sim import ending, lines, world
from harness.sim.aside import aside
from harness.sim.kernel import Kernel
from harness.sim.patches.local import local
from harness.sim.patches.refusal import inside_actor, refuse
from harness.sim.patches.select import VirtualSelector, permute

__all__ = ["attach", "attributes", "begin_step", "close_step", "detach", "pairs"]

_base: Any = asyncio.base_events.BaseEventLoop
_selector_loop: Any = asyncio.selector_events.BaseSelectorEventLoop
_policies: Any = asyncio.events.BaseDefaultEventLoopPolicy
_events: Any = asyncio.events
_tasks: Any = asyncio.tasks
_get_running_loop, _set_running_loop = compat.running_loop()


# -- the loop -------------------------------------------------------------------------------------


def _init_loop(self: Any, selector: Any = None, *, _original: Callable[..., None] = _selector_loop.__init__) -> None:
    _original(self, selector)
    run = world.current()
    if run is None or run.kernel.current is None:
        return
    if isinstance(self._selector, VirtualSelector):
        self._selector.before_wait = _Steps(self._ready)
    _loops().append(self)
    lines.begin(in_use=True)


class _Steps:
    """Brings the steps of tasks in a ready queue into an order of the scheduler's choice."""

    __slots__ = ("_ready",)

    def __init__(self, ready: Any) -> None:
        self._ready = ready

    def __call__(self, kernel: Kernel) -> None:
        ready = self._ready
        count = len(ready)
        if count < 2 or kernel.closing:
            return
        start = None
        for position in range(count):
            if _is_step(ready[position]):
                if start is None:
                    start = position
            elif start is not None:
                if position - start > 1:
                    permute(kernel, ready, start, position)
                start = None
        if start is not None and count - start > 1:
            permute(kernel, ready, start, count)


def _is_step(handle: Any) -> bool:
    """Whether *handle* resumes a task. A task's other methods may be scheduled too: ``call_soon(task.cancel)``."""
    callback = handle._callback
    return isinstance(getattr(callback, "__self__", None), asyncio.Task) and compat.resumes_task(callback)


_sleep = asyncio.sleep


class _Shims:
    """The shims of functions; bound methods, as the originals bind to no instance."""

    async def sleep(self, delay: float, result: Any = None) -> Any:
        """``asyncio.sleep``: where a handler is under test, its first sleep is its middle, as ``time.sleep`` is."""
        run = world.current()
        marked = run.wires.get("asyncio.sleep") if run is not None else None
        if marked is not None and marked[0]():
            await aside(marked[1])
        return await _sleep(delay, result)

    def set_running_loop(self, loop: Any, /) -> None:
        if loop is not None and compat.made_in_c(type(loop)) and inside_actor():
            _refuse_loop(type(loop))
        _set_running_loop(loop)


_shims = _Shims()
_SET_RUNNING_LOOP = _shims.set_running_loop
_SLEEP = _shims.sleep


def _refuse_loop(kind: type) -> NoReturn:
    refuse(
        f"the event loop {kind.__module__}.{kind.__qualname__}",
        "It waits in C code, in real time; use asyncio's own loop where a run is in force",
    )


def _new_loop_in_c(cls: type, *args: Any, **kwargs: Any) -> Any:
    if inside_actor():
        _refuse_loop(cls)
    above: Any = super(cls, cls)
    return above.__new__(cls, *args, **kwargs)


def _loops_in_c() -> list[Any]:
    """The classes of event loops made in C that are there: to be refused before there is anything of one."""
    return [kind for kind in asyncio.AbstractEventLoop.__subclasses__() if compat.made_in_c(kind)]


class _PolicyLocal(local):
    """What a policy keeps for each thread."""

    _loop: Any = None
    _set_called = False


def _call_exception_handler(
    self: Any, context: Any, *, _original: Callable[..., None] = _base.call_exception_handler
) -> None:
    run = world.current()
    if run is None or not run.kernel.closing:  # what a run leaves behind is nobody's news
        _original(self, context)


# -- names ----------------------------------------------------------------------------------------


def _next_name() -> str | None:
    """The name of the next task of the process that acts; ``None`` outside of a run."""
    run = world.current()
    actor = run.kernel.current if run is not None else None
    return None if actor is None else f"Task-{actor.process.count('task') + 1}"


_init: Callable[..., None] = asyncio.Task.__init__
_set_name = asyncio.Task.set_name
_count: Callable[[], int] = compat.task_name_counter()


def _init_task(self: Any, coro: Any, *, name: Any = None, **options: Any) -> None:
    _init(self, coro, name=_next_name() if name is None else name, **options)


def _set_task_name(self: Any, name: object, /) -> None:
    """``Task.set_name``. CPython 3.13.0's ``create_task`` sets ``None`` on what a factory made without a name."""
    if name is None and inside_actor():
        return
    _set_name(self, name)


def _count_tasks() -> int:
    """The number in the name of a task that Python code made: asyncio's own class, where its C module is not used."""
    name = _next_name()
    return _count() if name is None else int(name.removeprefix("Task-"))


# -- hashes ---------------------------------------------------------------------------------------

#: The hash of each task and future that was hashed in a run, by address; dropped with the object.
_hashes: dict[int, tuple[int, Any]] = {}


def _hash(self: Any) -> int:
    known = _hashes.get(id(self))
    if known is not None:
        return known[0]
    run = world.current()
    if run is None:
        return object.__hash__(self)
    run.kernel.hashes += 1
    number, key = run.kernel.hashes, id(self)

    def forget(reference: object, hashes: Any = _hashes, key: int = key) -> None:
        hashes.pop(key, None)

    _hashes[key] = number, weakref.ref(self, forget)
    return number


_restore: list[Callable[[], None]] = []


def attach() -> None:
    """Let tasks and futures hash, and be named, by order of creation. They are C types: see ``compat.set_method``."""
    _restore.append(compat.set_method((asyncio.Future, asyncio.Task), "__hash__", _hash))
    _restore.append(compat.set_method((asyncio.Task,), "__init__", _init_task))
    _restore.append(compat.set_method((asyncio.Task,), "set_name", _set_task_name))


def detach() -> None:
    """Give the types what is their own back."""
    while _restore:
        _restore.pop()()


# -- a run's beginning and end --------------------------------------------------------------------

_before: dict[str, Any] = {}


def _loops() -> list[Any]:
    run = world.current()
    assert run is not None
    loops: list[Any] = run.wires.setdefault("asyncio.loops", [])
    return loops


def begin_step(kernel: Kernel) -> None:
    """A policy and a set of all tasks for this run alone."""
    lines.begin()
    _before["policy"] = _events._event_loop_policy
    _events._event_loop_policy = None
    _before["tasks"] = [(tasks, tasks.data) for tasks in compat.sets_of_tasks()]
    for tasks, _ in _before["tasks"]:
        tasks.data = set()
    _before["eager"] = set(compat.eager_tasks())
    compat.eager_tasks().clear()
    _before["loops"] = [kind for kind in _loops_in_c() if "__new__" not in vars(kind)]
    for kind in _before["loops"]:
        kind.__new__ = _new_loop_in_c


def close_step(kernel: Kernel) -> None:
    """Close what the run left of its tasks and loops, and give policy and set of tasks back."""
    left = [task for tasks, _ in _before["tasks"] for task in list(tasks) if not task.done()]
    eager = compat.eager_tasks()
    left += eager  # of actors that are parked in a first step
    left.sort(key=hash)
    with ending.silence(), kernel._watchdog:
        for task in left:
            task._log_destroy_pending = False
            _close(kernel, task.get_loop(), task.get_coro())
            kernel.steps += 1  # progress, as the watchdog sees it
        for loop in _loops():
            loop._thread_id = None  # a killed process's loop takes itself for running
            _close(kernel, None, loop)
    for tasks, data in _before["tasks"]:
        tasks.data = data
    eager.clear()
    eager.update(_before["eager"])
    for kind in _before["loops"]:
        del kind.__new__
    _events._event_loop_policy = _before["policy"]
    _before.clear()


def _close(kernel: Kernel, loop: Any, thing: Any) -> None:
    """Close a task's coroutine or a loop: its ``finally`` blocks run now, when every call is refused, or never.

    Calls are made in the name of the run's first process, for what belongs to none may not be refused.
    """
    kernel.current = kernel.processes[0].main
    _set_running_loop(loop)  # else what awaits in its finally would meet another error, and perhaps try again for ever
    try:
        thing.close()
    except BaseException:
        # It will not end (it awaits, or calls, in its finally): its frames must never be released, for that
        # would run them after the run.
        compat.leak(thing)
    finally:
        _set_running_loop(None)
        kernel.current = None


# -- what the installer takes ---------------------------------------------------------------------


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    return [(_set_running_loop, _SET_RUNNING_LOOP), (_sleep, _SLEEP)]


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    return [
        (_selector_loop, "__init__", _init_loop),
        (_tasks, "_task_name_counter", _count_tasks),
        (_base, "call_exception_handler", _call_exception_handler),
        (_policies, "_Local", _PolicyLocal),
    ]
