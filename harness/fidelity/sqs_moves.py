"""Move tasks: StartMessageMoveTask, CancelMessageMoveTask, ListMessageMoveTasks."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, documented, recorded

__all__: list[str] = []

#: How long a task may take until it is seen to have ended.
_PATIENCE_S = 30


def _dead(bench: Bench, *bodies: str) -> tuple[str, str]:
    """A queue and its dead-letter queue, with dead letters in it: both URLs."""
    url, dead = bench.dead_letters()
    for body in bodies:
        bench.send(url, body)
    bench.take(url, len(bodies), VisibilityTimeout=0)
    bench.eventually("a receive of what is dead", lambda: bench.bodies(url), [])
    bench.eventually("the number of dead letters", lambda: bench.counts(dead)[0], len(bodies))
    return url, dead


def _start(bench: Bench, dead: str, **parameters: Any) -> str:
    handle: str = bench.call("StartMessageMoveTask", SourceArn=bench.arn(dead), **parameters)["TaskHandle"]
    return handle


def _task(bench: Bench, dead: str) -> dict[str, Any]:
    found: dict[str, Any] = bench.call("ListMessageMoveTasks", SourceArn=bench.arn(dead))["Results"][0]
    return found


def _ended(bench: Bench, dead: str) -> dict[str, Any]:
    """The task once it has ended."""
    until = time.monotonic() + _PATIENCE_S
    while (task := _task(bench, dead))["Status"] in ("RUNNING", "CANCELLING") and time.monotonic() < until:
        bench.wait(0.3)
    return task


@case(
    851,
    "move-back-to-source",
    "Without a destination each dead letter goes back where it came from.",
    recorded("move_task_workflow_with_default_destination"),
    seconds=1,
)
def _back(bench: Bench) -> None:
    url, dead = _dead(bench, "a", "b")
    _start(bench, dead)
    bench.equal("the task's status", _ended(bench, dead)["Status"], "COMPLETED")
    bench.equal("the messages", sorted(m["Body"] for m in bench.take(url, 2)), ["a", "b"])
    bench.nothing(dead, "after the move")


@case(
    852,
    "move-to-destination",
    "With a destination every dead letter goes there.",
    recorded("basic_move_task_workflow"),
    seconds=1,
)
def _destination(bench: Bench) -> None:
    _, dead = _dead(bench, "a", "b")
    target = bench.queue()
    _start(bench, dead, DestinationArn=bench.arn(target))
    bench.equal("the task's status", _ended(bench, dead)["Status"], "COMPLETED")
    bench.equal("the messages", sorted(m["Body"] for m in bench.take(target, 2)), ["a", "b"])


@case(
    853,
    "move-to-several-sources",
    "Dead letters of several queues each go back to their own.",
    recorded("move_task_workflow_with_multiple_sources_as_default_destination"),
    seconds=1,
)
def _several(bench: Bench) -> None:
    dead = bench.queue()
    policy = json.dumps({"deadLetterTargetArn": bench.arn(dead), "maxReceiveCount": 1})
    urls = [bench.queue(RedrivePolicy=policy) for _ in range(2)]
    for url in urls:
        bench.send(url, f"of {url}")
        bench.one(url, VisibilityTimeout=0)
        bench.nothing(url)
    bench.eventually("the number of dead letters", lambda: bench.counts(dead)[0], 2)
    _start(bench, dead)
    _ended(bench, dead)
    for url in urls:
        bench.equal("the message", bench.one(url)["Body"], f"of {url}")


@case(
    854,
    "move-handle",
    "TaskHandle is base64 of an object with taskId, a UUID, and sourceArn.",
    recorded("basic_move_task_workflow"),
    seconds=1,
)
def _handle(bench: Bench) -> None:
    _, dead = _dead(bench, "a")
    handle = _start(bench, dead)
    try:
        found = json.loads(base64.b64decode(handle))
        uuid.UUID(found["taskId"])
    except (ValueError, KeyError, TypeError):
        found = {}
    bench.true(found, f"TaskHandle is {handle!r}")
    bench.equal("sourceArn", found["sourceArn"], bench.arn(dead))


@case(
    855,
    "move-listed-when-completed",
    "A completed task is listed without handle; counts, source, start; destination and rate only if given.",
    recorded("move_task_workflow_with_default_destination"),
    seconds=1,
)
def _listed(bench: Bench) -> None:
    _, dead = _dead(bench, "a", "b")
    _start(bench, dead)
    task = _ended(bench, dead)
    bench.keys(
        "the task",
        task,
        "Status",
        "SourceArn",
        "ApproximateNumberOfMessagesMoved",
        "ApproximateNumberOfMessagesToMove",
        "StartedTimestamp",
    )
    moved = (task["ApproximateNumberOfMessagesMoved"], task["ApproximateNumberOfMessagesToMove"])
    bench.equal("moved and to move", moved, (2, 2))
    bench.equal("SourceArn", task["SourceArn"], bench.arn(dead))


@case(
    856,
    "move-listed-while-running",
    "A running task is listed as RUNNING, with its handle, its destination and its rate.",
    recorded("move_task_cancel"),
    seconds=1,
)
def _running(bench: Bench) -> None:
    _, dead = _dead(bench, "a", "b", "c")
    target = bench.arn(bench.queue())
    handle = _start(bench, dead, DestinationArn=target, MaxNumberOfMessagesPerSecond=1)
    task = _task(bench, dead)
    bench.equal("Status", task["Status"], "RUNNING")
    bench.equal("TaskHandle", task.get("TaskHandle"), handle)
    bench.equal("DestinationArn", task.get("DestinationArn"), target)
    bench.equal("MaxNumberOfMessagesPerSecond", task.get("MaxNumberOfMessagesPerSecond"), 1)


@case(
    857,
    "move-rate",
    "MaxNumberOfMessagesPerSecond bounds the pace.",
    recorded("move_task_with_throughput_limit"),
    seconds=4,
)
def _rate(bench: Bench) -> None:
    url, dead = _dead(bench, "a", "b", "c", "d")
    began = time.monotonic()
    _start(bench, dead, MaxNumberOfMessagesPerSecond=1)
    bodies: list[str] = []
    while len(bodies) < 4 and time.monotonic() < began + _PATIENCE_S:
        bodies += bench.bodies(url, WaitTimeSeconds=1)
    took = time.monotonic() - began
    bench.equal("the messages", sorted(bodies), ["a", "b", "c", "d"])
    bench.true(took >= 3, f"four messages came within {took:.1f} s at 1 a second")


@case(
    858,
    "move-cancel",
    "Cancel answers how many were moved; the task reads CANCELLED afterwards, and what was not moved stays.",
    recorded("move_task_cancel"),
    seconds=10,
)
def _cancel(bench: Bench) -> None:
    _, dead = _dead(bench, *(f"m{n}" for n in range(10)))
    target = bench.queue()
    handle = _start(bench, dead, DestinationArn=bench.arn(target), MaxNumberOfMessagesPerSecond=1)
    bench.wait(2)
    answer = bench.call("CancelMessageMoveTask", TaskHandle=handle)
    bench.keys("the answer", answer, "ApproximateNumberOfMessagesMoved")
    task = _ended(bench, dead)
    bench.equal("Status", task["Status"], "CANCELLED")
    bench.true("TaskHandle" not in task, "the cancelled task has a TaskHandle")
    bench.true(task["ApproximateNumberOfMessagesMoved"] < 10, "everything was moved")
    bench.true(bench.receive(dead), "nothing is left in the dead-letter queue")


@case(
    859,
    "move-destination-deleted",
    "A task whose destination is deleted meanwhile has FAILED, with the reason; what was not moved stays.",
    recorded("move_task_delete_destination_queue_while_running"),
    seconds=3,
)
def _destination_deleted(bench: Bench) -> None:
    _, dead = _dead(bench, "a", "b", "c", "d", "e")
    target = bench.queue()
    _start(bench, dead, DestinationArn=bench.arn(target), MaxNumberOfMessagesPerSecond=1)
    bench.call("DeleteQueue", QueueUrl=target)
    task = _ended(bench, dead)
    found = (task["Status"], task.get("FailureReason"))
    bench.equal("status and reason", found, ("FAILED", "AWS.SimpleQueueService.NonExistentQueue"))
    bench.true("TaskHandle" not in task, "the failed task has a TaskHandle")
    bench.true(bench.receive(dead), "nothing is left in the dead-letter queue")


@case(
    860,
    "move-needs-dead-letter-queue",
    "A source that is nobody's dead-letter queue is refused.",
    recorded("source_needs_redrive_policy"),
)
def _needs_source(bench: Bench) -> None:
    bench.refused(
        "StartMessageMoveTask",
        "InvalidParameterValue",
        "Source queue must be configured as a Dead Letter Queue.",
        shape="InvalidParameterValueException",
        status=400,
        SourceArn=bench.arn(bench.queue()),
        DestinationArn=bench.arn(bench.queue()),
    )


@case(
    861,
    "move-unknown-destination",
    "A destination that is not there is refused, with status 404.",
    recorded("destination_needs_to_exist"),
)
def _unknown_destination(bench: Bench) -> None:
    _, dead = bench.dead_letters()
    bench.refused(
        "StartMessageMoveTask",
        "ResourceNotFoundException",
        "The resource that you specified for the DestinationArn parameter doesn't exist.",
        status=404,
        SourceArn=bench.arn(dead),
        DestinationArn=bench.arn(dead) + "-not-there",
    )


@case(
    862,
    "move-one-at-a-time",
    "A second task for the same source is refused while one runs.",
    recorded("start_multiple_move_tasks"),
    seconds=1,
)
def _one_at_a_time(bench: Bench) -> None:
    _, dead = _dead(bench, "a", "b", "c", "d", "e")
    _start(bench, dead, MaxNumberOfMessagesPerSecond=1)
    bench.refused(
        "StartMessageMoveTask",
        "InvalidParameterValue",
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        shape="InvalidParameterValueException",
        status=400,
        SourceArn=bench.arn(dead),
    )


@case(
    863,
    "cancel-no-handle",
    "A handle that is none is refused.",
    recorded("cancel_with_invalid_task_handle"),
)
def _no_handle(bench: Bench) -> None:
    bench.refused(
        "CancelMessageMoveTask",
        "InvalidParameterValue",
        "Value for parameter TaskHandle is invalid.",
        shape="InvalidParameterValueException",
        status=400,
        TaskHandle="foobared",
    )


def _handle_of(arn: str) -> str:
    return base64.b64encode(json.dumps({"taskId": str(uuid.UUID(int=7)), "sourceArn": arn}).encode()).decode()


@case(
    864,
    "cancel-unknown-source",
    "A handle of a queue that is not there is refused, with status 404.",
    recorded("cancel_with_invalid_source_arn_in_task_handle"),
)
def _unknown_source(bench: Bench) -> None:
    bench.refused(
        "CancelMessageMoveTask",
        "ResourceNotFoundException",
        "The resource that you specified for the SourceArn parameter doesn't exist.",
        status=404,
        TaskHandle=_handle_of(bench.arn(bench.queue()) + "-not-there"),
    )


@case(
    865,
    "cancel-unknown-task",
    "A handle of a task that is not there is refused, with status 404.",
    recorded("cancel_with_invalid_task_id_in_task_handle"),
)
def _unknown_task(bench: Bench) -> None:
    bench.refused(
        "CancelMessageMoveTask",
        "ResourceNotFoundException",
        "Task does not exist.",
        status=404,
        TaskHandle=_handle_of(bench.arn(bench.queue())),
    )


@case(
    866,
    "moved-message-is-new",
    "A moved message has another MessageId and counts its receives anew.",
    documented("Dead-letter queue redrive"),
    seconds=1,
)
def _is_new(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    sent = bench.send(url, "a")
    bench.one(url, VisibilityTimeout=0)
    bench.nothing(url)
    _start(bench, dead)
    _ended(bench, dead)
    found = bench.one(url, AttributeNames=["ApproximateReceiveCount"])
    bench.true(found["MessageId"] != sent["MessageId"], "the message has the id that it had")
    bench.equal("the count", found["Attributes"]["ApproximateReceiveCount"], "1")


@case(
    867,
    "move-rate-range",
    "MaxNumberOfMessagesPerSecond is 500 at most.",
    documented("StartMessageMoveTask"),
)
def _rate_range(bench: Bench) -> None:
    _, dead = bench.dead_letters()
    bench.refused(
        "StartMessageMoveTask",
        "InvalidParameterValue",
        SourceArn=bench.arn(dead),
        MaxNumberOfMessagesPerSecond=501,
    )
