"""slicer: data in small pieces of about ``average_size`` bytes, ``delay`` microseconds apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, at_least, between

__all__ = ["SLICER"]


_MOST_KEPT = 256  # pieces whose boundaries are worth remembering


class SlicerStage(Stage):
    """Each piece is sent by itself; the next one waits for the delay, also when it comes later."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._sent_at = 0.0

    def feed(self, data: bytes, at: float) -> None:
        self.held += len(data)
        self._waiting.extend(self.slices(data))
        if self._timer is None:
            self._send()

    def end(self) -> None:
        if self._waiting or self._timer is not None:
            self._ended = True
        else:
            self.next.end()

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        if self._timer is not None:
            self._at(self._sent_at + self.values["delay"] / 1_000_000, self._send)

    def removed(self) -> None:
        self._cancel()
        self._flush()
        if self._ended:
            self._ended = False
            self.next.end()

    def slices(self, data: bytes) -> list[bytes]:
        """*data* halved, give or take the variation, until each piece is small enough: Toxiproxy's way."""
        average, variation = self.values["average_size"], self.values["size_variation"]
        if not variation:
            halves = _halves if len(data) <= _MOST_KEPT * average else _halves.__wrapped__
            return [data[start:stop] for start, stop in halves(len(data), average)]
        pieces: list[bytes] = []
        todo = [(0, len(data))]
        while todo:
            start, stop = todo.pop()
            if stop - start - average <= variation:
                if stop > start:
                    pieces.append(data[start:stop])
                continue
            middle = start + (stop - start) // 2 + self.rng.randrange(-variation, variation)
            middle = min(max(middle, start + 1), stop - 1)
            todo.append((middle, stop))
            todo.append((start, middle))
        return pieces

    def _send(self) -> None:
        self._timer = None
        delay = self.values["delay"] / 1_000_000
        now = self.carrier.reactor.now()
        while self._waiting:
            piece = self._waiting.popleft()
            self.held -= len(piece)
            self.next.feed(piece, now)
            if delay:
                self._sent_at = now
                self._at(now + delay, self._send)
                break
        self.carrier.resume()
        if self._ended and not self._waiting and self._timer is None:
            self._ended = False
            self.next.end()

    def _flush(self) -> None:
        now = self.carrier.reactor.now()
        rest, self._waiting, self.held = b"".join(self._waiting), deque(), 0
        if rest:
            self.next.feed(rest, now)


@lru_cache(256)
def _halves(length: int, average: int) -> tuple[tuple[int, int], ...]:
    """Where the pieces begin and end that halving leaves, none longer than *average*."""
    pieces, todo = [], [(0, length)]
    while todo:
        start, stop = todo.pop()
        if stop - start <= average:
            pieces.append((start, stop))
            continue
        middle = start + (stop - start) // 2
        todo += [(middle, stop), (start, middle)]
    return tuple(pieces)


def _fits(values: Mapping[str, Any]) -> str:
    if values["size_variation"] > values["average_size"]:
        return "size_variation must not be above average_size"
    return ""


SLICER = ToxicType(
    "slicer",
    SlicerStage,
    (
        Attribute("average_size", check=at_least(1)),
        Attribute("size_variation", check=at_least(0)),
        Attribute("delay", check=between(0, MAX_MILLISECONDS * 1000)),
    ),
    together=_fits,
)
