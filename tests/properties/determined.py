"""Concurrent programs whose outcome no schedule can change: they come out alike in a simulation and on real threads.

A program is a list of rounds. In each round every thread does the same list
of operations, then all meet at a barrier. What an operation adds up to is
the same in any order: totals, sorted contents, turns, exceptions.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeAlias

__all__ = ["Outcome", "Rounds", "draw_rounds", "outcome"]

Rounds: TypeAlias = list[list[tuple[str, int]]]
Outcome: TypeAlias = dict[str, Any]

THREADS = 3
KINDS = (
    "add",
    "put",
    "turn",
    "hand over",
    "once",
    "pool",
    "fails",
    "local",
    "permit",
    "again",
    "timer",
    "simple queue",
    "daemon",
    "sleep",
    "name",
    "too late",
)


def draw_rounds(chance: random.Random) -> Rounds:
    """A program by plain chance."""
    return [
        [(chance.choice(KINDS), chance.randint(0, 3)) for _ in range(chance.randint(1, 4))]
        for _ in range(chance.randint(1, 3))
    ]


def _fail(number: int) -> None:
    raise LookupError(number)


def _square(number: int) -> int:
    return number * number


class _State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rlock = threading.RLock()
        self.counts: Counter[str] = Counter()
        self.queue: queue.Queue[int] = queue.Queue()
        self.handed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.turn = threading.Condition()
        self.turns: list[int] = []
        self.first = threading.Event()
        self.local = threading.local()
        self.permits = threading.BoundedSemaphore(2)
        self.inside = 0
        self.most_inside = 0
        self.barrier = threading.Barrier(THREADS)
        self.errors: Counter[str] = Counter()
        self.seen: list[tuple[int, str, Any]] = []

    def count(self, what: str, number: int = 1) -> None:
        with self.lock:
            self.counts[what] += number

    def do(self, me: int, kind: str, number: int) -> None:
        if kind == "add":
            self.count("added", number)
        elif kind == "put":
            self.queue.put(number)
        elif kind == "turn":
            with self.turn:  # one after the other, by number
                self.turn.wait_for(lambda: len(self.turns) % THREADS == me)
                self.turns.append(me)
                self.turn.notify_all()
        elif kind == "hand over":
            self.queue.put(number)
            self.count("taken", self.queue.get())
            self.queue.task_done()
        elif kind == "once":
            with self.lock:
                leads = not self.first.is_set() and not self.counts["leaders"]
                self.counts["leaders"] += leads
            if leads:
                time.sleep(number / 10_000)
                self.first.set()
            self.count("followed", self.first.wait())
        elif kind == "pool":
            with ThreadPoolExecutor(2) as pool:
                done, _ = wait([pool.submit(_square, number) for _ in range(number + 1)])
            self.count("pooled", sum(future.result() for future in done))
        else:
            self._do_more(me, kind, number)

    def _do_more(self, me: int, kind: str, number: int) -> None:
        if kind == "fails":
            with ThreadPoolExecutor(1) as pool:
                error = pool.submit(_fail, number).exception()
            with self.lock:
                self.errors[type(error).__name__] += 1
        elif kind == "local":
            before = getattr(self.local, "value", 0)
            time.sleep(0.0001)
            self.local.value = before + number
            self.seen.append((me, "local", self.local.value))
        elif kind == "permit":
            with self.permits:
                with self.lock:
                    self.inside += 1
                    self.most_inside = max(self.most_inside, self.inside)
                time.sleep(0.0001)
                with self.lock:
                    self.inside -= 1
        elif kind == "again":
            with self.rlock, self.rlock:
                self.counts["again"] += 1
        elif kind == "timer":
            timer = threading.Timer(number / 10_000, self.count, ("rung",))
            timer.start()
            timer.join()
        elif kind == "simple queue":
            self.handed.put(number)
            self.count("handed", self.handed.get(timeout=60))
        elif kind == "daemon":
            thread = threading.Thread(target=self.count, args=("helped", number), daemon=True)
            thread.start()
            thread.join(60)
            self.seen.append((me, "alive", thread.is_alive()))
        elif kind == "sleep":
            time.sleep(number / 10_000)
        elif kind == "name":
            self.seen.append((me, "named", threading.current_thread().name))
        else:
            self.seen.append((me, "too late", [threading.Event().wait(0.0001), threading.Lock().acquire(timeout=0)]))


def outcome(program: Rounds) -> Outcome:
    """Execute *program* on threads, simulated or real, and tell everything that is determined."""
    state = _State()

    def work(me: int) -> None:
        for operations in program:
            for kind, number in operations:
                state.do(me, kind, number)
            state.count("met", state.barrier.wait())

    threads = [threading.Thread(target=work, args=(me,), name=f"thread {me}") for me in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = []
    while not state.queue.empty():
        left.append(state.queue.get())
    return {
        "counts": dict(state.counts),
        "left": sorted(left),
        "turns": state.turns,
        "errors": dict(state.errors),
        "seen": sorted(state.seen),
        "crowded": state.most_inside > 2,
        "alive": [thread.is_alive() for thread in threads],
    }
