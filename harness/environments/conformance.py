"""The cases of the fidelity table in a simulation: the same boto3, no server, and waits that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Literal

from harness.environments import simulated
from harness.fidelity.bench import Site
from harness.fidelity.rows import Row
from harness.fidelity.run import Outcome, attempt, runnable
from harness.seeds import Seeds
from harness.sim import world as world_module
from harness.sim.kernel import Kernel
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Verdict
from harness.sim.wire import botocore as wire
from harness.sim.wire.botocore_moto import MotoServices
from harness.sim.world import World

__all__ = ["try_simulated"]

_LATENCY_US = 2_000
_REGION = "us-east-1"


class _Calm:
    """A hook without faults; every call takes the same time."""

    def passing(self, point: str, side: str, key: str | None = None) -> Verdict | None:
        return None

    def may_strike(self, point: str, within_us: int) -> bool:
        return False

    def latency_us(self, point: str) -> int:
        return _LATENCY_US


def _record(kind: str, message: str | None = None, **fields: object) -> int:
    """The history is of no interest here."""
    return 0


def try_simulated(
    rows: Iterable[Row], *, backend: Literal["memory", "moto"] = "memory", seed: int = 0
) -> list[Outcome]:
    """Try every rule that needs no server, each in a run of its own; the outcomes by number.

    Args:
        rows: the rules.
        backend: what answers: the harness's own SQS, or moto.
        seed: of message ids and of what else is drawn.
    """
    simulated.install()
    found = []
    for row in rows:
        reason = runnable(row, patience=inf, http=False)
        found.append(Outcome(row, "left out", reason) if reason else _try_one(row, backend, seed))
    return sorted(found, key=lambda outcome: outcome.row.number)


def _try_one(row: Row, backend: str, seed: int) -> Outcome:
    seeds = Seeds(seed)
    kernel = Kernel(seeds)
    world = World(kernel, _Calm(), _record)
    found: list[Outcome] = []
    undo: list[Callable[[], object]] = [world_module.leave, kernel.close]
    world_module.enter(world)
    try:
        if backend == "moto":
            from harness.environments.moto_sqs import MotoSqs  # moto is an extra, and slow to import

            world.elsewhere = elsewhere = MotoServices(world, seeds)
            undo.append(elsewhere.close)
            queues = MotoSqs(kernel, _record, elsewhere, record_bodies=False)
            undo.append(queues.uninstall)
            queues.install()
        else:
            world.services["sqs"] = SqsService(KernelTimebase(kernel), seeds.stream("sqs"), _record)
        process = kernel.start_process("case", lambda: found.append(attempt(row, _site())), environ=wire.environ())
        kernel.run()
        error = process.exit_error
    finally:
        while undo:
            undo.pop()()
    if error is not None:
        raise error
    return found[0]


def _site() -> Site:
    import boto3

    environ = wire.environ()
    keys = (environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], None)
    client = boto3.client("sqs", region_name=_REGION, endpoint_url=environ["AWS_ENDPOINT_URL"])
    return Site(client, environ["AWS_ENDPOINT_URL"], _REGION, "conformance-", lambda: keys)
