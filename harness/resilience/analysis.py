"""What is in a dead-letter queue: counts, groups of like failures, samples; as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from harness.resilience.triage import DeadLetter

__all__ = ["Analysis", "Bounded", "Group", "table"]

#: How many different values of one attribute, queue or time are counted by themselves.
VALUES_MAX = 1_000
#: How many attributes are counted.
ATTRIBUTES_MAX = 50
#: How many groups are kept apart.
GROUPS_MAX = 2_000
#: How much of a body or reason a sample shows.
SAMPLE_LENGTH = 500
OTHERS = "(others)"


class Bounded:
    """Counts by name, for at most :data:`VALUES_MAX` names; what comes after counts as ``(others)``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        if name not in self._counts and len(self._counts) >= VALUES_MAX:
            name = OTHERS
        self._counts[name] += 1

    def most_common(self, limit: int | None = None) -> dict[str, int]:
        """The most frequent first, equal ones by name."""
        ordered = sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return dict(ordered[:limit])

    def by_name(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))


@dataclass
class Group:
    """Dead letters that failed alike. ``first_failed_at`` and ``last_failed_at`` are UTC, where known."""

    id: str
    category: str
    error_class: str
    reason: str
    stack: str | None
    count: int = 0
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    queues: Bounded = field(default_factory=Bounded)
    samples: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "group": self.id,
            "count": self.count,
            "category": self.category,
            "error_class": self.error_class or None,
            "reason": self.reason,
            "stack": self.stack,
            "first_failed_at": _iso(self.first_failed_at),
            "last_failed_at": _iso(self.last_failed_at),
            "queues": self.queues.most_common(),
            "samples": self.samples,
        }


class Analysis:
    """The fold over dead letters. ``samples``: how many of each group are kept, as heads of at most 500 characters.

    ``attributes``: the message attributes to count values of (``None``: all).
    ``bucket_seconds``: the width of a bar in the counts over time.
    """

    def __init__(
        self,
        dlq_url: str,
        *,
        samples: int = 3,
        attributes: Collection[str] | None = None,
        bucket_seconds: int = 3_600,
    ) -> None:
        if samples < 0 or bucket_seconds < 1:
            raise ValueError("samples must be 0 or more, bucket_seconds 1 or more")
        self.dlq_url = dlq_url
        self.total = 0
        self.categories: Counter[str] = Counter()
        self.groups: dict[str, Group] = {}
        self.forms: Counter[str] = Counter()
        self.queues = Bounded()
        self.over_time = Bounded()
        self.attributes: dict[str, Bounded] = {}
        self._samples = samples
        self._wanted = None if attributes is None else frozenset(attributes)
        self._bucket = bucket_seconds
        # Set by whoever read the queue.
        self.finished_at: datetime | None = None
        self.seconds = 0.0
        self.stopped_by = "end"
        self.count_at_start = 0
        self.unread = 0
        self.not_given_back = 0
        self.warnings: list[str] = []

    def add(self, letter: DeadLetter, category: str) -> None:
        """Count one dead letter."""
        envelope = letter.envelope
        self.total += 1
        self.categories[category] += 1
        self.forms[envelope.form] += 1
        self.queues.add(envelope.queue or "(unknown)")
        moment = envelope.failed_at or envelope.first_received_at or envelope.sent_at
        if moment is not None:
            start = int(moment.timestamp()) // self._bucket * self._bucket
            self.over_time.add(datetime.fromtimestamp(start, UTC).isoformat())
        for name, value in envelope.attributes.items():
            if self._wanted is None or name in self._wanted:
                self._count_attribute(name, value)
        self._group(letter, category, envelope.failed_at)

    def _count_attribute(self, name: str, value: Mapping[str, Any]) -> None:
        if name not in self.attributes and len(self.attributes) >= ATTRIBUTES_MAX:
            return
        text = value.get("StringValue")
        shown = f"({len(value.get('BinaryValue') or b'')} bytes)" if text is None else _head(str(text), 100)
        self.attributes.setdefault(name, Bounded()).add(shown)

    def _group(self, letter: DeadLetter, category: str, failed_at: datetime | None) -> None:
        envelope = letter.envelope
        key = letter.group
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= GROUPS_MAX:
                key = OTHERS
            group = self.groups.setdefault(
                key,
                Group(
                    key,
                    category if key != OTHERS else "other",
                    letter.error_class if key != OTHERS else "",
                    _head(envelope.reason, SAMPLE_LENGTH) if key != OTHERS else "too many different failures",
                    envelope.stack if key != OTHERS else None,
                ),
            )
        group.count += 1
        group.queues.add(envelope.queue or "(unknown)")
        if failed_at is not None:
            group.first_failed_at = min(group.first_failed_at or failed_at, failed_at)
            group.last_failed_at = max(group.last_failed_at or failed_at, failed_at)
        if len(group.samples) < self._samples:
            group.samples.append(
                {
                    "message_id": letter.id,
                    "original_message_id": letter.original_id,
                    "failed_at": _iso(failed_at),
                    "receive_count": envelope.receive_count,
                    "reason": _head(envelope.reason, SAMPLE_LENGTH),
                    "body": _head(envelope.body, SAMPLE_LENGTH),
                    **({"payload": envelope.payload_reference} if envelope.form == "claim-check" else {}),
                }
            )

    @property
    def complete(self) -> bool:
        """Whether all was read that was there when the reading began."""
        return self.stopped_by in ("end", "filling") and not self.unread

    def ordered_groups(self) -> list[Group]:
        """The largest first."""
        return sorted(self.groups.values(), key=lambda group: (-group.count, group.id))

    def to_json(self) -> dict[str, Any]:
        """JSON values: the known three keys, and more."""
        return {
            "total_messages": self.total,
            "error_patterns": dict(sorted(self.categories.items(), key=lambda entry: (-entry[1], entry[0]))),
            "analysis_timestamp": _iso(self.finished_at),
            "dlq_url": self.dlq_url,
            "complete": self.complete,
            "stopped_by": self.stopped_by,
            "count_at_start": self.count_at_start,
            "unread": self.unread,
            "not_given_back": self.not_given_back,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
            "forms": dict(sorted(self.forms.items())),
            "groups": [group.to_json() for group in self.ordered_groups()],
            "by_queue": self.queues.most_common(),
            "over_time": self.over_time.by_name(),
            "by_attribute": {name: counts.most_common(20) for name, counts in sorted(self.attributes.items())},
        }


def table(analysis: Mapping[str, Any], *, width: int = 100) -> str:
    """An analysis (the JSON of :class:`Analysis`) as text for a terminal."""
    lines = [f"{analysis['total_messages']} messages in {analysis['dlq_url']}"]
    if not analysis["complete"]:
        lines.append(f"incomplete (stopped by {analysis['stopped_by']}): about {analysis['unread']} were not read")
    lines += [f"warning: {warning}" for warning in analysis["warnings"]]
    groups = [
        (
            str(group["count"]),
            group["group"],
            group["category"],
            group["error_class"] or "-",
            _span(group["first_failed_at"], group["last_failed_at"]),
            " ".join(group["reason"].split()) or "(no reason: moved by SQS, or not an envelope)",
        )
        for group in analysis["groups"]
    ]
    lines += _section(("count", "group", "category", "error", "failed (UTC)", "reason"), groups, width)
    for title, name in (("category", "error_patterns"), ("queue", "by_queue"), ("time (UTC)", "over_time")):
        rows = [(str(count), value) for value, count in analysis[name].items()]
        lines += _section(("count", title), rows, width)
    for attribute, counts in analysis["by_attribute"].items():
        rows = [(str(count), value) for value, count in list(counts.items())[:5]]
        lines += _section(("count", f"attribute {attribute}"), rows, width)
    return "\n".join(lines)


def _section(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[place]) for row in (titles, *rows)) for place in range(len(titles) - 1)]
    lines = [""]
    for count, *cells, last in (titles, *rows):
        padded = [cell.ljust(size) for cell, size in zip(cells, widths[1:], strict=True)]
        line = "  ".join([count.rjust(widths[0]), *padded, last])
        lines.append(_head(_plain(line), max(width, 40)).rstrip())
    return lines


def _plain(text: str) -> str:
    """Without characters that move a terminal's cursor: a dead letter may hold anything."""
    return "".join(character if character.isprintable() else " " for character in text)


def _span(first: str | None, last: str | None) -> str:
    if first is None or last is None:
        return "-"
    return _minute(first) if _minute(first) == _minute(last) else f"{_minute(first)} to {_minute(last)}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _head(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
