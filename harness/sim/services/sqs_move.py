"""Move tasks: StartMessageMoveTask, CancelMessageMoveTask, ListMessageMoveTasks.

A task empties a dead-letter queue at a steady rate, into one queue or each
message into the queue that it came from. What it moves is a new message there:
another id, a new time of sending, a receive count of none. In the history a
move is a ``send`` that names the old message as its ``original``, then a
``delete``.

Recorded: the errors, the states, the form of the handle, and that a cancel is
slow. Documented: new ids and times, 500 messages a second at most. Not
recorded: when a task ends while messages are in flight (here: as soon as
none is visible), and the pace without a rate (here: the greatest).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any

from harness.sim.services.sqs_core import Parameters
from harness.sim.services.sqs_errors import SqsError, invalid_parameter, parameter_reason
from harness.sim.services.sqs_fifo import FifoQueue
from harness.sim.services.sqs_line import GONE, Message
from harness.sim.services.sqs_queue import SECOND, Queue
from harness.sim.services.sqs_receive import Receiving
from harness.sim.verdicts import Twist

__all__ = ["MoveTask", "Moving"]

#: Messages a second, at most and without a rate.
RATE_MAX = 500
#: How long a cancelled task goes on: recorded to have moved 6 more messages at 1 a second.
CANCEL_US = 6 * SECOND
#: How many tasks of a queue are remembered, as ListMessageMoveTasks shows at most.
KEPT = 10
#: A message is hidden this long while it is moved.
_HIDE_US = 30 * SECOND


class MoveTask:
    """One task; ``status`` is that of the API."""

    __slots__ = (
        "cancel_us",
        "destination",
        "id",
        "interval_us",
        "moved",
        "rate",
        "reason",
        "source",
        "started_us",
        "status",
        "to_move",
    )

    def __init__(self, task_id: str, source: str, destination: str | None, rate: int | None, now_us: int) -> None:
        self.id = task_id
        self.source = source
        self.destination = destination
        self.rate = rate
        self.started_us = now_us
        self.interval_us = SECOND // (rate or RATE_MAX)
        self.status = "RUNNING"
        self.reason: str | None = None
        self.moved = 0
        self.to_move = 0
        self.cancel_us: int | None = None

    @property
    def active(self) -> bool:
        return self.status in ("RUNNING", "CANCELLING")

    @property
    def handle(self) -> str:
        return b64encode(json.dumps({"taskId": self.id, "sourceArn": self.source}).encode()).decode("ascii")

    def entry(self) -> dict[str, Any]:
        """What ListMessageMoveTasks shows of it."""
        shown: dict[str, Any] = {
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "Status": self.status,
            "SourceArn": self.source,
            "DestinationArn": self.destination,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.reason,
            "StartedTimestamp": self.started_us // 1_000,
        }
        return {name: value for name, value in shown.items() if value is not None}


class Moving(Receiving):
    """The operations on move tasks."""

    def _start_message_move_task(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        arn: str = parameters["SourceArn"]
        source = self._by_arn(arn)
        if source is None:
            raise _no_resource("SourceArn")
        if not any(queue.redrive is not None and queue.redrive[0] == arn for queue in self._queues.values()):
            raise invalid_parameter("Source queue must be configured as a Dead Letter Queue.")
        destination: str | None = parameters.get("DestinationArn")
        if destination is not None:
            target = self._by_arn(destination)
            if target is None:
                raise _no_resource("DestinationArn")
            if target.fifo != source.fifo or target is source:  # documented; the text is not recorded
                raise invalid_parameter("Source and destination must be two queues of the same type.")
        rate: int | None = parameters.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= rate <= RATE_MAX:  # likewise
            raise parameter_reason(rate, "MaxNumberOfMessagesPerSecond", f"Must be between 1 and {RATE_MAX}.")
        tasks = self.move_tasks.setdefault(arn, [])
        if any(task.active for task in tasks):
            raise invalid_parameter(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given "
                "time."
            )
        now_us = self._timebase.now_us()
        source.advance(now_us)
        task = MoveTask(self._new_id(), arn, destination, rate, now_us)
        task.to_move = source.visible
        tasks.insert(0, task)
        del tasks[KEPT:]
        self._timebase.call_at(now_us + task.interval_us, lambda: self._move_next(task, now_us + task.interval_us))
        return {"TaskHandle": task.handle}

    def _cancel_message_move_task(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        try:
            handle = json.loads(b64decode(parameters["TaskHandle"], validate=True))
            task_id, arn = str(handle["taskId"]), str(handle["sourceArn"])
        except (Base64Error, ValueError, KeyError, TypeError):
            raise invalid_parameter("Value for parameter TaskHandle is invalid.") from None
        if self._by_arn(arn) is None:
            raise _no_resource("SourceArn")
        task = next((task for task in self.move_tasks.get(arn, ()) if task.id == task_id), None)
        if task is None:
            raise SqsError("ResourceNotFoundException", "ResourceNotFoundException", "Task does not exist.", 404)
        if task.status != "RUNNING":  # documented to be refused; the text is not recorded
            raise invalid_parameter("Only a running task can be cancelled.")
        task.status = "CANCELLING"
        task.cancel_us = self._timebase.now_us() + CANCEL_US
        return {"ApproximateNumberOfMessagesMoved": task.moved}

    def _list_message_move_tasks(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        arn: str = parameters["SourceArn"]
        if self._by_arn(arn) is None:
            raise _no_resource("SourceArn")
        limit = parameters.get("MaxResults") or 1
        if not 1 <= limit <= KEPT:
            raise parameter_reason(limit, "MaxResults", f"Must be between 1 and {KEPT}.")
        return {"Results": [task.entry() for task in self.move_tasks.get(arn, [])[:limit]]}

    # -- the work ------------------------------------------------------------------

    def _move_next(self, task: MoveTask, due_us: int) -> None:
        """Move one message, and come again for the next. *due_us*: when this was due, which time may have passed."""
        now_us = self._timebase.now_us()
        source = self._by_arn(task.source)
        if task.cancel_us is not None and due_us >= task.cancel_us:
            task.status = "CANCELLED"
        elif source is None:
            task.status, task.reason = "FAILED", "AWS.SimpleQueueService.NonExistentQueue"
        else:
            source.advance(now_us)
            self._move_one(task, source, now_us)
        if task.active:
            due_us += task.interval_us
            self._timebase.call_at(due_us, lambda: self._move_next(task, due_us))

    def _move_one(self, task: MoveTask, source: Queue, now_us: int) -> None:
        taken = [message for message in source.take(now_us, 1, _HIDE_US) if message.state != GONE]
        if not taken:
            task.status = "CANCELLED" if task.cancel_us is not None else "COMPLETED"
            return
        (message,) = taken
        arn = task.destination or message.source_arn
        target = self._by_arn(arn) if arn is not None else None
        if target is None:
            source.change(message, 0, now_us)
            task.status = "FAILED"
            # The first is reported by users of messages that were sent to the queue directly, the second recorded.
            task.reason = "CouldNotDetermineMessageSource" if arn is None else "AWS.SimpleQueueService.NonExistentQueue"
            return
        target.advance(now_us)
        moved = Message(self._new_id(), message.body, message.md5, now_us)
        for name in ("attributes", "attributes_md5", "trace_header", "group", "dedup_id", "key"):
            setattr(moved, name, getattr(message, name))
        if isinstance(target, FifoQueue):
            moved.sequence = target.next_sequence()
        size = self._size({"MessageBody": moved.body, "MessageAttributes": moved.attributes})
        self._note_send(target, moved, size, "process", message.id, target.delay_us)
        target.add(moved, now_us, target.delay_us)
        handle = self._handle(source, message)
        source.remove(message)
        self._note("delete", message, queue=source.name, handle=handle, found=True)
        task.moved += 1
        self._wake(target)
        if source.fifo:
            self._wake(source)


def _no_resource(parameter: str) -> SqsError:
    return SqsError(
        "ResourceNotFoundException",
        "ResourceNotFoundException",
        f"The resource that you specified for the {parameter} parameter doesn't exist.",
        404,
    )
