"""Strings, hashes, sets, sorted sets, lists, expiry, transactions and scripts as a real redis-server has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.budget import examples
from tests.requirements import redis_server
from tests.unit.sim.wire.bench import Run
from tests.unit.sim.wire.conftest import cuts as cuts  # the fixture, for this module

_CHOICES = {
    "KEY": st.sampled_from(["a", "b"]),
    "VALUE": st.sampled_from(["1", "2.5", "x", "", "é"]),
    "FIELD": st.sampled_from(["f", "g"]),
    "INDEX": st.sampled_from(["-2", "-1", "0", "1", "5"]),
    "SCORE": st.sampled_from(["-1", "0", "1.5", "(1", "inf"]),
}
LINES = (
    "SET KEY VALUE", "SET KEY VALUE NX", "SET KEY VALUE XX GET", "SET KEY VALUE EX 100", "SET KEY VALUE KEEPTTL",
    "GET KEY", "GETSET KEY VALUE", "GETDEL KEY", "INCR KEY", "INCRBYFLOAT KEY 0.5", "DECRBY KEY 3", "APPEND KEY VALUE",
    "STRLEN KEY", "SETRANGE KEY 2 VALUE", "GETRANGE KEY INDEX INDEX", "MGET a b", "MSETNX a VALUE b VALUE",
    "DEL KEY", "UNLINK a b", "EXISTS a b a", "TYPE KEY", "RENAME KEY KEY", "PERSIST KEY", "EXPIRE KEY 100",
    "EXPIRE KEY 0", "EXPIRE KEY 50 NX", "EXPIRE KEY 200 GT", "TTL KEY",
    "HSET KEY FIELD VALUE", "HSETNX KEY FIELD VALUE", "HGET KEY FIELD", "HDEL KEY FIELD", "HINCRBY KEY FIELD 2",
    "HLEN KEY", "HEXISTS KEY FIELD", "HMGET KEY f g",
    "LPUSH KEY VALUE", "RPUSH KEY VALUE VALUE", "RPUSHX KEY VALUE", "LPOP KEY", "RPOP KEY 2", "LRANGE KEY INDEX INDEX",
    "LINDEX KEY INDEX", "LSET KEY INDEX VALUE", "LREM KEY INDEX VALUE", "LTRIM KEY INDEX INDEX", "LLEN KEY",
    "LPOS KEY VALUE", "LINSERT KEY BEFORE VALUE VALUE", "LMOVE a b LEFT RIGHT", "RPOPLPUSH b a",
    "SADD KEY VALUE VALUE", "SREM KEY VALUE", "SISMEMBER KEY VALUE", "SCARD KEY", "SMOVE a b VALUE",
    "ZADD KEY SCORE VALUE", "ZADD KEY NX 3 VALUE", "ZADD KEY GT CH 2 VALUE", "ZINCRBY KEY 1.5 VALUE",
    "ZSCORE KEY VALUE", "ZRANGE KEY INDEX INDEX WITHSCORES", "ZRANGEBYSCORE KEY SCORE 3",
    "ZREMRANGEBYSCORE KEY SCORE SCORE", "ZCARD KEY", "ZRANK KEY VALUE", "ZREM KEY VALUE", "ZPOPMIN KEY",
    "ZCOUNT KEY SCORE SCORE",
    "MULTI", "EXEC", "DISCARD", "WATCH KEY", "UNWATCH",
)  # fmt: skip
COMMANDS = st.sampled_from(LINES).flatmap(
    lambda line: st.tuples(*(_CHOICES.get(word, st.just(word)) for word in line.split()))
)
SCRIPTS = st.sampled_from(
    [
        ("EVAL", "return redis.call('incr', KEYS[1])", "1", "a"),
        ("EVAL", "return {1, 'x', false, redis.call('get', KEYS[1])}", "1", "b"),
        ("EVAL", "return redis.pcall('lpush', KEYS[1], ARGV[1])", "1", "a", "y"),
        ("EVAL", "return redis.error_reply('OWN no')", "0"),
        ("EVAL", "return redis.status_reply('FINE')", "0"),
    ]
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as number:
        yield number


def talk(client: Any, commands: list[tuple[str, ...]]) -> list[Any]:
    """The answers as they came; of an error its first word. One connection, so that MULTI and WATCH hold."""
    client.response_callbacks.clear()
    found: list[Any] = []
    for command in commands:
        try:
            answer = client.execute_command(*command)
        except redis.ResponseError as error:
            answer = "error", str(error).split(" ", 1)[0]
        found.append(
            [str(one) if isinstance(one, Exception) else one for one in answer] if isinstance(answer, list) else answer
        )
    return found


def on_ours(commands: list[tuple[str, ...]]) -> list[Any]:
    """The answers of a run's Redis."""
    found: list[Any] = []
    with Run() as run:

        def carry_out() -> None:
            found.extend(talk(redis.Redis(protocol=2, single_connection_client=True), commands))

        run.actor(carry_out)
        run.go()
    return found


@given(st.lists(COMMANDS | SCRIPTS, max_size=20))
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_commands_have_the_same_answers(port: int, cuts: None, commands: list[tuple[str, ...]]) -> None:
    """A run's Redis answers as the real server, command by command, errors and transactions too."""
    client = redis.Redis(port=port, protocol=2, single_connection_client=True)
    client.flushall()
    try:
        assert talk(client, commands) == on_ours(commands)
    finally:
        client.close()
