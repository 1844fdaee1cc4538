"""Handlers that are coroutine functions, for loops that are threads.

All coroutines of one consumer run on one event loop in a thread of its own,
whatever the number of workers. So an asynchronous client (of aiohttp, redis,
httpx) that a handler keeps serves every message: with an event loop a message
it would fail at the second one, because it belongs to the first one's loop.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import AsyncGeneratorType, GeneratorType
from typing import Any

__all__ = ["HandlerLoop", "checked_handler"]

Handler = Callable[[dict[str, Any]], Any]


def checked_handler(handler: Handler) -> Handler:
    """*handler*, if calling it does something.

    Raises:
        TypeError: it is a generator function, of which a call runs nothing: each message would count as handled.
    """
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        name = getattr(handler, "__qualname__", repr(handler))
        raise TypeError(f"{name} is a generator function (it has a yield): a call runs nothing of it")
    return handler


class HandlerLoop:
    """Calls handlers; what they give to be awaited is awaited to its end, on an event loop that begins when needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] | None = None

    def call(self, handler: Handler, message: dict[str, Any]) -> Any:
        """The result of *handler*, a function or coroutine function, or anything that gives an awaitable.

        Raises:
            TypeError: the result is a generator, of which nothing has run.
            BaseException: what the handler raised.
        """
        result = handler(message)
        if inspect.isawaitable(result):
            return self._finish(result)
        if isinstance(result, GeneratorType | AsyncGeneratorType):
            raise TypeError("the handler gave a generator, of which nothing has run: return when the work is done")
        return result

    def close(self) -> None:
        """End the event loop, if one has begun; a later call begins another one."""
        with self._lock:
            thread, started = self._thread, self._started
            self._thread = self._started = None
        if thread is None or started is None:
            return
        if started.exception() is None:
            loop, stop = started.result()
            loop.call_soon_threadsafe(stop.set)
        thread.join()

    def _finish(self, awaitable: Awaitable[Any]) -> Any:
        try:
            loop = self._running()
        except BaseException:
            if inspect.iscoroutine(awaitable):
                awaitable.close()  # nobody will await it
            raise
        future = asyncio.run_coroutine_threadsafe(_caught(awaitable), loop)
        try:
            value, stop = future.result()
        except BaseException:  # an interrupt of this thread; of a future that is done nothing is cancelled
            future.cancel()
            raise
        if stop is not None:
            raise stop
        return value

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._started is None or self._thread is None:
                self._started = Future()
                self._thread = threading.Thread(
                    target=_serve, args=(self._started,), name="consumer-coroutines", daemon=True
                )
                self._thread.start()
            started = self._started
        return started.result()[0]


async def _caught(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """Its result; or what asks the process to stop, which would end the event loop in place of the consumer."""
    try:
        return await awaitable, None
    except (KeyboardInterrupt, SystemExit) as stop:
        return None, stop


def _serve(started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def until_closed() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()

    try:
        with asyncio.Runner() as runner:
            runner.run(until_closed())
    except BaseException as error:
        if started.done():
            raise
        started.set_exception(error)
