"""Watches a run for ``--verify``: where each event was written, and what the code under test asked of the real world.

What is kept can be saved as JSON and compared between two processes. Nothing
of it enters the history.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import orjson

from harness.history import Event
from harness.sim import world

__all__ = ["FILE_NAME", "Frames", "Witness", "shown"]

FILE_NAME = "witness.json"

#: The frames of the code under test, innermost first: (file, line, function).
Frames: TypeAlias = tuple[tuple[str, int, str], ...]

_FRAMES_MAX = 20
_READS_MAX = 100
_OWN = str(Path(__file__).resolve().parents[1]) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_READING = frozenset(
    {"open", "os.listdir", "os.scandir", "glob.glob", "sqlite3.connect", "tempfile.mkstemp", "tempfile.mkdtemp"}
)

_watching: Witness | None = None
_hooked = False


class Witness:
    """Called with each event of a run, in the actor that caused it."""

    def __init__(self) -> None:
        self.stacks: list[Frames] = []  # by event, from event 1
        self.reads: list[tuple[int, str, str]] = []  # (events before it, what, where): real I/O by the user's code
        self.threads = 0  # real threads that were there at the end and not at the beginning
        self._threads_before = 0
        self._known: dict[Frames, Frames] = {}

    def __enter__(self) -> Witness:
        global _hooked, _watching
        if not _hooked:
            _hooked = True
            sys.addaudithook(_audit)
        _watching = self
        self._threads_before = _real_threads()
        return self

    def __exit__(self, *exc: object) -> None:
        global _watching
        _watching = None
        self.threads = max(0, _real_threads() - self._threads_before)

    def __call__(self, event: Event) -> None:
        frames = _frames(sys._getframe(1))
        self.stacks.append(self._known.setdefault(frames, frames))

    def stack(self, number: int) -> Frames:
        """Where event *number* was written; nothing where the run wrote none."""
        return self.stacks[number - 1] if 0 < number <= len(self.stacks) else ()

    def read(self, what: str, frame: FrameType | None) -> None:
        """The code under test reads something of the real world."""
        where = _reader(frame)
        if where is not None and len(self.reads) < _READS_MAX:
            self.reads.append((len(self.stacks), what, where))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        known = {frames: index for index, frames in enumerate(self._known)}
        path.write_bytes(
            orjson.dumps(
                {
                    "frames": list(known),
                    "stacks": [known[frames] for frames in self.stacks],
                    "reads": self.reads,
                    "threads": self.threads,
                }
            )
        )

    @classmethod
    def load(cls, path: Path) -> Witness:
        """What :meth:`save` wrote."""
        value: Mapping[str, Any] = orjson.loads(path.read_bytes())
        frames = [tuple((file, line, name) for file, line, name in one) for one in value["frames"]]
        made = cls()
        made.stacks = [frames[index] for index in value["stacks"]]
        made.reads = [(number, what, where) for number, what, where in value["reads"]]
        made.threads = value["threads"]
        return made


def _frames(frame: FrameType | None) -> Frames:
    """The frames outside the harness, innermost first."""
    found: list[tuple[str, int, str]] = []
    while frame is not None and len(found) < _FRAMES_MAX:
        code = frame.f_code
        if not code.co_filename.startswith(_OWN):
            found.append((code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return tuple(found)


def shown(frames: Sequence[tuple[str, int, str]]) -> str:
    """The frames as text, innermost call last."""
    lines = [f"  {_short(file)}:{line} in {name}\n" for file, line, name in reversed(frames)]
    return "".join(lines) or "  (in the harness: the workload, the faults or the end of the run)\n"


def _short(file: str) -> str:
    path = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
    return path.rpartition("site-packages" + os.sep)[2]


def _reader(frame: FrameType | None) -> str | None:
    """Where the user's code asked for it; ``None`` if a library, an import or the harness did."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(("<frozen importlib", _OWN)) or "site-packages" in name:
            return None
        if not name.startswith(_LIBRARY) and name[0] != "<":
            return f"{_short(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watching is None or event not in _READING:
        return
    run = world.current()
    if run is None or run.kernel.current is None:
        return
    about = args[0] if args else ""
    _watching.read(f"{event} {about}" if isinstance(about, str | int) else event, sys._getframe(1))


def _real_threads() -> int:
    """How many threads the process has, those of C code too, where the system tells."""
    tasks = Path("/proc/self/task")
    return len(os.listdir(tasks)) if tasks.is_dir() else 0
