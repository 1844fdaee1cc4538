"""Stops a run at one event, in the actor that made it: its stack as text, or a debugger in its real frames.

The run's recorder calls what is made here while the event is written, in the
actor that caused it, so that virtual time stands still and everything is as
it was at that moment. What the actor has in its hands is shown redacted and
cut; a debugger shows it as it is.
"""

from __future__ import annotations

import linecache
import os
import pdb
import reprlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from harness.errors import SimulationError
from harness.history import Event
from harness.redact import MASK, mask_addresses, names_a_secret, redact_text
from harness.sim import world

__all__ = ["FRAMES_MAX", "Frame", "Lookout", "Prompt", "Standstill", "debug", "stopping_at"]

FRAMES_MAX: Final = 12
_LOCALS_MAX = 12
_VALUE_CHARS_MAX = 100
_LINES_AROUND = 2

_OWN = str(Path(__file__).resolve().parents[1]) + os.sep
#: Parts of the package that are code under test: production components, and the catalogue as the wheel installs it.
_UNDER_TEST = ("resilience", "catalogue")
_LIBRARY = os.path.dirname(os.__file__) + os.sep


@dataclass(frozen=True)
class Frame:
    """One frame: ``source`` holds the lines around ``line`` as (number, text), ``values`` its locals as text."""

    file: str
    line: int
    function: str
    own: bool
    source: tuple[tuple[int, str], ...]
    values: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        yield f"{self.file}:{self.line} in {self.function}"
        for number, text in self.source:
            yield f"  {'>' if number == self.line else ' '} {number:4}  {text}".rstrip()
        for name, value in self.values.items():
            yield f"      {name} = {value}"

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "function": self.function,
            "source": [{"line": number, "text": text} for number, text in self.source],
            "locals": dict(self.values),
        }


@dataclass(frozen=True)
class Standstill:
    """Where a run stood when it made ``event``: the frames outside the harness, the innermost last.

    ``frames`` is empty where no actor made it (the workload, a fault, the end of the run).
    """

    event: Event
    frames: tuple[Frame, ...]

    def __str__(self) -> str:
        event = self.event
        fields = " ".join(f"{name}={value}" for name, value in event.items() if name not in ("n", "t", "actor", "kind"))
        head = f"event {event['n']} at {event['t']:.6f} s (virtual time): {event['actor']} {event['kind']}"
        lines = [f"{head} {_cut(fields, 2 * _VALUE_CHARS_MAX)}".rstrip()]
        if not self.frames:
            lines.append("  no code of yours: the workload, a service, a fault or the end of the run made it")
        for frame in self.frames:
            lines += [f"  {line}" for line in frame.lines()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        return {"event": dict(self.event), "frames": [frame.to_json() for frame in self.frames]}


def stopping_at(number: int, act: Callable[[Event], object]) -> Callable[[Event], None]:
    """A witness that calls *act* with event *number*, in the actor that made it, while time stands still."""

    def witness(event: Event) -> None:
        if event["n"] == number:
            act(event)

    return witness


class Lookout:
    """Takes the stack down and leaves the run there; ``seen`` is what it saw, ``None`` if it was never called."""

    def __init__(self) -> None:
        self.seen: Standstill | None = None

    def __call__(self, event: Event) -> NoReturn:
        self.seen = Standstill(event, tuple(map(_frame, _shown(sys._getframe(1)))))
        _leave(event)


def _leave(event: Event) -> NoReturn:
    """End the run in its actor, which is not resumed: none of its ``except`` and ``finally`` sees anything of it."""
    stopped = SimulationError(f"left at event {event['n']}")
    run = world.current()
    if run is None:
        raise stopped
    run.kernel.fail(stopped)


def debug(event: Event) -> None:
    """Call the debugger in force, whichever it is: the frames of the actor are above this one (``up``)."""
    breakpoint()
    _ = event  # it stops here, in most debuggers; `up` leads into the code that made the event


class Prompt:
    """Opens pdb in the innermost frame of the user's code; ``left`` says whether its user left the run there.

    ``continue`` lets the run go on, ``quit`` leaves it. Stepping (``next``,
    ``step``) goes on in virtual time: where a line gives way, others run
    meanwhile.
    """

    def __init__(self) -> None:
        self.left = False

    def __call__(self, event: Event) -> None:
        frame = _innermost(sys._getframe(1))
        debugger = _Pdb()
        debugger.message(f"event {event['n']} at {event['t']:.6f} s (virtual time): {event['actor']} {event['kind']}")
        if frame is None:
            debugger.message("no code of yours made it: these are the frames of the harness")
        debugger.stand(frame or sys._getframe(1))
        if debugger.quitting:
            self.left = True
            _leave(event)


class _Pdb(pdb.Pdb):
    """pdb whose first prompt comes at once, in a frame that is further out, and not at the next line of it."""

    def stand(self, frame: FrameType) -> None:
        self.reset()
        outer: FrameType | None = frame
        while outer is not None:
            outer.f_trace = self.trace_dispatch
            self.botframe = outer
            outer = outer.f_back
        self.interaction(frame, None)
        if self.quitting:
            return
        stepping = self.stopframe is not self.botframe or self.stoplineno != -1
        if stepping or self.breaks:
            sys.settrace(self.trace_dispatch)


def _shown(frame: FrameType | None) -> list[FrameType]:
    """The frames of an actor outside the harness, the innermost last; only the user's where they are many."""
    found: list[FrameType] = []
    if not _in_actor():
        return found
    while frame is not None:
        if not _ours(frame) and frame.f_code.co_filename[0] != "<":
            found.append(frame)
        frame = frame.f_back
    if len(found) > FRAMES_MAX:
        found = [one for one in found if _users(one)][:FRAMES_MAX] or found[:FRAMES_MAX]
    return found[::-1]


def _in_actor() -> bool:
    """Whether somebody acts: else the frames are those of whoever started the run."""
    run = world.current()
    return run is not None and run.kernel.current is not None


def _ours(frame: FrameType) -> bool:
    """Whether a frame is of the harness itself."""
    name = frame.f_code.co_filename
    return name.startswith(_OWN) and name[len(_OWN) :].partition(os.sep)[0] not in _UNDER_TEST


def _users(frame: FrameType) -> bool:
    """Whether a frame belongs neither to the harness nor to a library."""
    name = frame.f_code.co_filename
    if name.startswith(_OWN):
        return not _ours(frame)
    return not name.startswith(_LIBRARY) and "site-packages" not in name and name[0] != "<"


def _innermost(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the user's code, else the innermost outside the harness, in an actor."""
    fallback = None
    while _in_actor() and frame is not None:
        if _users(frame):
            return frame
        if fallback is None and not _ours(frame):
            fallback = frame
        frame = frame.f_back
    return fallback


def _frame(frame: FrameType) -> Frame:
    code, line = frame.f_code, frame.f_lineno
    own = _users(frame)
    around = _LINES_AROUND if own else 0
    source = [
        (number, redact_text(linecache.getline(code.co_filename, number, frame.f_globals).rstrip("\n")))
        for number in range(max(1, line - around), line + around + 1)
    ]
    return Frame(
        file=_short(code.co_filename),
        line=line,
        function=code.co_qualname,
        own=own,
        source=tuple((number, text) for number, text in source if text or number == line),
        values=_values(frame.f_locals) if own else {},
    )


def _values(names: Mapping[str, Any]) -> dict[str, str]:
    """The first locals as text, without secrets, each cut."""
    shown = [name for name in names if not name.startswith("__")]
    found = {name: _value(name, names[name]) for name in shown[:_LOCALS_MAX]}
    if len(shown) > _LOCALS_MAX:
        found["..."] = f"{len(shown) - _LOCALS_MAX} more"
    return found


_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _VALUE_CHARS_MAX
_repr.maxdict = _repr.maxlist = _repr.maxtuple = 6


def _value(name: str, value: Any) -> str:
    if names_a_secret(name):
        return MASK
    try:
        text = _repr.repr(value)
    except Exception as error:  # a user's __repr__ may do anything
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return _cut(redact_text(mask_addresses(" ".join(text.split()))), _VALUE_CHARS_MAX)


def _short(file: str) -> str:
    path = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
    return path.rpartition("site-packages" + os.sep)[2]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
