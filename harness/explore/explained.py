"""An explanation as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from harness.explore.causes import Link
from harness.explore.explanation import Explanation, Row, Without
from harness.explore.sentences import effect_name
from harness.explore.story import clock

__all__ = ["WIDTH", "told"]

WIDTH: Final = 110
_MARKS: Final = {"both": " ", "failed": "-", "passed": "+"}


def told(explanation: Explanation) -> str:
    """All of it, the story last."""
    parts = (_head, _needed, _nearest, _beside, _chain, _story)
    return "\n".join(line for part in parts for line in part(explanation))


def _head(one: Explanation) -> Iterator[str]:
    for note in one.notes:
        yield f"note: {note}"
    yield f"{one.scenario} breaks {one.verdict.name} (seed {one.seed})"
    yield from _wrapped(effect_name(one.verdict.detail), "  ")


def _needed(one: Explanation) -> Iterator[str]:
    yield ""
    yield "what it takes" if one.faults else "what it takes: no fault"
    for fault in one.faults:
        yield from _wrapped(f"{_verdict(fault)}  {fault.what}", "  ", " " * 14)
    for other in one.more:
        if not other.breaks:
            yield from _wrapped(f"{_verdict(other)}  {other.what}", "  ", " " * 14)


def _verdict(one: Without) -> str:
    if one.error:
        return f"unknown     (without it the run ended as error: {one.error})"
    if one.breaks:
        return "not needed"
    return "needed    "


def _nearest(one: Explanation) -> Iterator[str]:
    yield ""
    nearest = one.nearest
    if nearest is None:
        yield from _wrapped(_no_neighbour(one), "")
        return
    yield from _wrapped(f"nearest run that passed: the same without {nearest.what}", "")
    difference = one.difference
    if difference is None:
        return
    first, second = one.to_json()["difference"]["words"].values()
    yield f"first difference: event {difference.number}"
    for mark, event, words in (("failed", difference.first, first), ("passed", difference.second, second)):
        when = "" if event is None else f"{clock(event['t'])}  "
        yield from _wrapped(f"  {mark}: {when}{words}", "", " " * 10)


def _no_neighbour(one: Explanation) -> str:
    tried = [*one.faults, *one.more]
    if not tried:
        return "nearest run that passed: none; there is no fault to leave out, one message, and every choice is plain"
    also = sorted({name for run in tried for name in run.others})
    broken = f" (also: {', '.join(also)})" if also else ""
    return f"nearest run that passed: none; each of {len(tried)} runs with one thing less breaks something{broken}"


def _beside(one: Explanation) -> Iterator[str]:
    if not any(row.of != "both" for row in one.beside):
        return
    key = one.chart.story.key
    yield ""
    yield f"{'the run' if key is None else f'message {key}'} in both (- in the failing run only, + in the other)"
    for row in one.beside:
        yield from _row(row)


def _row(row: Row) -> Iterator[str]:
    yield from _wrapped(f"{_MARKS[row.of]}{clock(row.t)}  {row.text}", " ", " " * 16)


def _chain(one: Explanation) -> Iterator[str]:
    if len(one.links) < 2:
        return
    yield ""
    yield "from the fault to the violation" if one.faults else "how it came about"
    for link, text in zip(one.links, one.texts, strict=True):
        yield from _wrapped(f"{link.event['n']:5} {clock(link.event['t'])}  {_how(link)}{text}", " ", " " * 20)


def _how(link: Link) -> str:
    return "" if link.after is None else f"[{link.after}, {link.how}] "


def _story(one: Explanation) -> Iterator[str]:
    story = one.chart.story
    yield ""
    yield from _wrapped(f"expected: {story.expected}", "", " " * 10)
    yield from _wrapped(f"seen:     {story.seen}", "", " " * 10)
    yield from _wrapped(f"because:  {story.because}", "", " " * 10)


def _wrapped(text: str, first: str, then: str | None = None) -> list[str]:
    """*text* in lines of ``WIDTH`` columns; its own spaces are kept."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if then is None else then,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
