"""Sending: SendMessage, SendMessageBatch, and the workload's way in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from harness.sim.services.sqs_attributes import MAX_MESSAGE_BYTES
from harness.sim.services.sqs_content import (
    Attributes,
    attributes_md5,
    attributes_size,
    body_md5,
    body_size,
    check_attributes,
    check_body,
    check_token,
    plain_attributes,
)
from harness.sim.services.sqs_core import Core, Origin, Parameters
from harness.sim.services.sqs_errors import (
    SqsError,
    batch_ids_not_distinct,
    batch_too_long,
    empty_batch,
    invalid_batch_id,
    invalid_parameter,
    missing_parameter,
    parameter_reason,
    too_many_entries,
)
from harness.sim.services.sqs_fifo import FifoQueue, Original
from harness.sim.services.sqs_line import NEW, Message
from harness.sim.services.sqs_queue import SECOND, Queue, StandardQueue
from harness.sim.verdicts import Twist

__all__ = ["Sending", "check_entries", "failed_entry", "internal_failure"]

_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


def check_entries(entries: list[Parameters], kind: str) -> None:
    """The checks on a batch as a whole, in the order in which SQS makes them."""
    if not entries:
        raise empty_batch(kind)
    if len(entries) > 10:
        raise too_many_entries(len(entries))
    for entry in entries:
        if not _ENTRY_ID.fullmatch(entry["Id"]):
            raise invalid_batch_id()
    seen: set[str] = set()
    for entry in entries:
        if entry["Id"] in seen:
            raise batch_ids_not_distinct(entry["Id"])
        seen.add(entry["Id"])


def failed_entry(entry_id: str, error: SqsError) -> dict[str, Any]:
    return {"Id": entry_id, "SenderFault": error.sender_fault, "Code": error.code, "Message": error.message}


def internal_failure() -> SqsError:
    """What an entry is answered with when the service itself fails it."""
    return SqsError(
        "InternalError",
        "InternalError",
        "We encountered an internal error. Please try again.",
        500,
        sender_fault=False,
    )


def run_batch(
    entries: list[Parameters], struck: frozenset[int], one: Callable[[Parameters], dict[str, Any]]
) -> dict[str, Any]:
    """Carry out each entry by itself. A list that is empty is left out of the answer."""
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for place, entry in enumerate(entries):
        try:
            if place in struck:
                raise internal_failure()
            answer = one(entry)
        except SqsError as error:
            failed.append(failed_entry(entry["Id"], error))
        else:
            successful.append({"Id": entry["Id"], **answer})
    result: dict[str, Any] = {}
    if successful:
        result["Successful"] = successful
    if failed:
        result["Failed"] = failed
    return result


class Sending(Core):
    """The operations that put messages into queues."""

    def _send_message(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        self._check_fifo_parameters(queue, parameters)
        return self._send(queue, parameters, "process", twist)

    def _send_message_batch(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        entries: list[Parameters] = parameters["Entries"]
        check_entries(entries, "SendMessageBatchRequestEntry")
        total = sum(self._size(entry) for entry in entries)
        if total > MAX_MESSAGE_BYTES:
            raise batch_too_long(MAX_MESSAGE_BYTES, total)
        for entry in entries:
            self._check_fifo_parameters(queue, entry, batch=True)
        return run_batch(
            entries,
            self._struck(len(entries), twist),
            lambda entry: self._send(queue, entry, "process", twist, batch=True),
        )

    def put(
        self,
        queue_name: str,
        body: str,
        *,
        attributes: Attributes | None = None,
        group: str | None = None,
        dedup: str | None = None,
        delay: int | None = None,
        key: str | None = None,
        origin: Origin = "workload",
        region: str | None = None,
    ) -> str:
        """Send a message from outside the wire, as the workload does; returns its id. *delay* in whole seconds.

        Raises:
            SqsError: the queue is not there or SQS would refuse the message.
        """
        parameters: Parameters = {"QueueUrl": queue_name, "MessageBody": body}
        for name, value in (
            ("MessageAttributes", attributes),
            ("MessageGroupId", group),
            ("MessageDeduplicationId", dedup),
            ("DelaySeconds", delay),
        ):
            if value is not None:
                parameters[name] = value
        queue = self._queue(parameters, region or self.region)
        self._check_fifo_parameters(queue, parameters)
        message_id: str = self._send(queue, parameters, origin, None, key=key)["MessageId"]
        return message_id

    # -- parts -----------------------------------------------------------------------

    @staticmethod
    def _size(entry: Parameters) -> int:
        attributes = entry.get("MessageAttributes")
        return body_size(entry["MessageBody"]) + (attributes_size(attributes) if attributes else 0)

    @staticmethod
    def _check_fifo_parameters(queue: Queue, entry: Parameters, *, batch: bool = False) -> None:
        """What a FIFO queue must be told; missing, it fails a whole batch."""
        if not queue.fifo:
            return
        if entry.get("MessageGroupId") is None:
            text = "The request must contain the parameter MessageGroupId."
            raise invalid_parameter(text) if batch else missing_parameter("MessageGroupId")
        if entry.get("MessageDeduplicationId") is None and queue.attributes["ContentBasedDeduplication"] != "true":
            raise invalid_parameter(
                "The queue should either have ContentBasedDeduplication enabled or "
                "MessageDeduplicationId provided explicitly"
            )

    @staticmethod
    def _delay_us(queue: Queue, entry: Parameters) -> int:
        delay = entry.get("DelaySeconds")
        if delay is None or (queue.fifo and delay == 0):
            return queue.delay_us
        if queue.fifo:
            raise parameter_reason(
                delay,
                "DelaySeconds",
                "The request include parameter that is not valid for this queue type.",
            )
        if not 0 <= delay <= 900:
            raise parameter_reason(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
        return int(delay) * SECOND

    def _check_content(self, queue: Queue, entry: Parameters, *, batch: bool) -> int:
        """Body, attributes, ids and size; returns the size in bytes."""
        check_body(entry["MessageBody"])
        attributes = entry.get("MessageAttributes")
        if attributes:
            check_attributes(attributes)
        size = self._size(entry)
        if size > queue.max_bytes:
            verb = "cannot be validated" if batch else "are invalid"
            raise invalid_parameter(
                f"One or more parameters {verb}. Reason: Message must be shorter than {queue.max_bytes} bytes."
            )
        group = entry.get("MessageGroupId")
        if group is not None:
            check_token(group, "MessageGroupId")
        dedup = entry.get("MessageDeduplicationId")
        if dedup is not None:
            if not queue.fifo:
                raise parameter_reason(
                    dedup,
                    "MessageDeduplicationId",
                    "The request includes a parameter that is not valid for this queue type.",
                )
            check_token(dedup, "MessageDeduplicationId")
        return size

    def _send(
        self,
        queue: Queue,
        entry: Parameters,
        origin: Origin,
        twist: Twist | None,
        *,
        key: str | None = None,
        batch: bool = False,
    ) -> dict[str, Any]:
        size = self._check_content(queue, entry, batch=batch)
        delay_us = self._delay_us(queue, entry)
        body: str = entry["MessageBody"]
        now_us = self._timebase.now_us()
        message = Message(self._new_id(), body, body_md5(body), now_us)
        attributes = entry.get("MessageAttributes")
        if attributes:
            message.attributes = plain_attributes(attributes)
            message.attributes_md5 = attributes_md5(attributes)
        system = entry.get("MessageSystemAttributes")
        if system:
            message.trace_header = system.get("AWSTraceHeader", {}).get("StringValue")
        elif "AWSTraceHeader" in entry:  # from the request's X-Amzn-Trace-Id
            message.trace_header = entry["AWSTraceHeader"]
        message.group = entry.get("MessageGroupId")
        answered = Original(message.id, None)
        if isinstance(queue, FifoQueue):
            original = self._deduplicate(queue, message, entry, now_us)
            if original is not None:
                return self._sent(message, original, system, batch=batch)
            answered = Original(message.id, message.sequence)
        original_id: str | None = None
        if key is None:
            key, original_id = self.key_of(queue.name, body, message.attributes or {})
        message.key = key
        self._note_send(queue, message, size, origin, original_id, delay_us)
        self._place(queue, message, now_us, delay_us, twist)
        return self._sent(message, answered, system, batch=batch)

    @staticmethod
    def _sent(message: Message, answered: Original, system: Attributes | None, *, batch: bool) -> dict[str, Any]:
        """The answer to a send, in the order of the service's model (a parser makes it so)."""
        answer: dict[str, Any] = {}
        if batch:
            answer["MessageId"] = answered.message_id
        answer["MD5OfMessageBody"] = message.md5
        if message.attributes_md5 is not None:
            answer["MD5OfMessageAttributes"] = message.attributes_md5
        if system:
            answer["MD5OfMessageSystemAttributes"] = attributes_md5(system)
        if not batch:
            answer["MessageId"] = answered.message_id
        if answered.sequence is not None:
            answer["SequenceNumber"] = answered.sequence
        return answer

    @staticmethod
    def _deduplicate(queue: FifoQueue, message: Message, entry: Parameters, now_us: int) -> Original | None:
        """Number the message, or find what the first of its duplicates was answered with."""
        dedup_id = entry.get("MessageDeduplicationId")
        if dedup_id is None:
            dedup_id = hashlib.sha256(message.body.encode("utf-8")).hexdigest()
        message.dedup_id = dedup_id
        original = queue.original(message.group or "", dedup_id, now_us)
        if original is not None:
            return original
        message.sequence = queue.next_sequence()
        queue.remember(message, now_us)
        return None

    def _place(self, queue: Queue, message: Message, now_us: int, delay_us: int, twist: Twist | None) -> None:
        """Put an accepted message into its queue, and wake who waits for it."""
        assert message.state == NEW
        if twist is not None:
            if twist.kind == "delay":
                delay_us += int(float(twist.parameters.get("seconds", 0)) * SECOND)
            elif twist.kind == "duplicate" and isinstance(queue, StandardQueue):
                message.haunted = True
        queue.add(message, now_us, delay_us)
        if twist is not None and twist.kind == "reorder" and isinstance(queue, StandardQueue):
            queue.move_forward(message, self._chance)
        self._wake(queue)
