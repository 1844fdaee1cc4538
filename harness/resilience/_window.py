"""Sums over the last so many seconds."""

from __future__ import annotations

from collections import deque

__all__ = ["SlidingSums"]


class SlidingSums:
    """Several sums over a sliding window, in time slots. Not thread-safe: its owner has a lock.

    An amount counts for *seconds* less up to one slot (a tenth, with ten
    slots). Memory is bounded by the number of slots, whatever the traffic.
    """

    __slots__ = ("_length", "_slots", "_sums", "_width", "totals")

    def __init__(self, seconds: float, *, slots: int, width: int) -> None:
        self._length = seconds / slots
        self._width = width
        self._slots = slots
        self._sums: deque[tuple[int, list[float]]] = deque()
        self.totals: list[float] = [0.0] * width

    def advance(self, now: float) -> list[float]:
        """Let go of what is too old at *now* (seconds of the owner's clock); returns the totals."""
        oldest = int(now // self._length) - self._slots
        sums, totals = self._sums, self.totals
        while sums and sums[0][0] <= oldest:
            for place, amount in enumerate(sums.popleft()[1]):
                totals[place] -= amount
        return totals

    def add(self, now: float, place: int, amount: float) -> None:
        """Count *amount* for the sum at *place*."""
        self.advance(now)
        slot = int(now // self._length)
        sums = self._sums
        if not sums or sums[-1][0] < slot:  # a clock that went back adds to the newest slot
            sums.append((slot, [0.0] * self._width))
        sums[-1][1][place] += amount
        self.totals[place] += amount

    def slot_end(self, now: float) -> float:
        """When the slot of *now* ends."""
        return (now // self._length + 1) * self._length

    def clear(self) -> None:
        self._sums.clear()
        self.totals = [0.0] * self._width
