"""What each server was found to do with the rules of the table, kept in ``known.json``.

The file is made of recordings (``harness conformance sqs --json``), so that a
server's column is what it answered and nobody's opinion:
``python -m benchmarks.fidelity --recording NAME=FILE``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.fidelity.recording import VERSION

__all__ = ["FILE", "SERVERS", "Known", "dumps", "known", "of_recording", "steady"]

FILE = Path(__file__).with_name("known.json")

#: The servers that have a column: name in the file -> heading.
SERVERS: Mapping[str, str] = {
    "memory": "the harness",
    "moto": "moto",
    "elasticmq": "ElasticMQ",
    "aws": "AWS",
}


@dataclass(frozen=True)
class Known:
    """What one server was found to do."""

    #: Of the server, as its column shows it.
    version: str = ""
    #: When it was tried; empty where that says nothing.
    date: str = ""
    region: str = ""
    #: By id: "" where it does as AWS, else what it does instead. What is missing was not tried.
    rows: Mapping[str, str] = field(default_factory=dict)

    @property
    def differences(self) -> int:
        """On how many rules it does otherwise than AWS."""
        return sum(bool(detail) for detail in self.rows.values())

    def to_json(self) -> dict[str, Any]:
        head = {name: value for name, value in vars(self).items() if name != "rows" and value}
        return {**head, "rows": dict(self.rows)}


@functools.cache
def known() -> Mapping[str, Known]:
    """What is known, by server; who is not in it was never tried."""
    return {name: Known(**value) for name, value in json.loads(FILE.read_text(encoding="utf-8")).items()}


def dumps(servers: Mapping[str, Known]) -> str:
    """The file's text."""
    plain = {name: servers[name].to_json() for name in SERVERS if name in servers}
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def of_recording(recordings: Iterable[Mapping[str, Any]], *, version: str = "", dated: bool = True) -> Known:
    """What recordings of one server say together; of a rule that several tried the first counts.

    Raises:
        UsageError: one is of another format.
    """
    rows: dict[str, str] = {}
    date = region = ""
    for recording in recordings:
        if recording.get("version") != VERSION or "cases" not in recording:
            raise UsageError(
                "is no recording of this version", remedy="Make one with: harness conformance sqs --json FILE"
            )
        date, region = date or recording["date"][:10], region or recording["region"]
        for found in recording["cases"]:
            if found["outcome"] == "same":
                rows.setdefault(found["id"], "")
            elif found["outcome"] == "differs":
                rows.setdefault(found["id"], steady(found["detail"]))
    return Known(version, date if dated else "", region if dated else "", rows)


_UNSTEADY = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "…"),  # ids
    (re.compile(r"https?://[A-Za-z0-9.:-]+"), "http://…"),
    (re.compile(r"conf(ormance)?-[a-z0-9-]*\d+-\d+"), "queue"),
    (re.compile(r"\b\d{12}\b"), "000000000000"),
    (re.compile(r"(?<!\d)(\d{10}(\.\d+)?|\d{13}|\d{20})(?!\d)"), "…"),  # times, sequence numbers
    (re.compile(r"[A-Za-z0-9+/]{60,}=*"), "…"),  # handles
    (re.compile(r"(?<=SequenceNumber is ')\d+"), "…"),
    (re.compile(r"took \d+\.\d+ s"), "took … s"),
)


def steady(text: str) -> str:
    """*text* without what differs from run to run."""
    for pattern, replacement in _UNSTEADY:
        text = pattern.sub(replacement, text)
    return text
