"""What is known of each server, made of recordings."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.fidelity.known import FILE, SERVERS, dumps, known, of_recording, steady
from harness.fidelity.table import by_id


def recording(*cases: tuple[str, str, str], version: int = 1) -> dict[str, object]:
    found = [{"id": id, "outcome": outcome, "detail": detail} for id, outcome, detail in cases]
    return {"version": version, "date": "2026-11-24T10:00:00+00:00", "region": "eu-west-1", "cases": found}


def test_of_recordings() -> None:
    """Same is an empty text, a difference its text, what was left out is not there; the first recording counts."""
    first = recording(("a", "same", ""), ("b", "differs", "other"), ("c", "left out", "waits"), ("d", "error", "gone"))
    second = recording(("b", "same", ""), ("c", "same", ""))
    found = of_recording([first, second], version="1.0")
    assert found.rows == {"a": "", "b": "other", "c": ""}
    assert (found.version, found.date, found.region) == ("1.0", "2026-11-24", "eu-west-1")


def test_another_format_is_refused() -> None:
    """A file that is no recording of this version is named as such, with the command that makes one."""
    with pytest.raises(UsageError, match="harness conformance sqs --json"):
        of_recording([recording(version=2)])


def test_steady() -> None:
    """What differs from run to run is left out of a difference's text."""
    text = "id 8a3f5a08-0c1e-4d2b-9f2a-5b7c1d2e3f40 of http://127.0.0.1:5000/123456789012/x took 1.5 s at 1795544723.9"
    assert steady(text) == "id … of http://…/000000000000/x took … s at …"
    assert steady("SequenceNumber is '65'") == "SequenceNumber is '…'"


def test_the_file_is_as_it_is_written() -> None:
    """The file is what writing it again gives, names known servers and known rules only."""
    servers = known()
    assert FILE.read_text(encoding="utf-8") == dumps(servers)
    assert set(servers) <= set(SERVERS)
    for server in servers.values():
        assert set(server.rows) <= set(by_id())
