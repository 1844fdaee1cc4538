"""bandwidth: at most ``rate`` kilobytes (of 1,000 bytes) a second; 0 lets nothing through while it is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from harness.toxiproxy.toxics.base import Attribute, Stage, ToxicType, between

__all__ = ["BANDWIDTH"]

_PIECE_SECONDS = 0.1  # what takes longer is sent in pieces of this
_GRAIN_SECONDS = 0.0005  # a timer for less than this costs more than it is worth: the debt is kept
_TERABYTE = 10**9  # in kilobytes a second: faster is no limit


class BandwidthStage(Stage):
    """Each piece is passed on when the line would have carried it; an idle line earns no credit."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: deque[bytes] = deque()
        self._ended = False
        self._free_at = 0.0  # when the line has carried what was passed on

    def feed(self, data: bytes, at: float) -> None:
        self._waiting.append(data)
        self.held += len(data)
        if len(self._waiting) == 1:
            self._free_at = max(self._free_at, self.carrier.reactor.now())
            if self._load():
                self._carry()

    def end(self) -> None:
        if self._waiting:
            self._ended = True
        else:
            self.next.end()

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        self._cancel()
        self._free_at = self.carrier.reactor.now()
        if self._waiting and self._load():
            self._carry()

    def removed(self) -> None:
        self._cancel()
        now = self.carrier.reactor.now()
        while self._waiting:
            self.next.feed(self._waiting.popleft(), now)
        self.held = 0
        if self._ended:
            self.next.end()

    def _load(self) -> bool:
        """Put the next piece on the line: cut it, and say until when it takes. Not at rate 0."""
        bytes_per_second = self.values["rate"] * 1000
        if bytes_per_second <= 0:
            return False  # until it is updated or removed
        most = max(1, int(bytes_per_second * _PIECE_SECONDS))
        if len(self._waiting[0]) > most:
            first = self._waiting.popleft()
            self._waiting.appendleft(first[most:])
            self._waiting.appendleft(first[:most])
        self._free_at += len(self._waiting[0]) / bytes_per_second
        return True

    def _carry(self) -> None:
        """Pass on what the line has carried by now, and come back for the rest."""
        now = self.carrier.reactor.now()
        while self._waiting:
            if self._free_at > now + _GRAIN_SECONDS:
                self._at(self._free_at, self._carried)
                return
            data = self._waiting.popleft()
            self.held -= len(data)
            self.next.feed(data, now)
            if self._waiting and not self._load():
                return
        if self._ended:
            self._ended = False
            self.next.end()

    def _carried(self) -> None:
        self._timer = None
        self._carry()
        self.carrier.resume()


BANDWIDTH = ToxicType("bandwidth", BandwidthStage, (Attribute("rate", check=between(0, _TERABYTE)),))
