"""Microseconds per call of the in-memory SQS at growing backlogs, without wire and kernel.

    python -m benchmarks.sqs_backlog [--backlogs 100,10000,1000000] [--json FILE]

Each figure is the best of many short rounds of 50 calls; a round leaves the
backlog as it found it. Garbage collection is off, as it is in a run. The aim:
a call costs at most twice as much at a million messages as at a hundred.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import Waiters

CALLS = 50
ROUNDS = 40
BACKLOGS = (100, 10_000, 1_000_000)


class Clock:
    """A clock that moves a little with each look, so that time-driven work is measured too."""

    def __init__(self) -> None:
        self.us = 1_893_456_000_000_000

    def now_us(self) -> int:
        self.us += 10
        return self.us

    def wait(self, waiters: Waiters, until_us: int) -> bool:
        self.us = max(self.us, until_us)
        return False

    def notify(self, waiters: Waiters) -> None:
        """Nobody waits here."""


def _silent(kind: str, message: str | None = None, **fields: Any) -> int:
    return 0


def measure(backlog: int, *, fifo: bool = False) -> dict[str, float]:
    """Best microseconds per call at a backlog of *backlog* messages."""
    name = "q.fifo" if fifo else "q"
    service = SqsService(Clock(), random.Random(1), _silent)
    url = service.create_queue(name, {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if fifo else {})
    sent = 0

    def parameters() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        group = {"MessageGroupId": f"g{sent % 1000}"} if fifo else {}
        return {"QueueUrl": url, "MessageBody": f"body {sent}", **group}

    for _ in range(backlog):
        service.call("SendMessage", parameters(), region="us-east-1")
    best: dict[str, float] = {}

    def timed(what: str, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        call: Callable[..., dict[str, Any]] = service.call
        answers = []
        began = time.perf_counter()
        for operation, values in calls:
            answers.append(call(operation, values, region="us-east-1"))
        took = (time.perf_counter() - began) / len(calls) * 1e6
        best[what] = min(best.get(what, took), took)
        return answers

    for _ in range(ROUNDS):
        timed("send", [("SendMessage", parameters()) for _ in range(CALLS)])
        received = timed("receive", [("ReceiveMessage", {"QueueUrl": url})] * CALLS)
        handles = [message["ReceiptHandle"] for answer in received for message in answer["Messages"]]
        change = {"QueueUrl": url, "VisibilityTimeout": 60}
        timed("change", [("ChangeMessageVisibility", {**change, "ReceiptHandle": handle}) for handle in handles])
        timed("delete", [("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": handle}) for handle in handles])
        timed("attributes", [("GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["All"]})] * 5)
    return best


def report(backlogs: tuple[int, ...] = BACKLOGS) -> list[dict[str, Any]]:
    """One row a call and queue type: microseconds at each backlog, and the ratio of the largest to the smallest."""
    rows: list[dict[str, Any]] = []
    was_on = gc.isenabled()
    gc.disable()
    try:
        for fifo in (False, True):
            found = {}
            for backlog in backlogs:
                found[backlog] = measure(backlog, fifo=fifo)
                gc.collect()
            for call in found[backlogs[0]]:
                micros = {backlog: round(found[backlog][call], 2) for backlog in backlogs}
                ratio = round(found[backlogs[-1]][call] / found[backlogs[0]][call], 2)
                rows.append({"queue": "fifo" if fifo else "standard", "call": call, "us": micros, "ratio": ratio})
    finally:
        if was_on:
            gc.enable()
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table of ``report``."""
    print("microseconds per call      " + "".join(f"{backlog:>12,}" for backlog in rows[0]["us"]) + "   ratio")
    for row in rows:
        figures = "".join(f"{micros:>12.2f}" for micros in row["us"].values())
        print(f"{row['queue']:<9} {row['call']:<16} {figures} {row['ratio']:>7.2f}")


def main() -> int:
    """Print the table; the exit code is 1 if a call is more than twice as dear at the largest backlog."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlogs", default=",".join(map(str, BACKLOGS)), help="comma-separated numbers of messages")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    arguments = parser.parse_args()
    backlogs = tuple(int(number) for number in arguments.backlogs.split(","))
    rows = report(backlogs)
    show(rows)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any(row["ratio"] > 2 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
