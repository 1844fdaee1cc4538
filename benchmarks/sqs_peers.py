"""SQS servers side by side: the harness's own, moto's, and ElasticMQ where ELASTICMQ_JARS says that it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.environments.live.elasticmq import elasticmq_command
from harness.net.child import Child, free_port, listens
from harness.net.guard import guarded

__all__ = ["OWN", "SERVERS", "served"]

OWN = "harness sqs-server"
SERVERS = (OWN, "moto", "ElasticMQ")


@contextmanager
def served(name: str, *options: str) -> Iterator[str]:
    """The server of that name, empty, in a process of its own: its URL. *options* are for the harness's own.

    Raises:
        EnvironmentFailed: it is not here, or does not start.
    """
    if name == OWN:
        command = [sys.executable, "-m", "harness", "sqs-server", "--port", "0", "--announce", *options]
        with Child(name, command) as child:
            yield child.announced["url"]
        return
    port = free_port()
    moto = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    command = guarded(moto if name == "moto" else elasticmq_command(port))
    with Child(name, command, ready=lambda: listens(port), timeout=60):
        yield f"http://127.0.0.1:{port}"
