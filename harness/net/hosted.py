"""A server on an event loop: in this thread, or on one of its own, until it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from harness.errors import EnvironmentFailed
from harness.net.http_server import Application, HttpServer, Limits
from harness.net.reactor import Reactor

__all__ = ["HostedServer"]

T = TypeVar("T")


class HostedServer:
    """Serves while :meth:`run` runs, or between :meth:`start` and :meth:`stop`, or as a context manager.

    A subclass calls :meth:`listen` when it can answer, and says in
    :meth:`let_go` what it holds. ``thread_name``: of the thread of its own.
    """

    thread_name = "server"

    def __init__(self) -> None:
        self.reactor = Reactor()
        self._thread: threading.Thread | None = None

    def listen(
        self, what: str, application: Application, *, host: str, port: int, limits: Limits, half_close: bool = True
    ) -> None:
        """Answer HTTP on *host* and *port* (0: a free one). *what* it is, for the error.

        Raises:
            EnvironmentFailed: the port cannot be had; everything is let go of.
        """
        try:
            self._http = HttpServer(
                self.reactor, application, host=host, port=port, limits=limits, half_close=half_close
            )
        except OSError as error:
            self.let_go()
            self.reactor.close()
            raise EnvironmentFailed(
                f"{what} cannot listen on {host}:{port}: {error.strerror or error}. "
                "Stop what listens there, or give another port"
            ) from None

    def let_go(self) -> None:
        """Close what the server holds beside its HTTP port. On the server's thread, at its end."""

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return self._http.url

    @property
    def port(self) -> int:
        return int(self._http.port)

    def run(self) -> None:
        """Serve until :meth:`stop`, on this thread; then close everything."""
        try:
            self.reactor.run()
        finally:
            self.let_go()
            self._http.close()
            self.reactor.close()

    def start(self) -> None:
        """Serve on a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name=self.thread_name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End; every port is let go of. From any thread and from a signal handler."""
        self.reactor.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(10.0)
            self._thread = None

    def call(self, function: Callable[[], T]) -> T:
        """What *function* returns, called on the server's thread."""
        return self.reactor.call(function)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
