"""What every SQS operation needs: queues, names, receipt handles, events, the move to a dead-letter queue."""

from __future__ import annotations

import hashlib
import random
import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from zlib import crc32

from harness.seeds import Seeds
from harness.sim.services.sqs_attributes import parse_arn
from harness.sim.services.sqs_errors import invalid_receipt_handle, missing_parameter, unknown_queue
from harness.sim.services.sqs_fifo import FifoQueue
from harness.sim.services.sqs_line import Message
from harness.sim.services.sqs_queue import Queue
from harness.sim.verdicts import Twist

if TYPE_CHECKING:
    from harness.sim.services.sqs_move import MoveTask
    from harness.sim.services.timebase import Timebase
    from harness.sim.world import Recorder

__all__ = ["Core", "KeyOf", "Origin", "Parameters"]

Parameters: TypeAlias = dict[str, Any]
Origin: TypeAlias = Literal["workload", "process"]
#: (queue, body, message id) -> (the message's key in the workload, the id of the message that it carries on).
KeyOf: TypeAlias = Callable[[str, str, Mapping[str, Mapping[str, Any]]], tuple[str | None, str | None]]

#: Takes a queue, the name of a metric, a value, and when it was (microseconds since 1970).
Meter: TypeAlias = Callable[[Queue, str, float, int], object]

# Queue, message and receive, the message's id, and a checksum.
_SIGNED = struct.Struct(">IQI16s")
_HANDLE = struct.Struct(">IQI16sI")


def _no_key(queue: str, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> tuple[str | None, str | None]:
    return None, None


class Core:
    """State and common parts of the service; the operations are in its subclasses.

    Args:
        timebase: the service's clock.
        ids: the random stream that message ids come from.
        record: where events go.
        account, region: of the queues, where a call names none.
        chance: the random stream for what twists leave open.
        record_bodies: write every body to the history, not only the workload's.
        digest_key: keys the digests that stand for bodies.
        endpoint: the front of queue URLs; ``{region}`` is filled in.
    """

    def __init__(
        self,
        timebase: Timebase,
        ids: random.Random,
        record: Recorder,
        account: str = "000000000000",
        region: str = "us-east-1",
        *,
        chance: random.Random | None = None,
        record_bodies: bool = False,
        digest_key: bytes = b"harness",
        endpoint: str = "https://sqs.{region}.amazonaws.com",
    ) -> None:
        self.account = account
        self.region = region
        self.record_bodies = record_bodies
        #: The waits of 60 seconds after DeleteQueue and PurgeQueue. A server for test suites may lift them.
        self.wait_rules = True
        #: Whether a handle superseded by a later receive deletes on a standard queue: AWS promises neither.
        self.superseded_handle_deletes = True
        self.key_of: KeyOf = _no_key
        #: Told each message that a queue accepted: (queue, body, message id, origin).
        self.send_observers: list[Callable[[str, str, str, str], None]] = []
        #: Told what CloudWatch counts of each queue, once somebody uses CloudWatch.
        self.meter: Meter | None = None
        self._timebase = timebase
        self._ids = ids
        self._record = record
        self._chance = chance if chance is not None else Seeds(0).stream("sqs")
        self._digest = hashlib.blake2b(digest_size=8, key=digest_key)
        self._endpoint = endpoint
        self._queues: dict[tuple[str, str], Queue] = {}  # by region and name
        self._routes: dict[tuple[str, str], Queue] = {}  # by region and what a caller gave as QueueUrl
        self._deleted_us: dict[tuple[str, str], int] = {}
        self._tags = 0
        self.move_tasks: dict[str, list[MoveTask]] = {}  # by the source's ARN, latest first
        self._origin_us = timebase.now_us()

    # -- names -------------------------------------------------------------------

    def url_of(self, queue: Queue) -> str:
        return f"{self._endpoint.format(region=queue.region)}/{self.account}/{queue.name}"

    def _queue(self, parameters: Parameters, region: str) -> Queue:
        """The queue that a call names by ``QueueUrl``, with time let pass on it.

        Raises:
            SqsError: there is none.
        """
        url = parameters.get("QueueUrl")
        if url is None:
            raise missing_parameter("QueueUrl")
        queue = self._routes.get((region, url))
        if queue is None:
            # A URL of any host, or the bare name.
            *front, name = url.split("/")
            queue = self._queues.get((region, name))
            if queue is None or (front and front[-1] != self.account):
                raise unknown_queue()
            self._routes[(region, url)] = queue
        queue.advance(self._timebase.now_us())
        return queue

    def queues(self) -> Iterator[Queue]:
        """Every queue, in the order in which they were made, with time let pass on it."""
        now_us = self._timebase.now_us()
        for queue in list(self._queues.values()):
            queue.advance(now_us)
            yield queue

    def _by_arn(self, arn: str) -> Queue | None:
        parts = parse_arn(arn)
        if parts is None or parts[1] != self.account:
            return None
        return self._queues.get((parts[0], parts[2]))

    def new_names(self, seed: int) -> None:
        """Draw the ids of messages from *seed* from now on: for code that remembers them from run to run."""
        self._ids = Seeds(seed).stream("sqs/ids")

    def _new_id(self) -> str:
        """A random UUID from the ids stream."""
        text = self._ids.getrandbits(128).to_bytes(16, "big").hex()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    # -- receipt handles ---------------------------------------------------------

    @staticmethod
    def _handle(queue: Queue, message: Message) -> str:
        """The handle of the message's last receive."""
        raw = _SIGNED.pack(queue.tag, message.index, message.serial, bytes.fromhex(message.id.replace("-", "")))
        raw += crc32(raw).to_bytes(4, "big")
        return b2a_base64(raw, newline=False).decode("ascii")

    @staticmethod
    def _open_handle(queue: Queue, handle: str) -> tuple[Message | None, int, str]:
        """A handle's message (``None``: it is gone), the number of the receive, and the message's id.

        Raises:
            SqsError: it was never a handle of this queue.
        """
        try:
            raw = a2b_base64(handle, strict_mode=True)
            tag, index, serial, id_bytes, check = _HANDLE.unpack(raw)
        except (Base64Error, struct.error, ValueError):
            raise invalid_receipt_handle(handle) from None
        if check != crc32(raw[:-4]) or tag != queue.tag:
            raise invalid_receipt_handle(handle)
        message = queue.messages.get(index)
        if message is not None:
            return message, serial, message.id
        text = id_bytes.hex()
        return None, serial, f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    # -- events --------------------------------------------------------------------

    def _seconds(self, at_us: int) -> float:
        """Seconds since the service began."""
        return (at_us - self._origin_us) / 1_000_000

    def _note(self, kind: str, message: Message, **fields: Any) -> None:
        """Record an event about a message."""
        if message.key is not None:
            fields["key"] = message.key
        self._record(kind, message.id, **fields)

    def _note_send(
        self, queue: Queue, message: Message, size: int, origin: Origin, original: str | None, delay_us: int
    ) -> None:
        fields: dict[str, Any] = {"queue": queue.name, "bytes": size, "origin": origin}
        if origin == "workload" or self.record_bodies:
            fields["body"] = message.body
        else:
            fields["length"] = len(message.body)
            digest = self._digest.copy()
            digest.update(message.body.encode("utf-8"))
            fields["digest"] = digest.hexdigest()
        if original is not None:
            fields["original"] = original
        if message.group is not None:
            fields["group"] = message.group
        if delay_us:
            fields["delay"] = delay_us / 1_000_000
        self._note("send", message, **fields)
        for observer in self.send_observers:
            observer(queue.name, message.body, message.id, origin)
        if self.meter is not None:
            now_us = self._timebase.now_us()
            self.meter(queue, "NumberOfMessagesSent", 1, now_us)
            self.meter(queue, "SentMessageSize", size, now_us)

    # -- what queues tell -------------------------------------------------------------

    def expired(self, queue: Queue, message: Message) -> None:
        self._note("expire", message, queue=queue.name)

    def bury(self, queue: Queue, message: Message, now_us: int) -> bool:
        """Move a message to its queue's dead-letter queue: id, content and receive count stay.

        Retention runs on from the first enqueue on standard queues and starts
        anew on FIFO queues, where the deduplication id becomes the message's
        id. If the dead-letter queue was deleted the message stays (not
        recorded what AWS does then).
        """
        assert queue.redrive is not None
        target = self._by_arn(queue.redrive[0])
        if target is None or target is queue:
            return False
        target.advance(now_us)
        message_there = message.moved()
        message_there.source_arn = queue.arn
        if isinstance(target, FifoQueue):
            message_there.enqueued_us = now_us
            # Documented: so that two messages of one deduplication id can both be dead letters.
            message_there.dedup_id = message.id
        queue.remove(message)
        self._note("move", message, queue=queue.name, to=target.name, receive_count=message.receive_count)
        target.add(message_there, now_us, 0)
        target.advance(now_us)
        self._wake(target)
        return True

    def _wake(self, queue: Queue) -> None:
        """After a change: wake one long poll if there may be something for it, all if they sleep too long."""
        if not queue.waiters.waiting:
            return
        if queue.recheck:
            queue.recheck = False
            for _ in range(len(queue.waiters.waiting)):
                self._timebase.notify(queue.waiters)
        elif queue.offers():
            self._timebase.notify(queue.waiters)

    # -- twists ----------------------------------------------------------------------

    def _struck(self, entries: int, twist: Twist | None) -> frozenset[int]:
        """Which entries of a batch a partial failure strikes: its share of them, at least one."""
        if twist is None or twist.kind != "partial-failure":
            return frozenset()
        share = float(twist.parameters.get("share", 0.5))
        count = min(entries, max(1, round(share * entries)))
        return frozenset(self._chance.sample(range(entries), count))
