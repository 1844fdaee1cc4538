"""The run in force: what shims, wires and services share. One at a time in a process.

``current()`` is ``None`` outside a run and on every OS thread but the run's
own, so that a shim needs one look to know whether time is virtual.
"""

from __future__ import annotations

from _thread import get_ident as _real_get_ident  # bound before any shim
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

#: The region of a run: of its queues and its processes, where nothing else is said.
HOME_REGION = "us-east-1"

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel
    from harness.sim.verdicts import Verdict

__all__ = ["HOME_REGION", "Hook", "Recorder", "Service", "World", "current", "enter", "leave"]


class Hook(Protocol):
    """Where a simulation asks for faults and latencies. The environment sets it."""

    def passing(self, point: str, side: str, key: str | None = None) -> Verdict | None:
        """The current actor passes *point* (without its side) on *side* (before, middle, after).

        Counts the passing. May not return (crash), may take virtual time
        (pause, slow) or raise (handler kinds): those kinds it carries out.
        """
        ...

    def latency_us(self, point: str) -> int:
        """A latency above zero for one passing, in microseconds, from the run's latency stream."""
        ...


class Recorder(Protocol):
    """Writes one event of the history; returns its number."""

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int: ...


class Service(Protocol):
    """A simulated service: one call of a protocol-neutral operation."""

    def call(self, operation: str, parameters: dict[str, Any], *, region: str, twist: Verdict | None) -> dict[str, Any]:
        """Carry out *operation*. Raises the service's own error class for a refusal. May take virtual time."""
        ...


class World:
    """Everything that one run consists of."""

    __slots__ = ("elsewhere", "hook", "http", "kernel", "makers", "record", "redis", "services", "thread_id", "wires")

    def __init__(self, kernel: Kernel, hook: Hook, record: Recorder) -> None:
        self.kernel = kernel
        self.hook = hook
        self.record = record
        self.services: dict[str, Service] = {}  # by botocore's service name: "sqs", "cloudwatch", ...
        self.makers: dict[str, Callable[[], Service]] = {}  # of services that are made when they are first called
        self.elsewhere: Any = None  # harness.sim.wire.botocore_moto.MotoServices: AWS services that are not ours
        self.redis: Any = None  # harness.sim.services.redis.RedisServer
        self.http: Any = None  # harness.sim.services.http.HttpStubs
        self.wires: dict[str, Any] = {}  # what a wire keeps for the length of the run, by its name
        self.thread_id = _real_get_ident()

    def service(self, name: str) -> Service | None:
        """The service that botocore calls *name*, made if this is its first call; ``None`` if it is not simulated."""
        found = self.services.get(name)
        if found is None and name in self.makers:
            found = self.services[name] = self.makers[name]()
        return found


_world: World | None = None


def current() -> World | None:
    """The run in force on this OS thread, else ``None``."""
    world = _world
    if world is None or world.thread_id != _real_get_ident():
        return None
    return world


def enter(world: World) -> None:
    """Make *world* the run in force.

    Raises:
        NestedSimulation: there is one already.
    """
    global _world
    if _world is not None:
        from harness.errors import NestedSimulation

        raise NestedSimulation(
            "a simulation is running in this process already; call harness.run from outside a process or handler"
        )
    _world = world


def leave() -> None:
    """No run is in force any more."""
    global _world
    _world = None
