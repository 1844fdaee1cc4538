"""Small asyncio programs as values: what asyncio inside a run is tested with.

A program is a list of processes, a process a list of tasks, a task a list of
operations. ``run()`` executes one in a kernel, each process with
``asyncio.run``, and returns everything that can be observed of it.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Coroutine
from typing import Any, TypeAlias

from hypothesis import strategies as st

from harness.errors import Deadlock
from tests.properties.programs import Observed
from tests.unit.sim.simulate import kernel

__all__ = ["Program", "programs", "run"]

Operation: TypeAlias = tuple[Any, ...]
Program: TypeAlias = list[list[list[Operation]]]

_MS = st.integers(0, 3)


def _operations() -> st.SearchStrategy[Operation]:
    simple = st.one_of(
        st.tuples(st.just("sleep"), _MS),
        st.tuples(st.just("locked"), _MS),
        st.tuples(st.just("put"), st.integers(0, 9)),
        st.tuples(st.just("get"), _MS),
        st.tuples(st.just("set")),
        st.tuples(st.just("wait"), _MS),
        st.tuples(st.just("thread"), _MS),
        st.tuples(st.just("soon"), st.integers(0, 9)),
        st.tuples(st.just("draw")),
        st.tuples(st.just("block"), _MS),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("signal"), st.integers(0, 2)),
        st.tuples(st.just("crash"), st.integers(0, 2)),
        st.tuples(st.just("pause"), st.integers(0, 2), _MS),
        st.tuples(st.just("fail")),
    )
    several = st.lists(simple, max_size=3)
    return st.one_of(
        simple,
        st.tuples(st.just("group"), st.lists(several, max_size=3)),
        st.tuples(st.just("gather"), st.lists(several, max_size=3)),
        st.tuples(st.just("within"), _MS, several),
        st.tuples(st.just("shielded"), several),
    )


programs: st.SearchStrategy[Program] = st.lists(
    st.lists(st.lists(_operations(), max_size=4), max_size=4), min_size=1, max_size=3
)


class _Run:
    """One execution: the kernel and the log."""

    def __init__(self, k: Any) -> None:
        self.kernel = k
        self.log: list[tuple[Any, ...]] = []

    def note(self, *what: Any) -> None:
        actor = self.kernel.current
        assert actor is not None
        assert not actor.dead, "a killed actor runs"
        self.log.append((self.kernel.now_us, actor.name, *what))


class _Process:
    """What the tasks of one process share."""

    def __init__(self, run: _Run, tasks: list[list[Operation]]) -> None:
        self.run = run
        self.written = tasks
        self.tasks: list[asyncio.Task[None]] = []

    def main(self) -> None:
        try:
            asyncio.run(self.all())
        except BaseException as error:
            if self.run.kernel.closing:
                raise
            self.run.note("ended by", _text(error))

    async def all(self) -> None:
        loop = asyncio.get_running_loop()
        self.lock, self.event, self.queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue[int]()
        main = asyncio.current_task()
        assert main is not None
        loop.add_signal_handler(signal.SIGUSR1, self.run.note, "usr1")
        loop.add_signal_handler(signal.SIGTERM, main.cancel)
        self.tasks = [asyncio.create_task(self.task(operations)) for operations in self.written]
        for outcome in await asyncio.gather(*self.tasks, return_exceptions=True):
            if outcome is not None:
                self.run.note("outcome", _text(outcome))

    async def task(self, operations: list[Operation]) -> None:
        task = asyncio.current_task()
        assert task is not None
        name = task.get_name()
        try:
            for operation in operations:
                await self.execute(name, operation)
        except BaseException as error:
            self.run.note(name, "raises", _text(error))
            raise
        finally:
            self.run.note(name, "done")

    async def execute(self, name: str, operation: Operation) -> None:
        kind, *arguments = operation
        slow = getattr(self, f"do_{kind}", None)
        if slow is not None:
            await slow(name, *arguments)
            return
        note, k = self.run.note, self.run.kernel
        if kind == "put":
            self.queue.put_nowait(arguments[0])
        elif kind == "set":
            self.event.set()
        elif kind == "soon":
            asyncio.get_running_loop().call_soon(note, name, "soon", arguments[0])
        elif kind == "draw":
            note(name, "drew", random.random())
        elif kind == "block":
            time.sleep(arguments[0] / 1000)
        elif kind == "cancel" and self.tasks:
            note(name, "cancels", self.tasks[arguments[0] % len(self.tasks)].cancel())
        elif kind == "signal":
            target = k.processes[arguments[0] % len(k.processes)]
            if int(signal.SIGUSR1) in target.handlers:
                k.deliver(target, [signal.SIGUSR1, signal.SIGTERM][arguments[0] % 2])
        elif kind == "crash":
            note(name, "crashes", arguments[0])
            k.crash(k.processes[arguments[0] % len(k.processes)])
        elif kind == "pause":
            k.pause(k.processes[arguments[0] % len(k.processes)], arguments[1] * 1000)
        elif kind == "fail":
            raise ValueError("as written")

    async def do_sleep(self, name: str, ms: int) -> None:
        await asyncio.sleep(ms / 1000)
        self.run.note(name, "slept")

    async def do_locked(self, name: str, ms: int) -> None:
        async with self.lock:
            self.run.note(name, "inside")
            try:
                await asyncio.sleep(ms / 1000)
            finally:
                self.run.note(name, "outside")

    async def do_get(self, name: str, ms: int) -> None:
        try:
            self.run.note(name, "got", await asyncio.wait_for(self.queue.get(), ms / 1000))
        except TimeoutError:
            self.run.note(name, "empty")

    async def do_wait(self, name: str, ms: int) -> None:
        try:
            async with asyncio.timeout(ms / 1000):
                await self.event.wait()
            self.run.note(name, "was told")
        except TimeoutError:
            self.run.note(name, "gave up")

    async def do_thread(self, name: str, ms: int) -> None:
        def work() -> None:
            time.sleep(ms / 1000)
            self.run.note(name, "in a thread")

        await asyncio.to_thread(work)

    async def do_group(self, name: str, tasks: list[list[Operation]]) -> None:
        async with asyncio.TaskGroup() as group:
            for operations in tasks:
                group.create_task(self.task(operations))

    async def do_gather(self, name: str, tasks: list[list[Operation]]) -> None:
        await asyncio.gather(*(self.task(operations) for operations in tasks))

    async def do_within(self, name: str, ms: int, operations: list[Operation]) -> None:
        try:
            async with asyncio.timeout(ms / 1000):
                for operation in operations:
                    await self.execute(name, operation)
        except TimeoutError:
            self.run.note(name, "timed out")

    async def do_shielded(self, name: str, operations: list[Operation]) -> None:
        work: Coroutine[Any, Any, None] = self.task(operations)
        await asyncio.shield(asyncio.create_task(work))


def _text(error: BaseException) -> str:
    inside = getattr(error, "exceptions", ())
    return f"{type(error).__name__}({', '.join(map(_text, inside)) or error})"


def run(program: Program, seed: int, tape: list[int] | None = None) -> Observed:
    """Execute *program*."""
    with kernel(seed, tape=tape, max_steps=200_000) as k:
        made = _Run(k)
        k.on_thread_error = lambda actor, error: made.note("thread error", _text(error))
        for number, tasks in enumerate(program):
            k.start_process(f"p{number}", _Process(made, tasks).main)
        try:
            ended = k.run()
        except Deadlock as error:
            ended = f"deadlock of {sorted(error.stacks)}"
        states = [(process.state, process.exit_outcome) for process in k.processes]
        return Observed(list(made.log), list(k.decisions), k.steps, k.now_us, ended, states)
