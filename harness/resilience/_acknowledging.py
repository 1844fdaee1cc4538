"""What a consuming loop tells its queue: this is done, this comes back, this was not begun."""

from __future__ import annotations

import math
import random as _random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.resilience._delivery import DeadLetter, Delivery, RecentIds, Reporter
from harness.resilience.envelope import MAX_MESSAGE_BYTES, message_bytes
from harness.resilience.errors import Classification, ServiceUnavailableError, classify

__all__ = ["BATCH", "Acknowledger"]

BATCH = 10  # entries of one SQS request


class Acknowledger:
    """Deletes, hides and gives back deliveries; each alone, or together in batches with their failures mended.

    ``delete``: replaces the delete of one message. ``blameless`` is told of
    receives that a message is not to blame for, ``handled`` of what must not be
    handled again. ``pause`` waits, shorter when the loop stops.
    """

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        report: Reporter,
        *,
        together: int,
        delete: Callable[[str], object] | None,
        blameless: RecentIds,
        handled: RecentIds,
        clock: Callable[[], float],
        pause: Callable[[float], object],
        random: _random.Random,
    ) -> None:
        self.sqs = sqs
        self._queue_url = queue_url
        self._report = report
        self._together = together
        self._delete_one = delete
        self._blameless = blameless
        self._handled = handled
        self._clock = clock
        self._pause = pause
        self._random = random
        self._lock = threading.Lock()
        self._waiting: list[tuple[Delivery, DeadLetter | None]] = []

    def ours(self, delivery: Delivery) -> bool:
        """Whether its visibility is ours to change: an old handle would change that of another consumer's delivery."""
        return not delivery.lost and self._clock() < delivery.visible_at

    def done(self, delivery: Delivery, first: DeadLetter | None = None) -> list[Delivery]:
        """Delete *delivery*, now or with others, after its dead letter was sent; returns those that come back."""
        if first is None:
            self._handled[delivery.id] = True
        if self._together == 1:
            return self._settle_all([(delivery, first)])
        with self._lock:
            self._waiting.append((delivery, first))
            full = len(self._waiting) >= self._together
        return self.flush() if full else []

    def flush(self) -> list[Delivery]:
        """Delete what waits for it; returns those that could not be deleted or dead-lettered, and come back."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return self._settle_all(waiting)

    def _settle_all(self, waiting: list[tuple[Delivery, DeadLetter | None]]) -> list[Delivery]:
        back = self._send_dead_letters([(each, letter) for each, letter in waiting if letter is not None])
        for delivery in back:
            with delivery.lock:
                delivery.settled = True
        deletable = [each for each, _ in waiting if each not in back]
        if len(deletable) == 1 or self._delete_one is not None:
            return back + [each for each in deletable if not self._delete(each)]
        for start in range(0, len(deletable), BATCH):
            back += self._delete_batch(deletable[start : start + BATCH])
        return back

    def hide(self, delivery: Delivery, delay: float) -> None:
        """Let *delivery* come back after *delay* seconds."""
        with delivery.lock:
            delivery.settled = True
            seconds = min(43_200, max(0, math.ceil(delay)))
            try:
                self.sqs.change_message_visibility(
                    QueueUrl=self._queue_url, ReceiptHandle=delivery.handle, VisibilityTimeout=seconds
                )
                delivery.visible_at = self._clock() + seconds
            except Exception as error:
                self._report("give-back-failed", delivery, error=error)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make what was not begun visible to others at once, in the queue's order."""
        for delivery in deliveries:
            self._blameless.add(delivery.id)
        ours = [delivery for delivery in deliveries if self.ours(delivery)]
        for start in range(0, len(ours), BATCH):
            chunk = ours[start : start + BATCH]
            entries = []
            for number, delivery in enumerate(chunk):
                with delivery.lock:  # after this no heartbeat hides it again
                    delivery.settled = True
                entries.append({"Id": str(number), "ReceiptHandle": delivery.handle, "VisibilityTimeout": 0})
            try:
                answer = self.sqs.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
                failed = {entry["Id"]: entry for entry in answer.get("Failed") or []}
            except Exception as error:
                for delivery in chunk:
                    self._report("give-back-failed", delivery, error=error)
                continue
            for number, delivery in enumerate(chunk):
                if str(number) in failed:
                    self._report("give-back-failed", delivery, detail=str(failed[str(number)].get("Code")))
                else:
                    self._report("given-back", delivery)

    def _delete(self, delivery: Delivery) -> bool:
        """Delete one message, with three tries. A message that stays comes back and is deleted then."""
        error: Exception | None = None
        for attempt in range(3):
            if attempt:
                self._pause(self._random.uniform(0.1, 0.2) * 2**attempt)
            try:
                with delivery.lock:
                    if self._delete_one is not None:
                        self._delete_one(delivery.handle)
                    else:
                        self.sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=delivery.handle)
                    delivery.settled = True
            except Exception as failure:
                error = failure
                if classify(failure) is Classification.PERMANENT:
                    break
            else:
                self._report("deleted", delivery)
                return True
        with delivery.lock:
            delivery.settled = True
        self._report("delete-failed", delivery, error=error)
        return False

    def _delete_batch(self, chunk: list[Delivery]) -> list[Delivery]:
        """Delete in one call; what that leaves, one by one. Returns what stays."""
        entries = [{"Id": str(number), "ReceiptHandle": each.handle} for number, each in enumerate(chunk)]
        try:
            answer = self.sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
            deleted = {entry["Id"] for entry in answer.get("Successful") or []}
        except Exception as error:
            self._report("delete-failed", chunk[0], error=error, detail=f"a batch of {len(chunk)}; one by one now")
            deleted = set()
        stay = []
        for number, delivery in enumerate(chunk):
            if str(number) in deleted:
                with delivery.lock:
                    delivery.settled = True
                self._report("deleted", delivery)
            elif not self._delete(delivery):
                stay.append(delivery)
        return stay

    def _send_dead_letters(self, letters: list[tuple[Delivery, DeadLetter]]) -> list[Delivery]:
        """Send dead letters in batches; returns the deliveries whose dead letter was not accepted."""
        refused = []
        for chunk in _fitting(letters):
            answers = self._send_chunk(chunk)
            for (delivery, letter), error in zip(chunk, answers, strict=True):
                letter.sent(error)
                if error is None:
                    self._handled[delivery.id] = True
                else:
                    refused.append(delivery)
        return refused

    def _send_chunk(self, chunk: list[tuple[Delivery, DeadLetter]]) -> list[Exception | None]:
        entries = []
        for number, (_, letter) in enumerate(chunk):
            entry = {name: value for name, value in letter.request.items() if name != "QueueUrl"}
            entries.append({"Id": str(number), **entry})
        try:
            answer = self.sqs.send_message_batch(QueueUrl=chunk[0][1].request["QueueUrl"], Entries=entries)
        except Exception as error:
            return [error] * len(chunk)
        accepted = {entry["Id"] for entry in answer.get("Successful") or []}
        codes = {entry["Id"]: str(entry.get("Code")) for entry in answer.get("Failed") or []}
        return [
            None if str(number) in accepted else ServiceUnavailableError(codes.get(str(number), "no answer"))
            for number in range(len(chunk))
        ]


def _fitting(letters: list[tuple[Delivery, DeadLetter]]) -> Iterator[list[tuple[Delivery, DeadLetter]]]:
    """Parts of at most ten dead letters and 1 MiB together."""
    chunk: list[tuple[Delivery, DeadLetter]] = []
    size = 0
    for delivery, letter in letters:
        own = message_bytes(letter.request["MessageBody"], letter.request.get("MessageAttributes"))
        if chunk and (len(chunk) == BATCH or size + own > MAX_MESSAGE_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((delivery, letter))
        size += own
    if chunk:
        yield chunk
