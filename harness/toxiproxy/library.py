"""toxiproxy-python for one test: its client on a server that is stopped, or tidied up, when the test is over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from harness.errors import EnvironmentFailed
from harness.toxiproxy.client import ToxiproxyClient, ToxiproxyError
from harness.toxiproxy.launcher import launch
from harness.toxiproxy.server import ToxiproxyServer

__all__ = ["addressed", "client_of_a_test"]


@contextlib.contextmanager
def client_of_a_test() -> Iterator[Any]:
    """toxiproxy-python's ``Toxiproxy`` on an embedded server of its own, or on the one that ``TOXIPROXY_URL`` names.

    Of somebody else's server the proxies that were made meanwhile are deleted
    at the end, and the toxics that were there before stay.

    Raises:
        EnvironmentFailed: toxiproxy-python is not installed, or nobody answers at ``TOXIPROXY_URL``.
    """
    choice = os.environ.get("TOXIPROXY_URL", "embedded")
    if choice == "embedded":
        with ToxiproxyServer() as server, addressed(server.url) as client:
            yield client
        return
    with launch(choice) as launched:
        before = set(launched.client.proxies())
        try:
            with addressed(launched.url) as client:
                yield client
        finally:
            _tidy(launched.client, before)


@contextlib.contextmanager
def addressed(url: str) -> Iterator[Any]:
    """toxiproxy-python's client for *url*. Its address belongs to the class: the one before comes back at the end.

    Raises:
        EnvironmentFailed: toxiproxy-python is not installed.
    """
    try:
        from toxiproxy import Toxiproxy
        from toxiproxy.api import APIConsumer
    except ImportError as error:
        raise EnvironmentFailed(
            f"toxiproxy-python is not here ({error}). Install it: pip install 'resilience-harness[live]'"
        ) from None
    before = APIConsumer.host, APIConsumer.port
    parts = urlsplit(url)
    client = Toxiproxy()
    client.update_api_consumer(parts.hostname, parts.port)
    try:
        yield client
    finally:
        client.update_api_consumer(*before)


def _tidy(client: ToxiproxyClient, before: set[str]) -> None:
    for name in set(client.proxies()) - before:
        with contextlib.suppress(ToxiproxyError):  # deleted by somebody else meanwhile
            client.delete(name)
