"""The datasets of a simulated Redis, and the journal by which their last writes can be lost."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fakeredis._core import _database

if TYPE_CHECKING:
    from harness.sim.services.redis_engine import Engine

__all__ = ["Dataset", "Datasets", "Journal"]


class Journal:
    """What each key held before each write of the last *seconds*, so that those writes can be lost."""

    def __init__(self, seconds: float, now_us: Callable[[], int]) -> None:
        self.seconds = seconds
        self.writing = False
        self._kept_us = round(seconds * 1_000_000)
        self._now_us = now_us
        self._entries: deque[tuple[int, Dataset, bytes, tuple[Any, float | None] | None]] = deque()
        self._touched: set[tuple[int, bytes]] = set()

    def begin(self, writing: bool) -> None:
        """A command begins; only what a *writing* one touches is kept."""
        self.writing = writing
        self._touched.clear()
        limit_us = self._now_us() - self._kept_us
        while self._entries and self._entries[0][0] < limit_us:
            self._entries.popleft()

    def touch(self, dataset: Dataset, key: bytes) -> None:
        """Keep what *key* holds now, once a command."""
        mark = (dataset.index, key)
        if self.writing and mark not in self._touched:
            self._touched.add(mark)
            item = dataset._dict.get(key)
            before = None if item is None else (_copied(item.value), item.expireat)
            self._entries.append((self._now_us(), dataset, key, before))

    def undo(self, since_us: int) -> set[tuple[int, bytes]]:
        """Undo the writes after *since_us*; returns the keys (database, key) that are gone because of it."""
        past: dict[tuple[int, bytes], tuple[Dataset, tuple[Any, float | None] | None]] = {}
        while self._entries and self._entries[-1][0] > since_us:
            _, dataset, key, before = self._entries.pop()
            past[dataset.index, key] = (dataset, before)
        gone = set()
        for (index, key), (dataset, before) in past.items():
            if before is None:
                if dataset._dict.pop(key, None) is not None:
                    gone.add((index, key))
                continue
            item: Any = _database.Item(before[0])
            item.expireat = before[1]
            dataset._dict[key] = item
            dataset.schedule_expiry(key, item.expireat)
        return gone


def _copied(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return list(value)
    return copy.deepcopy(value)


class Dataset(_database.Database):
    """One numbered database; tells the journal of each key before a command gets at it."""

    def __init__(self, engine: Engine, index: int) -> None:
        super().__init__(None)
        self.index = index
        self.condition: Any = _Changes(engine)
        self._journal = engine.journal
        self._engine = engine

    def notify_watch(self, key: bytes) -> None:
        if self._engine.after_command is not None:
            self._engine.touched.add((self.index, key))
        super().notify_watch(key)

    def __getitem__(self, key: bytes) -> Any:
        if self._journal is not None and key in self._dict:
            self._journal.touch(self, key)
        return super().__getitem__(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        if self._journal is not None:
            self._journal.touch(self, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: bytes) -> None:
        if self._journal is not None:
            self._journal.touch(self, key)
        super().__delitem__(key)

    def clear(self) -> None:
        if self._journal is not None:
            for key in list(self._dict):
                self._journal.touch(self, key)
        super().clear()

    def swap(self, other: Any) -> None:
        if self._journal is not None:
            for dataset in (self, other):
                for key in {**self._dict, **other._dict}:
                    self._journal.touch(dataset, key)
        super().swap(other)


class _Changes:
    """Stands for the condition that fakeredis's blocking commands wait on: notes that something changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def notify_all(self) -> None:
        self._engine.changed = True


class Datasets(dict[int, Dataset]):
    """The numbered databases, made when first asked for."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def __missing__(self, index: int) -> Dataset:
        dataset = self[index] = Dataset(self._engine, index)
        return dataset
