"""The components that keep state in Redis, on a real cluster of three masters: no operation crosses hash slots.

A cluster refuses a script or command whose keys are in different slots
(CROSSSLOT), and answers MOVED where a client asks the wrong node: neither can
be seen on a single server.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from harness.cli import run_command
from harness.net.child import free_port
from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    Idempotency,
    PoisonMessageDetector,
    Quarantine,
    RedisBreakerStore,
    RedisIdempotencyStore,
)
from tests.requirements import require

pytestmark = pytest.mark.slow

SLOTS = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)]
WAIT_S = 20.0
BINARY = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}


def ports(count: int) -> list[int]:
    """Different free ports."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)


def start_node(port: int, bus: int, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    command = [require("redis"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    cluster = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--cluster-node-timeout", "2000"]
    return subprocess.Popen(
        [*command, *cluster, "--dir", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def until(what: str, holds: Any) -> None:
    """Wait until *holds* says yes: twenty seconds at most."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        try:
            if holds():
                return
        except redis.ConnectionError:
            pass  # it is still starting
        time.sleep(0.05)
    raise RuntimeError(f"{what}: not within {WAIT_S:g} s")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Three masters that share the slots; each is ended by its own process at the end."""
    require("redis")
    folder = tmp_path_factory.mktemp("cluster")
    numbers = ports(6)
    pairs = list(zip(numbers[:3], numbers[3:], strict=True))
    with ExitStack() as stack:
        for port, bus in pairs:
            server = start_node(port, bus, folder / str(port))
            stack.callback(server.wait, timeout=10)
            stack.callback(server.terminate)
        admins = [stack.enter_context(redis.Redis(port=port, socket_timeout=5)) for port, _ in pairs]
        for admin in admins:
            until("a node answers", admin.ping)
        for admin, (first, last) in zip(admins, SLOTS, strict=True):
            admin.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for port, bus in pairs[1:]:
            admins[0].execute_command("CLUSTER MEET", "127.0.0.1", port, bus)
        for admin in admins:
            until("the cluster is whole", lambda admin=admin: known(admin) == (True, 3))
        yield [port for port, _ in pairs]


def known(admin: Any) -> tuple[bool, int]:
    """Whether a node takes the cluster for whole, and how many nodes it knows of."""
    info = admin.execute_command("CLUSTER INFO")
    text = info.decode() if isinstance(info, bytes) else str(info)
    return "cluster_state" in text and "ok" in text.partition("cluster_state")[2][:8], len(admin.cluster("NODES"))


@pytest.fixture(params=[True, False], ids=["text", "bytes"])
def cluster(nodes: list[int], request: pytest.FixtureRequest) -> Iterator[Any]:
    client = RedisCluster(host="127.0.0.1", port=nodes[1], decode_responses=request.param, socket_timeout=5)
    client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    client.close()


class Queue:
    """Takes what is released."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **request: Any) -> dict[str, str]:
        self.sent.append(request)
        return {"MessageId": f"new-{len(self.sent)}"}


def test_keys_in_different_slots_are_refused(cluster: Any) -> None:
    """What the others would meet: the same count without the braces is refused by the cluster (or by its client)."""
    with pytest.raises((redis.RedisError, RedisClusterException), match="slot"):
        cluster.eval("return redis.call('ZCARD', KEYS[2])", 2, "message_failures:m-1", "message_failures:m-1:times")


def test_failures_quarantine_release_and_erasure(cluster: Any) -> None:
    """Thirty ids over all three masters: counted, poison, put aside, released, erased, purged; nothing is left."""
    detector = PoisonMessageDetector(cluster, poison_threshold=3)
    ids = [f"m-{n}" for n in range(27)] + ["order{7}", "a}b{c", "{}"]
    for identity in ids:
        assert [detector.record_failure(identity) for _ in range(3)] == [1, 2, 3]
        assert detector.is_poison_message(identity)
        message = {"MessageId": identity, "Body": "{}", "MessageAttributes": BINARY}
        assert detector.quarantine_poison_message(message, "it fails", queue_url="https://sqs/1/orders")
    assert not detector.degraded
    masters = {node.port for node in map(cluster.get_node_from_key, [f"message_failures:{name}" for name in ids])}
    assert len(masters) == 3
    quarantine, queue = Quarantine(cluster), Queue()
    assert len(quarantine) == 30
    assert len(quarantine.page(limit=7).entries) == 7
    assert [one.entry.message_id for one in quarantine.release("order{7}", sqs=queue)] == ["order{7}"]
    assert queue.sent[0]["MessageAttributes"]["b"] == BINARY["b"]
    assert not detector.is_poison_message("order{7}")
    assert quarantine.erase("a}b{c") == 1
    assert quarantine.purge() == 28
    for identity in ids:
        detector.forget(identity)
    assert not detector.degraded
    left = cluster.keys("*", target_nodes=RedisCluster.PRIMARIES)
    assert left == []


def test_the_known_keys_are_honoured(cluster: Any) -> None:
    """An integer and a list as earlier tools left them, on whichever masters they are."""
    cluster.set("message_failures:m-2", 5)
    cluster.rpush("poison_messages", '{"messageId": "old", "messageBody": "b"}')
    detector = PoisonMessageDetector(cluster)
    assert detector.is_poison_message("m-2")
    assert detector.record_failure("m-2") == 6
    assert [entry.message_id for entry in detector.quarantined()] == ["old"]


def test_scripts_are_loaded_where_they_are_missing(cluster: Any) -> None:
    """A master that restarted knows no script: it is loaded again, on that master, within the same call."""
    detector = PoisonMessageDetector(cluster)
    for n in range(10):
        detector.record_failure(f"m-{n}")
    cluster.script_flush()
    assert [detector.record_failure(f"m-{n}") for n in range(10)] == [2] * 10
    assert not detector.degraded


def test_the_operators_command(
    cluster: Any, nodes: list[int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL of any node does: the commands find the masters that hold the quarantine and the counts."""
    detector = PoisonMessageDetector(cluster, poison_threshold=1)
    for n in range(5):
        message = {"MessageId": f"m-{n}", "Body": "{}"}
        detector.record_failure(f"m-{n}")
        assert detector.quarantine_poison_message(message, "it fails")
    for node in nodes:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{node}/0")
        assert run_command(["quarantine", "list"]) == 0
        out, err = capfd.readouterr()
        assert len(out.splitlines()) == 5
        assert err.startswith(f"redis cluster redis://127.0.0.1:{node}/0")
    assert run_command(["quarantine", "erase", "m-3", "--yes"]) == 0
    assert detector.failure_count("m-3") == 0
    assert run_command(["quarantine", "purge", "--yes"]) == 0
    assert detector.quarantined() == []


def test_effects_once(cluster: Any) -> None:
    """Claims of twenty keys over the masters: one owner each, the result remembered."""
    store = Idempotency(RedisIdempotencyStore(cluster)).store
    for n in range(20):
        assert store.begin(f"order-{n}", "one", 30).status.value == "started"
        assert store.begin(f"order-{n}", "two", 30).status.value == "in_progress"
        assert store.complete(f"order-{n}", "one", {"charge": n}, 60)
        assert store.begin(f"order-{n}", "two", 30).result == {"charge": n}


def test_a_shared_breaker(cluster: Any) -> None:
    """Two processes' breakers on one state: the failures of both open both."""
    breakers = [
        CircuitBreaker(failure_threshold=2, name="payments", store=RedisBreakerStore(cluster)) for _ in range(2)
    ]

    def fail() -> None:
        raise ConnectionError("down")

    for breaker in breakers:
        with pytest.raises(ConnectionError):
            breaker.call(fail)
    for breaker in breakers:
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(fail)
