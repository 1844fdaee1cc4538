"""A failover's dataset is the dataset of a server that never got the lost writes."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.seeds import Seeds
from harness.sim import world as world_module
from harness.sim.kernel import Kernel
from harness.sim.services.redis import RedisServer
from harness.sim.world import World
from tests.budget import examples

KEYS = st.sampled_from(["a", "b"])
VALUES = st.sampled_from(["1", "2", "3"])

GROWING = st.tuples(st.sampled_from(["LPUSH", "RPUSH", "SADD"]), KEYS, VALUES)

COMMANDS = st.one_of(
    GROWING,
    GROWING,
    GROWING,
    st.tuples(st.sampled_from(["SET", "APPEND", "GETSET", "SETNX"]), KEYS, VALUES),
    st.tuples(st.sampled_from(["INCR", "DEL", "LPOP", "GETDEL", "PERSIST"]), KEYS),
    st.tuples(st.sampled_from(["LPUSH", "RPUSH", "SADD", "SREM", "PFADD"]), KEYS, VALUES, VALUES),
    st.tuples(st.sampled_from(["HSET", "HSETNX"]), KEYS, VALUES, VALUES),
    st.tuples(st.just("HDEL"), KEYS, VALUES),
    st.tuples(st.just("ZADD"), KEYS, VALUES, VALUES),
    st.tuples(st.sampled_from(["RENAME", "COPY", "RPOPLPUSH"]), KEYS, KEYS),
    st.tuples(st.just("EXPIRE"), KEYS, st.just("1000")),
    st.tuples(st.just("EVAL"), st.just("return redis.call('SET', KEYS[1], ARGV[1])"), st.just("1"), KEYS, VALUES),
    st.tuples(st.sampled_from(["FLUSHDB", "FLUSHALL"])),
    st.tuples(st.just("SWAPDB"), st.just("0"), st.just("1")),
)

READS: dict[bytes, tuple[Any, ...]] = {
    b"string": ("GET",),
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}


class Server:
    """A Redis of its own in a run of its own, at second 0 of virtual time."""

    def __init__(self, history_seconds: float | None) -> None:
        self.kernel = Kernel(Seeds(0))
        world = World(self.kernel, None, lambda kind, message=None, **fields: 0)  # type: ignore[arg-type]
        world_module.enter(world)
        self.redis = RedisServer(world, random.Random(0), history_seconds=history_seconds)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.kernel.close()
        world_module.leave()

    def carry_out(self, command: tuple[str, ...]) -> None:
        try:
            self.redis.command(*command)
        except RuntimeError:
            pass  # a wrong type, no such key: as good a case as any other

    def state(self) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for index, dataset in sorted(self.redis.engine.dbs.items()):
            for key in sorted(dataset):
                kind = bytes(self.redis.command("TYPE", key)) if index == 0 else b""
                value = self.redis.command(READS[kind][0], key, *READS[kind][1:]) if kind in READS else None
                found[index, key] = (kind, value, dataset._dict[key].expireat is not None)
        return found


@given(st.lists(COMMANDS, min_size=4, max_size=15), st.lists(COMMANDS, min_size=4, max_size=15))
@settings(deadline=None, max_examples=examples(250))
def test_a_failover_leaves_what_was_there_before_the_lost_writes(
    kept: list[tuple[str, ...]], lost: list[tuple[str, ...]]
) -> None:
    """Whatever the commands (failed ones, renames, scripts, flushes, swaps) and whatever part of them is lost."""
    with Server(None) as reference:
        for command in kept:
            reference.carry_out(command)
        expected = reference.state()
    with Server(100) as server:
        for number, command in enumerate([*kept, *lost]):
            server.kernel.now_us = number * 1_000_000
            server.carry_out(command)
        server.redis.failover(len(lost) - 0.5)
        assert server.state() == expected
