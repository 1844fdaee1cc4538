"""A finding as a sequence chart: who sent what to whom, in text for a terminal and as Mermaid for a page.

A chart is a value: participants, and steps between them. It is made from the
same events as the story, and ends with the same three lines: what was
expected, what was seen, and because of what. It fits on one screen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.explore.plot import Plot, process_of, thread
from harness.explore.sentences import call, effect_name
from harness.explore.story import Line, Story, clock, tell, telling
from harness.faults.wording import ordinal
from harness.history import Event, History
from harness.invariants.base import Verdict

__all__ = ["HEIGHT", "WIDTH", "Chart", "Step", "draw"]

#: A text chart has at most so many lines and columns.
HEIGHT: Final = 24
WIDTH: Final = 100

_STEPS_MAX = 14
_LANES_MAX = 6
_MARGIN = 13  # the clock
_LANE_MAX = 24
_PROCESS_KINDS = frozenset({"crash", "sigterm", "pause", "hang"})


@dataclass(frozen=True)
class Step:
    """One arrow, or a note over ``frm`` where ``to`` is ``None``. ``lost``: it never arrived.

    ``event`` is its number in the history, ``t`` in seconds.
    """

    event: int
    t: float
    frm: str
    to: str | None
    text: str
    lost: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "t": self.t,
            "from": self.frm,
            "to": self.to,
            "text": self.text,
            "lost": self.lost,
        }


@dataclass(frozen=True)
class Chart:
    """A finding as who sent what to whom; ``left_out``: how many events of the message did not fit."""

    lanes: tuple[str, ...]
    steps: tuple[Step, ...]
    story: Story
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """This chart as JSON values."""
        story = self.story
        return {
            "invariant": story.invariant,
            "key": story.key,
            "participants": list(self.lanes),
            "steps": [step.to_json() for step in self.steps],
            "left_out": self.left_out,
            "expected": story.expected,
            "seen": story.seen,
            "because": story.because,
        }

    def text(self) -> str:
        """The chart for a terminal: at most ``HEIGHT`` lines of ``WIDTH`` columns."""
        width = min(_LANE_MAX, (WIDTH - _MARGIN) // max(1, len(self.lanes)))
        middles = [_MARGIN + width // 2 + width * index for index in range(len(self.lanes))]
        place = dict(zip(self.lanes, middles, strict=True))
        rows = [_centred(list(zip(middles, (_cut(lane, width - 2) for lane in self.lanes), strict=True)))]
        rows += [_row(step, place, width) for step in self.steps]
        if self.left_out:
            rows.append(" " * _MARGIN + f"({_events(self.left_out)} of it not shown)")
        return "\n".join([*rows, *_ending(self.story, HEIGHT - len(rows))])

    def mermaid(self) -> str:
        """The chart in Mermaid's language (``sequenceDiagram``)."""
        name = {lane: f"p{index}" for index, lane in enumerate(self.lanes)}
        lines = ["sequenceDiagram"]
        lines += [f"    participant {name[lane]} as {_plain(lane)}" for lane in self.lanes]
        for step in self.steps:
            text = f"{step.t:.3f} s {_plain(step.text)}"
            if step.to is None:
                lines.append(f"    Note over {name[step.frm]}: {text}")
            else:
                lines.append(f"    {name[step.frm]}{'-x' if step.lost else '->>'}{name[step.to]}: {text}")
        over = ",".join(name[lane] for lane in dict.fromkeys((self.lanes[0], self.lanes[-1]))) if self.lanes else ""
        ends = (("expected", self.story.expected), ("seen", self.story.seen), ("because", self.story.because))
        lines += [f"    Note over {over}: {word}: {_plain(text)}" for word, text in ends if over]
        return "\n".join(lines)


def draw(history: History, verdict: Verdict) -> Chart:
    """The chart of a verdict on a history."""
    plot = thread(history, verdict.evidence)
    every = telling(plot, len(plot.events))
    told = telling(plot, _STEPS_MAX)
    lane_of = _Lanes(plot)
    steps = [step for line in told for step in lane_of.steps(line)]
    steps = _within(steps)
    lanes = sorted(
        dict.fromkeys(lane for step in steps for lane in (step.frm, step.to) if lane is not None), key=lane_of.rank
    )
    return Chart(tuple(lanes) or ("run",), tuple(steps), tell(history, verdict), max(0, len(every) - len(told)))


def _within(steps: Sequence[Step]) -> list[Step]:
    """*steps* with as many participants as fit: what goes to a further one is a note over who did it."""
    lanes: dict[str, None] = {}
    found = []
    for step in steps:
        for lane in (step.frm, step.to):
            if lane is not None and len(lanes) < _LANES_MAX:
                lanes.setdefault(lane)
        if step.frm not in lanes:
            continue
        known = step.to is None or step.to in lanes
        found.append(step if known else Step(step.event, step.t, step.frm, None, f"{step.text} ({step.to})", step.lost))
    return found


class _Lanes:
    """Who takes part in each event of a plot."""

    def __init__(self, plot: Plot) -> None:
        self._queues = [(event["n"], str(event["queue"])) for event in plot.events if "queue" in event]
        self._processes = {process_of(str(event["actor"])) for event in plot.events}

    def rank(self, lane: str) -> int:
        """From left to right: who sends, the queues, the processes, what they call."""
        if lane == "workload":
            return 0
        if any(lane == name for _, name in self._queues):
            return 1
        return 2 if lane in self._processes else 3

    def _queue(self, event: Event) -> str:
        """The queue that the message is in, or was in last."""
        if "queue" in event:
            return str(event["queue"])
        before = [name for number, name in self._queues if number <= event["n"]]
        return (before or [name for _, name in self._queues] or ["queue"])[-1]

    def steps(self, line: Line) -> Iterator[Step]:
        """The arrows and notes of one line of the story."""
        event = line.event
        kind, queue, who = event["kind"], self._queue(event), process_of(str(event["actor"]))
        if kind == "send":
            yield _step(event, who, queue, "send again" if "original" in event else "send")
        elif kind == "receive":
            count = event.get("receive_count", 1)
            yield _step(event, queue, who, "receive" if count == 1 else f"receive ({ordinal(count)})")
        elif kind == "delete":
            yield _step(event, who, queue, "delete" if event.get("found", True) else "delete (gone)")
        elif kind == "visibility":
            yield _step(event, who, queue, "change visibility")
        elif kind == "move":
            yield _step(event, queue, str(event.get("to")), "move")
        elif kind == "effect":
            yield _step(event, who, *_effect(event))
        elif kind == "effect.lost":
            yield _step(event, effect_name(event.get("name")), None, "lost again")
        elif kind in ("message.lost", "expire", "purge"):
            yield _step(event, queue, None, {"message.lost": "lost", "expire": "retention over"}.get(kind, "purged"))
        elif kind == "fault.strike":
            yield self._strike(event)
        else:
            yield _step(event, str(event.get("process") or who), None, _short(event, line))

    def _strike(self, event: Event) -> Step:
        point, did, kind = str(event.get("point", "?")), str(event.get("did", "")), str(event.get("fault_kind"))
        name, _, side = point.rpartition(".")
        layer, _, rest = name.partition(".")
        who = process_of(str(event["actor"]))
        if layer == "process":
            who = rest or who
        if kind in _PROCESS_KINDS or layer not in ("aws", "redis", "dependency"):
            return _step(event, who if layer != "clock" else rest or who, None, did or kind)
        other = {"redis": "redis", "dependency": rest}.get(layer, "")
        if not other:
            other = self._queue(event) if name.startswith("aws.sqs.") else rest.partition(".")[0]
        what = f"{call(name)}: {did or kind}"
        if side == "after":
            return _step(event, other, who, what, lost=True)
        return _step(event, who, other, what, lost=True)


def _step(event: Event, frm: str, to: str | None, text: str, *, lost: bool = False) -> Step:
    return Step(event["n"], event["t"], frm, None if to == frm else to, text, lost)


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _effect(event: Event) -> tuple[str, str]:
    """Where an effect happened, and what to call it."""
    name = effect_name(event.get("name"))
    method, _, path = name.partition(" ")
    if method in _METHODS and path:
        host, _, rest = path.partition("/")
        return host, f"{method} /{rest}"
    return "effects", name


_SHORT = {
    "process.crash": "killed",
    "process.sigterm": "SIGTERM",
    "process.start": "started again",
    "process.pause": "stands still",
    "process.resume": "goes on",
    "quarantine": "quarantined",
    "release": "released",
}


def _short(event: Event, line: Line) -> str:
    """An event without a second party, in few words."""
    kind = event["kind"]
    if kind == "call.failed":
        return f"saw {event.get('error')}"
    if kind == "handler.end":
        return "handler done" if event.get("outcome") == "ok" else f"failed: {event.get('error')}"
    if kind == "process.exit":
        return f"ended ({event.get('outcome')})"
    return _SHORT.get(kind) or line.text


# as text


def _row(step: Step, place: dict[str, int], width: int) -> str:
    """One line: lifelines, and an arrow or a note across them."""
    canvas = list(_centred([(middle, "|") for middle in place.values()]).ljust(WIDTH))
    canvas[: _MARGIN - 2] = clock(step.t)[-(_MARGIN - 2) :].rjust(_MARGIN - 2)
    here = place[step.frm]
    if step.to is None:
        last = max(place.values())
        room = WIDTH - _MARGIN if here in (min(place.values()), last) else 2 * width - 4
        text = f"[{_cut(step.text, min(room, 2 * width) - 2)}]"
        start = max(_MARGIN, min(here - len(text) // 2, WIDTH - len(text)))
        canvas[start : start + len(text)] = text
        return "".join(canvas).rstrip()
    there = place[step.to]
    left, right = min(here, there) + 1, max(here, there)
    span = right - left
    room = span - 3  # a space on either side, and the arrow's head
    text = step.text if len(step.text) <= room else step.text.partition(":")[0]
    text = f" {_cut(text, room)} "
    head = "x" if step.lost else ">" if there > here else "<"
    line = text.center(span - 1, "-")
    line = line + head if there > here else head + line
    canvas[left:right] = line
    return "".join(canvas).rstrip()


def _centred(words: Sequence[tuple[int, str]]) -> str:
    canvas = [" "] * WIDTH
    for middle, word in words:
        start = max(0, middle - len(word) // 2)
        canvas[start : start + len(word)] = word
    return "".join(canvas[:WIDTH]).rstrip()


def _ending(story: Story, rows: int) -> list[str]:
    """The last three lines, wrapped, within so many rows."""
    found: list[str] = []
    for word, text in (("expected:", story.expected), ("seen:", story.seen), ("because:", story.because)):
        found += textwrap.wrap(text, WIDTH, initial_indent=f"{word:<10}", subsequent_indent=" " * 10)
    if len(found) > rows:
        found = [*found[: rows - 1], _cut(f"{found[rows - 1]} ...", WIDTH)]
    return found


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def _events(number: int) -> str:
    return f"{number} event{'' if number == 1 else 's'}"


def _plain(text: str) -> str:
    """Text as Mermaid takes it: semicolons and hashes end a statement there, and angle brackets are markup."""
    return "".join(f"#{ord(char)};" if char in "#;<>" else char for char in " ".join(text.split()))
