"""The loop that every consumer here is built on: receive, hand out, hold, acknowledge, drain.

It knows SQS's rules and nothing of errors or dead letters: a *process*
function gets a :class:`Delivery` and says with an :class:`Outcome` what becomes
of it. What the loop sees to:

* a receive that fails is repeated with growing pauses, for ever;
* a delivery is handed out only while it is ours: one whose visibility timeout
  has passed unbegun is dropped, because somebody else may have it by now;
* a heartbeat extends the deliveries that are held, begun or not;
* in a FIFO queue the rest of a group is given back when one of it comes back,
  so that order is kept;
* what was handled is deleted, not handled again, when it comes back to this
  process: because it could not be deleted, or because a standard queue delivers
  it once more;
* :meth:`MessageLoop.stop` (safe in a signal handler) lets the handlers end and
  gives back what was not begun.
"""

from __future__ import annotations

import math
import random as _random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.resilience._delivery import DONE, LEFT, Delivery, Outcome, Process, RecentIds, Reporter
from harness.resilience._heartbeat import Heartbeat
from harness.resilience.errors import Classification, classify

__all__ = ["Admission", "ConsumerOptions", "MessageLoop"]

_BATCH = 10  # entries of one SQS request
_SLICE = 1.0  # seconds between two looks at the stop flag while waiting
_DEFAULT_VISIBILITY = 30.0  # SQS's default, assumed where the queue cannot be asked


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether the loop may receive now: not for ``wait`` seconds, and then at most ``limit`` messages."""

    wait: float = 0.0
    limit: int = _BATCH


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a loop receives and holds. Times in seconds.

    ``visibility_timeout`` ``None``: the queue's own, which is asked for at the
    start. ``hold_seconds``: how long one message may be handled before the
    heartbeat lets go of it (``None``: ten times the visibility timeout), so that
    a handler that hangs does not keep its message for ever.
    ``acknowledge_together``: how many handled messages are deleted in one call;
    1 keeps the time short in which a crash makes a duplicate. ``backoff_base``
    and ``backoff_cap`` bound the pauses after failed receives.
    """

    batch_size: int = _BATCH
    wait_seconds: int = 20
    visibility_timeout: int | None = None
    heartbeat: bool = True
    hold_seconds: float | None = None
    concurrency: int = 1
    acknowledge_together: int = 1
    backoff_base: float = 1.0
    backoff_cap: float = 30.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_size", 1, _BATCH),
            ("wait_seconds", 0, 20),
            ("concurrency", 1, 1_000),
            ("acknowledge_together", 1, _BATCH),
            ("visibility_timeout", 1, 43_200),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, not {value}")
        if self.backoff_base <= 0 or self.backoff_cap < self.backoff_base:
            raise ValueError(f"backoff_base ({self.backoff_base}) must be above 0 and at most backoff_cap")


class MessageLoop:
    """See the module. One loop for one queue; :meth:`run` blocks until :meth:`stop`."""

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        options: ConsumerOptions,
        report: Reporter,
        *,
        delete: Callable[[str], object] | None = None,
        admission: Callable[[], Admission] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        random: _random.Random | None = None,
    ) -> None:
        self.sqs = sqs
        self.queue_url = queue_url
        self.options = options
        self.report = report
        self.ordered = queue_url.endswith(".fifo")
        self._delete_one = delete
        self._admission = admission or Admission
        self._clock = clock or time.monotonic
        self._sleep = sleep or time.sleep
        self._random = random or _random.Random()
        self._process: Process = lambda delivery: LEFT
        self.visibility = float(options.visibility_timeout or _DEFAULT_VISIBILITY)
        self._visibility_known = options.visibility_timeout is not None
        self._stopping = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # workers wait on it for deliveries
        self._room = threading.Condition(lock)  # the receiver waits on it for an idle worker
        self._pending: deque[Delivery] = deque()
        self._busy_groups: set[str] = set()
        self._idle = 0
        self._finished_serving = False
        self._crash: BaseException | None = None
        self._unacknowledged: list[Delivery] = []
        self._handled = RecentIds()  # handled, whether the delete went through or not
        self._active: set[str] = set()  # being handled in this process
        self._blameless = RecentIds()  # receives that the message is not to blame for
        self._troubled = RecentIds(1_000)  # heads of FIFO groups that came back: when they stop to count
        self._failed_receives = 0
        self.heartbeat = Heartbeat(self._extend, report, self._clock)

    # For the process function

    @property
    def stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """End :meth:`run` after what is being handled. Safe in a signal handler and from any thread."""
        self._stopping = True

    def pause(self, seconds: float) -> bool:
        """Wait; returns early, with ``False``, when the loop is asked to stop."""
        until = self._clock() + seconds
        while not self._stopping:
            left = until - self._clock()
            if left <= 0:
                return True
            self._sleep(min(left, _SLICE))
        return False

    def receives(self, delivery: Delivery) -> int:
        """How often the message was received, without the receives that it is not to blame for (as known here)."""
        return max(1, delivery.receive_count - int(self._blameless.get(delivery.id, 0)))

    def may_hold(self, delivery: Delivery, seconds: float) -> bool:
        """Whether the delivery can be kept ours for *seconds* more."""
        now = self._clock()
        if self.options.heartbeat:
            return not delivery.lost and now + seconds - delivery.first_held < self._hold_seconds
        return now + seconds < delivery.visible_at

    @property
    def _hold_seconds(self) -> float:
        own = self.options.hold_seconds
        return own if own is not None else min(10 * self.visibility, 43_000.0)

    # The run

    def run(self, process: Process) -> None:
        """Serve until :meth:`stop`. Raises what is no ``Exception`` (KeyboardInterrupt, SystemExit) after a drain."""
        self._process = process
        self._crash = None
        self._finished_serving = False
        self._ask_visibility()
        self.report("started")
        if self.options.heartbeat:
            self.heartbeat.start()
        try:
            if self.options.concurrency == 1:
                self._serve_alone()
            else:
                self._serve_with_threads()
        finally:
            self._stopping = True
            self._drain()
            self.heartbeat.stop()
            self.report("stopped")
            self._stopping = False
        if self._crash is not None:
            raise self._crash

    def _serve_alone(self) -> None:
        while not self._stopping:
            self._pending.extend(self._receive())
            while (delivery := self._take()) is not None:
                self._serve(delivery)
            self._flush()

    def _serve_with_threads(self) -> None:
        workers = [
            threading.Thread(target=self._work, name=f"consumer-{number}", daemon=True)
            for number in range(1, self.options.concurrency + 1)
        ]
        for worker in workers:
            worker.start()
        try:
            while not self._stopping:
                with self._changed:
                    if self._pending or not self._idle:
                        # Timed, because stop() may be called where a notification could deadlock.
                        self._room.wait(_SLICE)
                        continue
                batch = self._receive()
                with self._changed:
                    self._pending.extend(batch)
                    self._changed.notify_all()
        finally:
            self._stopping = True
            self._drain()
            with self._changed:
                self._finished_serving = True
                self._changed.notify_all()
            for worker in workers:
                worker.join()

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    delivery = self._take()
                    if delivery is None:
                        if self._finished_serving:
                            return
                        self._idle += 1
                        # Not the other workers: two idle ones would wake each other for ever.
                        self._room.notify()
                        self._changed.wait()
                        self._idle -= 1
                        continue
                self._serve(delivery)
                with self._changed:
                    if delivery.group is not None:
                        self._busy_groups.discard(delivery.group)
                    self._changed.notify_all()
                    more = bool(self._pending)
                if not more:
                    self._flush()
        except BaseException as error:  # handed to run(), which raises it
            self._crash = error
            self._stopping = True

    def _take(self) -> Delivery | None:
        """The next delivery that may begin. With threads: hold ``_changed``."""
        if self._stopping:
            return None
        for position, delivery in enumerate(self._pending):
            if delivery.group is None or delivery.group not in self._busy_groups:
                del self._pending[position]
                if delivery.group is not None and self.options.concurrency > 1:
                    self._busy_groups.add(delivery.group)
                return delivery
        return None

    # Receiving

    def _receive(self) -> list[Delivery]:
        admission = self._admission()
        if admission.wait > 0:
            self.pause(admission.wait)
            return []
        if not self._visibility_known:
            self._ask_visibility()
        limit = min(self.options.batch_size, max(1, admission.limit))
        if self.ordered and self._has_trouble():
            # The rest of a troubled group would be received with its head each time, for nothing.
            limit = 1
        request: dict[str, Any] = {
            "QueueUrl": self.queue_url,
            "MaxNumberOfMessages": limit,
            "WaitTimeSeconds": self.options.wait_seconds,
            "MessageAttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"],
        }
        if self.options.visibility_timeout is not None:
            request["VisibilityTimeout"] = self.options.visibility_timeout
        began = self._clock()
        try:
            messages = self.sqs.receive_message(**request).get("Messages") or []
        except Exception as error:
            self._failed_receives += 1
            delay = self._backoff(self._failed_receives)
            self.report("receive-failed", error=error, seconds=delay)
            self.pause(delay)
            return []
        self._failed_receives = 0
        now = self._clock()
        if not messages and now - began < 0.05:
            self.pause(0.5)  # short polls of an empty queue must not become a storm
        deliveries = [Delivery(message, now, self.visibility, ordered=self.ordered) for message in messages]
        for delivery in deliveries:
            self.report("received", delivery)
            if self.options.heartbeat:
                self.heartbeat.hold(delivery)
        return deliveries

    def _backoff(self, failures: int) -> float:
        # The exponent is bounded: 2.0 ** 1024 overflows after an outage of some hours.
        ceiling = min(self.options.backoff_cap, self.options.backoff_base * 2.0 ** min(failures - 1, 30))
        return ceiling * self._random.uniform(0.5, 1.0)

    def _ask_visibility(self) -> None:
        if self._visibility_known:
            return
        try:
            answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["VisibilityTimeout"])
            value = answer["Attributes"]["VisibilityTimeout"]
        except Exception as error:
            self.report(
                "misconfigured", error=error, detail="the queue's visibility timeout cannot be read; 30 s assumed"
            )
            return
        if isinstance(value, str | int):
            self.visibility = max(1.0, float(value))
        self._visibility_known = True

    def _has_trouble(self) -> bool:
        now = self._clock()
        return any(until > now for until in self._troubled.values())

    # One delivery

    def _serve(self, delivery: Delivery) -> None:
        if self._stopping:
            self._give_back([delivery])
            return
        if not self._ours(delivery):
            delivery.settled = True
            self.report("expired-unbegun", delivery)
            self._blameless.add(delivery.id)
            self._block_group(delivery)
            return
        with self._changed:
            twice = delivery.id in self._active
            self._active.add(delivery.id)
        if twice:
            # A standard queue may deliver twice at once; the other delivery's heartbeat covers this one.
            delivery.settled = True
            self._blameless.add(delivery.id)
            self.report("in-progress-elsewhere", delivery, detail="in another thread of this process")
            return
        delivery.first_held = self._clock()  # the hold time is the handler's, waiting for it is not counted
        try:
            self._settle(delivery, self._outcome(delivery))
        finally:
            with self._changed:
                self._active.discard(delivery.id)

    def _outcome(self, delivery: Delivery) -> Outcome:
        if delivery.id in self._handled:
            self.report("already-handled", delivery, detail="by this process")
            return DONE
        try:
            return self._process(delivery)
        except Exception as error:
            self.report("handler-failed", delivery, error=error, detail="outside the handler")
            return LEFT

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.delete:
            self._handled[delivery.id] = True
            self._blameless.pop(delivery.id)
            self._troubled.pop(delivery.id)
            if self.options.acknowledge_together == 1:
                if not self._delete(delivery):
                    self._block_group(delivery)
                return
            with self._changed:
                self._unacknowledged.append(delivery)
                full = len(self._unacknowledged) >= self.options.acknowledge_together
            if full:
                self._flush()
            return
        if outcome.blameless:
            self._blameless.add(delivery.id)
        if outcome.delay is not None and self._ours(delivery):
            self._hide(delivery, outcome.delay)
        else:
            with delivery.lock:
                delivery.settled = True
        self._block_group(delivery)

    def _block_group(self, delivery: Delivery) -> None:
        """*delivery* comes back: what was received behind it in its group must not overtake it."""
        if delivery.group is None:
            return
        self._troubled[delivery.id] = max(self._clock(), delivery.visible_at) + 2 * self.visibility
        with self._changed:
            behind = [other for other in self._pending if other.group == delivery.group]
            for other in behind:
                self._pending.remove(other)
        self._give_back(behind)

    # Telling the queue

    def _extend(self, delivery: Delivery) -> None:
        """Called by the heartbeat, under the delivery's lock."""
        now = self._clock()
        if delivery.visible_at - now > self.visibility / 2:
            return
        if now + self.visibility - delivery.first_held > self._hold_seconds:
            return
        seconds = int(self.visibility)
        self.sqs.change_message_visibility(
            QueueUrl=self.queue_url, ReceiptHandle=delivery.handle, VisibilityTimeout=seconds
        )
        delivery.visible_at = now + seconds
        if delivery.on_extended is not None:
            delivery.on_extended(float(seconds))

    def _ours(self, delivery: Delivery) -> bool:
        """Whether its visibility is ours to change: an old handle would change that of another consumer's delivery."""
        return not delivery.lost and self._clock() < delivery.visible_at

    def _hide(self, delivery: Delivery, delay: float) -> None:
        with delivery.lock:
            delivery.settled = True
            seconds = min(43_200, max(0, math.ceil(delay)))
            try:
                self.sqs.change_message_visibility(
                    QueueUrl=self.queue_url, ReceiptHandle=delivery.handle, VisibilityTimeout=seconds
                )
                delivery.visible_at = self._clock() + seconds
            except Exception as error:
                self.report("give-back-failed", delivery, error=error)

    def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Make what was not begun visible to others at once, in the queue's order."""
        for delivery in deliveries:
            self._blameless.add(delivery.id)
        ours = [delivery for delivery in deliveries if self._ours(delivery)]
        for start in range(0, len(ours), _BATCH):
            chunk = ours[start : start + _BATCH]
            entries = []
            for number, delivery in enumerate(chunk):
                with delivery.lock:  # after this no heartbeat hides it again
                    delivery.settled = True
                entries.append({"Id": str(number), "ReceiptHandle": delivery.handle, "VisibilityTimeout": 0})
            try:
                answer = self.sqs.change_message_visibility_batch(QueueUrl=self.queue_url, Entries=entries)
                failed = {entry["Id"]: entry for entry in answer.get("Failed") or []}
            except Exception as error:
                for delivery in chunk:
                    self.report("give-back-failed", delivery, error=error)
                continue
            for number, delivery in enumerate(chunk):
                if str(number) in failed:
                    self.report("give-back-failed", delivery, detail=str(failed[str(number)].get("Code")))
                else:
                    self.report("given-back", delivery)

    def _delete(self, delivery: Delivery) -> bool:
        """Delete one message, with three tries. A message that stays comes back and is deleted then."""
        error: Exception | None = None
        for attempt in range(3):
            if attempt:
                self.pause(self._random.uniform(0.1, 0.2) * 2**attempt)
            try:
                with delivery.lock:
                    if self._delete_one is not None:
                        self._delete_one(delivery.handle)
                    else:
                        self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=delivery.handle)
                    delivery.settled = True
            except Exception as failure:
                error = failure
                if classify(failure) is Classification.PERMANENT:
                    break
            else:
                self.report("deleted", delivery)
                return True
        with delivery.lock:
            delivery.settled = True
        self.report("delete-failed", delivery, error=error)
        return False

    def _flush(self) -> None:
        """Delete what was handled and waits for its acknowledgement, in batches; what fails, one by one."""
        with self._changed:
            waiting, self._unacknowledged = self._unacknowledged, []
        if len(waiting) == 1 or self._delete_one is not None:
            for delivery in waiting:
                self._delete(delivery)
            return
        for start in range(0, len(waiting), _BATCH):
            chunk = waiting[start : start + _BATCH]
            entries = [{"Id": str(number), "ReceiptHandle": each.handle} for number, each in enumerate(chunk)]
            try:
                answer = self.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)
                deleted = {entry["Id"] for entry in answer.get("Successful") or []}
            except Exception as error:
                self.report("delete-failed", chunk[0], error=error, detail=f"a batch of {len(chunk)}; one by one now")
                deleted = set()
            for number, delivery in enumerate(chunk):
                if str(number) in deleted:
                    with delivery.lock:
                        delivery.settled = True
                    self.report("deleted", delivery)
                elif not self._delete(delivery):
                    self._block_group(delivery)

    def _drain(self) -> None:
        with self._changed:
            unbegun = list(self._pending)
            self._pending.clear()
        self._give_back(unbegun)
        self._flush()
