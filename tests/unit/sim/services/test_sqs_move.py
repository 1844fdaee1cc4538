"""Move tasks: errors, states, pace, and what becomes of the messages [test_sqs_move_task, 30 Apr 2024]."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from harness.sim.kernel import Kernel
from tests.unit.sim.services.sqs_desk import Desk
from tests.unit.sim.services.test_sqs_actors import Bench
from tests.unit.sim.simulate import kernel


@pytest.fixture
def desk() -> Desk:
    return Desk()


def bury(desk: Desk, queue: str, count: int, receives: int = 2) -> None:
    """Send messages and receive them until they are in the dead-letter queue."""
    for n in range(count):
        desk.send(queue, f"m{n}")
    for _ in range(receives):
        while desk.receive(queue, VisibilityTimeout=1):
            pass
        desk.later(2)
    assert desk.receive(queue) == []


def tasks(desk: Desk, queue: str = "dead", limit: int = 10) -> list[dict[str, Any]]:
    answer = desk.call("ListMessageMoveTasks", SourceArn=desk.arn(queue), MaxResults=limit)
    found: list[dict[str, Any]] = answer["Results"]
    return found


def start(desk: Desk, queue: str = "dead", **more: Any) -> str:
    handle: str = desk.call("StartMessageMoveTask", SourceArn=desk.arn(queue), **more)["TaskHandle"]
    return handle


def test_every_message_returns_to_its_own_source(desk: Desk) -> None:
    """Without a destination each message goes where it came from, as a new message."""
    first, dead = desk.with_dead_letters()
    policy = json.dumps({"deadLetterTargetArn": desk.arn(dead), "maxReceiveCount": 2})
    second = desk.queue("q2", RedrivePolicy=policy)
    attributes = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    old = desk.send(first, "one", MessageAttributes=attributes)["MessageId"]
    desk.send(second, "two")
    for _ in range(2):
        for queue in (first, second):
            desk.receive(queue, VisibilityTimeout=1)
        desk.later(2)
    assert (desk.receive(first), desk.receive(second)) == ([], [])
    start(desk)
    desk.later(1)
    (one,) = desk.receive(first, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
    (two,) = desk.receive(second)
    assert (one["Body"], two["Body"]) == ("one", "two")
    assert one["MessageAttributes"] == attributes
    assert one["MessageId"] != old
    assert one["Attributes"]["ApproximateReceiveCount"] == "1"
    assert "DeadLetterQueueSourceArn" not in one["Attributes"]
    assert desk.sqs.inventory()["dead"] == {"visible": 0, "in_flight": 0, "delayed": 0}
    (sent,) = [event for event in desk.of("send") if event.get("original") == old]
    gone = next(event for event in desk.of("delete") if event["message"] == old)
    assert desk.events.index(sent) < desk.events.index(gone)


def test_handle_and_states(desk: Desk) -> None:
    """The handle is base64 of task id and source; a running task is listed with it, one that ended without."""
    queue, dead = desk.with_dead_letters()
    bury(desk, queue, 3)
    handle = start(desk, DestinationArn=desk.arn(queue), MaxNumberOfMessagesPerSecond=1)
    assert json.loads(b64decode(handle))["sourceArn"] == desk.arn(dead)
    desk.later(1)
    assert tasks(desk) == [
        {
            "TaskHandle": handle,
            "Status": "RUNNING",
            "SourceArn": desk.arn(dead),
            "DestinationArn": desk.arn(queue),
            "MaxNumberOfMessagesPerSecond": 1,
            "ApproximateNumberOfMessagesMoved": 1,
            "ApproximateNumberOfMessagesToMove": 3,
            "StartedTimestamp": (desk.clock.us - 1_000_000) // 1_000,
        }
    ]
    desk.later(3)
    (ended,) = tasks(desk)
    assert (ended["Status"], ended["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 3)
    assert "TaskHandle" not in ended
    start(desk)
    assert [task["Status"] for task in tasks(desk)] == ["RUNNING", "COMPLETED"]
    assert "DestinationArn" not in tasks(desk)[0]
    assert len(desk.call("ListMessageMoveTasks", SourceArn=desk.arn(dead))["Results"]) == 1


def test_a_cancel_is_slow(desk: Desk) -> None:
    """Cancelled after two messages at one a second, the task moves on to eight before it reads CANCELLED."""
    queue, _ = desk.with_dead_letters()
    bury(desk, queue, 10)
    handle = start(desk, MaxNumberOfMessagesPerSecond=1)
    desk.later(2.5)
    answer = desk.call("CancelMessageMoveTask", TaskHandle=handle)
    assert answer == {"ApproximateNumberOfMessagesMoved": 2}
    assert tasks(desk)[0]["Status"] == "CANCELLING"
    desk.later(20)
    assert (tasks(desk)[0]["Status"], tasks(desk)[0]["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", 8)
    assert desk.sqs.inventory()["dead"]["visible"] == 2
    assert desk.refused("CancelMessageMoveTask", TaskHandle=handle).code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("destination", "reason"),
    [(True, "AWS.SimpleQueueService.NonExistentQueue"), (False, "CouldNotDetermineMessageSource")],
)
def test_a_task_fails(desk: Desk, destination: bool, reason: str) -> None:
    """The destination was deleted, or a message was sent to the dead-letter queue by hand: FAILED, nothing is lost."""
    _, dead = desk.with_dead_letters()
    desk.queue("other")
    desk.send(dead, "by hand")
    start(desk, **({"DestinationArn": desk.arn("other")} if destination else {}))
    desk.call("DeleteQueue", QueueUrl="other")
    desk.later(1)
    (failed,) = tasks(desk)
    assert (failed["Status"], failed["FailureReason"]) == ("FAILED", reason)
    assert desk.bodies(dead) == ["by hand"]


def test_refusals(desk: Desk) -> None:
    """Each error with its code, status and text."""
    queue, dead = desk.with_dead_letters()
    desk.send(dead, "m")
    plain = desk.refused("StartMessageMoveTask", SourceArn=desk.arn(queue))
    assert (plain.code, plain.status, plain.message) == (
        "InvalidParameterValue",
        400,
        "Source queue must be configured as a Dead Letter Queue.",
    )
    nowhere = desk.refused("StartMessageMoveTask", SourceArn=desk.arn(dead), DestinationArn=desk.arn("none"))
    assert (nowhere.shape, nowhere.status, nowhere.message) == (
        "ResourceNotFoundException",
        404,
        "The resource that you specified for the DestinationArn parameter doesn't exist.",
    )
    start(desk, DestinationArn=desk.arn(queue))
    twice = desk.refused("StartMessageMoveTask", SourceArn=desk.arn(dead))
    assert (twice.code, twice.message) == (
        "InvalidParameterValue",
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
    )
    garbage = desk.refused("CancelMessageMoveTask", TaskHandle="garbage")
    assert garbage.message == "Value for parameter TaskHandle is invalid."

    def forged(source: str) -> str:
        return b64encode(json.dumps({"taskId": "t", "sourceArn": desk.arn(source)}).encode()).decode()

    unknown = desk.refused("CancelMessageMoveTask", TaskHandle=forged("none"))
    assert (unknown.status, unknown.message) == (
        404,
        "The resource that you specified for the SourceArn parameter doesn't exist.",
    )
    missing = desk.refused("CancelMessageMoveTask", TaskHandle=forged(dead))
    assert (missing.status, missing.message) == (404, "Task does not exist.")
    for rate in (0, 501):
        refused = desk.refused("StartMessageMoveTask", SourceArn=desk.arn(dead), MaxNumberOfMessagesPerSecond=rate)
        assert refused.code == "InvalidParameterValue"


def test_fifo_keeps_groups_and_order(desk: Desk) -> None:
    """From a FIFO dead-letter queue messages come back in order, each in its group."""
    queue, _ = desk.with_dead_letters("q.fifo")
    for n in range(6):
        desk.send(queue, f"m{n}", group=f"g{n % 2}")
    for _ in range(3):
        desk.receive(queue, VisibilityTimeout=1)
        desk.later(2)
    start(desk, "dead.fifo")
    desk.later(1)
    got = desk.receive(queue, MessageSystemAttributeNames=["All"])
    by_group: dict[str, list[str]] = {}
    for message in got:
        by_group.setdefault(message["Attributes"]["MessageGroupId"], []).append(message["Body"])
    assert by_group == {"g0": ["m0", "m2", "m4"], "g1": ["m1", "m3", "m5"]}


def test_a_fifo_dead_letter_has_its_message_id_as_deduplication_id(desk: Desk) -> None:
    """Two dead letters that shared a deduplication id stay two (documented for redrive of FIFO queues)."""
    queue, dead = desk.with_dead_letters("q.fifo", receives=1)
    sent = desk.send(queue, "m", dedup="mine")["MessageId"]
    desk.receive(queue, VisibilityTimeout=1)
    desk.later(2)
    assert desk.receive(queue) == []
    (message,) = desk.receive(dead, MessageSystemAttributeNames=["All"])
    assert (message["MessageId"], message["Attributes"]["MessageDeduplicationId"]) == (sent, sent)


@pytest.mark.parametrize("seed", range(3))
def test_a_waiting_poll_is_woken(seed: int) -> None:
    """A consumer in a long poll gets what a task moves at that moment."""
    with kernel(seed) as run:
        bench = Bench(run)
        dead = bench.sqs.create_queue("dead")
        policy = {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 1}
        bench.sqs.create_queue("q", {"RedrivePolicy": json.dumps(policy)})
        bench.sqs.put("dead", "m")
        bench.consumers(1, bench.receive)
        run.call_at(1_000_000, lambda: _start(run, bench))
        run.run()
    assert dead.endswith("/dead")
    assert bench.got == [(1.5, "c0", ["m"])]


def _start(run: Kernel, bench: Bench) -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:"
    parameters = {"SourceArn": f"{arn}dead", "DestinationArn": f"{arn}q", "MaxNumberOfMessagesPerSecond": 2}
    bench.sqs.call("StartMessageMoveTask", parameters, region="us-east-1")
