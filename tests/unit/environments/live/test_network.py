"""Toxics come and go in their windows, and what a killed run left is taken away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness import Fault
from harness.environments.live.network import Network, toxic_of
from harness.environments.live.recorder import LiveRecorder
from harness.faults.plan import FaultPlan
from harness.toxiproxy.client import ToxiproxyClient, UnsupportedToxicError
from harness.toxiproxy.server import ToxiproxyServer


class Clock:
    """Plan time that a test moves: what falls due is called in order."""

    began = 0.0
    seconds = 0.0
    current = None

    def __init__(self) -> None:
        self.due: list[tuple[int, Any]] = []

    def call_at(self, at_us: int, function: Any) -> None:
        self.due.append((at_us, function))

    def move_to(self, seconds: float) -> None:
        self.seconds = seconds
        self.due.sort(key=lambda one: one[0])
        while self.due and self.due[0][0] <= seconds * 1_000_000:
            self.due.pop(0)[1]()


@pytest.fixture
def client() -> Iterator[ToxiproxyClient]:
    with ToxiproxyServer(port=0) as server:
        yield ToxiproxyClient(server.url)


def made(client: ToxiproxyClient, plan: FaultPlan, *names: str) -> tuple[Network, Any, Any]:
    clock: Any = Clock()
    record = LiveRecorder(clock)
    network = Network(client, clock, record)
    for name in names:
        network.add(name, "127.0.0.1:9")
    network.check(plan)
    network.schedule(plan)
    return network, clock, record


def state(client: ToxiproxyClient) -> dict[str, tuple[bool, list[str]]]:
    """By upstream's name: whether the proxy is enabled, and the types of its toxics."""
    return {
        name.split("-", 2)[2]: (proxy.enabled, [toxic.type for toxic in proxy.toxics])
        for name, proxy in client.proxies().items()
    }


def test_a_toxic_is_there_in_its_window_only(client: ToxiproxyClient) -> None:
    """And at the server that it names only; the strike is written down with its number."""
    plan = FaultPlan([Fault("network.sqs", "latency", start=1, end=2, latency=100)])
    network, clock, record = made(client, plan, "sqs", "redis")
    clock.move_to(0.9)
    assert state(client) == {"sqs": (True, []), "redis": (True, [])}
    clock.move_to(1.0)
    assert state(client) == {"sqs": (True, ["latency"]), "redis": (True, [])}
    clock.move_to(2.0)
    assert state(client) == {"sqs": (True, []), "redis": (True, [])}
    assert network.strikes == {0: 1}
    (strike,) = record.in_order()
    assert (strike["fault"], strike["point"], strike["did"]) == (0, "network.sqs", "toxic latency (downstream)")
    network.close()
    assert client.proxies() == {}
    assert network.failures == []


def test_a_proxy_is_up_again_when_the_last_of_two_outages_is_over(client: ToxiproxyClient) -> None:
    """Windows that overlap do not end each other."""
    plan = FaultPlan(
        [Fault("network.sqs", "down", start=1, end=3), Fault("network.*", "down", start=2, end=4)],
    )
    network, clock, _ = made(client, plan, "sqs")
    for seconds, enabled in ((1, False), (2, False), (3, False), (4, True)):
        clock.move_to(seconds)
        assert state(client)["sqs"][0] is enabled
    network.close()


def test_redis_refused_is_a_proxy_that_is_down(client: ToxiproxyClient) -> None:
    """The network stands in for it."""
    network, clock, _ = made(client, FaultPlan([Fault("redis", "refused", start=0, end=1)]), "sqs", "redis")
    clock.move_to(0)
    assert {name: one[0] for name, one in state(client).items()} == {"sqs": True, "redis": False}
    network.close()


def test_what_a_killed_run_left_is_taken_away_and_others_are_not(client: ToxiproxyClient) -> None:
    """Its process is no more; a run that goes on and somebody's own proxy stay as they are."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f"harness-{gone.pid}-sqs", f"harness-{os.getpid()}-redis", "mine", "harness-x-y"):
        client.create(name, "127.0.0.1:9")
    clock: Any = Clock()
    Network(client, clock, LiveRecorder(clock))
    assert sorted(client.proxies()) == sorted([f"harness-{os.getpid()}-redis", "mine", "harness-x-y"])


def test_a_fault_that_cannot_be_carried_out_is_a_failure_of_the_run(client: ToxiproxyClient) -> None:
    """Somebody took the proxy away: the run must not pass as if the fault had struck."""
    plan = FaultPlan([Fault("network.sqs", "latency", start=1, end=2, latency=100)])
    network, clock, _ = made(client, plan, "sqs")
    client.delete(next(iter(client.proxies())))
    clock.move_to(1)
    assert len(network.failures) == 1
    assert "sqs is gone" in network.failures[0]


def test_toxics_that_a_real_toxiproxy_does_not_have_are_refused_there(
    client: ToxiproxyClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their name, before anything runs."""
    monkeypatch.setattr(ToxiproxyClient, "embedded", property(lambda self: False))
    clock: Any = Clock()
    network = Network(client, clock, LiveRecorder(clock))
    with pytest.raises(UnsupportedToxicError, match="corrupt"):
        network.check(FaultPlan([Fault("network.sqs", "corrupt", start=0, end=1)]))


def test_a_fault_of_the_network_is_a_toxic_with_its_attributes() -> None:
    """Direction and all; ``down`` is none."""
    fault = Fault("network.sqs", "bandwidth", start=0, end=1, rate=64, stream="upstream")
    assert toxic_of(fault) == ("bandwidth", {"rate": 64}, "upstream")
    assert toxic_of(Fault("network.sqs", "down", start=0, end=1)) is None
