"""A report in Markdown, short enough for a pull request's comment or a job's summary.

Everything that a run brings in is escaped: it is text there, no markup, no mention, no link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.report.changes import Changes
from harness.report.coverage import coverage
from harness.report.entries import Entry, one_line, sign
from harness.report.entries import summary as in_one_line
from harness.report.words import duration

__all__ = ["comparison", "escaped", "summary"]

_ROWS_MAX = 200
_CHARS_MAX = 400
# Markup inside a line; entities for what hosts turn into tags, mentions and links, or let through as HTML.
_MARKUP = re.compile(r"[\\`*_\[\]()|~]")
_ENTITY = re.compile(r"[<>&@#]|:(?=//)|(?<=www)\.")


def escaped(text: object) -> str:
    """*text* as Markdown shows it unchanged, in one line that does not begin it."""
    line = " ".join(str(text).split())
    line = line if len(line) <= _CHARS_MAX else line[: _CHARS_MAX - 1] + "…"
    return _MARKUP.sub(lambda match: f"\\{match[0]}", _ENTITY.sub(lambda match: f"&#{ord(match[0])};", line))


def summary(entries: Sequence[Entry], changes: Changes | None = None) -> str:
    """What a reviewer wants to see: the verdicts, what is wrong first, what changed, the two numbers."""
    counted = coverage(entries)
    lines = ["# Resilience report", "", f"**{escaped(in_one_line(entries))}**", ""]
    lost = sum((entry.get("messages") or {}).get("lost") or 0 for entry in entries)
    if lost:
        lines += [f"**✗ {lost:,} {'message' if lost == 1 else 'messages'} lost.**", ""]
    if counted.coverage is not None:
        survival = "" if counted.survival is None else f", survival {len(counted.held)} of {len(counted.judged)}"
        lines += [f"Coverage {len(counted.judged)} of {len(counted.enumerable)} classes of fault{survival}.", ""]
    lines += _table(entries)
    for entry in entries:
        if entry["verdict"] in ("failed", "error", "flaky"):
            lines += [f"- {sign(entry['verdict'])} {escaped(entry['name'])}: {escaped(one_line(entry))}"]
            if entry.get("command"):
                lines += [f"  again: `{str(entry['command']).replace('`', '')}`"]
    if changes is not None:
        lines += ["", *comparison(changes).splitlines()]
    return "\n".join(lines).rstrip() + "\n"


def _table(entries: Sequence[Entry]) -> Iterable[str]:
    yield "| verdict | scenario | lost | twice | late | back to normal after |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    order = {"error": 0, "failed": 0, "flaky": 1, "inconclusive": 2, "left out": 4}
    for entry in sorted(entries, key=lambda one: order.get(one["verdict"], 3))[:_ROWS_MAX]:
        messages, outage = entry.get("messages") or {}, entry.get("outage") or {}
        counts = " | ".join(
            _number(one) for one in (messages.get("lost"), messages.get("duplicated"), outage.get("late"))
        )
        verdict = f"{sign(entry['verdict'])} {entry['verdict']}"
        yield f"| {verdict} | {escaped(entry['name'])} | {counts} | {duration(entry.get('recovery_seconds'))} |"
    if len(entries) > _ROWS_MAX:
        yield ""
        yield f"and {len(entries) - _ROWS_MAX:,} more"
    yield ""


def comparison(changes: Changes, broken: Sequence[str] = ()) -> str:
    """What changed between two reports; *broken* are the limits that were passed, in words."""
    lines = ["## What changed", ""]
    lines += [f"- ✗ {escaped(one)}" for one in broken]
    lines += [
        f"- ✗ newly failing: {escaped(name)} ({was} before, {now} now)" for name, was, now in changes.newly_failing
    ]
    lines += [f"- ✓ newly passing: {escaped(name)} ({was} before)" for name, was, now in changes.newly_passing]
    lines += [f"- {escaped(name)}: {was} before, {now} now" for name, was, now in changes.other_verdicts]
    lines += [f"- new: {escaped(name)} ({verdict})" for name, verdict in changes.appeared]
    lines += [f"- no longer there: {escaped(name)} ({verdict})" for name, verdict in changes.gone]
    lines += [f"- {escaped(one)}" for one in changes.figures]
    lines += [f"- not compared: {escaped(one)}" for one in changes.unjudged]
    if changes.nothing and not broken:
        lines.append("Nothing: same scenarios, same verdicts, same figures.")
    return "\n".join(lines) + "\n"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
