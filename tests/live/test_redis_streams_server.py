"""Streams, groups and blocking moves as a real redis-server has them: the same commands, the same answers."""

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

_consumer = st.sampled_from(["x", "y"])
_entry = st.sampled_from(["1-1", "1-2", "1-3", "1-4"])


def _words(text: str) -> list[st.SearchStrategy[Any]]:
    return [{"CONSUMER": _consumer, "ENTRY": _entry}.get(word, st.just(word)) for word in text.split()]


COMMANDS = st.one_of(
    *(
        st.tuples(*_words(line))
        for line in (
            "XADD s ENTRY data v",
            "XADD s MAXLEN 2 ENTRY data v",
            "XREADGROUP GROUP g CONSUMER STREAMS s >",
            "XREADGROUP GROUP g CONSUMER COUNT 1 STREAMS s >",
            "XREADGROUP GROUP g CONSUMER STREAMS s 0",
            "XREADGROUP GROUP g CONSUMER NOACK STREAMS s >",
            "XREADGROUP GROUP g CONSUMER COUNT 1 BLOCK 1 STREAMS s >",
            "XREADGROUP GROUP g CONSUMER BLOCK 1 STREAMS s >",
            "XAUTOCLAIM s g CONSUMER 0 0",
            "XAUTOCLAIM s g CONSUMER 0 0 JUSTID",
            "XCLAIM s g CONSUMER 0 ENTRY",
            "XACK s g ENTRY",
            "XDEL s ENTRY",
            "XGROUP DELCONSUMER s g CONSUMER",
            "XTRIM s MAXLEN 1",
            "RPUSH jobs a",
            "BLMOVE jobs doing LEFT RIGHT 0.001",
            "LREM doing 1 a",
        )
    )
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as number:
        yield number


def answer(client: Any, command: tuple[str, ...]) -> Any:
    try:
        return client.execute_command(*command)
    except redis.ResponseError as error:
        return str(error).split(" ", 1)[0]


def on_ours(commands: list[tuple[str, ...]]) -> list[Any]:
    """The answers of the run's Redis."""
    found: list[Any] = []
    with Run() as run:

        def carry_out() -> None:
            client = redis.Redis(protocol=2)
            found.extend(talk(client, commands))

        run.actor(carry_out)
        run.go()
    return found


def talk(client: Any, commands: list[tuple[str, ...]]) -> list[Any]:
    """The answers to *commands*, and after each who has which entry, how often delivered."""
    client.response_callbacks.clear()  # the answers as they came
    client.xgroup_create("s", "g", "0", mkstream=True)
    found = []
    for command in commands:
        found.append(answer(client, command))
        pending = client.xpending_range("s", "g", "-", "+", 10)
        found.append([(entry, consumer, deliveries) for entry, consumer, _, deliveries in pending])
    return found


@given(st.lists(COMMANDS, max_size=15))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_commands_have_the_same_answers(port: int, cuts: None, commands: list[tuple[str, ...]]) -> None:
    """fakeredis, bent as it is, answers as the real server does, and its pending entries are the same."""
    client = redis.Redis(port=port, protocol=2)
    client.flushall()
    try:
        assert talk(client, commands) == on_ours(commands)
    finally:
        client.close()
