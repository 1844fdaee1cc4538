"""Which Toxiproxy a run uses: the embedded one, a ``toxiproxy-server`` of this machine, or one that runs already.

``TOXIPROXY_URL`` or ``--toxiproxy`` chooses. What was started here is stopped
here; a server that somebody else runs keeps its proxies and toxics.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import EnvironmentFailed, UsageError
from harness.net.child import Child
from harness.net.guard import guarded
from harness.toxiproxy.client import ToxiproxyClient

__all__ = ["BINARY", "Launched", "launch", "loopback"]

BINARY: Final = "toxiproxy-server"
_INSTALL: Final = "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 and name it toxiproxy-server"


@dataclass
class Launched:
    """``kind``: ``embedded``, ``binary`` or ``url``. ``child`` is None for a server of somebody else's."""

    kind: str
    client: ToxiproxyClient
    child: Child | None = None

    @property
    def url(self) -> str:
        """The API's address."""
        return self.client.url

    def stop(self) -> None:
        """Stop it, if it was started here."""
        if self.child is not None:
            self.child.stop()

    def __enter__(self) -> Launched:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def launch(choice: str | None = None, *, seed: int = 0, allow_remote: bool = False) -> Launched:
    """*choice*: ``embedded``, ``binary``, or a URL; without one ``TOXIPROXY_URL``, then the embedded one.

    Raises:
        UsageError: a URL that is not on loopback, without *allow_remote*.
        EnvironmentFailed: it cannot be started, or nobody answers there.
    """
    choice = choice or os.environ.get("TOXIPROXY_URL") or "embedded"
    if choice == "embedded":
        return _embedded(seed, allow_remote)
    if choice == "binary":
        return _binary()
    client = ToxiproxyClient(choice)
    host = client.url.removeprefix("http://").rpartition(":")[0].strip("[]")
    if not (allow_remote or loopback(host)):
        raise UsageError(
            f"{choice} is not on loopback", field="--toxiproxy", remedy="Give --allow-remote if you mean it."
        )
    client.version()
    return Launched("url", client)


def loopback(host: str) -> bool:
    """Whether everything that the name *host* means is on loopback. A name that means nothing is not."""
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return all(address == "::1" or address.startswith("127.") for address in addresses)


def _embedded(seed: int, allow_remote: bool) -> Launched:
    command = [sys.executable, "-m", "harness", "proxy", "--port", "0", "--seed", str(seed), "--announce"]
    child = Child("the embedded proxy", command + (["--allow-remote"] if allow_remote else []))
    return Launched("embedded", ToxiproxyClient(child.announced["url"]), child)


def _binary() -> Launched:
    found = shutil.which(BINARY)
    if found is None:
        raise EnvironmentFailed(f"there is no {BINARY} on PATH. Get it: {_INSTALL}; or use --toxiproxy embedded")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = ToxiproxyClient(f"http://127.0.0.1:{port}", timeout=5.0)
    command = [found, "-host", "127.0.0.1", "-port", str(port)]
    child = Child(BINARY, guarded(command), ready=_answers(client), environ={"LOG_LEVEL": "error"})
    return Launched("binary", client, child)


def _answers(client: ToxiproxyClient) -> Callable[[], Any]:
    def ready() -> bool:
        try:
            return bool(client.version())
        except EnvironmentFailed:
            return False

    return ready
