"""The options of commands that run live: which servers, and how fast their clock runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from harness.errors import UsageError

__all__ = ["live_options", "live_options_given"]

_NAMES = ("sqs", "redis", "toxiproxy", "time_scale", "allow_remote")


def live_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--sqs``, ``--redis``, ``--toxiproxy``, ``--time-scale`` and ``--allow-remote``."""
    for option in (
        click.option("--allow-remote", is_flag=True, default=None, help="Live: let servers be outside loopback."),
        click.option(
            "--time-scale",
            type=float,
            metavar="X",
            help="Live: the services' clock runs X times as fast.  [default: 1]",
        ),
        click.option(
            "--toxiproxy",
            metavar="embedded|binary|URL",
            help="Live: the proxy.  [default: $TOXIPROXY_URL, or embedded]",
        ),
        click.option("--redis", metavar="server|fake|URL", help="Live: Redis.  [default: redis-server, or fake]"),
        click.option("--sqs", metavar="URL|moto|elasticmq", help="Live: an SQS server.  [default: the harness's own]"),
    ):
        command = option(command)
    return command


def live_options_given(given: Mapping[str, Any], backend: str) -> dict[str, Any]:
    """Those that were given, checked.

    Raises:
        UsageError: one was given for another backend, or is wrong.
    """
    found = {name: given[name] for name in _NAMES if given.get(name) is not None}
    if found and backend != "live":
        raise UsageError(
            f"is for live runs, and the backend is {backend}",
            field="--" + next(iter(found)).replace("_", "-"),
            remedy="Add --backend live",
        )
    if backend == "live":
        from harness.environments.live.options import LiveOptions

        LiveOptions(**found)
    return found
