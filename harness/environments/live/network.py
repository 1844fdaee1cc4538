"""Proxies in front of a live run's servers, and the faults of the network: toxics in their windows.

Proxies and toxics are made and unmade through toxiproxy-python, under a lock
because its address belongs to the class; what it cannot do goes through the
client of our own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from harness.environments.live.clock import LiveClock
from harness.environments.live.recorder import LiveRecorder
from harness.errors import EnvironmentFailed
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import matcher
from harness.toxiproxy.client import ToxiproxyClient, UnsupportedToxicError
from harness.toxiproxy.library import addressed
from harness.toxiproxy.toxics import EXTRA

__all__ = ["REDIS_AS_NETWORK", "Network", "toxic_of"]

_PREFIX: Final = "harness"

#: Faults of Redis that a network can stand in for.
REDIS_AS_NETWORK: Final = {"refused": "down", "timeout": "timeout"}

_python_client = threading.Lock()


@contextlib.contextmanager
def python_client(url: str) -> Iterator[Any]:
    """toxiproxy-python's client for the server at *url*; one thread at a time, because its address is a class's."""
    with _python_client, addressed(url) as client:
        yield client


def toxic_of(fault: Fault) -> tuple[str, dict[str, Any], str] | None:
    """Type, attributes and stream of the toxic that a fault is; None: the proxy is down."""
    if fault.spec.layer == "redis":
        if REDIS_AS_NETWORK[fault.kind] == "down":
            return None
        return "timeout", {"timeout": 0}, "upstream" if fault.side == "before" else "downstream"
    if fault.kind == "down":
        return None
    attributes = dict(fault.parameters)
    stream = str(attributes.pop("stream", "downstream"))
    return fault.kind, attributes, stream


class Network:
    """One proxy for each server. ``strikes``: how often each fault of the plan was in force, by its index."""

    def __init__(self, client: ToxiproxyClient, clock: LiveClock, record: LiveRecorder) -> None:
        self._client = client
        self._clock = clock
        self._record = record
        self._names: dict[str, str] = {}
        self._down: dict[str, set[int]] = {}
        self.strikes: dict[int, int] = {}
        self.failures: list[str] = []
        self._remove_leftovers()

    def add(self, name: str, upstream: str) -> str:
        """Put a proxy in front of *upstream* (``host:port``); returns its own ``host:port``."""
        full = f"{_PREFIX}-{os.getpid()}-{name}"
        with python_client(self._client.url) as toxiproxy:
            proxy = toxiproxy.create(upstream=upstream, name=full, listen="127.0.0.1:0")
            self._names[name] = full
            self._down[name] = set()
            return str(proxy.listen)

    def check(self, plan: FaultPlan) -> None:
        """Raises UnsupportedToxicError for a toxic that the server in use does not have."""
        for fault in plan:
            if fault.spec.layer == "network" and fault.kind in EXTRA and not self._client.embedded:
                raise UnsupportedToxicError(f"toxic {fault.kind}", self._client.url)

    def schedule(self, plan: FaultPlan) -> None:
        """Let the network's faults, and Redis's that the network stands in for, come and go in their windows."""
        for index, fault in enumerate(plan):
            if fault.spec.layer in ("network", "redis"):
                self._schedule(index, fault)

    def close(self) -> None:
        """Take away every proxy of this run, and with it its toxics."""
        for name in list(self._names):
            full = self._names.pop(name)
            with contextlib.suppress(Exception):  # the server may be gone: then so are its proxies
                self._client.delete(full)

    def _schedule(self, index: int, fault: Fault) -> None:
        start_us = round((fault.start or 0.0) * 1_000_000)
        names = [name for name in self._names if self._reaches(fault, name)]
        self._clock.call_at(start_us, self._guarded(lambda: self._begin(index, fault, names)))
        if fault.end is not None:
            self._clock.call_at(round(fault.end * 1_000_000), self._guarded(lambda: self._end(index, fault, names)))

    @staticmethod
    def _reaches(fault: Fault, name: str) -> bool:
        return name == "redis" if fault.spec.layer == "redis" else matcher(fault.where.name)(name)

    def _guarded(self, function: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            try:
                function()
            except Exception as error:
                self.failures.append(f"a fault of the network could not be carried out: {error}")

        return call

    def _begin(self, index: int, fault: Fault, names: list[str]) -> None:
        toxic = toxic_of(fault)
        for name in names:
            with python_client(self._client.url) as toxiproxy:
                proxy = toxiproxy.get_proxy(self._names[name])
                if proxy is None:
                    raise EnvironmentFailed(f"the proxy in front of {name} is gone")
                if toxic is None:
                    self._down[name].add(index)
                    proxy.disable()
                else:
                    kind, attributes, stream = toxic
                    proxy.add_toxic(
                        name=f"fault-{index}",
                        type=kind,
                        stream=stream,
                        toxicity=fault.probability,
                        attributes=attributes,
                    )
            self.strikes[index] = self.strikes.get(index, 0) + 1
            did = "down" if toxic is None else f"toxic {toxic[0]} ({toxic[2]})"
            self._record(
                "fault.strike", fault=index, point=f"network.{name}", fault_kind=fault.kind, did=did, actor="faults"
            )

    def _end(self, index: int, fault: Fault, names: list[str]) -> None:
        toxic = toxic_of(fault)
        for name in names:
            if toxic is not None:
                self._client.remove_toxic(self._names[name], f"fault-{index}")
                continue
            self._down[name].discard(index)
            if not self._down[name]:
                with python_client(self._client.url) as toxiproxy:
                    toxiproxy.get_proxy(self._names[name]).enable()

    def _remove_leftovers(self) -> None:
        """Proxies of runs whose process is no more: it was killed before it could take them away."""
        for name in self._client.proxies():
            parts = name.split("-", 2)
            if len(parts) == 3 and parts[0] == _PREFIX and parts[1].isdigit() and not _alive(int(parts[1])):
                self._client.delete(name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
