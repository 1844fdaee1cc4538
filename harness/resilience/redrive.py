"""What is in a dead-letter queue, and the way back.

::

    analyzer = DLQAnalyzer(orders_dlq_url)
    print(analyzer.analyze_failed_messages()["error_patterns"])
    analyzer.replay_messages(orders_url, lambda letter: "timeout" in letter["errorReason"])

It reads envelopes of this package, the older unversioned ones, what SQS itself
moved, and anything else that somebody put there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.resilience._dlq_reader import DeadLetterReader
from harness.resilience.analysis import Analysis, table
from harness.resilience.dlq import sqs_client
from harness.resilience.native_move import MoveFailed, MoveProgress, check_native, move_natively
from harness.resilience.replay import Filter, Replay, ReplayReport, ReplayStopped
from harness.resilience.triage import DeadLetter, Pattern, categorize, compile_patterns

__all__ = ["DLQAnalyzer", "MoveFailed", "MoveProgress", "ReplayReport", "ReplayStopped", "table"]


class DLQAnalyzer:
    """See the module.

    ``sqs``: a client of boto3 (made on first use if none is given).
    ``patterns``: your own categories, tried before the known ones (see
    :mod:`~harness.resilience.triage`). ``samples``, ``attributes`` and
    ``bucket_seconds``: see :class:`~harness.resilience.analysis.Analysis`.
    ``max_messages`` and ``max_seconds`` bound an analysis. ``hold_seconds``: how
    long what is read stays hidden if this process dies (default: by the number
    of messages, 60 to 900). ``clock`` is monotonic seconds, ``wall_clock``
    seconds since 1970.

    ``dlq_url`` and ``sqs`` may be set before use; ``_categorize_error`` may be
    overridden.
    """

    def __init__(
        self,
        dlq_url: str,
        *,
        sqs: Any = None,
        patterns: Mapping[str, Pattern] | None = None,
        samples: int = 3,
        attributes: Collection[str] | None = None,
        bucket_seconds: int = 3_600,
        max_messages: int = 100_000,
        max_seconds: float = 300.0,
        hold_seconds: float | None = None,
        wait_seconds: int = 1,
        patience: float = 0.0,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.dlq_url = dlq_url
        self._sqs = sqs
        self._patterns = compile_patterns(patterns)
        self._samples = samples
        self._attributes = attributes
        self._bucket_seconds = bucket_seconds
        self._limits: dict[str, Any] = {"max_messages": max_messages, "max_seconds": max_seconds}
        self._reading: dict[str, Any] = {
            "hold_seconds": hold_seconds,
            "wait_seconds": wait_seconds,
            "patience": patience,
            "clock": clock,
            "wall_clock": wall_clock,
            "sleep": sleep,
        }

    @property
    def sqs(self) -> Any:
        """The client of boto3 that is used."""
        if self._sqs is None:
            self._sqs = sqs_client()
        return self._sqs

    @sqs.setter
    def sqs(self, client: Any) -> None:
        self._sqs = client

    # -- analysis

    def analyze_failed_messages(self, *, on_progress: Callable[[Analysis], object] | None = None) -> dict[str, Any]:
        """Read the queue, leave it as it is, and say what is in it.

        The dict has ``total_messages``, ``error_patterns`` (category: count)
        and ``analysis_timestamp`` (ISO, UTC), and what
        :meth:`Analysis.to_json` adds. Each message is counted once and
        visible again as soon as the reading ends, also after an error. Each
        reading counts as a receive: that cannot be avoided, and is warned of
        where it could move messages on. Raises what the client raises.
        """
        analysis = Analysis(
            self.dlq_url, samples=self._samples, attributes=self._attributes, bucket_seconds=self._bucket_seconds
        )
        with DeadLetterReader(self.sqs, self.dlq_url, **self._limits, **self._reading) as reader:
            analysis.count_at_start = reader.count_at_start
            for batch in reader.batches():
                for message in batch:
                    letter = DeadLetter(message)
                    analysis.add(letter, self.category(letter))
                if on_progress is not None:
                    on_progress(analysis)
        analysis.finished_at = datetime.fromtimestamp((self._reading["wall_clock"] or time.time)(), UTC)
        analysis.seconds = reader.seconds
        analysis.stopped_by = reader.stopped_by
        analysis.unread = reader.unread
        analysis.not_given_back = reader.not_given_back
        analysis.warnings = reader.warnings
        return analysis.to_json()

    def category(self, letter: DeadLetter) -> str:
        """The category of a dead letter: the first of your patterns that fits, else by the words of its reason."""
        for name, fits in self._patterns.items():
            if fits(letter):
                return name
        found = self._categorize_error(letter.envelope.reason)
        return found if found != "other" or not letter.error_class else self._categorize_error(letter.error_class)

    def _categorize_error(self, error_reason: str) -> str:
        """The category of an error's text."""
        return categorize(error_reason)

    # -- the way back

    def replay_messages(
        self, target_queue_url: str | None, filter_func: Filter | None = None, *, native: bool = False, **options: Any
    ) -> int:
        """Send dead letters back and delete them here; returns how many were sent (in a dry run: would be).

        ``target_queue_url`` ``None``: each to the queue that it came from. The
        options are those of :class:`~harness.resilience.replay.Replay`;
        :meth:`replay` takes the same and tells more.

        ``native``: let SQS do it (:mod:`~harness.resilience.native_move`). It
        knows no filter and no option but ``rate``.

        Raises:
            ReplayStopped: the target cannot be sent to.
            MoveFailed: SQS's own task failed.
            ValueError: the options do not fit.
            Exception: what the client raises.
        """
        if native:
            return self._move(target_queue_url, filter_func, **options)
        report = self.replay(target_queue_url, filter_func, **options)
        return report.would_send if report.dry_run else report.sent

    def replay(self, target_queue_url: str | None, filter_func: Filter | None = None, **options: Any) -> ReplayReport:
        """:meth:`replay_messages`, with everything counted."""
        reading = {**self._reading, "categorize": self.category, **options}
        return Replay(self.sqs, self.dlq_url, target_queue_url, filter_func, **reading).run()

    def _move(
        self,
        target_queue_url: str | None,
        filter_func: Filter | None,
        *,
        rate: float | None = None,
        on_progress: Callable[[MoveProgress], object] | None = None,
        **options: Any,
    ) -> int:
        if filter_func is not None or options:
            names = ", ".join(sorted([*options, *(["filter_func"] if filter_func else [])]))
            raise ValueError(f"SQS's own move task moves everything as it is; leave out {names}, or native")
        if rate is not None and (rate != int(rate) or not 1 <= rate <= 500):
            raise ValueError("rate is a whole number from 1 to 500 for SQS's own move task")
        check_native(self.sqs, self.dlq_url, to_origin=target_queue_url is None)
        return move_natively(
            self.sqs,
            self.dlq_url,
            target_queue_url,
            rate=None if rate is None else int(rate),
            on_progress=on_progress,
            sleep=self._reading["sleep"],
        )
