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

import random as _random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.resilience._acknowledging import BATCH, Acknowledger
from harness.resilience._delivery import DONE, LEFT, Delivery, Outcome, Process, RecentIds, Reporter
from harness.resilience._heartbeat import Heartbeat
from harness.resilience.queue_settings import ATTRIBUTES

__all__ = ["Admission", "ConsumerOptions", "MessageLoop"]

_SLICE = 1.0  # seconds between two looks at the stop flag while waiting
_DEFAULT_VISIBILITY = 30.0  # SQS's default, assumed where the queue cannot be asked


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether the loop may receive now: not for ``wait`` seconds, and then at most ``limit`` messages."""

    wait: float = 0.0
    limit: int = BATCH


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a loop receives and holds. Times in seconds.

    ``visibility_timeout`` ``None``: the queue's own, which is asked for at the
    start. ``hold_seconds``: how long one message may be handled before the
    heartbeat lets go of it (``None``: ten times the visibility timeout), so that
    a handler that hangs does not keep its message for ever.
    ``acknowledge_together``: how many handled messages are deleted in one call;
    1 keeps the time short in which a crash makes a duplicate, and is what a FIFO
    queue always has, because nothing may begin behind an open end. ``backoff_base``
    and ``backoff_cap`` bound the pauses after failed receives.
    """

    batch_size: int = BATCH
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
            ("batch_size", 1, BATCH),
            ("wait_seconds", 0, 20),
            ("concurrency", 1, 1_000),
            ("acknowledge_together", 1, BATCH),
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
        inspect: Callable[[Mapping[str, str]], list[str]] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        random: _random.Random | None = None,
    ) -> None:
        self.queue_url = queue_url
        self.options = options
        self.report = report
        self.ordered = queue_url.endswith(".fifo")
        self._admission = admission or Admission
        self._clock = clock or time.monotonic
        self._sleep = sleep or time.sleep
        self._random = random or _random.Random()
        self._process: Process = lambda delivery: LEFT
        self.visibility = float(options.visibility_timeout or _DEFAULT_VISIBILITY)
        self._settings_known = options.visibility_timeout is not None
        self._asked_at = 0.0
        self._inspect = inspect
        self._stopping = False
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # workers wait on it for deliveries
        self._room = threading.Condition(lock)  # the receiver waits on it for an idle worker
        self._pending: deque[Delivery] = deque()
        self._busy_groups: set[str] = set()
        self._idle = 0
        self._finished_serving = False
        self._crash: BaseException | None = None
        self._handled = RecentIds()  # handled, whether the delete went through or not
        self._active: set[str] = set()  # being handled in this process
        self._blameless = RecentIds()  # receives that the message is not to blame for
        self._troubled = RecentIds(1_000)  # heads of FIFO groups that came back: when they stop to count
        self._failed_receives = 0
        self._slow_said = False
        self.heartbeat = Heartbeat(self._extend, report, self._clock)
        self._acknowledger = Acknowledger(
            sqs,
            queue_url,
            report,
            together=1 if self.ordered else options.acknowledge_together,
            delete=delete,
            blameless=self._blameless,
            handled=self._handled,
            clock=self._clock,
            pause=self.pause,
            random=self._random,
        )

    @property
    def sqs(self) -> Any:
        """The client of boto3; may be set before :meth:`run`."""
        return self._acknowledger.sqs

    @sqs.setter
    def sqs(self, client: Any) -> None:
        self._acknowledger.sqs = client

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
        self._ask_settings()
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
        if not self._settings_known and self._clock() - self._asked_at > 60:
            self._ask_settings()
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

    def _ask_settings(self) -> None:
        """Learn the visibility timeout, and have the queue's settings looked at. Failure is said, not raised."""
        if self._settings_known:
            return
        self._asked_at = self._clock()
        try:
            answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=ATTRIBUTES)
            attributes = answer["Attributes"]
            value = attributes["VisibilityTimeout"]
        except Exception as error:
            detail = f"the queue's settings cannot be read; a visibility timeout of {self.visibility:g} s is assumed"
            self.report("misconfigured", error=error, detail=detail)
            return
        self._settings_known = True
        if isinstance(value, str | int):
            self.visibility = max(1.0, float(value))
        if self._inspect is not None and isinstance(attributes, Mapping):
            for problem in self._inspect(attributes):
                self.report("misconfigured", detail=problem)

    def _has_trouble(self) -> bool:
        now = self._clock()
        return any(until > now for until in self._troubled.values())

    # One delivery

    def _serve(self, delivery: Delivery) -> None:
        if self._stopping:
            self._acknowledger.give_back([delivery])
            return
        if not self._acknowledger.ours(delivery):
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
            outcome = self._outcome(delivery)
            self._check_duration(delivery)
            self._settle(delivery, outcome)
        finally:
            with self._changed:
                self._active.discard(delivery.id)

    def _check_duration(self, delivery: Delivery) -> None:
        took = self._clock() - delivery.first_held
        if not self.options.heartbeat and took > self.visibility and not self._slow_said:
            self._slow_said = True
            detail = f"a handler took {took:.1f} s, the visibility timeout is {self.visibility:g} s, no heartbeat"
            self.report("misconfigured", delivery, detail=detail, seconds=took)

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
            self._blameless.pop(delivery.id)
            self._troubled.pop(delivery.id)
            for other in self._acknowledger.done(delivery, outcome.first):
                self._block_group(other)
            return
        if outcome.blameless:
            self._blameless.add(delivery.id)
        if outcome.delay is not None and self._acknowledger.ours(delivery):
            self._acknowledger.hide(delivery, outcome.delay)
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
        self._acknowledger.give_back(behind)

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

    def _drain(self) -> None:
        with self._changed:
            unbegun = list(self._pending)
            self._pending.clear()
        self._acknowledger.give_back(unbegun)
        self._flush()

    def _flush(self) -> None:
        for delivery in self._acknowledger.flush():
            self._block_group(delivery)
