"""Small concurrent programs as values: what the simulation is tested with.

A program is a list of processes, a process a list of operations. ``run()``
executes one in a kernel and returns everything that can be observed of it.
"""

from __future__ import annotations

import queue
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any, TypeAlias

from hypothesis import strategies as st

from harness.errors import Deadlock
from tests.unit.sim.simulate import kernel

__all__ = ["Observed", "Operation", "Program", "programs", "run"]

Operation: TypeAlias = tuple[Any, ...]
Program: TypeAlias = list[list[Operation]]

_MS = st.integers(0, 4)


def _operations() -> st.SearchStrategy[Operation]:
    simple = st.one_of(
        st.tuples(st.just("sleep"), _MS),
        st.tuples(st.just("locked"), st.integers(0, 1), _MS),
        st.tuples(st.just("put"), st.integers(0, 9)),
        st.tuples(st.just("get"), _MS),
        st.tuples(st.just("set")),
        st.tuples(st.just("wait"), _MS),
        st.tuples(st.just("draw")),
        st.tuples(st.just("clock")),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("pause"), st.integers(0, 3), _MS),
        st.tuples(st.just("fail")),
    )
    return st.one_of(simple, st.tuples(st.just("thread"), st.lists(simple, max_size=4)))


programs: st.SearchStrategy[Program] = st.lists(st.lists(_operations(), max_size=6), min_size=1, max_size=4)


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
        self.queue: queue.Queue[int] = queue.Queue()
        self.event = threading.Event()


def run(program: Program, seed: int, tape: list[int] | None = None) -> Observed:
    """Execute *program*."""
    log: list[tuple[Any, ...]] = []
    shared = _Shared()
    with kernel(seed, tape=tape, max_steps=100_000) as k:

        def note(*what: Any) -> None:
            actor = k.current
            assert actor is not None
            assert not actor.dead, "a killed actor runs"
            log.append((k.now_us, actor.name, *what))

        def execute(operations: list[Operation]) -> None:
            for operation in operations:
                _execute(k, shared, operation, note, execute)

        k.on_thread_error = lambda actor, error: log.append((k.now_us, actor.name, "error", str(error)))
        for number, operations in enumerate(program):
            k.start_process(f"p{number}", lambda operations=operations: execute(operations))  # type: ignore[misc]
        try:
            ended = k.run()
        except Deadlock as error:
            ended = f"deadlock of {sorted(error.stacks)}"
        states = [(process.state, process.exit_outcome) for process in k.processes]
        return Observed(list(log), list(k.decisions), k.steps, k.now_us, ended, states)


def _execute(k: Any, shared: _Shared, operation: Operation, note: Any, execute: Any) -> None:
    kind, *arguments = operation
    if kind == "sleep":
        time.sleep(arguments[0] / 1000)
        note("slept")
    elif kind == "locked":
        which, ms = arguments
        with shared.locks[which]:
            shared.inside[which] += 1
            note("inside", which, shared.inside[which])
            time.sleep(ms / 1000)
            shared.inside[which] -= 1
        note("outside", which)
    elif kind == "put":
        shared.queue.put(arguments[0])
    elif kind == "get":
        try:
            note("got", shared.queue.get(timeout=arguments[0] / 1000))
        except queue.Empty:
            note("empty")
    elif kind == "set":
        shared.event.set()
    elif kind == "wait":
        note("waited", shared.event.wait(arguments[0] / 1000))
    elif kind == "draw":
        note("drew", random.random(), str(uuid.uuid4()))
    elif kind == "clock":
        note("clock", time.time(), time.monotonic())
    elif kind == "crash":
        note("crashes", arguments[0])
        k.crash(k.processes[arguments[0] % len(k.processes)])
    elif kind == "pause":
        k.pause(k.processes[arguments[0] % len(k.processes)], arguments[1] * 1000)
    elif kind == "fail":
        raise ValueError("as written")
    else:
        thread = threading.Thread(target=execute, args=(arguments[0],))
        thread.start()
        note("started", thread.name)
