"""What a simulated run asks of the service that its queues are in, whoever plays it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from harness.scenario import Queue, Scenario
from harness.sim.services.sns_core import Queues

__all__ = ["QueueService", "creations"]


class QueueService(Queues, Protocol):
    """SQS from the inside: ``SqsService``, or moto's with everything recorded."""

    account: str
    region: str
    send_observers: list[Callable[[str, str, str, str], None]]

    def create_queue(self, name: str, attributes: Mapping[str, str] | None = None, *, region: str | None = None) -> str:
        """Make a queue as CreateQueue does; returns its URL."""
        ...

    def queue_url(self, name: str, *, region: str | None = None) -> str:
        """The URL of the queue called *name*."""
        ...

    def inventory(self) -> dict[str, dict[str, int]]:
        """Exact counts of every queue now, by name."""
        ...


def creations(scenario: Scenario, arn_of: Callable[[Queue, str], str]) -> Iterator[tuple[Queue, dict[str, str]]]:
    """The SQS queues of *scenario* with their attributes, dead-letter queues first: a redrive policy needs its target.

    *arn_of* gives the ARN of the dead-letter queue of that name that a queue points at.
    """
    queues = [queue for queue in scenario.queues if isinstance(queue, Queue)]
    pointed_at = set(scenario.dead_letter_queues)
    for queue in sorted(queues, key=lambda queue: queue.name not in pointed_at):
        attributes = queue.aws_attributes()
        if queue.dead_letter is not None and queue.max_receives is not None:
            arn = arn_of(queue, queue.dead_letter)
            policy = {"deadLetterTargetArn": arn, "maxReceiveCount": queue.max_receives}
            attributes["RedrivePolicy"] = json.dumps(policy)
        yield queue, attributes
