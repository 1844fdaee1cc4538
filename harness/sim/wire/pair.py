"""``socket.socketpair`` inside a run: two ends of one connection, both in the same process, without latency."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from harness.sim import world as _world
from harness.sim.wire.stream import StreamSocket

if TYPE_CHECKING:
    from harness.sim.world import World

__all__ = ["PairSocket", "socketpair"]


class PairSocket(StreamSocket):
    """One end. What is written to it can be read from the other at once."""

    family = 1  # AF_UNIX
    proto = 0
    _takes_time = False

    def __init__(self, world: World) -> None:
        super().__init__(world, ("", 0), 0, None)
        self.other: PairSocket | None = None

    def _received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.deliver(data, self._kernel.now_us)

    def _check_writable(self) -> None:
        if self._kernel.closing:
            self._kernel.refuse()
        if self.other is None or self.other._closed or _world.current() is not self._world:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def _hung_up(self) -> None:
        if self.other is not None:
            self.other.end()

    def shutdown(self, how: int) -> None:
        """Ends what it sends (1, 2) and what it reads (0, 2), as the operating system's do."""
        if how != 0 and self.other is not None:
            self.other.end()
        if how != 1:
            self.end()

    def getpeername(self) -> str:  # type: ignore[override]  # a Unix socket without a name
        return ""

    def getsockname(self) -> str:  # type: ignore[override]  # as above
        return ""


def socketpair(world: World) -> tuple[PairSocket, PairSocket]:
    """Two connected sockets, blocking as new sockets are."""
    one, other = PairSocket(world), PairSocket(world)
    one.other, other.other = other, one
    return one, other
