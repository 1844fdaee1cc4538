"""The embedded Toxiproxy: an API server and its proxies on one thread, in this process or as a command."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.errors import EnvironmentFailed, UsageError
from harness.net.http_server import HttpServer, Limits
from harness.net.reactor import Reactor
from harness.toxiproxy.address import Resolver
from harness.toxiproxy.api import Api
from harness.toxiproxy.collection import Collection
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.go_json import decode
from harness.toxiproxy.metrics import metrics_of
from harness.toxiproxy.proxy import Surroundings
from harness.toxiproxy.schedule import Schedule
from harness.toxiproxy.splice import PipePool

__all__ = ["ToxiproxyServer"]

T = TypeVar("T")

_LIMITS = Limits(body_bytes=8 * 1024 * 1024)


class ToxiproxyServer:
    """Listens as soon as it is made; serves while :meth:`run` runs, or between :meth:`start` and :meth:`stop`.

    ``port`` 0 takes a free one. ``seed``: of toxicity and of random toxics.
    As a context manager it runs on a thread of its own::

        with ToxiproxyServer() as server:
            toxiproxy = ToxiproxyClient(server.url)

    Raises:
        EnvironmentFailed: the API's port cannot be had.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        proxy_metrics: bool = False,
        runtime_metrics: bool = False,
        allow_remote: bool = False,
    ) -> None:
        self._reactor = Reactor()
        self._resolver = Resolver(self._reactor, allow_remote=allow_remote)
        self._pipes = PipePool()
        self.collection = Collection(Surroundings(self._reactor, self._resolver, self._pipes, str(seed), allow_remote))
        self._schedule = Schedule(self._reactor, self.collection)
        metrics = metrics_of(self.collection, proxies=proxy_metrics, runtime=runtime_metrics)
        api = Api(self.collection, self._schedule, metrics)
        try:
            self._http = HttpServer(self._reactor, api, host=host, port=port, limits=_LIMITS)
        except OSError as error:
            self._reactor.close()
            self._resolver.close()
            raise EnvironmentFailed(
                f"the proxy's API cannot listen on {host}:{port}: {error.strerror or error}. "
                "Stop what listens there, or give another port"
            ) from None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The API's address."""
        return self._http.url

    @property
    def port(self) -> int:
        """The API's port."""
        return int(self._http.port)

    def configure(self, file: Path) -> int:
        """Make the proxies of a configuration file, with their toxics; returns how many. Before it runs.

        Raises:
            UsageError: the file cannot be read, or something in it is wrong.
            EnvironmentFailed: a proxy's port cannot be had.
        """
        try:
            document = decode(file.read_bytes())
        except OSError as error:
            raise UsageError(
                f"the configuration cannot be read: {error.strerror}", file=str(file), remedy="Give a JSON file."
            ) from None
        except ApiError as error:
            raise UsageError(error.message, file=str(file), remedy="Write a JSON array of proxies.") from None
        try:
            return len(self.collection.apply(document))
        except ApiError as error:
            if error.status == 500:
                raise EnvironmentFailed(f"{file}: {error.message}") from None
            raise UsageError(
                error.message, file=str(file), remedy='A proxy is {"name", "listen", "upstream", "enabled", "toxics"}.'
            ) from None

    def run(self) -> None:
        """Serve until :meth:`stop`, on this thread; then close everything."""
        try:
            self._reactor.run()
        finally:
            self._close()

    def start(self) -> None:
        """Serve on a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="toxiproxy", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End: live connections get FIN, every port is let go. From any thread and from a signal handler."""
        self._reactor.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(10.0)
            self._thread = None

    def call(self, function: Callable[[], T]) -> T:
        """What *function* returns, called on the server's thread."""
        return self._reactor.call(function)

    def __enter__(self) -> ToxiproxyServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _close(self) -> None:
        self._schedule.stop()
        self.collection.close()
        self._http.close()
        self._pipes.close()
        self._resolver.close()
        self._reactor.close()
