"""Replay: dead letters go back to a queue, each once, and what is not wanted stays where it is.

A dead letter is sent first and deleted then, so that nothing is lost. What
keeps it from being sent twice when something dies between the two:

* a journal (:mod:`~harness.resilience.replay_journal`): a replay that goes on
  only deletes what was sent;
* in a FIFO queue the deduplication id, which is the same at each try: SQS drops
  the second one within five minutes;
* the attribute ``ReplayOf``, which names the dead letter: a consumer that knows
  its effects by it does them once.

A replay takes what was in the queue when it began. What is dead-lettered
meanwhile, among it messages that fail again, is left for the next one.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from harness.resilience._dlq_reader import DeadLetterReader
from harness.resilience._replay_plan import DEDUPLICATION_SECONDS, Edit, Origins, Plan, Planner, SkipError, require_body
from harness.resilience.envelope import MAX_MESSAGE_BYTES
from harness.resilience.payloads import PayloadStore
from harness.resilience.replay_journal import MemoryJournal, ReplayJournal, Sending
from harness.resilience.triage import DeadLetter, guide_fields

__all__ = ["Edit", "Replay", "ReplayReport", "ReplayStopped"]

logger = logging.getLogger("harness.resilience")

Filter: TypeAlias = Callable[[dict[str, Any]], object]

_TRIES = 3
#: So many sends in a row that fail end a replay: the target is down.
_FAILURES_IN_A_ROW = 5
#: A message is sent only if it is ours for at least this long.
_SEND_SECONDS = 30.0
_KEPT_IN_ORDER = "an earlier one of its group could not be sent, and order is kept"
_QUEUE_ERRORS = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "AccessDenied",
        "AccessDeniedException",
        "InvalidAddress",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)


@dataclass
class ReplayReport:
    """What a replay did. Every dead letter that it read stands in one of the counts, but those beyond its limit.

    ``sent``: the target accepted it. ``would_send``: likewise, in a dry run.
    ``already_sent``: an earlier run sent it, it was only deleted. ``rejected``:
    by the filter. ``failed``: the target refused it, or filter or edit raised.
    ``skipped``: left for the reason that stands in ``notes``. ``undeleted``
    (some of both): still in the dead-letter queue, because the delete
    failed. ``unsure`` (some of the sent): sent although an earlier run may have
    sent them.
    """

    dry_run: bool = False
    sent: int = 0
    would_send: int = 0
    already_sent: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: int = 0
    undeleted: int = 0
    unsure: int = 0
    edited: int = 0
    targets: dict[str, int] = field(default_factory=dict)
    count_at_start: int = 0
    unread: int = 0
    not_given_back: int = 0
    stopped_by: str = "error"
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Dead letters that were looked at."""
        return self.sent + self.would_send + self.already_sent + self.rejected + self.failed + self.skipped

    def note(self, letter: DeadLetter, text: str) -> None:
        """Say why a dead letter stays; the first hundred are kept, all are logged."""
        logger.warning("dead letter %s: %s", letter.id, text)
        if len(self.notes) < 100:
            self.notes.append(f"{letter.id}: {text}")

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "read": self.read, "seconds": round(self.seconds, 3)}


class ReplayStopped(Exception):
    """A replay could not go on; ``report`` says what it did until then, the cause is the service's error.

    Everything that was not sent is in the dead-letter queue. Mend the cause and start the replay again.
    """

    def __init__(self, text: str, report: ReplayReport) -> None:
        super().__init__(text)
        self.report = report


class Replay:
    """One replay; :meth:`run` does it.

    ``target_queue_url`` ``None``: each to the queue that it came from.
    ``filter_func`` gets the envelope's fields; what it says no to stays.
    ``group``: ids of groups, categories or error classes; others stay.
    ``limit``: how many to send. ``rate``: at most so many a second.
    ``dry_run``: nothing is sent or deleted. ``edit``: see :data:`Edit`.
    ``journal``: what a later run needs to go on. ``unsure``: what to do with
    what an earlier run may have sent: ``send`` (never lost, perhaps twice) or
    ``leave`` (never twice, for somebody to look at). ``mark``: link to the
    dead letter by attributes. ``deduplication``: ``original`` waits until a FIFO
    message's own id is free again (five minutes after it was sent), ``derived``
    uses another one. ``payloads``: where the whole of a dead letter is that
    carries a reference only; without it, that one stays. ``patience``: how long to wait for what is in flight.
    """

    def __init__(
        self,
        sqs: Any,
        dlq_url: str,
        target_queue_url: str | None = None,
        filter_func: Filter | None = None,
        *,
        group: str | Collection[str] | None = None,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        edit: Edit | None = None,
        journal: ReplayJournal | None = None,
        unsure: Literal["send", "leave"] = "send",
        mark: bool = True,
        deduplication: Literal["original", "derived"] = "original",
        categorize: Callable[[DeadLetter], str] | None = None,
        payloads: PayloadStore | None = None,
        max_messages: int = 1_000_000,
        max_seconds: float = math.inf,
        hold_seconds: float | None = None,
        wait_seconds: int = 1,
        patience: float = 0.0,
        max_bytes: int = MAX_MESSAGE_BYTES,
        on_progress: Callable[[ReplayReport], object] | None = None,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        if (limit is not None and limit < 1) or (rate is not None and rate <= 0):
            raise ValueError("limit must be 1 or more, rate above 0")
        if unsure not in ("send", "leave") or deduplication not in ("original", "derived"):
            raise ValueError("unsure is send or leave, deduplication is original or derived")
        if target_queue_url == dlq_url:
            raise ValueError("the target is the dead-letter queue itself")
        self._sqs = sqs
        self._target = target_queue_url
        self._filter = filter_func
        self._groups = frozenset([group] if isinstance(group, str) else group) if group is not None else None
        self._limit = limit
        self._rate = rate
        self._journal = journal or MemoryJournal()
        self._unsure = unsure
        self._categorize = categorize
        self._payloads = payloads
        self._on_progress = on_progress
        self._clock = clock or time.monotonic
        self._sleep = sleep or time.sleep
        self._planner = Planner(edit=edit, mark=mark, deduplication=deduplication, max_bytes=max_bytes)
        self._origins = Origins(sqs, dlq_url)
        self._max_bytes = max_bytes
        self._reader = DeadLetterReader(
            sqs,
            dlq_url,
            max_messages=max_messages,
            max_seconds=max_seconds,
            hold_seconds=hold_seconds,
            wait_seconds=wait_seconds,
            hold_at_least=60.0
            + (10 / rate if rate else 0.0)
            + (DEDUPLICATION_SECONDS if dlq_url.endswith(".fifo") else 0),
            patience=patience,
            clock=clock,
            wall_clock=wall_clock,
            sleep=sleep,
        )
        self.report = ReplayReport(dry_run=dry_run)
        self._next_send = 0.0
        self._failures = 0
        self._broken: dict[str, str] = {}
        self._blocked: set[tuple[str, str | None]] = set()
        self._blocked_here: set[str] = set()  # groups of the dead-letter queue

    def run(self) -> ReplayReport:
        """Do it.

        Raises:
            ReplayStopped: the target cannot be sent to.
            Exception: what receiving raised. What was not sent is visible in the dead-letter queue again.
        """
        report = self.report
        with self._reader as reader:
            report.count_at_start = reader.count_at_start
            self._next_send = self._clock()
            try:
                for batch in reader.batches():
                    self._work(batch)
                    self._refresh()
                    if self._on_progress is not None:
                        self._on_progress(report)
                    if self._left() == 0:
                        break
                report.stopped_by = "limit" if self._left() == 0 else reader.stopped_by
            finally:
                reader.give_back()
                self._refresh()
        return report

    def _refresh(self) -> None:
        report, reader = self.report, self._reader
        report.unread = max(0, reader.count_at_start - report.read)
        report.not_given_back = reader.not_given_back
        report.warnings = reader.warnings
        report.seconds = reader.seconds

    def _left(self) -> int | None:
        """How many may still be sent."""
        done = self.report.sent + self.report.would_send
        return None if self._limit is None else max(0, self._limit - done)

    # -- what goes where

    def _work(self, batch: Iterable[dict[str, Any]]) -> None:
        plans: list[Plan] = []
        for message in batch:
            left = self._left()
            if left is not None and len(plans) >= left:
                break  # what is beyond the limit counts as nothing and is given back
            plan = self._plan(DeadLetter(message, self._payloads))
            if plan is not None:
                plans.append(plan)
        if self.report.dry_run:
            for plan in plans:
                self.report.would_send += 1
                self._count(plan)
            return
        for part in self._parts(plans):
            self._return(part)

    def _plan(self, letter: DeadLetter) -> Plan | None:
        """What to do with a dead letter; ``None``: it stays, and was counted."""
        report = self.report
        try:
            if self._reader.is_later(letter.message):
                raise SkipError("it came after the replay began, and is left for the next one")
            if not self._wanted(letter):
                report.rejected += 1
                return None
            if self._group_here(letter) in self._blocked_here:
                raise SkipError(_KEPT_IN_ORDER)
            return self._planner.plan(letter, self._target or self._origins.of(letter))
        except SkipError as reason:
            report.skipped += 1
            report.note(letter, str(reason))
        except Exception as error:  # of the user's filter, edit or payloads: one letter stops no replay
            report.failed += 1
            report.note(letter, f"{type(error).__name__}: {error}")
        if (group := self._group_here(letter)) is not None:
            self._blocked_here.add(group)  # nothing of its group goes before it
        return None

    def _group_here(self, letter: DeadLetter) -> str | None:
        """The group that it has in the dead-letter queue, if that one keeps an order."""
        return (letter.message.get("Attributes") or {}).get("MessageGroupId") if self._reader.fifo else None

    def _wanted(self, letter: DeadLetter) -> bool:
        if self._groups is not None:
            names = {letter.group, letter.error_class}
            if self._categorize is not None:
                names.add(self._categorize(letter))
            if not names & self._groups:
                return False
        if self._filter is None:
            return True
        require_body(letter)  # a filter that is shown no body would reject it for what it does not say
        return bool(self._filter(guide_fields(letter)))

    def _parts(self, plans: list[Plan]) -> Iterator[list[Plan]]:
        """Plans that can be sent with one call: one target, ten at most, within the size; one by one to FIFO."""
        most = 10 if self._rate is None else max(1, min(10, int(self._rate)))
        part: list[Plan] = []
        for plan in plans:
            full = part and (
                len(part) >= most
                or part[0].target != plan.target
                or plan.target.endswith(".fifo")
                or sum(one.size for one in part) + plan.size > self._max_bytes
            )
            if full:
                yield part
                part = []
            part.append(plan)
        if part:
            yield part

    # -- sending

    def _return(self, part: list[Plan]) -> None:
        """Send and delete what is to be sent of *part*; to delete only what was sent before."""
        self._pace(len(part))
        ready = [plan for plan in part if self._is_ready(plan)]
        if not ready:
            return
        before = self._journal.begin([plan.id for plan in ready])
        sent_before = [plan for plan in ready if before[plan.id] is Sending.SENT]
        self.report.already_sent += len(sent_before)
        self.report.undeleted += self._delete(sent_before)
        to_send = [plan for plan in ready if before[plan.id] is not Sending.SENT]
        if self._unsure == "leave":
            for plan in to_send:
                if before[plan.id] is Sending.UNSURE:
                    self._skip(plan, "an earlier replay may have sent it: look for it in the target, then decide")
            to_send = [plan for plan in to_send if before[plan.id] is Sending.NEW]
        if not to_send:
            return
        accepted = self._send(to_send)
        self._journal.sent([plan.id for plan in accepted])
        for plan in accepted:
            self.report.sent += 1
            self.report.unsure += before[plan.id] is Sending.UNSURE
            self._count(plan)
        self.report.undeleted += self._delete(accepted)

    def _count(self, plan: Plan) -> None:
        self.report.edited += plan.edited
        self.report.targets[plan.target] = self.report.targets.get(plan.target, 0) + 1

    def _is_ready(self, plan: Plan) -> bool:
        if plan.target in self._broken:
            self._fail(plan, self._broken[plan.target])
            return False
        if plan.target.endswith(".fifo") and (plan.target, plan.group) in self._blocked:
            self._skip(plan, _KEPT_IN_ORDER)
            return False
        wait = 0.0
        if plan.not_before is not None:
            wait = max(0.0, plan.not_before - self._reader.service_clock.now() + 1.0)
        if not self._reader.keep(plan.id, wait + _SEND_SECONDS):
            self._skip(plan, "the hold on it was lost, somebody else may have it")
            return False
        if wait:
            logger.info("waiting %.0f s until the deduplication id of %s is free again", wait, plan.id)
            self._sleep(wait)
        return True

    def _pace(self, count: int) -> None:
        if self._rate is None:
            return
        now = self._clock()
        if self._next_send > now:
            self._sleep(self._next_send - now)
        self._next_send = max(now, self._next_send) + count / self._rate

    def _send(self, part: list[Plan]) -> list[Plan]:
        """Returns what the target accepted."""
        if len(part) == 1:
            return part if self._send_one(part[0]) else []
        entries = [
            {"Id": str(n), **{name: value for name, value in plan.request.items() if name != "QueueUrl"}}
            for n, plan in enumerate(part)
        ]
        try:
            answer = self._sqs.send_message_batch(QueueUrl=part[0].target, Entries=entries)
        except Exception as error:
            if _certainly_refused(error) and _code(error) not in _QUEUE_ERRORS:
                return [plan for plan in part if self._send_one(plan)]  # one of them spoils the request
            self._not_sent(part, error)
            return []
        self._failures = 0
        failed = {entry["Id"]: entry for entry in answer.get("Failed") or ()}
        refused = [plan for n, plan in enumerate(part) if str(n) in failed]
        self._journal.refused([plan.id for plan in refused])
        for n, plan in enumerate(part):
            if str(n) in failed:
                entry = failed[str(n)]
                self._fail(plan, f"{entry.get('Code')}: {entry.get('Message', '')}")
        return [plan for n, plan in enumerate(part) if str(n) not in failed]

    def _send_one(self, plan: Plan) -> bool:
        try:
            self._sqs.send_message(**plan.request)
        except Exception as error:
            self._not_sent([plan], error)
            return False
        self._failures = 0
        return True

    def _not_sent(self, part: list[Plan], error: Exception) -> None:
        """A call failed: was it refused for sure, is the queue of no use, is it time to stop?"""
        if _certainly_refused(error):
            self._journal.refused([plan.id for plan in part])
        for plan in part:
            self._fail(plan, f"{type(error).__name__}: {error}")
        self._failures += 1
        if _code(error) in _QUEUE_ERRORS:
            self._broken[part[0].target] = f"its queue refuses everything: {error}"
            if self._target is not None:
                raise ReplayStopped(f"{self._target} cannot be sent to: {error}", self.report) from error
        if self._failures >= _FAILURES_IN_A_ROW:
            text = f"{self._failures} sends in a row failed, the last with: {error}"
            raise ReplayStopped(text, self.report) from error

    def _fail(self, plan: Plan, text: str) -> None:
        self.report.failed += 1
        self.report.note(plan.letter, text)
        self._blocked.add((plan.target, plan.group))

    def _skip(self, plan: Plan, text: str) -> None:
        self.report.skipped += 1
        self.report.note(plan.letter, text)
        self._blocked.add((plan.target, plan.group))

    # -- deleting

    def _delete(self, part: list[Plan]) -> int:
        """Delete dead letters that were sent; returns how many are still there after some tries."""
        left = part
        for attempt in range(_TRIES):
            if not left:
                return 0
            if attempt:
                self._sleep(2.0 ** (attempt - 1))
            left = self._try_to_delete(left)
        for plan in left:
            logger.error(
                "dead letter %s was sent to %s and could not be deleted: a replay without this one's journal sends "
                "it again",
                plan.id,
                plan.target,
            )
            self.report.note(plan.letter, "it was sent and could not be deleted")
        return len(left)

    def _try_to_delete(self, plans: list[Plan]) -> list[Plan]:
        handles = [self._reader.handle(plan.id) for plan in plans]
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        try:
            answer = self._sqs.delete_message_batch(QueueUrl=self._reader.queue_url, Entries=entries)
        except Exception as error:
            logger.warning("deleting %d dead letters failed: %s", len(plans), error)
            return plans
        failed = {entry["Id"] for entry in answer.get("Failed") or ()}
        for n, plan in enumerate(plans):
            if str(n) not in failed:
                self._reader.forget(plan.id)
        return [plan for n, plan in enumerate(plans) if str(n) in failed]


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str((response.get("Error") or {}).get("Code", "")) if isinstance(response, dict) else ""


def _certainly_refused(error: BaseException) -> bool:
    """Whether the service itself said no: anything else may have taken effect."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return isinstance(status, int) and 400 <= status < 500
