"""Journals of replays: what they know after a crash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.resilience.idempotency import MemoryIdempotencyStore
from harness.resilience.replay_journal import FileJournal, ReplayJournal, Sending, StoreJournal

DLQ = "https://sqs.example/1/orders-dlq"


class Kept:
    """Journals one after the other over the same memory: what each next process opens."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.path = folder / "journal"
        self.store = MemoryIdempotencyStore()
        self.made: list[FileJournal] = []

    def open(self) -> ReplayJournal:
        if self.kind == "store":
            return StoreJournal(self.store, DLQ)
        self.made.append(FileJournal(self.path, DLQ))
        return self.made[-1]

    def close(self) -> None:
        for journal in self.made:
            journal.close()


@pytest.mark.parametrize("kind", ["file", "store"])
def test_what_the_next_run_knows(kind: str, tmp_path: Path) -> None:
    """Begun is unsure, accepted is sent, refused is new: for this run and for the one that comes after."""
    kept = Kept(kind, tmp_path)
    journal = kept.open()
    assert journal.begin(["a", "b", "c"]) == dict.fromkeys("abc", Sending.NEW)
    journal.sent(["a"])
    journal.refused(["b"])
    expected = {"a": Sending.SENT, "b": Sending.NEW, "c": Sending.UNSURE}
    assert journal.begin(["a", "b", "c"]) == expected
    journal.refused(["b"])
    assert kept.open().begin(["a", "b", "c"]) == expected
    again = kept.open()
    again.begin(["c"])
    again.sent(["c"])
    assert kept.open().begin(["c"]) == {"c": Sending.SENT}
    kept.close()


def test_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """A crash while a line was written: that line had not happened, the others hold, and the file goes on."""
    path = tmp_path / "journal"
    with FileJournal(path, DLQ) as journal:
        journal.begin(["a"])
        journal.sent(["a"])
    path.write_bytes(path.read_bytes() + b'{"state": "uns')
    with FileJournal(path, DLQ) as journal:
        assert journal.begin(["a", "b"]) == {"a": Sending.SENT, "b": Sending.NEW}
    assert [json.loads(line) for line in path.read_text().splitlines()][-1] == {"state": "unsure", "id": "b"}


def test_a_header_that_was_cut_off(tmp_path: Path) -> None:
    """Killed while the first line was written: the file is begun again."""
    path = tmp_path / "journal"
    path.write_text('{"journal": "dead-le')
    with FileJournal(path, DLQ) as journal:
        journal.begin(["a"])
    with FileJournal(path, DLQ) as journal:
        assert journal.begin(["a"]) == {"a": Sending.UNSURE}


@pytest.mark.parametrize("text", ["shopping list\n", "shopping list", '{"a": 1}\n', "[]\n"])
def test_another_file_is_not_overwritten(text: str, tmp_path: Path) -> None:
    """A file that is no journal is refused and stays as it is."""
    path = tmp_path / "notes"
    path.write_text(text)
    with pytest.raises(ValueError, match="no journal"):
        FileJournal(path, DLQ)
    assert path.read_text() == text


def test_the_journal_of_another_queue(tmp_path: Path) -> None:
    """It would know ids that mean nothing here."""
    FileJournal(tmp_path / "j", DLQ).close()
    with pytest.raises(ValueError, match="orders-dlq"):
        FileJournal(tmp_path / "j", "https://sqs.example/1/others")
