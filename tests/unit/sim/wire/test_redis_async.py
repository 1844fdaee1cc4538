"""Unmodified ``redis.asyncio`` clients on the run's Redis: their retries and timeouts run in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff

from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")


def run_with(main: Callable[[Run], Awaitable[object]], **plan: list[Any]) -> Run:
    """Run the coroutine function *main*; *plan* has verdicts by command and side: ``GET_before=[...]``."""

    async def body(run: Run) -> None:
        await main(run)

    with Run(history_seconds=100) as run:
        for name, verdicts in plan.items():
            command, _, side = name.partition("_")
            run.faults.plan[f"redis.{command}", side] = list(verdicts)
        run.actor(lambda: asyncio.run(body(run)))
        run.go()
    return run


def client(**options: Any) -> Redis:
    """A client without retries, patient for two seconds."""
    chosen: dict[str, Any] = {"host": "cache", "retry": Retry(NoBackoff(), 0), "socket_timeout": 2}
    return Redis(**{**chosen, **options})


def test_commands_pipelines_and_expiry() -> None:
    """What a client does every day, in virtual time, whatever host it names."""

    async def main(run: Run) -> None:
        async with client() as r, client(host="127.0.0.1", port=7000) as other:
            assert await r.set("a", 1, ex=5)
            async with r.pipeline() as pipe:
                assert await pipe.incr("a").incr("b").execute() == [2, 1]
            assert await other.get("a") == b"2"
            await asyncio.sleep(6)
            assert await other.get("a") is None

    run = run_with(main)
    assert run.faults.passed.count(("redis.CONNECT", "before")) == 2


def test_urls_unix_sockets_and_tls_lead_there_too() -> None:
    """from_url, a path and rediss:// reach the same server."""

    async def main(run: Run) -> None:
        for number, url in enumerate(("redis://one:6379/0", "unix:///run/redis.sock", "rediss://two:6380/0")):
            async with Redis.from_url(url) as r:
                assert await r.incr("n") == number + 1

    run_with(main)


def test_a_blocking_command_waits_beside_the_loop() -> None:
    """BLPOP waits for another task's push, and for its timeout, while the loop goes on."""

    async def main(run: Run) -> None:
        async with client(socket_timeout=None) as r:

            async def push() -> None:
                await asyncio.sleep(3)
                await r.rpush("q", "x")

            task = asyncio.create_task(push())
            assert list(await r.blpop("q", timeout=10)) == [b"q", b"x"]
            assert 3 <= run.kernel.now < 3.1
            assert await r.blpop("q", timeout=2) is None
            assert 5 <= run.kernel.now < 5.2
            await task

    run_with(main)


def test_publish_reaches_a_subscriber() -> None:
    """Pub/sub on the loop's own reader."""

    async def main(run: Run) -> None:
        async with client() as r, r.pubsub() as channel:
            await channel.subscribe("news")
            await channel.get_message(timeout=1)
            await r.publish("news", "hello")
            message = await channel.get_message(timeout=1, ignore_subscribe_messages=True)
            assert message is not None
            assert message["data"] == b"hello"

    run_with(main)


def test_a_refused_connection_is_retried_in_virtual_time() -> None:
    """The library's own retry: three attempts a second apart, then the command goes through."""

    async def main(run: Run) -> None:
        async with client(retry=Retry(ConstantBackoff(1), 5)) as r:
            assert await r.ping()
            assert 2.0 < run.kernel.now < 2.2

    run = run_with(main, CONNECT_before=[Refused(), Refused()])
    assert [event["error"] for event in run.of("call.failed")] == ["ConnectionError"] * 2


def test_a_connection_that_is_never_made_is_the_clients_timeout() -> None:
    """Silence at connect: the client's own socket_connect_timeout ends it."""

    async def main(run: Run) -> None:
        async with client(socket_connect_timeout=1.5) as r:
            with pytest.raises(redis.exceptions.TimeoutError):
                await r.ping()
            assert 1.5 <= run.kernel.now < 1.51

    run_with(main, CONNECT_before=[Lost()])


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_lost_command_is_the_clients_timeout(side: str) -> None:
    """Silence until socket_timeout; lost after the effect, the effect has happened, and a retry repeats it."""

    async def main(run: Run) -> None:
        async with client() as r:
            with pytest.raises(redis.exceptions.TimeoutError):
                await r.incr("n")
            assert 2.0 <= run.kernel.now < 2.1
            assert await r.get("n") == (b"1" if side == "after" else None)

    run = run_with(main, **{f"INCR_{side}": [Lost()]})
    assert [(event["point"], event["error"]) for event in run.of("call.failed")] == [("redis.INCR", "TimeoutError")]


@pytest.mark.parametrize("verdict", [Reset(), Refused()])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_broken_connection_is_the_clients_error(side: str, verdict: Any) -> None:
    """ConnectionError; the next command connects anew; what happened before the break has happened."""

    async def main(run: Run) -> None:
        async with client() as r:
            with pytest.raises(redis.exceptions.ConnectionError):
                await r.incr("n")
            assert await r.incr("n") == (2 if side == "after" else 1)

    run_with(main, **{f"INCR_{side}": [verdict]})


def test_error_answers_are_the_clients_errors() -> None:
    """LOADING, READONLY and OOM reach the caller as the library's classes."""

    async def main(run: Run) -> None:
        async with client() as r:
            with pytest.raises(redis.exceptions.BusyLoadingError):
                await r.get("a")
            with pytest.raises(redis.exceptions.ReadOnlyError):
                await r.set("a", 1)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                await r.rpush("q", 1)

    run_with(
        main,
        GET_before=[Answer(200, message="LOADING Redis is loading the dataset in memory")],
        SET_before=[Answer(200, message="READONLY You can't write against a read only replica.")],
        RPUSH_before=[Answer(200, message="OOM command not allowed when used memory > 'maxmemory'.")],
    )


def test_a_slow_command_is_late_or_beyond_patience() -> None:
    """Slow within the client's patience: late. Beyond: its timeout, and the command takes effect all the same."""

    async def main(run: Run) -> None:
        async with client() as r:
            assert await r.incr("n") == 1
            assert 1.0 < run.kernel.now < 1.1
            with pytest.raises(redis.exceptions.TimeoutError):
                await r.incr("n")
            await asyncio.sleep(10)
            assert await r.get("n") == b"2"

    run_with(main, INCR_before=[Slow(1.0), Slow(5.0)])


def test_a_failover_loses_writes_and_connections() -> None:
    """The last seconds' writes are gone; the client connects to the new primary by itself."""

    async def main(run: Run) -> None:
        async with client(retry=Retry(ConstantBackoff(0.1), 3)) as r:
            await r.set("old", 1)
            await asyncio.sleep(10)
            await r.set("new", 1)
            await r.ping()
            assert await r.mget("old", "new") == [b"1", None]

    run_with(main, PING_before=[Twist("failover", {"lost_seconds": 5})])


def test_a_cancelled_command_frees_the_client() -> None:
    """A task cancelled in the middle of a command hangs up; the command takes effect, the client goes on."""

    async def main(run: Run) -> None:
        async with client() as r:
            await r.ping()
            task = asyncio.create_task(r.incr("n"))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(1)
            assert await r.get("n") == b"1"

    run_with(main)
