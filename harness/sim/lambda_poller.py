"""The event source mapping: polls a queue, invokes a function with batches, deletes by what it answers.

It is a process of its own (``fn:poller``) that calls SQS through boto3, so that everything that a consumer may meet
there strikes it too (``aws.sqs.ReceiveMessage``, ``aws.sqs.DeleteMessageBatch``). Rules, from the AWS Lambda Developer
Guide:

* [scaling] "Configuring scaling behavior for SQS event source mappings": long polls; five batches at a time at
  first; while messages are left up to 300 more a minute, 1,250 in all; back to five when there is little to do;
  maximum concurrency bounds it. (Until November 2023 it was 60 more a minute; AWS Compute Blog, "Introducing faster
  polling scale-up".) On a FIFO queue order within a group is kept and a batch may hold several groups; SQS gives
  nothing more of a group while a message of it is in flight, so that one batch of a group is under way at a time.
* [sqs] "Using Lambda with Amazon SQS", "Polling and batching": with a window, the function is invoked when it is over,
  the batch is full, or the payload reaches 6 MB, whichever comes first; the window begins with the first message.
* [errors] "Handling errors for an SQS event source": after an error of the function the batch is not tried again by
  the mapping; its messages appear when their visibility timeout runs out, and the mapping reduces its concurrency,
  which it does not with ReportBatchItemFailures. A throttled batch is tried again until the visibility timeout has
  passed since it was received, and is dropped then; concurrency is reduced too. Each receive counts, so that a
  redrive policy sends what was never processed to the dead-letter queue.
* [sqs-filtering] what matches no filter is deleted.

Not documented, decided here: the numbers of backing off (halved at each error, one more at each success, at least one
poller), the waits between tries of a throttled batch (1, 2, 4, ... 30 s), that a request to invoke that fails in
another way is treated as a throttled one unless the function ran, that a failed call of SQS is made again after a
second, and that a delete is given up after three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.sim import world
from harness.sim.lambda_event import EVENT_BYTES_MAX, event_text, record
from harness.sim.lambda_filters import Filters
from harness.sim.lambda_function import Answered, Function, InvokeFailed, Throttled
from harness.sim.lambda_response import Settlement, settle

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel
    from harness.sim.process import Process

__all__ = ["Poller"]

FIRST_POLLERS = 5
POLLERS_MAX = 1_250
#: 300 a minute.
ADDED_EACH_SECOND = 5
WAIT_S = 20
_RECEIVE_MAX = 10
_SECOND_US = 1_000_000
_RETRY_S_MAX = 30
_DELETE_TRIES = 3
#: Bytes of an event beside its records' own: {"Records": []} and the commas.
_FRAME_BYTES = 32

Message = Mapping[str, Any]


class _Got(NamedTuple):
    """A message and when it was received."""

    message: Message
    at_us: int


class _Batch:
    """Messages with the time of the first receive, and what their event's JSON takes in bytes."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.since_us = 0
        self.bytes = _FRAME_BYTES

    def add(self, got: _Got, size: int) -> None:
        if not self.messages:
            self.since_us = got.at_us
        self.messages.append(got.message)
        self.bytes += size


class Poller:
    """The mapping of one function to one queue. ``main`` is the main function of its process, at each start anew."""

    def __init__(self, kernel: Kernel, function: Function, queue_url: str) -> None:
        self._kernel = kernel
        self._function = function
        self._consumer = consumer = function.consumer
        self._queue_url = queue_url
        self._filters = Filters(consumer.filters)
        self._most = consumer.maximum_concurrency or POLLERS_MAX
        self._allowed = min(FIRST_POLLERS, self._most)
        self._client: Any = None
        self._arn = ""
        self._visibility_us = 30 * _SECOND_US
        self._pollers = 0
        self._numbers = 0
        self._busy = 0
        self._waiting_main = False
        self._full = False  # whether the last receive gave all that was asked for

    # -- the process

    def main(self) -> None:
        """Start the first pollers, then see whether more are needed."""
        import boto3

        kernel = self._kernel
        actor = kernel.current
        assert actor is not None
        process = actor.process
        self._main = actor
        self._client = boto3.client("sqs")
        self._until_done(self._look_at_queue)
        self._staff(process)
        while True:
            self._waiting_main = True
            kernel.park()
            self._waiting_main = False
            while True:
                kernel.sleep_us(_SECOND_US)
                if not self._short_of_pollers():
                    break
                self._allowed = min(self._most, max(self._allowed, self._pollers) + ADDED_EACH_SECOND)
                self._tell_scale("more messages than pollers")
                self._staff(process)

    def _staff(self, process: Process) -> None:
        """As many pollers as are allowed."""
        while self._pollers < self._allowed:
            self._pollers += 1
            self._numbers += 1
            self._kernel.spawn(process, self._poll, str(self._numbers))

    def _short_of_pollers(self) -> bool:
        """Whether messages are left though every poller is at work; never while it backs off."""
        backs_off = self._allowed < min(FIRST_POLLERS, self._most)
        return self._full and not backs_off and self._pollers <= self._busy and self._pollers < self._most

    def _poll(self) -> None:
        """A poller's life: batch after batch, until there are too many pollers."""
        carried: list[_Got] = []
        try:
            while carried or self._pollers <= self._allowed:
                batch = self._gather(carried)
                if batch.messages:
                    self._busy += 1
                    try:
                        self._treat(batch)
                    finally:
                        self._busy -= 1
                elif self._pollers > FIRST_POLLERS:
                    self._allowed = max(FIRST_POLLERS, min(self._allowed, self._pollers - 1))
        finally:
            if not self._kernel.closing:
                self._pollers -= 1

    # -- gathering a batch

    def _gather(self, carried: list[_Got]) -> _Batch:
        """The next batch, filtered; an empty one where a long poll found nothing.

        *carried* is what this poller received before and did not fit then; it
        comes first, and what does not fit now is left there.
        """
        kernel, consumer = self._kernel, self._consumer
        batch = _Batch()
        if carried:
            self._take(batch, carried)
        while not carried and len(batch.messages) < consumer.batch_size:
            wait_s = WAIT_S
            if batch.messages:
                left_us = batch.since_us + consumer.window * _SECOND_US - kernel.now_us
                if left_us < _SECOND_US:
                    if left_us > 0:
                        kernel.sleep_us(left_us)
                    return batch
                wait_s = min(WAIT_S, left_us // _SECOND_US)
            taken = self._receive(min(_RECEIVE_MAX, consumer.batch_size - len(batch.messages)), wait_s)
            if not taken and not batch.messages:
                return batch
            carried += [_Got(message, kernel.now_us) for message in self._filtered(taken)]
            self._take(batch, carried)
        return batch

    def _take(self, batch: _Batch, carried: list[_Got]) -> None:
        """Move messages from *carried* into *batch* as far as they fit: one at least."""
        while carried and len(batch.messages) < self._consumer.batch_size:
            size = len(event_text([record(carried[0].message, self._arn)]).encode())
            if batch.messages and batch.bytes + size > EVENT_BYTES_MAX:
                return
            batch.add(carried.pop(0), size)

    def _receive(self, number: int, wait_s: int) -> list[Message]:
        def call() -> Any:
            return self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=number,
                WaitTimeSeconds=max(0, wait_s),
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )

        answer = self._try(call)
        if answer is None:
            self._kernel.sleep_us(_SECOND_US)
            return []
        found: list[Message] = answer.get("Messages", [])
        self._full = len(found) == number
        return found

    def _filtered(self, messages: Sequence[Message]) -> list[Message]:
        """Those that the filters let through; the others are deleted."""
        if not self._filters or not messages:
            return list(messages)
        kept: list[Message] = []
        out: dict[str, list[Message]] = {}
        for message in messages:
            verdict = self._filters.judge(message["Body"])
            if verdict == "match":
                kept.append(message)
            else:
                out.setdefault(verdict, []).append(message)
        for why, some in out.items():
            reason = "they match no filter" if why == "no-match" else "their format is not that of the filters"
            self._record("lambda.filtered", messages=_ids(some), by_format=why == "format", reason=reason)
            self._delete(some)
        return kept

    # -- invoking and what follows from it

    def _treat(self, batch: _Batch) -> None:
        """Invoke the function with *batch* and delete what its answer says."""
        if self._short_of_pollers() and self._waiting_main:
            self._kernel.wake(self._main)
        ids = _ids(batch.messages)
        answered = self._invoke(batch, ids)
        if answered is None:
            return
        settled = Settlement("success", ())
        outcome, reason = answered.outcome, ""
        if outcome == "returned":
            settled = settle(answered.text, ids, reporting=self._consumer.report_batch_item_failures)
            outcome, reason = settled.outcome, settled.reason
            failed = list(settled.failed)
        else:
            failed, reason = ids, answered.text
        self._record(
            "lambda.answer",
            request=answered.request_id,
            sandbox=answered.sandbox,
            outcome=outcome,
            messages=ids,
            failed=failed,
            took=answered.took,
            **({"error": reason} if reason else {}),
        )
        self._adjust(outcome not in ("success", "partial"))
        if len(failed) < len(ids):
            gone = set(failed)
            self._delete([message for message in batch.messages if message["MessageId"] not in gone])

    def _invoke(self, batch: _Batch, ids: list[str]) -> Answered | None:
        """The function's answer; ``None`` where it was throttled for too long, or the answer was lost."""
        kernel = self._kernel
        event = event_text([record(message, self._arn) for message in batch.messages])
        attempt = 0
        wait_s = 1
        while True:
            attempt += 1
            try:
                return self._function.invoke(event, ids)
            except Throttled as error:
                why, again = str(error), True
            except InvokeFailed as error:
                why, again = str(error), not error.ran
            if attempt == 1:
                self._try(self._look_at_queue)
            left_us = batch.since_us + self._visibility_us - kernel.now_us
            again = again and left_us > wait_s * _SECOND_US
            self._record("lambda.throttled", messages=ids, attempt=attempt, again=again, reason=why)
            self._adjust(True, throttled=True)
            if not again:
                return None
            kernel.sleep_us(wait_s * _SECOND_US)
            wait_s = min(_RETRY_S_MAX, wait_s * 2)

    def _adjust(self, failed: bool, *, throttled: bool = False) -> None:
        """Back off after an error, come back after a success."""
        before = self._allowed
        if failed:
            if throttled or not self._consumer.report_batch_item_failures:
                self._allowed = max(1, self._allowed // 2)
                if self._allowed != before:
                    self._tell_scale("throttled" if throttled else "the function failed")
        elif self._allowed < min(FIRST_POLLERS, self._most):
            self._allowed += 1
            self._tell_scale("the function works again")
            self._staff(self._main.process)

    def _delete(self, messages: Sequence[Message]) -> None:
        """Delete *messages*, ten at a time. What cannot be deleted comes back."""
        for first in range(0, len(messages), _RECEIVE_MAX):
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages[first : first + _RECEIVE_MAX])
            ]
            for attempt in range(1, _DELETE_TRIES + 1):
                entries = self._delete_once(entries)
                if not entries or attempt == _DELETE_TRIES:
                    break
                self._kernel.sleep_us(_SECOND_US)

    def _delete_once(self, entries: list[dict[str, str]]) -> list[dict[str, str]]:
        """Delete what *entries* name; returns those that it is worth to try again."""
        answer = self._try(lambda: self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries))
        if answer is None:
            return entries
        # A sender's fault is a handle that has expired (FIFO): nothing can be deleted with it any more.
        failed = {one["Id"] for one in answer.get("Failed", []) if not one.get("SenderFault")}
        return [entry for entry in entries if entry["Id"] in failed]

    # -- calls

    def _try(self, call: Callable[[], Any]) -> Any:
        """What *call* gives; ``None`` if it fails."""
        try:
            return call()
        except Exception:  # whatever it was, the next try tells; the wire has recorded the failure
            return None

    def _until_done(self, call: Callable[[], Any]) -> None:
        while self._try(call) is None:
            self._kernel.sleep_us(_SECOND_US)

    def _look_at_queue(self) -> bool:
        """Learn the queue's ARN and visibility timeout."""
        answer = self._client.get_queue_attributes(
            QueueUrl=self._queue_url, AttributeNames=["QueueArn", "VisibilityTimeout"]
        )
        self._arn = answer["Attributes"]["QueueArn"]
        self._visibility_us = int(answer["Attributes"]["VisibilityTimeout"]) * _SECOND_US
        return True

    def _tell_scale(self, reason: str) -> None:
        self._record("lambda.scale", pollers=self._allowed, reason=reason)

    def _record(self, kind: str, **fields: Any) -> None:
        found = world.current()
        assert found is not None
        found.record(kind, function=self._function.name, **fields)


def _ids(messages: Sequence[Message]) -> list[str]:
    return [message["MessageId"] for message in messages]
