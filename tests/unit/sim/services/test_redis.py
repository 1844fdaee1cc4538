"""The run's Redis as a whole: what a failover and a flush take with them."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.sim.services.redis import Loss, refuses
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")


def state(run: Run) -> dict[bytes, Any]:
    """Every key and what it holds, by type."""
    reads = {
        b"string": ("GET",),
        b"list": ("LRANGE", 0, -1),
        b"set": ("SMEMBERS",),
        b"hash": ("HGETALL",),
        b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
        b"stream": ("XRANGE", "-", "+"),
    }
    server = run.world.redis
    found = {}
    for key in sorted(server.command("KEYS", "*")):
        name, *rest = reads[bytes(server.command("TYPE", key))]
        found[key] = server.command(name, key, *rest)
    return found


def write_everything(run: Run, mark: str) -> None:
    """Writes of every kind, so that each kind must be undone."""
    r = redis.Redis(protocol=2)
    r.set(f"new-{mark}", "1")
    r.set("string", mark)
    r.append("grown", mark)
    r.rpush("list", mark)
    r.hset("hash", mark, "1")
    r.sadd("set", mark)
    r.zadd("zset", {mark: 1})
    r.xadd("stream", {"mark": mark})
    r.expire("expiring", 5)
    r.delete("deleted")
    r.rename("renamed", f"renamed-{mark}")
    pipe = r.pipeline()
    pipe.incr("transaction")
    pipe.incr("transaction")
    pipe.execute()
    r.eval("redis.call('INCR', KEYS[1]); redis.call('HINCRBY', 'hash', 'scripted', 1)", 1, "script")


def seed(run: Run) -> None:
    server = run.world.redis
    server.command("SET", "deleted", "was here")
    server.command("SET", "renamed", "x")
    server.command("SET", "expiring", "x")
    server.command("SADD", "set", "old")


def test_a_failover_puts_every_kind_of_value_back_to_what_it_was() -> None:
    """After the loss of the last seconds the dataset is exactly that of the moment before them."""
    seen: dict[str, Any] = {}

    def main() -> None:
        write_everything(run, "early")
        run.kernel.sleep_us(10_000_000)
        run.world.redis.command("SET", "renamed", "again")
        run.world.redis.command("SET", "deleted", "again")
        run.world.redis.command("SET", "expiring", "again")
        seen["then"] = state(run)
        began = run.kernel.now_us
        run.kernel.sleep_us(1)
        write_everything(run, "late")
        assert state(run) != seen["then"]
        seen["loss"] = run.world.redis.failover((run.kernel.now_us - began) / 1e6)
        seen["now"] = state(run)

    with Run(history_seconds=30) as run:
        seed(run)
        run.actor(main)
        run.go()
    assert seen["now"] == seen["then"]
    assert seen["loss"].kind == "failover"
    assert seen["loss"].keys == {(0, b"new-late"), (0, b"renamed-late")}


def test_a_failover_breaks_connections_and_forgets_scripts() -> None:
    """Clients must reconnect (redis-py does so by itself) and load their scripts again."""

    def main() -> None:
        r = redis.Redis(retry=Retry(NoBackoff(), 1))
        script = r.register_script("return 7")
        assert script() == 7
        run.world.redis.failover(0)
        before = run.faults.passed.count(("redis.CONNECT", "before"))
        assert script() == 7
        assert run.faults.passed.count(("redis.CONNECT", "before")) == before + 1
        assert run.faults.passed.count(("redis.SCRIPT", "before")) == 2

    with Run(history_seconds=1) as run:
        run.actor(main)
        run.go()


def test_a_failover_further_back_than_the_journal_is_refused() -> None:
    """Losing less than was asked for would be a wrong run."""
    with Run(history_seconds=5) as run, pytest.raises(ValueError, match=r"10 s: the journal keeps 5 s"):
        run.world.redis.failover(10)
    with Run() as run, pytest.raises(ValueError, match="history_seconds"):
        run.world.redis.failover(1)


def test_the_journal_forgets_what_is_older_than_it_must_keep() -> None:
    """Its memory is bounded by the window, not by the run."""
    sizes = []

    def main() -> None:
        for number in range(200):
            run.world.redis.command("SET", f"k{number}", "v")
            sizes.append(len(run.world.redis.engine.journal._entries))
            run.kernel.sleep_us(100_000)

    with Run(history_seconds=2) as run:
        run.actor(main)
        run.go()
    assert max(sizes) <= 22


def test_a_flush_takes_everything_and_tells_what() -> None:
    """Every database is empty, connections live on, and observers are told the keys that were there."""
    told: list[Loss] = []

    def main() -> None:
        r, other = redis.Redis(), redis.Redis(db=3)
        r.set("a", "1")
        r.set("gone", "1", px=10)
        other.set("b", "1")
        run.kernel.sleep_us(1_000_000)
        run.world.redis.flush()
        connects = run.faults.passed.count(("redis.CONNECT", "before"))
        assert r.get("a") is None
        assert other.dbsize() == 0
        assert run.faults.passed.count(("redis.CONNECT", "before")) == connects

    with Run() as run:
        run.world.redis.loss_observers.append(told.append)
        run.actor(main)
        run.go()
    assert told == [Loss("flush", -1, frozenset({(0, b"a"), (3, b"b")}))]


def test_observers_see_what_was_carried_out_inside_transactions_and_scripts() -> None:
    """Each command once, when it takes effect; refused ones not at all."""
    seen: list[tuple[str, list[bytes], Any, int]] = []

    def main() -> None:
        r = redis.Redis()
        pipe = r.pipeline()
        pipe.set("a", "1")
        pipe.execute()
        r.eval("return redis.call('SADD', KEYS[1], ARGV[1])", 1, "s", "x")
        with pytest.raises(redis.ResponseError):
            r.lpush("a", "x")

    with Run() as run:
        run.world.redis.observers.append(lambda *told: seen.append(told))
        run.actor(main)
        run.go()
    writes = [(command, arguments) for command, arguments, _, _ in seen if command in ("SET", "SADD", "LPUSH")]
    assert writes == [("SET", [b"a", b"1"]), ("SADD", [b"s", b"x"])]


def test_a_command_from_outside_answers_and_refuses_plainly() -> None:
    """Set-up code and tests get values, and errors as errors."""
    with Run() as run:
        server = run.world.redis
        assert server.command("SET", "a", 1) == b"OK"
        assert server.command("GET", "a") == b"1"
        with pytest.raises(RuntimeError, match="WRONGTYPE"):
            server.command("LPUSH", "a", "x")
        with pytest.raises(RuntimeError, match="would wait"):
            server.command("BLPOP", "q", 0)


@pytest.mark.parametrize(
    ("line", "command", "refused"),
    [
        ("READONLY x", "SET", True),
        ("READONLY x", "GET", False),
        ("READONLY x", "EVALSHA", True),
        ("OOM x", "LPUSH", True),
        ("OOM x", "DEL", False),
        ("LOADING x", "GET", True),
        ("LOADING x", "INFO", False),
        ("NOAUTH x", "GET", True),
    ],
)
def test_which_commands_a_server_refuses_in_which_state(line: str, command: str, refused: bool) -> None:
    """By the flags of Redis's own command table."""
    assert refuses(line, command) is refused
