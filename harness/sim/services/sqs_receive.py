"""Receiving, deleting, changing visibility."""

from __future__ import annotations

from typing import Any

from harness.sim.services.sqs_content import attributes_md5, select_attributes
from harness.sim.services.sqs_core import Parameters
from harness.sim.services.sqs_errors import parameter_reason, unknown_queue
from harness.sim.services.sqs_fifo import FifoQueue
from harness.sim.services.sqs_line import Message
from harness.sim.services.sqs_queue import SECOND, Queue, StandardQueue
from harness.sim.services.sqs_send import Sending, check_entries, run_batch
from harness.sim.services.timebase import Waiters
from harness.sim.verdicts import Twist

__all__ = ["SENDER_ID", "Receiving"]

#: SenderId is the caller's IAM id, not the account number.
SENDER_ID = "AIDASIMULATEDCALLER01"


def _within(parameters: Parameters, name: str, low: int, high: int, reason: str) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    if not low <= value <= high:
        raise parameter_reason(value, name, reason)
    return int(value)


class Receiving(Sending):
    """The operations on messages that are in queues."""

    # -- ReceiveMessage ------------------------------------------------------------

    def _receive_message(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        answer = self._receive(queue, parameters, twist)
        if self.meter is not None:
            number = len(answer.get("Messages") or ())
            name = "NumberOfMessagesReceived" if number else "NumberOfEmptyReceives"
            self.meter(queue, name, number or 1, self._timebase.now_us())
        return answer

    def _receive(self, queue: Queue, parameters: Parameters, twist: Twist | None) -> dict[str, Any]:
        limit = _within(parameters, "MaxNumberOfMessages", 1, 10, "Must be between 1 and 10, if provided.") or 1
        wait = _within(parameters, "WaitTimeSeconds", 0, 20, "Must be >= 0 and <= 20, if provided.")
        timeout_us = queue.visibility_us
        if "VisibilityTimeout" in parameters:
            # The text for VisibilityTimeout is not recorded.
            hide = _within(parameters, "VisibilityTimeout", 0, 43_200, "Must be >= 0 and <= 43200, if provided.")
            timeout_us = timeout_us if hide is None else hide * SECOND
        deadline_us = self._timebase.now_us() + (queue.wait_us if wait is None else wait * SECOND)
        attempt_id = parameters.get("ReceiveRequestAttemptId") if queue.fifo else None
        if isinstance(queue, FifoQueue) and attempt_id is not None:
            again = queue.attempt(attempt_id, self._timebase.now_us(), timeout_us)
            if again is not None:
                return self._answer(queue, again, parameters)
        if twist is not None:
            if twist.kind == "empty-receive":
                if deadline_us > self._timebase.now_us():
                    self._timebase.wait(Waiters(), deadline_us)
                return {}
            if twist.kind == "delay":
                delay_us = int(float(twist.parameters.get("seconds", 0)) * SECOND)
                if delay_us > 0:
                    queue.postpone(self._timebase.now_us(), limit, delay_us)
        taken = self._poll(queue, limit, timeout_us, deadline_us, twist)
        if isinstance(queue, FifoQueue) and attempt_id is not None and taken:
            queue.remember_attempt(attempt_id, taken, self._timebase.now_us())
        return self._answer(queue, taken, parameters)

    def wait_seconds(self, parameters: Parameters, region: str) -> int:
        """How long a receive that names no wait time would wait. Raises SqsError if there is no such queue."""
        return self._queue(parameters, region).wait_us // SECOND

    def _poll(self, queue: Queue, limit: int, timeout_us: int, deadline_us: int, twist: Twist | None) -> list[Message]:
        """Take what there is; if nothing is, wait until something appears or the deadline comes."""
        timebase = self._timebase
        shuffle = self._chance if twist is not None and twist.kind == "reorder" else None
        while True:
            now_us = timebase.now_us()
            taken = queue.take(now_us, limit, timeout_us, shuffle)
            if taken or now_us >= deadline_us:
                break
            until_us = min(deadline_us, queue.next_due_us())
            if until_us > queue.waited_until_us:
                queue.waited_until_us = until_us
            timebase.wait(queue.waiters, until_us)
            if queue.deleted:
                raise unknown_queue()
            if not queue.waiters.waiting:
                queue.waited_until_us = 0
            queue.advance(timebase.now_us())
        if taken and twist is not None and twist.kind == "duplicate" and isinstance(queue, StandardQueue):
            queue.haunt(self._chance.choice(taken))
        self._wake(queue)
        return taken

    def _answer(self, queue: Queue, messages: list[Message], parameters: Parameters) -> dict[str, Any]:
        if not messages:
            return {}
        # The newer name wins where both are given.
        system = parameters.get("MessageSystemAttributeNames") or parameters.get("AttributeNames") or ()
        names = parameters.get("MessageAttributeNames") or ()
        answers: list[dict[str, Any]] = []
        for message in messages:
            handle = self._handle(queue, message)
            self._note(
                "receive",
                message,
                queue=queue.name,
                receive_count=message.receive_count,
                handle=handle,
                visible_at=self._seconds(message.visible_at),
            )
            answer: dict[str, Any] = {
                "MessageId": message.id,
                "ReceiptHandle": handle,
                "MD5OfBody": message.md5,
                "Body": message.body,
            }
            if system:
                attributes = self._system_attributes(message, system)
                if attributes:
                    answer["Attributes"] = attributes
            if names and message.attributes:
                self._add_attributes(answer, message, names)
            answers.append(answer)
        return {"Messages": answers}

    @staticmethod
    def _system_attributes(message: Message, names: list[str]) -> dict[str, str]:
        every: dict[str, str | None] = {
            "SenderId": SENDER_ID,
            "SentTimestamp": str(message.sent_us // 1_000),
            "ApproximateReceiveCount": str(message.receive_count),
            "ApproximateFirstReceiveTimestamp": str(message.first_received_us // 1_000),
            "MessageGroupId": message.group,
            "MessageDeduplicationId": message.dedup_id,
            "SequenceNumber": message.sequence,
            "AWSTraceHeader": message.trace_header,
            "DeadLetterQueueSourceArn": message.source_arn,
        }
        wanted = every if "All" in names else names
        return {name: value for name in wanted if (value := every.get(name)) is not None}

    @staticmethod
    def _add_attributes(answer: dict[str, Any], message: Message, names: list[str]) -> None:
        assert message.attributes is not None
        chosen = select_attributes(message.attributes, names)
        if not chosen:
            return
        # The digest covers what is returned, not what was sent.
        whole = len(chosen) == len(message.attributes)
        answer["MD5OfMessageAttributes"] = message.attributes_md5 if whole else attributes_md5(chosen)
        answer["MessageAttributes"] = chosen

    # -- DeleteMessage -----------------------------------------------------------------

    def _delete_message(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        self._delete(self._queue(parameters, region), parameters)
        return {}

    def _delete_message_batch(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        entries: list[Parameters] = parameters["Entries"]
        check_entries(entries, "DeleteMessageBatchRequestEntry")
        return run_batch(entries, self._struck(len(entries), twist), lambda entry: self._delete(queue, entry))

    def _delete(self, queue: Queue, entry: Parameters) -> dict[str, Any]:
        handle: str = entry["ReceiptHandle"]
        message, serial, message_id = self._open_handle(queue, handle)
        if message is not None:
            queue.check_delete(message, serial, handle)
            if serial != message.serial and not self.superseded_handle_deletes:
                message = None
        if self.meter is not None:  # each one with a valid handle, also of what is gone
            self.meter(queue, "NumberOfMessagesDeleted", 1, self._timebase.now_us())
        if message is None:
            self._record("delete", message_id, queue=queue.name, handle=handle, found=False)
            return {}
        queue.remove(message)
        self._note("delete", message, queue=queue.name, handle=handle, found=True)
        if queue.fifo:
            self._wake(queue)  # the group may be free now
        return {}

    # -- ChangeMessageVisibility ----------------------------------------------------------

    def _change_message_visibility(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        self._change(self._queue(parameters, region), parameters)
        return {}

    def _change_message_visibility_batch(
        self, parameters: Parameters, region: str, twist: Twist | None
    ) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        entries: list[Parameters] = parameters["Entries"]
        check_entries(entries, "ChangeMessageVisibilityBatchRequestEntry")
        return run_batch(entries, self._struck(len(entries), twist), lambda entry: self._change(queue, entry))

    def _change(self, queue: Queue, entry: Parameters) -> dict[str, Any]:
        handle: str = entry["ReceiptHandle"]
        timeout: int = entry.get("VisibilityTimeout") or 0
        found, serial, _ = self._open_handle(queue, handle)
        if not 0 <= timeout <= 43_200:
            raise parameter_reason(
                timeout,
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            )
        now_us = self._timebase.now_us()
        message = queue.check_change(found, serial, handle, timeout * SECOND, now_us)
        queue.change(message, timeout * SECOND, now_us)
        self._note(
            "visibility",
            message,
            queue=queue.name,
            handle=handle,
            visible_at=self._seconds(now_us + timeout * SECOND),
        )
        self._wake(queue)
        return {}
