"""Bytes from socket to socket inside the kernel (Linux ``splice``), for connections that carry much."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["AVAILABLE", "Pipe", "PipePool"]

#: Whether this platform can do it.
AVAILABLE: Final = hasattr(os, "splice") and hasattr(os, "SPLICE_F_MOVE")

_PIPE_BYTES: Final = 1 << 20
_SPARE: Final = 16


class Pipe:
    """What is on its way between two sockets. ``held``: bytes in it."""

    __slots__ = ("held", "read_end", "write_end")

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        try:
            import fcntl

            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            return  # the user's share of pipe memory is used up: 64 KiB do as well, in more calls

    def fill(self, source: int) -> int:
        """Take what *source* has; 0 at its end. Raises BlockingIOError when there is nothing, or no room."""
        moved = os.splice(source, self.write_end, _PIPE_BYTES, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        self.held += moved
        return moved

    def pour(self, sink: int) -> int:
        """Give *sink* what it takes. Raises BlockingIOError when it takes nothing."""
        moved = os.splice(self.read_end, sink, self.held, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        self.held -= moved
        return moved

    def take(self) -> bytes:
        """Everything in it, as bytes."""
        parts = []
        while self.held:
            part = os.read(self.read_end, self.held)
            self.held -= len(part)
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


class PipePool:
    """Pipes are lent while a connection is busy and given back when it is idle, so that idle ones have none."""

    def __init__(self) -> None:
        self._spare: list[Pipe] = []

    def lend(self) -> Pipe | None:
        """An empty pipe, or None where there is none to be had."""
        if self._spare:
            return self._spare.pop()
        if not AVAILABLE:
            return None
        try:
            return Pipe()
        except OSError:
            return None  # no file descriptors left: the bytes go through Python instead

    def give_back(self, pipe: Pipe) -> None:
        """*pipe* is not needed any more; with bytes in it, it is closed."""
        if pipe.held or len(self._spare) >= _SPARE:
            pipe.close()
        else:
            self._spare.append(pipe)

    def close(self) -> None:
        while self._spare:
            self._spare.pop().close()
