"""Small concurrent programs as values: what the simulation is tested with.

A program is a list of processes, a process a list of operations. ``run()``
executes one in a kernel and returns everything that can be observed of it.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from harness.errors import Deadlock
from harness.sim.preempt import Level
from tests.unit.sim.simulate import kernel

__all__ = ["KINDS", "Observed", "Operation", "Program", "draw_program", "programs", "run"]

Operation: TypeAlias = tuple[Any, ...]
Program: TypeAlias = list[list[Operation]]

#: Each kind of operation with the bounds of its whole-number arguments.
KINDS: dict[str, tuple[tuple[int, int], ...]] = {
    "sleep": ((0, 4),),
    "locked": ((0, 1), (0, 4)),
    "again": ((0, 4),),
    "put": ((0, 9),),
    "get": ((0, 4),),
    "set": (),
    "wait": ((0, 4),),
    "notify": (),
    "await": ((0, 4),),
    "permit": ((0, 4),),
    "meet": ((1, 4),),
    "timer": ((0, 4), (0, 9)),
    "draw": (),
    "clock": (),
    "local": ((0, 9),),
    "crash": ((0, 3),),
    "pause": ((0, 3), (0, 4)),
    "fail": (),
}
#: Kinds that take operations: run by a thread, by the workers of a pool, by tasks of an event loop.
NESTED = ("thread", "pool", "tasks")
#: What tasks do: nothing that blocks their loop for ever.
_TASK_KINDS = ("sleep", "put", "set", "draw", "clock", "crash", "pause", "fail", "locked")


def _simple() -> st.SearchStrategy[Operation]:
    return st.one_of(
        [st.tuples(st.just(kind), *(st.integers(low, high) for low, high in bounds)) for kind, bounds in KINDS.items()]
    )


def _operations() -> st.SearchStrategy[Operation]:
    nested = st.tuples(st.sampled_from(NESTED), st.lists(_simple(), max_size=4))
    return st.one_of(_simple(), nested)


programs: st.SearchStrategy[Program] = st.lists(st.lists(_operations(), max_size=6), min_size=1, max_size=4)


def draw_program(chance: random.Random) -> Program:
    """A program by plain chance: a hundred times as fast as Hypothesis, for large numbers of them."""

    def simple() -> Operation:
        kind = chance.choice(list(KINDS))
        return (kind, *(chance.randint(low, high) for low, high in KINDS[kind]))

    def operation() -> Operation:
        if chance.random() < 0.2:
            return (chance.choice(NESTED), [simple() for _ in range(chance.randint(0, 4))])
        return simple()

    return [[operation() for _ in range(chance.randint(0, 6))] for _ in range(chance.randint(1, 4))]


@dataclass
class Observed:
    """What a run showed."""

    log: list[tuple[Any, ...]]
    decisions: list[int]
    steps: int
    now_us: int
    ended: str
    states: list[tuple[str, str | None]]


class _Shared:
    """What the processes of one run share; made anew for each run."""

    def __init__(self) -> None:
        self.locks = [threading.Lock(), threading.Lock()]
        self.inside = [0, 0]
        self.rlock = threading.RLock()
        self.queue: queue.Queue[int] = queue.Queue()
        self.event = threading.Event()
        self.condition = threading.Condition()
        self.permits = threading.Semaphore(2)
        self.permitted = 0
        self.barrier = threading.Barrier(2)
        self.local = threading.local()


class _Run:
    """One execution: an operation ``kind`` is the method of that name."""

    def __init__(self, k: Any) -> None:
        self.k = k
        self.log: list[tuple[Any, ...]] = []
        self.shared = _Shared()

    def note(self, *what: Any) -> None:
        actor = self.k.current
        assert actor is not None
        assert not actor.dead, "a killed actor runs"
        self.log.append((self.k.now_us, actor.name, *what))

    def execute(self, operations: list[Operation]) -> None:
        for kind, *arguments in operations:
            method: Callable[..., None] = getattr(self, f"do_{kind}")
            method(*arguments)

    def do_sleep(self, ms: int) -> None:
        time.sleep(ms / 1000)
        self.note("slept")

    def do_locked(self, which: int, ms: int) -> None:
        shared = self.shared
        with shared.locks[which]:
            shared.inside[which] += 1
            self.note("inside", which, shared.inside[which])
            time.sleep(ms / 1000)
            shared.inside[which] -= 1
        self.note("outside", which)

    def do_again(self, ms: int) -> None:
        with self.shared.rlock, self.shared.rlock:
            self.note("owns")
            time.sleep(ms / 1000)

    def do_put(self, item: int) -> None:
        self.shared.queue.put(item)

    def do_get(self, ms: int) -> None:
        try:
            self.note("got", self.shared.queue.get(timeout=ms / 1000))
        except queue.Empty:
            self.note("empty")

    def do_set(self) -> None:
        self.shared.event.set()

    def do_wait(self, ms: int) -> None:
        self.note("waited", self.shared.event.wait(ms / 1000))

    def do_notify(self) -> None:
        with self.shared.condition:
            self.shared.condition.notify()

    def do_await(self, ms: int) -> None:
        with self.shared.condition:
            self.note("notified", self.shared.condition.wait(ms / 1000))

    def do_permit(self, ms: int) -> None:
        shared = self.shared
        with shared.permits:
            shared.permitted += 1
            self.note("permitted")
            time.sleep(ms / 1000)
            shared.permitted -= 1

    def do_meet(self, ms: int) -> None:
        try:
            self.note("met", self.shared.barrier.wait(ms / 1000))
        except threading.BrokenBarrierError:
            self.note("broken")

    def do_timer(self, ms: int, item: int) -> None:
        threading.Timer(ms / 1000, self.shared.queue.put, (item,)).start()

    def do_draw(self) -> None:
        self.note("drew", random.random(), str(uuid.uuid4()))

    def do_clock(self) -> None:
        self.note("clock", time.time(), time.monotonic())

    def do_local(self, value: int) -> None:
        self.note("kept", getattr(self.shared.local, "value", None))
        self.shared.local.value = value

    def do_crash(self, number: int) -> None:
        self.note("crashes", number)
        self.k.crash(self.k.processes[number % len(self.k.processes)])

    def do_pause(self, number: int, ms: int) -> None:
        self.k.pause(self.k.processes[number % len(self.k.processes)], ms * 1000)

    def do_fail(self) -> None:
        raise ValueError("as written")

    def do_thread(self, operations: list[Operation]) -> None:
        thread = threading.Thread(target=self.execute, args=(operations,))
        thread.start()
        self.note("started", thread.name)

    def do_pool(self, operations: list[Operation]) -> None:
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(self.execute, [operation]) for operation in operations]
        self.note("pooled", [type(future.exception()).__name__ for future in futures])

    def do_tasks(self, operations: list[Operation]) -> None:
        async def one(operation: Operation) -> None:
            kind, *arguments = operation
            if kind == "sleep":
                await asyncio.sleep(arguments[0] / 1000)
                self.note("slept")
            elif kind in _TASK_KINDS:
                self.execute([operation])
            else:
                await asyncio.to_thread(self.execute, [operation])

        async def main() -> list[Any]:
            return await asyncio.gather(*map(one, operations), return_exceptions=True)

        self.note("gathered", [type(outcome).__name__ for outcome in asyncio.run(main())])


def run(program: Program, seed: int, tape: list[int] | None = None, preempt: Level | None = None) -> Observed:
    """Execute *program*."""
    with kernel(seed, tape=tape, max_steps=100_000, preempt=preempt) as k:
        made = _Run(k)
        log = made.log
        k.on_thread_error = lambda actor, error: log.append((k.now_us, actor.name, "error", str(error)))
        for number, operations in enumerate(program):
            k.start_process(f"p{number}", lambda operations=operations: made.execute(operations))  # type: ignore[misc]
        try:
            ended = k.run()
        except Deadlock as error:
            ended = f"deadlock of {sorted(error.stacks)}"
        states: list[tuple[str, str | None]] = [(process.state, process.exit_outcome) for process in k.processes]
        return Observed(list(log), list(k.decisions), k.steps, k.now_us, ended, states)
