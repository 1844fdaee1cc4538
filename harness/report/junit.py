"""JUnit XML: one test case a scenario.

A violation is a failure whose type is the (first) invariant's name, with the
evidence and the command that repeats it; an error is an error; an inconclusive or flaky run
is a failure of that type unless it is allowed, then it is skipped; what was
left out is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.report.entries import Entry, judged, one_line

__all__ = ["dumps"]

# What XML 1.0 cannot hold even escaped: https://www.w3.org/TR/xml/#charsets
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def dumps(entries: Sequence[Entry], *, allow_inconclusive: bool = False) -> bytes:
    """The entries as one JUnit XML document."""
    from junitparser import JUnitXml, TestSuite

    suite: Any = TestSuite("harness")
    for entry in entries:
        suite.add_testcase(_case(entry, allow_inconclusive))
    suite.update_statistics()
    document: Any = JUnitXml("harness")
    document.add_testsuite(suite)
    document.update_statistics()
    text: bytes = document.tostring()
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + text.strip() + b"\n"


def _case(entry: Entry, allow_inconclusive: bool) -> Any:
    from junitparser import Error, Failure, Skipped, TestCase

    case = TestCase(_clean(entry["name"]), f"harness.{_clean(entry.get('backend', 'memory'))}")
    case.time = float(entry.get("wall_seconds") or 0.0)
    verdict = entry["verdict"]
    results: list[Any] = []
    if verdict == "failed":
        broken = judged(entry, "violated")
        text = _with_command("\n".join(_violation(one) for one in broken), entry)
        results.append(_result(Failure, one_line(entry), str(broken[0]["name"]), text))
    elif verdict == "error":
        results.append(_result(Error, one_line(entry), "error", _with_command(str(entry.get("reason", "")), entry)))
    elif verdict in ("inconclusive", "flaky"):
        if allow_inconclusive:
            results.append(Skipped(_clean(f"{verdict}, allowed: {one_line(entry)}")))
        else:
            results.append(_result(Failure, one_line(entry), verdict, _with_command(_doubts(entry), entry)))
    elif verdict == "left out":
        results.append(Skipped(_clean(f"left out: {one_line(entry)}")))
    if results:
        case.result = results
    case.system_out = _clean(f"seed {entry.get('seed')}\n{entry.get('command', '')}\nhistory {entry.get('history')}\n")
    return case


def _result(kind: Any, message: str, type_: str, text: str) -> Any:
    found = kind(_clean(message), _clean(type_))
    found.text = _clean(text)
    return found


def _violation(one: Any) -> str:
    lines = [f"{one['name']}: {one['detail']}"]
    if one["evidence"]:
        lines.append("evidence: events " + ", ".join(str(n) for n in one["evidence"]))
    lines += [f"  {event['n']:>6} {event['text']}" for event in one.get("events") or ()]
    return "\n".join(lines)


def _doubts(entry: Entry) -> str:
    lines = [f"never struck: {fault}" for fault in entry.get("unstruck") or ()]
    return "\n".join([*lines, *(f"{one['name']}: {one['detail']}" for one in judged(entry, "inconclusive"))])


def _with_command(text: str, entry: Entry) -> str:
    command = entry.get("command")
    return f"{text}\nagain: {command}" if command else text


def _clean(text: Any) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", str(text))
