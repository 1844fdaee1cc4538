"""SQS's own way back (StartMessageMoveTask): fast, and as it is: no filter, no edit, no envelope opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.resilience._dlq_reader import DeadLetterReader
from harness.resilience.triage import DeadLetter

__all__ = ["MoveFailed", "MoveProgress", "check_native", "move_natively"]

_LOOK_AT = 10


@dataclass(frozen=True, slots=True)
class MoveProgress:
    """What ListMessageMoveTasks said last. ``to_move`` is SQS's count at the start."""

    status: str
    moved: int
    to_move: int
    reason: str | None = None


class MoveFailed(Exception):
    """A move task ended as failed or cancelled; ``progress`` says how far it came."""

    def __init__(self, text: str, progress: MoveProgress) -> None:
        super().__init__(text)
        self.progress = progress


def check_native(sqs: Any, dlq_url: str, *, to_origin: bool) -> None:
    """Look at some dead letters: would a move task do them harm?

    Raises:
        ValueError: they are envelopes, which SQS moves as they are, so that consumers get the envelope and not
            the message; or they were not moved here by SQS, so that it does not know where they came from.
    """
    with DeadLetterReader(sqs, dlq_url, max_messages=_LOOK_AT, max_seconds=10.0, hold_seconds=30.0) as reader:
        for batch in reader.batches():
            for message in batch:
                letter = DeadLetter(message)
                if letter.envelope.form != "plain":
                    raise ValueError(
                        f"dead letter {letter.id} is an envelope, which SQS would move as it is: consumers would get "
                        "the envelope; replay without native"
                    )
                if to_origin and not (message.get("Attributes") or {}).get("DeadLetterQueueSourceArn"):
                    raise ValueError(
                        f"dead letter {letter.id} was not moved here by SQS, which does not know its queue: give a "
                        "target queue, or replay without native"
                    )


def move_natively(
    sqs: Any,
    dlq_url: str,
    target_queue_url: str | None = None,
    *,
    rate: int | None = None,
    on_progress: Callable[[MoveProgress], object] | None = None,
    sleep: Callable[[float], None] | None = None,
    poll_seconds: float = 2.0,
) -> int:
    """Let SQS move everything, wait until it has, and return how many it moved.

    ``target_queue_url`` ``None``: each to the queue that SQS moved it from.
    Interrupted, it cancels the task. What was moved has new message ids.

    Raises:
        MoveFailed: the task failed or was cancelled.
        Exception: what the client raises, for example because a task runs already.
    """
    source = _arn(sqs, dlq_url)
    request: dict[str, Any] = {"SourceArn": source}
    if target_queue_url is not None:
        request["DestinationArn"] = _arn(sqs, target_queue_url)
    if rate is not None:
        request["MaxNumberOfMessagesPerSecond"] = rate
    handle = sqs.start_message_move_task(**request)["TaskHandle"]
    try:
        while True:
            (sleep or time.sleep)(poll_seconds)
            entry = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1)["Results"][0]
            progress = MoveProgress(
                entry["Status"],
                int(entry.get("ApproximateNumberOfMessagesMoved", 0)),
                int(entry.get("ApproximateNumberOfMessagesToMove", 0)),
                entry.get("FailureReason"),
            )
            if on_progress is not None:
                on_progress(progress)
            if progress.status == "COMPLETED":
                return progress.moved
            if progress.status in ("FAILED", "CANCELLED"):
                why = f": {progress.reason}" if progress.reason else ""
                text = f"the move task {progress.status.lower()} after {progress.moved} of {progress.to_move}{why}"
                raise MoveFailed(text, progress)
    except KeyboardInterrupt:
        sqs.cancel_message_move_task(TaskHandle=handle)
        raise


def _arn(sqs: Any, queue_url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])
