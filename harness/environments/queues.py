"""What a simulated run asks of the service that its queues are in, whoever plays it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from harness.sim.services.sqs_core import KeyOf, Origin

__all__ = ["QueueService"]


class QueueService(Protocol):
    """SQS from the inside: ``SqsService``, or moto's with everything recorded."""

    account: str
    region: str
    key_of: KeyOf
    send_observers: list[Callable[[str, str, str, str], None]]

    def create_queue(self, name: str, attributes: Mapping[str, str] | None = None, *, region: str | None = None) -> str:
        """Make a queue as CreateQueue does; returns its URL."""
        ...

    def queue_url(self, name: str, *, region: str | None = None) -> str:
        """The URL of the queue called *name*."""
        ...

    def put(
        self,
        queue_name: str,
        body: str,
        *,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group: str | None = None,
        dedup: str | None = None,
        delay: int | None = None,
        key: str | None = None,
        origin: Origin = "workload",
        region: str | None = None,
    ) -> str:
        """Send a message from outside the wire; returns its id."""
        ...

    def inventory(self) -> dict[str, dict[str, int]]:
        """Exact counts of every queue now, by name."""
        ...
