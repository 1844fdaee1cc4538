"""The conservation of messages that every test asserts: it notices what goes missing and what is made up."""

from __future__ import annotations

import pytest

from tests.unit.sim.services.sqs_desk import Desk


def test_it_is_asserted_in_every_test() -> None:
    """A message that vanishes from a queue without an event ends the next call, and so does a miscount."""
    desk = Desk()
    desk.sqs.create_queue("orders")
    url = desk.sqs.queue_url("orders")
    for body in ("a", "b"):
        desk.sqs.call("SendMessage", {"QueueUrl": url, "MessageBody": body}, region="us-east-1")
    (queue,) = desk.sqs.queues()
    queue._remove(queue.messages[1])
    with pytest.raises(AssertionError, match="orders holds 1 messages and should 2"):
        desk.sqs.call("ListQueues", {}, region="us-east-1")
    queue.visible += 1
    with pytest.raises(AssertionError, match="orders"):
        desk.sqs.call("ListQueues", {}, region="us-east-1")
