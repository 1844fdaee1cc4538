"""Turns what happens in a run into numbered events and hands each to whoever wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness.history import Event, Writer
from harness.redact import mask_addresses, redact_name, redact_text
from harness.sim.kernel import Kernel
from harness.sim.lines import name_of

__all__ = ["HistoryRecorder", "describe_error"]

#: Fields in which text of the user's may stand; the others are ours.
_FREE_TEXT = frozenset(("body", "error", "reason"))
#: Fields that name something of the user's: what they tell apart must stay apart.
_NAMES = ("key", "name")
_ERROR_CHARS_MAX = 300


def describe_error(error: BaseException) -> str:
    """An exception as a history may hold it: class and message, without addresses, at most 300 characters."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return mask_addresses(text)[:_ERROR_CHARS_MAX]


class HistoryRecorder:
    """The run's :class:`harness.sim.world.Recorder`.

    ``taps[kind]`` are called with each event of a kind; ``step`` (the judge)
    with each event. ``outside`` names who acts while no actor runs.
    """

    def __init__(self, kernel: Kernel, *, keep: bool = True, writer: Writer | None = None) -> None:
        self._kernel = kernel
        self._writer = writer
        self._write = writer.write if writer is not None else None
        self.events: list[Event] = []
        self._keep = self.events.append if keep else None
        self.step: Callable[[Event], None] | None = None
        self.taps: dict[str, list[Callable[[Event], None]]] = {}
        self.outside = "-"
        self._acting: Any = None
        self.count = 0
        self.closed = False

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int:
        if self.closed:
            return 0
        self.count = n = self.count + 1
        kernel = self._kernel
        acting = self._acting
        actor = kernel.current if acting is None else acting
        event: dict[str, Any] = {
            "n": n,
            "t": kernel.now_us / 1_000_000,
            "actor": self.outside if actor is None else name_of(actor),
            "kind": kind,
        }
        if message is not None:
            event["message"] = message
        if actor is not None and actor.cause is not None and acting is None:
            event["cause"] = actor.cause
            actor.cause = None
        if fields:
            event.update(fields)
            if not _FREE_TEXT.isdisjoint(fields):
                for name in _FREE_TEXT & fields.keys():
                    if type(fields[name]) is str:
                        event[name] = redact_text(fields[name])
            for name in _NAMES:
                if type(fields.get(name)) is str:
                    event[name] = redact_name(fields[name])
        kernel.last_event = n
        if self._keep is not None:
            self._keep(event)
        if self._write is not None:
            self._write(event)
        if self.step is not None:
            self.step(event)
        taps = self.taps.get(kind)
        if taps is not None:
            for tap in taps:
                tap(event)
        return n

    def tap(self, kind: str, function: Callable[[Event], None]) -> None:
        """Call *function* with each event of *kind* from now on."""
        self.taps.setdefault(kind, []).append(function)

    @contextmanager
    def acting_for(self, actor: Any) -> Iterator[None]:
        """What is recorded meanwhile was asked for by *actor* (``None``: whoever acts), though another one may run.

        A server answers a client that waits when somebody else's call gives it something to answer with.
        """
        before, self._acting = self._acting, None if actor is self._kernel.current else actor
        try:
            yield
        finally:
            self._acting = before

    def flush(self) -> None:
        """Write out what is buffered: after this moment nothing may follow."""
        if self._writer is not None:
            self._writer.flush()
