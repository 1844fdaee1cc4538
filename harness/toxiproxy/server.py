"""The embedded Toxiproxy: an API server and its proxies on one thread, in this process or as a command."""

from __future__ import annotations

from pathlib import Path

from harness.errors import EnvironmentFailed, UsageError
from harness.net.hosted import HostedServer
from harness.net.http_server import Limits
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

_LIMITS = Limits(body_bytes=8 * 1024 * 1024)


class ToxiproxyServer(HostedServer):
    """Listens as soon as it is made; serves while :meth:`run` runs, or between :meth:`start` and :meth:`stop`.

    ``port`` 0 takes a free one. ``seed``: of toxicity and of random toxics.
    As a context manager it runs on a thread of its own::

        with ToxiproxyServer() as server:
            toxiproxy = ToxiproxyClient(server.url)

    Raises:
        EnvironmentFailed: the API's port cannot be had.
    """

    thread_name = "toxiproxy"

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
        super().__init__()
        self._resolver = Resolver(self.reactor, allow_remote=allow_remote)
        self._pipes = PipePool()
        self.collection = Collection(Surroundings(self.reactor, self._resolver, self._pipes, str(seed), allow_remote))
        self._schedule = Schedule(self.reactor, self.collection)
        metrics = metrics_of(self.collection, proxies=proxy_metrics, runtime=runtime_metrics)
        api = Api(self.collection, self._schedule, metrics)
        self.listen("the proxy's API", api, host=host, port=port, limits=_LIMITS)

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

    def let_go(self) -> None:
        """The schedule, every proxy (live connections get FIN), and what they share."""
        self._schedule.stop()
        self.collection.close()
        self._pipes.close()
        self._resolver.close()
