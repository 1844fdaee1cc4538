"""The private names of moto and fakeredis that are touched where somebody's test brings them along.

Each function raises :class:`EnvironmentFailed` for a version that it cannot
serve, and ``ImportError`` where the library is not installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from harness.errors import EnvironmentFailed

__all__ = ["fake_connections", "load_moto", "make_visible", "seed_moto", "stubber"]


def _need(library: str, version: str, owner: Any, *names: str) -> None:
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise EnvironmentFailed(
            f"{library} {version} cannot be swept: {owner.__name__} has no {', '.join(missing)}. "
            "Tried with moto 5.2.5 and fakeredis 2.40"
        )


def stubber() -> tuple[Any, Callable[[Any, str, Any], Any]]:
    """moto's class whose instance answers botocore's requests, and how it does (self, name of the event, request)."""
    import moto
    from moto.core.botocore_stubber import BotocoreStubber

    _need("moto", moto.__version__, BotocoreStubber, "process_request")
    if "enabled" not in vars(BotocoreStubber()):
        raise EnvironmentFailed(f"moto {moto.__version__} cannot be swept: BotocoreStubber has no switch. Tried: 5.2.5")
    return BotocoreStubber, BotocoreStubber.__call__


def seed_moto(number: int) -> None:
    """Let moto's own generator, which its ids come from, begin at *number*."""
    from moto.moto_api._internal import mock_random

    mock_random.seed(number)


def load_moto(service: str) -> None:
    """Import what answers for *service* in moto, if anything does."""
    try:
        from moto.backends import get_backend

        backends: Any = get_backend(service)  # type: ignore[call-overload]
    except (ImportError, KeyError):
        return
    module: str = getattr(backends, "backend", type(backends)).__module__
    if module.endswith(".models"):
        importlib.import_module(f"{module.removesuffix('models')}urls")


def make_visible(queue_name: str, handle: str) -> None:
    """In moto's SQS: the delivered message of this receipt handle can be received again at once."""
    from moto.sqs.models import sqs_backends

    backend: Any
    for _, _, backend in sqs_backends.iter_backends():
        queue = backend.queues.get(queue_name)
        for message in [] if queue is None else list(queue._messages):
            if message.had_receipt_handle(handle):
                backend.change_message_visibility(queue_name, handle, 0)


def fake_connections() -> Iterator[tuple[type[Any], bool]]:
    """fakeredis's classes of connections, and whether they are asyncio's."""
    import fakeredis
    from fakeredis import aioredis

    version = getattr(fakeredis, "__version__", "?")
    plain: Any
    asynchronous: Any
    try:
        from fakeredis._clients._async import FakeBaseAsyncConnection as asynchronous
        from fakeredis._clients._sync import FakeBaseConnection as plain
    except ImportError:  # before 2.40 they stood elsewhere
        plain, asynchronous = getattr(fakeredis, "FakeConnection", None), getattr(aioredis, "FakeConnection", None)
        if not isinstance(plain, type) or not isinstance(asynchronous, type):
            raise EnvironmentFailed(f"fakeredis {version} cannot be swept: its connections are elsewhere") from None
    for kind, is_async in ((plain, False), (asynchronous, True)):
        _need("fakeredis", version, kind, "_connect", "read_response")
        yield kind, is_async
