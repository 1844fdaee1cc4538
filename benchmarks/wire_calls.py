"""What a boto3 call and a boto3 client cost inside a run: short cut, full path, service alone.

    python -m benchmarks.wire_calls [--json FILE]

Microseconds per call and milliseconds per client, each the best of several
rounds, without faults and without a history.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from harness.seeds import Seeds
from harness.sim import patches, real
from harness.sim import world as worlds
from harness.sim.kernel import Kernel
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Verdict
from harness.sim.wire import botocore as wire

CALLS = 100
ROUNDS = 20


class _Quiet:
    """A hook without faults."""

    def passing(self, point: str, side: str, key: str | None = None) -> Verdict | None:
        return None

    def latency_us(self, point: str) -> int:
        return 10_000


def _silent(kind: str, message: str | None = None, **fields: Any) -> int:
    return 0


def _inside(main: Callable[[SqsService], None]) -> None:
    """Run *main* as the one process of a run."""
    kernel = Kernel(Seeds(1))
    world = worlds.World(kernel, _Quiet(), _silent)
    worlds.enter(world)
    try:
        sqs = world.services["sqs"] = SqsService(KernelTimebase(kernel), Seeds(1).stream("sqs"), _silent)
        process = kernel.start_process("bench", lambda: main(sqs), environ=wire.environ())
        kernel.run()
    finally:
        kernel.close()
        worlds.leave()
    if process.exit_error is not None:
        raise process.exit_error


def _best(function: Callable[[], object], calls: int, rounds: int) -> float:
    """The best round's seconds per call."""
    best = float("inf")
    for _ in range(rounds):
        began = real.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (real.perf_counter() - began) / calls)
    return best


def calls(enabled: bool) -> dict[str, float]:
    """Microseconds for send, receive and delete, with the short cut on or off."""
    found: dict[str, float] = {}

    def main(sqs: SqsService) -> None:
        client = boto3.client("sqs")
        url = sqs.create_queue("q")
        handles: list[str] = []

        def receive() -> None:
            answer = client.receive_message(QueueUrl=url)
            handles.append(answer["Messages"][0]["ReceiptHandle"])

        for what, call in (
            ("send", lambda: client.send_message(QueueUrl=url, MessageBody="body")),
            ("receive", receive),
            ("delete", lambda: client.delete_message(QueueUrl=url, ReceiptHandle=handles.pop())),
        ):
            found[what] = round(_best(call, CALLS, ROUNDS) * 1e6, 1)

    before = wire.short_cut(enabled)
    try:
        _inside(main)
    finally:
        wire.short_cut(before)
    return found


def clients() -> dict[str, float]:
    """Milliseconds for a client of the default session, and for a new session with its client."""
    found: dict[str, float] = {}

    def main(sqs: SqsService) -> None:
        boto3.Session().client("sqs")
        session = boto3.Session()
        found["client"] = round(_best(lambda: session.client("sqs"), 5, ROUNDS) * 1e3, 2)
        found["session and client"] = round(_best(lambda: boto3.Session().client("sqs"), 5, ROUNDS) * 1e3, 2)

    _inside(main)
    return found


def outside() -> dict[str, float]:
    """The same outside a run: botocore as it is."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    session = boto3.Session(**keys)  # type: ignore[arg-type]  # all strings
    session.client("sqs")
    return {
        "client": round(_best(lambda: session.client("sqs"), 2, 5) * 1e3, 2),
        "session and client": round(_best(lambda: boto3.Session(**keys).client("sqs"), 1, 5) * 1e3, 2),  # type: ignore[arg-type]
    }


def report() -> dict[str, dict[str, float]]:
    """Every figure, by what it is of."""
    patches.install()
    wire.install()
    try:
        return {
            "us per call, short cut": calls(True),
            "us per call, full path": calls(False),
            "ms per client, inside a run": clients(),
            "ms per client, outside": outside(),
        }
    finally:
        wire.uninstall()
        patches.uninstall()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    figures = report()
    for what, values in figures.items():
        print(f"{what:<28} " + "  ".join(f"{name} {value}" for name, value in values.items()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
