"""What the commands that serve share: loopback only unless told, one announcement, an orderly end by a signal."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.net.hosted import HostedServer

__all__ = ["address", "serve"]


def address(host: str, allow_remote: bool) -> str:
    """The address to listen on for ``--host``.

    Raises:
        UsageError: it is not on loopback, without *allow_remote*.
    """
    from harness.toxiproxy.launcher import loopback

    if not (allow_remote or loopback(host)):
        raise UsageError(f"{host} is not on loopback", field="--host", remedy="Give --allow-remote if you mean it.")
    return "127.0.0.1" if host == "localhost" else host


def serve(server: HostedServer, prepare: Callable[[], str], *, announce: bool) -> int:
    """Serve until SIGINT or SIGTERM; the exit code.

    *prepare* does what is to be done before, and gives the line for people.
    With *announce* a line of JSON is printed instead, and the end of standard
    input is an end, too. If *prepare* raises, the server is closed.
    """
    from harness.net import child

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    try:
        line = prepare()
        if announce:
            child.announce({"url": server.url})
            child.end_with_parent(server.stop)
        else:
            click.echo(line)
    except BaseException:
        server.stop()
        server.run()  # lets go of what it holds
        raise
    server.run()
    return 0
