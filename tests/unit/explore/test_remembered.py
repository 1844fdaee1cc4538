"""Findings are kept in a Hypothesis database, tried first by the next search, and forgotten once they are mended."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis.database import DirectoryBasedExampleDatabase, InMemoryExampleDatabase, MultiplexedDatabase

from harness import Fault
from harness.errors import UsageError
from harness.explore.minimise import Candidate
from harness.explore.remembered import Remembered, database_of
from harness.explore.schedules import Schedule
from harness.explore.search import search
from harness.faults.plan import FaultPlan
from tests.unit.explore.searched import careful, hasty, made

_CRASH = Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=5)


def test_a_candidate_comes_back_as_it_was() -> None:
    """Plan, seed, messages, tape and level; another scenario's are not mixed in."""
    database = InMemoryExampleDatabase()
    first, other = Remembered(database, "first"), Remembered(database, "other")
    candidate = Candidate(FaultPlan([_CRASH]), 7, 2, Schedule("tape", tape=(0, 1)), "calls")
    first.save(candidate)
    assert first.fetch() == [candidate]
    assert other.fetch() == []
    first.delete(candidate)
    assert first.fetch() == []


@pytest.mark.parametrize(
    "value",
    [
        b"\xff",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1, "plan": {}, "seed": 0, "messages": null, "schedule": [], "preempt": null}',
        b'{"version": 1, "plan": {"version": 1, "faults": []}, "seed": "0", "messages": null, "schedule": [], '
        b'"preempt": null}',
        b'{"version": 1, "plan": {"version": 1, "faults": []}, "seed": 0, "messages": null, "schedule": [-1], '
        b'"preempt": null}',
    ],
)
def test_what_cannot_be_read_is_deleted(value: bytes) -> None:
    """An entry of another version, or one that somebody else has put there, does not stop a search."""
    database = InMemoryExampleDatabase()
    database.save(b"harness search/one", value)
    assert Remembered(database, "one").fetch() == []
    assert list(database.fetch(b"harness search/one")) == []


def test_the_next_search_begins_with_what_was_found() -> None:
    """The second search finds at once what the first took many runs for."""
    database, scenario = InMemoryExampleDatabase(), made(hasty, 3)
    first = search(scenario, examples=60, kinds=["crash"], first=True, database=database)
    assert "no-message-loss" in [one.invariant for one in first.findings]
    second = search(scenario, examples=1, kinds=["reorder"], seed=99, database=database)
    assert second.again == second.still >= second.tried == 1
    assert "no-message-loss" in [one.invariant for one in second.findings]
    assert second.clean == 0


def test_what_is_mended_is_forgotten() -> None:
    """The same scenario with a right consumer: tried, not found, and not tried again."""
    database = InMemoryExampleDatabase()
    Remembered(database, "searched").save(Candidate(FaultPlan([_CRASH]), 0, 1, Schedule("tape")))
    first = search(made(careful, 2), examples=2, kinds=["reorder"], database=database)
    assert (first.again, first.still, first.findings) == (1, 0, ())
    assert search(made(careful, 2), examples=1, kinds=["reorder"], database=database).again == 0


def test_it_changes_nothing_of_what_is_drawn() -> None:
    """After what is remembered come the same candidates as without it, with the same bound."""
    database = InMemoryExampleDatabase()
    scenario = made(careful, 2)
    without = search(scenario, examples=6, kinds=["reorder"])
    Remembered(database, "searched").save(Candidate(FaultPlan([_CRASH]), 0, 1, Schedule("tape")))
    with_one = search(scenario, examples=7, kinds=["reorder"], database=database)
    assert with_one.clean == without.clean
    assert {kind for _, kind, _ in with_one.coverage} - {"crash"} == {kind for _, kind, _ in without.coverage}


def test_which_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, none, a Redis server, a CI job's artifact beside the folder."""
    monkeypatch.chdir(tmp_path)
    assert database_of("none") is None
    assert isinstance(database_of("some/folder"), DirectoryBasedExampleDatabase)
    assert type(database_of("redis://127.0.0.1:1")).__name__ == "RedisExampleDatabase"
    assert isinstance(database_of("github:owner/repo"), MultiplexedDatabase)


@pytest.mark.parametrize("text", ["", "ftp://x", "github:owner", "github:a/b/c", "redis://host:port", "file"])
def test_no_database(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What names none is refused, with what to give."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--database: is .*Give a folder, redis"):
        database_of(text)


def test_a_folder_is_hypothesis_own(tmp_path: Path) -> None:
    """What one process keeps there another one reads."""
    candidate = Candidate(FaultPlan([_CRASH]), 0, None, Schedule("tape"))
    for _ in range(2):
        Remembered(DirectoryBasedExampleDatabase(tmp_path), "one").save(dataclasses.replace(candidate))
    assert Remembered(DirectoryBasedExampleDatabase(tmp_path), "one").fetch() == [candidate]
