"""Actors' stacks as text, for Deadlock, Runaway and Stalled."""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType

from harness.sim.actors import Actor

__all__ = ["Stack", "caller", "listing"]

_SIM = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep


class Stack:
    """The stack of one actor, without the kernel's own frames at either end."""

    def __init__(self, actor: Actor, running: bool, frame: FrameType | None = None) -> None:
        self.actor = actor
        if frame is None and running:
            frame = sys._getframe(1)
        elif frame is None and actor.greenlet is not None:
            frame = actor.greenlet.gr_frame
        self.frame = frame

    def text(self) -> str:
        if self.frame is None:
            return "  (not started)\n" if self.actor.greenlet is None else "  (ended)\n"
        entries = [entry for entry in traceback.extract_stack(self.frame) if not _of_kernel(entry.filename)]
        return "".join(traceback.format_list(entries)) or "  (in the kernel)\n"


def _of_kernel(filename: str) -> bool:
    if not filename.startswith(_SIM):
        return False
    inside = filename[len(_SIM) :]
    return os.sep not in inside or inside.startswith("patches" + os.sep)


def listing(stacks: dict[str, str]) -> str:
    """All stacks, one after the other, each under its actor's name."""
    return "\n".join(f"{name}:\n{text}" for name, text in stacks.items())


def caller() -> str:
    """Where the code under test made the call that led here: ``file:line in function``.

    The innermost frame that belongs neither to the harness nor to the
    standard library; failing that, the innermost outside the harness.
    """
    frame: FrameType | None = sys._getframe(1)
    fallback: FrameType | None = None
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_OWN):
            fallback = fallback or frame
            if not (filename.startswith(_LIBRARY) and "site-packages" not in filename) and filename[0] != "<":
                break
        frame = frame.f_back
    frame = frame or fallback
    if frame is None:
        return "unknown code"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
