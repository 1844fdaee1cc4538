"""Handlers that give something to be awaited: each is awaited to its end before its message is deleted."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from harness.resilience import (
    CircuitBreaker,
    ConsumerOptions,
    DeadLetterQueueHandler,
    ExponentialBackoffRetry,
    PermanentError,
    ResilientConsumer,
)
from tests.unit.resilience.sqs_fake import Clock, FakeSqs

MAIN = "https://sqs.example/1/orders"
DLQ = "https://sqs.example/1/orders-dlq"
Handler = Callable[[dict[str, Any]], Any]


def consume(handler: Handler, *bodies: str, threads: int = 1, **keywords: Any) -> FakeSqs:
    """A ResilientConsumer runs until its queue is empty."""
    clock = Clock()
    sqs = FakeSqs(clock)
    for body in bodies:
        sqs.put(MAIN, body)
    options = ConsumerOptions(heartbeat=False, concurrency=threads)
    consumer = ResilientConsumer(
        MAIN, handler, sqs=sqs, dlq_url=DLQ, clock=clock, sleep=clock.sleep, options=options, **keywords
    )
    sqs.on_idle = consumer.stop
    consumer.run()
    return sqs


def handle_with_dlq(handler: Handler, *bodies: str) -> FakeSqs:
    """A DeadLetterQueueHandler runs until its queue is empty."""
    clock = Clock()
    sqs = FakeSqs(clock)
    for body in bodies:
        sqs.put(MAIN, body)
    options = ConsumerOptions(heartbeat=False)
    component = DeadLetterQueueHandler(MAIN, DLQ, sqs=sqs, clock=clock, sleep=clock.sleep, options=options)
    sqs.on_idle = component.stop
    component.process_with_dlq(handler)
    return sqs


both = pytest.mark.parametrize("run", [consume, handle_with_dlq])


class Charging:
    """An object that is a handler: its call is a coroutine function, which no inspection of the object shows."""

    def __init__(self) -> None:
        self.charged: list[str] = []

    async def __call__(self, message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self.charged.append(message["Body"])


@both
@pytest.mark.parametrize(
    "shape", [lambda c: c, lambda c: c.__call__, lambda c: lambda message: c(message), lambda c: functools.partial(c)]
)
def test_what_a_handler_gives_is_awaited(run: Callable[..., FakeSqs], shape: Callable[[Charging], Handler]) -> None:
    """A message whose coroutine never ran would be deleted as handled: none is, in whatever shape the handler comes."""
    charging = Charging()
    sqs = run(shape(charging), "b0", "b1")
    assert charging.charged == ["b0", "b1"]
    assert sqs.queues[MAIN] == []


@both
def test_what_a_coroutine_raises_is_its_messages_failure(run: Callable[..., FakeSqs]) -> None:
    """A permanent error is dead-lettered at once, from a coroutine too, with the place where it was raised."""

    async def refuse(message: dict[str, Any]) -> None:
        raise PermanentError("no such order")

    sqs = run(refuse, "b")
    (dead,) = sqs.bodies(DLQ)
    assert "no such order" in dead
    assert "in refuse" in dead


@pytest.mark.parametrize("threads", [1, 3])
def test_all_messages_share_one_event_loop(threads: int) -> None:
    """An asynchronous client belongs to the loop in which it was made: the second message, of any worker, uses it."""
    made: list[asyncio.Queue[str]] = []
    loops: set[Any] = set()
    seen: list[str] = []

    async def serve(queue: asyncio.Queue[str]) -> None:
        while True:
            seen.append(await queue.get())
            queue.task_done()

    tasks: list[asyncio.Task[None]] = []

    async def handle(message: dict[str, Any]) -> None:
        loops.add(asyncio.get_running_loop())
        if not made:
            made.append(asyncio.Queue())
            tasks.append(asyncio.create_task(serve(made[0])))  # as clients have that keep a connection alive
        made[0].put_nowait(message["Body"])
        await made[0].join()

    bodies = [f"b{n}" for n in range(12)]
    consume(handle, *bodies, threads=threads)
    assert sorted(seen) == sorted(bodies)
    assert len(loops) == 1
    assert loops.pop().is_closed()
    assert tasks[0].cancelled()
    assert not [thread for thread in threading.enumerate() if thread.name == "consumer-coroutines"]


def test_retry_and_breaker_stand_round_the_whole_coroutine() -> None:
    """An attempt is over when the coroutine is: its failure is retried, and counted by the breaker."""
    tries: list[str] = []

    async def handle(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        tries.append(message["Body"])
        if len(tries) < 3:
            raise ConnectionError

    breaker = CircuitBreaker()
    retry = ExponentialBackoffRetry(sleep=lambda seconds: None)
    sqs = consume(handle, "b", retry=retry, breaker=breaker)
    assert tries == ["b"] * 3
    assert breaker.metrics().successes == 1
    assert sqs.queues[MAIN] == []


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_asks_to_stop_ends_the_run_from_a_coroutine_too(kind: type[BaseException]) -> None:
    """It ends the consumer, not the event loop with the consumer waiting for ever; the message stays."""

    async def leave(message: dict[str, Any]) -> None:
        raise kind

    clock = Clock()
    sqs = FakeSqs(clock)
    sqs.put(MAIN, "b")
    consumer = ResilientConsumer(
        MAIN, leave, sqs=sqs, clock=clock, sleep=clock.sleep, options=ConsumerOptions(heartbeat=False)
    )
    with pytest.raises(kind):
        consumer.run()
    assert len(sqs.queues[MAIN]) == 1


def test_a_cancelled_coroutine_is_a_failure_of_its_message() -> None:
    """A handler that is cancelled from inside (a library's timeout) ends neither the consumer nor the message."""
    tries: list[str] = []

    async def cancelled(message: dict[str, Any]) -> None:
        tries.append(message["Body"])
        if len(tries) == 1:
            raise asyncio.CancelledError

    sqs = consume(cancelled, "b")
    assert tries == ["b", "b"]
    assert sqs.queues[MAIN] == []


def test_generator_functions_are_refused() -> None:
    """A call of one runs nothing, and every message would count as handled."""

    def handle(message: dict[str, Any]) -> Iterator[int]:
        yield 1

    async def handle_async(message: dict[str, Any]) -> AsyncIterator[int]:
        yield 1

    for wrong in (handle, handle_async):
        with pytest.raises(TypeError, match="generator function"):
            ResilientConsumer(MAIN, wrong, sqs=object())
        with pytest.raises(TypeError, match="generator function"):
            DeadLetterQueueHandler(MAIN, DLQ, sqs=object()).process_with_dlq(wrong)


@both
def test_a_generator_that_a_handler_gives_is_not_handled(run: Callable[..., FakeSqs]) -> None:
    """Where the function does not show it: the message is dead-lettered in the end, not deleted as done."""
    sqs = run(lambda message: (body for body in [message["Body"]]), "b")
    assert "of which nothing has run" in sqs.bodies(DLQ)[0]


@both
def test_a_mock_is_a_handler(run: Callable[..., FakeSqs]) -> None:
    """People's tests hand in mocks, whose results are mocks: nothing to await."""
    handler = MagicMock()
    run(handler, "b")
    assert handler.call_count == 1
