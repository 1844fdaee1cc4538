"""fakeredis's clients as they stand in somebody's test: each command a fault point, redis-py's own retries at work."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import fakeredis
import redis

from harness import Fault
from tests.guests import visit


def fault(command: str, kind: str, side: str = "before", nth: int = 1) -> Fault:
    return Fault(f"redis.{command}", kind, side=side, nth=nth)


def test_commands_pass_their_points() -> None:
    """A connection and its commands; what writes is an effect, what reads is none."""

    def test() -> object:
        store = fakeredis.FakeRedis()
        store.set("a", "1")
        both: Any = store.pipeline()
        return [store.get("a") == b"1", store.incr("n"), both.incr("n").incr("n", 2).execute()]

    answer, stay = visit(test)
    assert answer == [True, 1, [2, 4]]
    assert stay["called"][:4] == ["redis.CONNECT.before", "redis.CONNECT.after", "redis.SET.before", "redis.SET.after"]
    assert stay["handled"] == ["effect redis.SET", *["effect redis.INCRBY"] * 3]


def test_a_break_is_retried_as_clients_do() -> None:
    """The first attempt breaks before its effect, or after it: then the retry counts twice."""

    def test() -> object:
        return fakeredis.FakeRedis().incr("n")

    assert visit(test, fault("INCR", "refused"))[0] == 1
    assert visit(test, fault("INCR", "timeout", "after"))[0] == 2
    assert visit(test, fault("CONNECT", "refused"))[0] == 1


def test_silence_takes_the_clients_timeout() -> None:
    """As long as ``socket_timeout``, in virtual time; then redis-py tries again."""

    def test() -> object:
        store = fakeredis.FakeRedis(socket_timeout=20)
        store.ping()
        began = time.monotonic()
        store.set("a", "1")
        return 20 <= time.monotonic() - began < 40

    assert visit(test, fault("SET", "timeout"))[0] is True


def test_refusals_are_for_what_a_server_would_refuse() -> None:
    """A replica and a full server take reads; a loading one refuses, and is asked again."""

    def test() -> object:
        store: Any = fakeredis.FakeRedis()
        found = []
        for command in (("SET", "a", "1"), ("GET", "a")):
            try:
                found.append(repr(store.execute_command(*command)))
            except redis.RedisError as error:
                found.append(type(error).__name__)
        return found

    assert visit(test, fault("SET", "readonly"))[0] == ["ReadOnlyError", "None"]
    assert visit(test, fault("SET", "out-of-memory"))[0] == ["OutOfMemoryError", "None"]
    assert visit(test, fault("GET", "loading"))[0] == ["True", "b'1'"]


def test_a_transaction_with_a_refused_command_is_discarded() -> None:
    """Nothing of it takes effect, and the client is told; without MULTI the other commands are carried out."""

    def test(transaction: bool) -> object:
        store: Any = fakeredis.FakeRedis()
        try:
            store.pipeline(transaction=transaction).set("a", "1").incr("n").execute()
        except redis.RedisError as error:
            return type(error).__name__, store.get("n")
        return None

    assert visit(lambda: test(True), fault("SET", "out-of-memory"))[0] == ["OutOfMemoryError", None]
    answer, _ = visit(lambda: repr(test(False)), fault("SET", "out-of-memory"))
    assert answer == "('OutOfMemoryError', b'1')"


def test_asyncio() -> None:
    """The same for clients of redis.asyncio."""

    async def test() -> object:
        store = fakeredis.FakeAsyncRedis()
        return await store.incr("n")

    assert visit(lambda: asyncio.run(test()))[0] == 1
    assert visit(lambda: asyncio.run(test()), fault("INCR", "timeout", "after"))[0] == 2
    assert visit(lambda: asyncio.run(test()), fault("CONNECT", "refused"))[0] == 1
