"""The environment "memory": a scenario inside the kernel, on in-memory services.

:class:`SimulatedRun` builds everything that one run consists of, runs it to
its end and takes it apart again. Nothing of a run outlives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from harness import observe, points
from harness.effects import KeyFinder
from harness.environments.actions import Actions
from harness.environments.handler import HandlerMark
from harness.environments.processes import Addresses, ProcessTable
from harness.environments.quiet import QuietPeriod
from harness.environments.recorder import HistoryRecorder
from harness.environments.sink import PointsSink
from harness.environments.workload import Sender
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.history import Writer
from harness.scenario import Scenario
from harness.seeds import Seeds
from harness.sim import patches, world
from harness.sim.kernel import EPOCH_US, Kernel
from harness.sim.services.http import HttpStubs
from harness.sim.services.redis import RedisServer
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.wire import botocore as botocore_wire
from harness.sim.wire import http as http_wire
from harness.sim.wire import redis as redis_wire

__all__ = ["SimulatedRun", "install", "uninstall"]

REDIS_URL = "redis://redis.internal:6379/0"


def install() -> None:
    """Put the shims in: once a process, before the user's modules are imported. They do nothing outside a run."""
    patches.install()
    botocore_wire.install()
    redis_wire.install()
    http_wire.install()


def uninstall() -> None:
    """Take the shims out again."""
    http_wire.uninstall()
    redis_wire.uninstall()
    botocore_wire.uninstall()
    patches.uninstall()
