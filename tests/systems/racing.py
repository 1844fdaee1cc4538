"""Threads that share something: each class once wrong and once right.

What they do is ordinary; ``python -m tests.systems.racing CLASS`` tries one on real threads.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3

from harness.points import effect


class LostUpdate:
    """Counts; a call stands between the reading and the writing."""

    def __init__(self) -> None:
        self.count = 0

    def ways(self) -> list[Callable[[int], None]]:
        return [self.add] * 3

    def add(self, number: int) -> None:
        count = self.count
        str(count)
        self.count = count + 1

    def right(self, times: int) -> bool:
        return self.count == 3 * times


class LockedUpdate(LostUpdate):
    """The same, under a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def add(self, number: int) -> None:
        with self.lock:
            super().add(number)


class BareUpdate(LostUpdate):
    """Counts with nothing in between: no race on CPython 3.11 with the GIL."""

    def add(self, number: int) -> None:
        self.count += 1


class LockedOnlyApart(LostUpdate):
    """Reads under the lock, writes under the lock, and lets go of it in between."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def add(self, number: int) -> None:
        with self.lock:
            count = self.count
        with self.lock:
            self.count = count + 1


class HastyBreaker:
    """A breaker that lets one probe through each time that it is half-open: looks first, takes the permit later."""

    def __init__(self) -> None:
        self.probed = -1
        self.probes = 0

    def ways(self) -> list[Callable[[int], None]]:
        return [self.call] * 3

    def call(self, opened: int) -> None:
        if self.probed < opened:
            self.since = time.monotonic()
            self.probed = opened
            self.probes += 1

    def right(self, times: int) -> bool:
        return self.probes <= times


class LockedBreaker(HastyBreaker):
    """Checks and takes the permit under one lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def call(self, opened: int) -> None:
        with self.lock:
            super().call(opened)


class HastyRecord:
    """An idempotency record: looks whether the order was charged, charges it, remembers it."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.charged: list[int] = []

    def ways(self) -> list[Callable[[int], None]]:
        return [self.handle] * 3

    def handle(self, order: int) -> None:
        if order in self.seen:
            return
        self.charge(order)
        self.seen.add(order)

    def charge(self, order: int) -> None:
        self.charged.append(order)

    def right(self, times: int) -> bool:
        return len(self.charged) == len(set(self.charged))


class CarefulRecord(HastyRecord):
    """Takes the record first; ``dict.setdefault`` is one step."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: dict[int, object] = {}

    def handle(self, order: int) -> None:
        mine = object()
        if self.owners.setdefault(order, mine) is mine:
            self.charge(order)


#: Wrong on CPython with the GIL; wrong on free-threaded Python only; never wrong.
WRONG: list[Callable[[], Any]] = [LostUpdate, LockedOnlyApart, HastyBreaker, HastyRecord]
WRONG_WITHOUT_GIL: list[Callable[[], Any]] = [BareUpdate]
RIGHT: list[Callable[[], Any]] = [LockedUpdate, LockedBreaker, CarefulRecord]

TIMES = 5


def attempt(kind: Callable[[], Any], times: int = TIMES) -> bool:
    """Whether what several threads do with one object comes out right."""
    shared = kind()

    ways = shared.ways()
    gate = threading.Barrier(len(ways))

    def work(way: Callable[[int], None]) -> None:
        gate.wait()
        for number in range(times):
            way(number)

    threads = [threading.Thread(target=work, args=(way,)) for way in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bool(shared.right(times))


# -- a consumer ---------------------------------------------------------------------------------------


def hasty() -> None:
    """Handles a batch on threads; two messages of one order at once are charged twice."""
    _consume(HastyRecord())


def careful() -> None:
    """The same with the careful record."""
    _consume(CarefulRecord())


def _consume(record: HastyRecord) -> None:
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]

    def charge(order: int) -> None:
        effect("charged", order)

    record.charge = charge  # type: ignore[method-assign]
    with ThreadPoolExecutor(4) as pool:
        while True:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", [])
            orders = [json.loads(message["Body"])["order_id"] for message in found]
            list(pool.map(record.handle, orders))
            for message in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def main(name: str, rounds: int, times: int) -> int:
    """How many of *rounds* attempts on real threads came out wrong."""
    sys.setswitchinterval(1e-6)
    kind = globals()[name]
    return sum(not attempt(kind, times) for _ in range(rounds))


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
