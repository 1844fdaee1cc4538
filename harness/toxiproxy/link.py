"""One direction of a connection: from a source through the stages of its toxics to a sink."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from harness.net.reactor import Reactor
from harness.toxiproxy.chain import Toxic
from harness.toxiproxy.endpoint import Endpoint
from harness.toxiproxy.splice import Pipe, PipePool
from harness.toxiproxy.toxics.base import Stage

__all__ = ["Link"]

_READ_BYTES: Final = 65_536
_BULK_READS: Final = 4  # full reads one after the other before the kernel is asked to move the bytes
_TURN_BYTES: Final = 4 << 20  # moved for one connection before others have their turn


class Bond(Protocol):
    """The connection that a link belongs to."""

    reactor: Reactor
    pipes: PipePool

    def link_ended(self, link: Link) -> None:
        """The end of the stream was passed on."""
        ...

    def close(self, *, reset: bool = False) -> None: ...


class Link:
    """``stages``: those of the toxics of this direction that were drawn for this connection, in order."""

    __slots__ = (
        "_bond", "_bulk", "_dropped", "_ended", "_pipe", "_seed",
        "ended", "reactor", "received", "sink", "source", "stages",
    )  # fmt: skip

    def __init__(self, bond: Bond, source: Endpoint, sink: Endpoint, toxics: Iterable[Toxic], seed: str) -> None:
        self.reactor = bond.reactor
        self.source = source
        self.sink = sink
        self.received = 0  # bytes
        self.ended = False  # the end of the stream was passed on to the sink
        self.stages: list[tuple[Toxic, Stage | None]] = []
        self._ended = False  # the source has sent its last
        self._dropped = False
        self._bond = bond
        self._seed = seed
        self._bulk = 0
        self._pipe: Pipe | None = None
        for toxic in toxics:
            self.add(toxic)

    # The connection

    def readable(self) -> None:
        """The source has bytes, or has ended."""
        if self._pipe is not None:
            self._splice()
            return
        try:
            data = self.source.socket.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._bond.close(reset=True)
            return
        if not data:
            self._source_ended()
            return
        self.received += len(data)
        first = self._first()
        if first is None:
            self.sink.write(data)
            if len(data) == _READ_BYTES:
                self._bulk += 1
                if self._bulk >= _BULK_READS and not self.sink.waiting:
                    self._begin_to_splice()
            else:
                self._bulk = 0
        else:
            first.feed(data, self.reactor.now())
        if not (self.open or self._dropped):
            self.source.read_off()

    @property
    def open(self) -> bool:
        """Whether the source may be read."""
        if self._ended or self.source.closed or self.sink.full:
            return False
        return all(stage is None or not stage.full for _, stage in self.stages)

    def resume(self) -> None:
        """The sink has drained, or a stage holds less: go on reading."""
        if self._pipe is not None and self._pipe.held:
            self._splice()
            return
        if self.open:
            self.source.read_on()

    def drop(self) -> None:
        """The connection is gone."""
        self._dropped = True
        for _, stage in self.stages:
            if stage is not None:
                stage.dropped()
        if self._pipe is not None:
            self._give_pipe_back()

    # A stage's carrier; the last stage's receiver

    def feed(self, data: bytes, at: float) -> None:
        self.sink.write(data)

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.sink.finish()
            self._bond.link_ended(self)

    def close(self, *, reset: bool = False) -> None:
        self._bond.close(reset=reset)

    # Toxics come, change and go

    def add(self, toxic: Toxic) -> None:
        """*toxic* is the last of the chain from now on."""
        self.stop_splicing()
        stage = self._stage(toxic)
        if stage is not None:
            last = self._last()
            if last is not None:
                last.next = stage
        self.stages.append((toxic, stage))

    def update(self, toxic: Toxic) -> None:
        """The attributes or the toxicity changed: it is drawn again whether it strikes here."""
        self.stop_splicing()
        for index, (other, stage) in enumerate(self.stages):
            if other is not toxic:
                continue
            if toxic.type.passes or not toxic.drawn(toxic.rng(self._seed)):
                self.stages[index] = (toxic, None)
                if stage is not None:
                    self._unlink(stage)
            elif stage is not None:
                stage.updated(toxic.values)
            else:
                self._insert(index, toxic)
        if not self.source.closed:
            self.resume()

    def remove(self, toxic: Toxic) -> None:
        """Taken away: what it held goes on, at once and in order."""
        self.stop_splicing()
        for index, (other, stage) in enumerate(self.stages):
            if other is toxic:
                del self.stages[index]
                if stage is not None:
                    self._unlink(stage)
                break
        if not self.source.closed:
            self.resume()

    def _stage(self, toxic: Toxic) -> Stage | None:
        if toxic.type.passes:
            return None
        rng = toxic.rng(self._seed)
        return toxic.type.stage(toxic.values, self, self, rng) if toxic.drawn(rng) else None

    def _insert(self, index: int, toxic: Toxic) -> None:
        after = next((stage for _, stage in self.stages[index + 1 :] if stage is not None), None)
        before = next((stage for _, stage in reversed(self.stages[:index]) if stage is not None), None)
        stage = toxic.type.stage(toxic.values, self, after or self, toxic.rng(self._seed))
        if before is not None:
            before.next = stage
        self.stages[index] = (toxic, stage)

    def _unlink(self, stage: Stage) -> None:
        before = next((one for _, one in self.stages if one is not None and one.next is stage), None)
        stage.removed()
        stage.dropped()
        if before is not None:
            before.next = stage.next

    def _first(self) -> Stage | None:
        for _, stage in self.stages:
            if stage is not None:
                return stage
        return None

    def _last(self) -> Stage | None:
        for _, stage in reversed(self.stages):
            if stage is not None:
                return stage
        return None

    def _source_ended(self) -> None:
        self._ended = True
        self.source.read_off()
        self.stop_splicing()
        first = self._first()
        (first or self).end()

    # Inside the kernel

    def _begin_to_splice(self) -> None:
        self._bulk = 0
        self._pipe = self._bond.pipes.lend()

    def _splice(self) -> None:
        pipe = self._pipe
        assert pipe is not None
        moved = 0
        try:
            while moved < _TURN_BYTES:
                if not pipe.held:
                    try:
                        taken = pipe.fill(self.source.socket.fileno())
                    except BlockingIOError:
                        self._give_pipe_back()  # idle: it costs nothing from here on
                        self._bulk = _BULK_READS - 1  # but the next full read is taken for more to come
                        break
                    if not taken:
                        self._source_ended()
                        return
                    self.received += taken
                try:
                    poured = pipe.pour(self.sink.socket.fileno())
                except BlockingIOError:
                    self.source.read_off()
                    self.sink.want_write()
                    return
                self.sink.sent += poured
                moved += poured
        except OSError:
            self._bond.close(reset=True)
            return
        self.source.read_on()

    def stop_splicing(self) -> None:
        """Back to bytes in Python; those on their way are first in line."""
        if self._pipe is not None:
            rest = self._pipe.take()
            self._give_pipe_back()
            if rest:
                self.sink.write(rest)

    def _give_pipe_back(self) -> None:
        if self._pipe is not None:
            self._bond.pipes.give_back(self._pipe)
            self._pipe = None
