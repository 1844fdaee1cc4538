"""Real redis-py clients on the run's Redis."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.sim.verdicts import Verdict
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")


def client(**options: Any) -> redis.Redis:
    """A client that does not retry unless told to."""
    return redis.Redis("cache.example", 7777, **{"retry": Retry(NoBackoff(), 0), "socket_timeout": 2.0, **options})


def once(point: str, side: str, *verdicts: Verdict | None) -> dict[tuple[str, str], list[Any]]:
    return {(point, side): list(verdicts)}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode", [True, False])
def test_commands_of_every_shape_work_in_both_protocols(protocol: int, decode: bool) -> None:
    """Strings, hashes, lists, sets, sorted sets, streams and scripts answer as redis-py's users know them."""

    def text(value: str) -> Any:
        return value if decode else value.encode()

    def main() -> None:
        r = client(protocol=protocol, decode_responses=decode)
        assert r.set("a", "1") is True
        assert r.get("a") == text("1")
        assert r.get("none") is None
        assert r.incr("a") == 2
        r.hset("h", mapping={"x": "1", "y": "2"})
        assert r.hgetall("h") == {text("x"): text("1"), text("y"): text("2")}
        assert r.rpush("l", "a", "b") == 2
        assert r.lrange("l", 0, -1) == [text("a"), text("b")]
        assert r.sadd("s", "b", "a") == 2
        assert r.smembers("s") == {text("a"), text("b")}
        r.zadd("z", {"m": 1.5})
        assert r.zscore("z", "m") == 1.5
        r.xgroup_create("stream", "g", id="0", mkstream=True)
        r.xadd("stream", {"f": "v"})
        assert r.xreadgroup("g", "c", {"stream": ">"})
        assert r.register_script("return redis.call('INCR', KEYS[1])")(["a"]) == 3
        assert r.config_get is not None
        with pytest.raises(redis.ResponseError, match="wrong kind"):
            r.lpush("a", "x")

    with Run() as run:
        run.actor(main)
        run.go()


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_frameworks_ask_at_start_is_answered(protocol: int) -> None:
    """INFO, ROLE, CONFIG GET and TOUCH, which fakeredis lacks; a list that looks like a message is none."""

    def main() -> None:
        r = client(protocol=protocol, decode_responses=True)
        r.rpush("l", "message", "a", "b")
        info = r.info()
        assert (info["redis_version"], info["role"], info["db0"]["keys"]) == ("7.4.0", "master", 1)
        assert r.role()[0] == "master"
        assert r.config_get("maxmemory*") == {"maxmemory": "0", "maxmemory-policy": "noeviction"}
        assert r.touch("l", "none") == 1
        assert r.lrange("l", 0, -1) == ["message", "a", "b"]

    with Run() as run:
        run.actor(main)
        run.go()


def test_every_call_takes_virtual_time() -> None:
    """One round trip takes one latency, a pipeline no more than that."""
    times: list[float] = []

    def main() -> None:
        r = client()
        r.ping()
        pipe = r.pipeline(transaction=False)
        pipe.get("b")
        pipe.get("c")
        for call in (lambda: r.get("a"), pipe.execute):
            began = run.kernel.now_us
            call()
            times.append(run.kernel.now_us - began)

    with Run() as run:
        run.actor(main)
        run.go()
    assert times == [10_000, 10_000]


def test_any_host_port_path_and_tls_lead_to_the_same_server() -> None:
    """Clients that name different servers see one another's writes."""

    def main() -> None:
        redis.Redis("one", 1).set("k", "v")
        assert redis.Redis.from_url("rediss://two:2/0").get("k") == b"v"
        assert redis.Redis(unix_socket_path="/run/redis.sock").get("k") == b"v"
        assert redis.Redis("three", db=1).get("k") is None

    with Run() as run:
        run.actor(main)
        run.go()


def test_a_client_made_before_the_run_and_used_in_two_runs_starts_afresh_each_time() -> None:
    """Pools keep no connection of an earlier run: the second run's server is empty and in use."""
    early = client()
    values = []

    def main() -> None:
        values.append(early.incr("n"))

    for _ in range(2):
        with Run() as run:
            run.actor(main)
            run.go()
    assert values == [1, 1]


def test_a_client_connected_to_a_real_server_does_not_reach_it_from_a_run() -> None:
    """A pooled real socket is dropped when a run begins: its server gets nothing from inside the run."""
    server = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        peer, _ = server.accept()
        while data := peer.recv(4096):
            got.append(data)
            peer.sendall(b"+OK\r\n" * (b"\r\n" + data).count(b"\r\n*"))
        peer.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    early = redis.Redis("127.0.0.1", server.getsockname()[1], protocol=2)
    early.ping()
    with Run() as run:
        run.actor(lambda: early.set("inside", "1"))
        run.go()
        assert run.world.redis.command("GET", "inside") == b"1"
    thread.join(timeout=5)
    server.close()
    early.close()
    assert not any(b"inside" in data for data in got)


def test_blocking_commands_wait_in_virtual_time_and_are_served_first_come_first_served() -> None:
    """Two consumers wait; each push goes to the one that has waited longest, at the instant of the push."""
    got: list[tuple[str, Any, float]] = []

    def consumer(name: str) -> Callable[[], None]:
        def main() -> None:
            item = client(socket_timeout=None).blpop("jobs", timeout=0)
            got.append((name, item, round(run.kernel.now, 2)))

        return main

    def producer() -> None:
        r = client()
        r.rpush("jobs", "a")
        run.kernel.sleep_us(1_000_000)
        r.rpush("jobs", "b")

    with Run() as run:
        run.actor(consumer("first"), "c1", at=1)
        run.actor(consumer("second"), "c2", at=2)
        run.actor(producer, "p", at=10)
        run.go()
    assert [(name, item) for name, item, _ in got] == [("first", (b"jobs", b"a")), ("second", (b"jobs", b"b"))]
    assert 10 <= got[0][2] < 10.2
    assert 11 <= got[1][2] < 11.2


def test_a_blocking_command_ends_empty_at_its_timeout() -> None:
    """BLPOP, XREAD and XREADGROUP return empty-handed when their time is up, not later."""

    def main() -> None:
        r = client(socket_timeout=30)
        r.xgroup_create("s", "g", id="$", mkstream=True)
        for call in (
            lambda: r.blpop("q", timeout=3),
            lambda: r.xread({"s": "$"}, block=3000),
            lambda: r.xreadgroup("g", "c", {"s": ">"}, block=3000),
        ):
            began = run.kernel.now
            assert not call()
            assert run.kernel.now - began == pytest.approx(3.01)

    with Run() as run:
        run.actor(main)
        run.go()


def test_a_blocking_read_from_the_end_sees_what_comes_after_it() -> None:
    """``$`` means the end of the stream when the command arrived, however often it is tried again."""
    got: list[Any] = []

    def reader() -> None:
        got.append(client(socket_timeout=None, protocol=2).xread({"s": "$"}, block=0))

    def writer() -> None:
        r = client()
        r.xadd("other", {"n": "0"})
        r.xadd("s", {"n": "1"})

    with Run() as run:
        run.world.redis.command("XADD", "s", "*", "n", "old")
        run.actor(reader)
        run.actor(writer, "w", at=5)
        run.go()
    [[[stream, [[_, fields]]]]] = got
    assert (stream, fields) == (b"s", {b"n": b"1"})


def test_a_client_that_gave_up_or_was_killed_takes_nothing() -> None:
    """What is pushed after a waiting client timed out, or its process was killed, stays in the list."""

    def impatient() -> None:
        with pytest.raises(redis.TimeoutError):
            client(socket_timeout=1).blpop("jobs", timeout=0)

    with Run() as run:
        run.actor(impatient)
        victim = run.actor(lambda: client(socket_timeout=None).blpop("jobs", timeout=0), "victim")
        run.kernel.call_at(3_000_000, lambda: run.kernel.crash(victim))
        run.actor(lambda: client().rpush("jobs", "a"), "p", at=5)
        run.go()
        assert run.world.redis.command("LRANGE", "jobs", 0, -1) == [b"a"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_published_messages_reach_subscribers(protocol: int) -> None:
    """Pub/sub in both protocols, with a pattern, and a poll that finds nothing takes time too."""
    got: list[Any] = []

    def subscriber() -> None:
        pubsub = client(protocol=protocol).pubsub()
        pubsub.subscribe("news")
        pubsub.psubscribe("n*")
        while len(got) < 4:
            message = pubsub.get_message(timeout=1.0)
            if message is not None:
                got.append((message["type"], message["data"]))
        for _ in range(5):
            before = run.kernel.now_us
            assert pubsub.get_message(timeout=0) is None
            pubsub.get_message(timeout=0)
            assert run.kernel.now_us > before
        pubsub.close()

    def publisher() -> None:
        assert client().publish("news", "hello") == 2

    with Run() as run:
        run.actor(subscriber)
        run.actor(publisher, "p", at=2)
        run.go()
    assert got == [("subscribe", 1), ("psubscribe", 2), ("message", b"hello"), ("pmessage", b"hello")]


def test_a_killed_subscriber_is_not_counted() -> None:
    """Its connection is closed with its process: PUBLISH reaches the living one only."""

    def subscribe() -> None:
        pubsub = client().pubsub()
        pubsub.subscribe("news")
        while pubsub.get_message(timeout=30) is not None:
            pass

    def publisher() -> None:
        assert client().publish("news", "x") == 1

    with Run() as run:
        victim = run.actor(subscribe, "victim")
        run.actor(subscribe, "other")
        run.kernel.call_at(1_000_000, lambda: run.kernel.crash(victim))
        run.actor(publisher, "p", at=2)
        run.go()


def test_watch_sees_another_clients_write() -> None:
    """Optimistic locking works: the transaction of a watched key that changed is refused."""

    def main() -> None:
        r, other = client(), client()
        r.set("k", "1")
        with r.pipeline() as pipe:
            pipe.watch("k")
            other.set("k", "2")
            pipe.multi()
            pipe.set("k", "3")
            with pytest.raises(redis.WatchError):
                pipe.execute()
        assert r.get("k") == b"2"

    with Run() as run:
        run.actor(main)
        run.go()


def test_expiry_follows_the_servers_clock_not_the_clients() -> None:
    """A process whose wall clock is an hour ahead does not make keys expire."""

    def main() -> None:
        r = client()
        r.set("k", "v", ex=60)
        process.clock_offset_us = 3_600_000_000
        assert r.get("k") == b"v"
        run.kernel.sleep_us(61_000_000)
        assert r.get("k") is None

    with Run() as run:
        process = run.actor(main)
        run.go()


def test_malformed_bytes_are_answered_and_end_the_connection() -> None:
    """A client that does not speak the protocol gets an error line and the end, not an exception of ours."""

    def main() -> None:
        sock = redis.Connection(host="x")._connect()
        sock.sendall(b"*1\r\n+what\r\n")
        assert sock.recv(100).startswith(b"-ERR Protocol error")
        assert sock.recv(100) == b""

    with Run() as run:
        run.actor(main)
        run.go()


def test_points_name_the_command_that_the_caller_wrote() -> None:
    """redis-py's incr() is redis.INCR although INCRBY goes over the wire; the handshake passes CONNECT alone."""

    def main() -> None:
        r = client(db=2, client_name="me")
        r.incr("n")
        r.incr("n", 5)

    with Run() as run:
        run.actor(main)
        run.go()
        passed = run.faults.passed
    assert passed == [
        (point, side) for point in ("redis.CONNECT", "redis.INCR", "redis.INCRBY") for side in ("before", "after")
    ]


def test_two_runs_give_the_same_events_and_data() -> None:
    """Sets, random members, stream ids and TOPK are the same in a second run of the same process."""

    def once_more() -> list[Any]:
        found: list[Any] = []

        def main() -> None:
            r = client(protocol=2)
            r.sadd("s", *[f"member-{n}" for n in range(20)])
            found.append(r.execute_command("SMEMBERS", "s") and r.spop("s", 5))
            found.append(r.srandmember("s", 3))
            found.append(r.xadd("x", {"a": "1"}))
            r.topk().reserve("t", 3, 8, 3, 0.9)
            r.topk().add("t", *"abracadabra")
            found.append(r.topk().list("t"))
            found.append(r.randomkey())
            found.append(run.kernel.now_us)

        with Run() as run:
            run.actor(main)
            run.go()
        return found

    assert once_more() == once_more()


_HASH_SEED_PROBE = """
import hashlib, redis
from harness.sim import patches
from harness.sim.wire import redis as wire
from tests.unit.sim.wire.bench import Run
patches.install()
wire.install()
found = []
def listen(name):
    pubsub = redis.Redis().pubsub()
    pubsub.subscribe("news")
    while (message := pubsub.get_message(timeout=9)) is None or message["type"] != "message":
        pass
    found.append((name, run.kernel.now_us))
def main():
    r = redis.Redis(protocol=2)
    for name in "abc":
        r.sadd(name, *[f"member-{n}" for n in range(30)])
    r.sunionstore("d", "a", "b")
    found.append(r.eval("return redis.call('SMEMBERS', KEYS[1])", 1, "c"))
    found.append([r.srandmember("d", 5), r.randomkey(), r.execute_command("SRANDMEMBER", "a", -9), r.sscan("b")])
    r.topk().reserve("t", 3, 8, 3, 0.9)
    r.topk().add("t", *"abracadabra")
    found.append(r.topk().list("t"))
    connection = r.connection_pool.get_connection()
    connection.send_command("SPOP", "b", 4)
    found.append(connection.read_response())
    r.publish("news", "now")
with Run() as run:
    for name in ("one", "two", "three"):
        run.actor(lambda name=name: listen(name), name)
    run.actor(main, at=1)
    run.go()
print(hashlib.sha256(repr(found).encode()).hexdigest())
"""


def test_the_hash_seed_changes_nothing() -> None:
    """Members, random choices, scripts' replies, sketches and the order of subscribers, in separate processes."""
    digests = set()
    for hash_seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", _HASH_SEED_PROBE], env=environ, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        digests.add(done.stdout)
    assert len(digests) == 1


def test_uninstalled_redis_py_is_as_it_was() -> None:
    """Nothing of the cut stays behind."""
    import fakeredis._helpers as helpers
    from redis.connection import Connection

    from harness.sim.wire import redis as wire

    cut = Connection._connect
    wire.uninstall()
    try:
        assert Connection._connect is not cut
        assert Connection._connect.__module__ == "redis.connection"
        assert helpers.time.__name__ == "time"
    finally:
        wire.install()
