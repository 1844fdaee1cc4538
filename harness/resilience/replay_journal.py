"""What a replay remembers, so that one that died can go on without sending anything twice.

A dead letter is *begun* before it is sent and *sent* when the target accepted
it; then it is deleted. Found again by the next replay, one that was sent is
only deleted. One that was begun and no more is *unsure*: the answer was lost,
or the process died while it waited for it. Nobody can ask SQS whether such a
message arrived; what becomes of it is the caller's choice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import IO, Protocol

from harness.resilience.idempotency import DEFAULT_TTL_SECONDS, IdempotencyStore, Status, new_owner

__all__ = ["FileJournal", "MemoryJournal", "ReplayJournal", "Sending", "StoreJournal"]


class Sending(StrEnum):
    """What a journal knows of a dead letter."""

    NEW = "new"
    UNSURE = "unsure"
    SENT = "sent"


class ReplayJournal(Protocol):
    """Remembers by the dead letters' message ids. Each method has taken effect for good when it returns."""

    def begin(self, ids: Iterable[str]) -> dict[str, Sending]:
        """These are about to be sent; returns what was known of each before."""
        ...

    def sent(self, ids: Iterable[str]) -> None:
        """The target accepted them."""
        ...

    def refused(self, ids: Iterable[str]) -> None:
        """The target certainly did not accept them: they are new again."""
        ...


class MemoryJournal:
    """For one run: knows what was sent if a delete fails."""

    def __init__(self) -> None:
        self.states: dict[str, Sending] = {}

    def begin(self, ids: Iterable[str]) -> dict[str, Sending]:
        before = {key: self.states.get(key, Sending.NEW) for key in ids}
        for key, state in before.items():
            if state is Sending.NEW:
                self.states[key] = Sending.UNSURE
        return before

    def sent(self, ids: Iterable[str]) -> None:
        self.states.update(dict.fromkeys(ids, Sending.SENT))

    def refused(self, ids: Iterable[str]) -> None:
        for key in ids:
            self.states.pop(key, None)


class FileJournal(MemoryJournal):
    """A file of JSON Lines, on the disk before anything is sent. Use it in a ``with`` block, or close it.

    The same file serves the replay that goes on. One file is for one
    dead-letter queue: its first line names it.

    Raises:
        ValueError: the file is of another queue, or no journal.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path | str, dlq_url: str) -> None:
        super().__init__()
        self.path = Path(path)
        # After the last newline stands at most a line that a crash cut off: what it tells of had not begun.
        whole, newline, rest = (self.path.read_text("utf-8") if self.path.exists() else "").rpartition("\n")
        header = json.dumps({"journal": "dead-letter replay", "version": 1, "dlq": dlq_url})
        if rest and not newline and not header.startswith(rest):
            raise self._no_journal(1)
        self._read(whole, dlq_url)
        self._file: IO[str] = self.path.open("a", encoding="utf-8")
        if rest:
            self._file.truncate(len((whole + newline).encode()))
        if not whole:
            self._append(header + "\n")

    def _no_journal(self, line: int) -> ValueError:
        return ValueError(f"{self.path} is no journal of a replay (line {line}); give another path")

    def _read(self, text: str, dlq_url: str) -> None:
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                record = json.loads(line)
                if number == 1:
                    known = record["dlq"]
                elif record["state"] == "refused":
                    self.states.pop(record["id"], None)
                else:
                    self.states[record["id"]] = Sending(record["state"])
            except (ValueError, KeyError, TypeError):
                raise self._no_journal(number) from None
            if number == 1 and known != dlq_url:
                raise ValueError(f"{self.path} is the journal of {known}, not of {dlq_url}; give another path")

    def begin(self, ids: Iterable[str]) -> dict[str, Sending]:
        before = super().begin(ids)
        self._write([{"state": "unsure", "id": key} for key, state in before.items() if state is Sending.NEW])
        return before

    def sent(self, ids: Iterable[str]) -> None:
        keys = list(ids)
        super().sent(keys)
        self._write([{"state": "sent", "id": key} for key in keys])

    def refused(self, ids: Iterable[str]) -> None:
        keys = list(ids)
        super().refused(keys)
        self._write([{"state": "refused", "id": key} for key in keys])

    def _write(self, records: list[dict[str, object]]) -> None:
        if records:
            self._append("".join(json.dumps(record) + "\n" for record in records))

    def _append(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> FileJournal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class StoreJournal:
    """A journal in a store of claims (Redis), for replays that run where no disk outlives them.

    A claim is held from *begun* on and completed when *sent*. Two replays of
    one queue at the same time share it. What the store loses (a failover) the
    journal forgets.
    """

    def __init__(self, store: IdempotencyStore, dlq_url: str) -> None:
        self._store = store
        self._prefix = f"replay:{dlq_url}:"
        self._owner = new_owner()
        self._mine: set[str] = set()

    def begin(self, ids: Iterable[str]) -> dict[str, Sending]:
        before = {}
        for key in ids:
            status = self._store.begin(self._prefix + key, self._owner, DEFAULT_TTL_SECONDS).status
            new = status is Status.STARTED and key not in self._mine
            before[key] = Sending.SENT if status is Status.COMPLETED else Sending.NEW if new else Sending.UNSURE
            if status is Status.STARTED:
                self._mine.add(key)
        return before

    def sent(self, ids: Iterable[str]) -> None:
        for key in ids:
            self._store.complete(self._prefix + key, self._owner, None, DEFAULT_TTL_SECONDS)

    def refused(self, ids: Iterable[str]) -> None:
        for key in ids:
            self._store.release(self._prefix + key, self._owner)
            self._mine.discard(key)
