"""Likely causes of a difference, from what was seen of both runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.explore.difference import Difference
from harness.explore.suspects import suspect
from harness.explore.witness import Witness


def differing(**fields: tuple[Any, Any]) -> Difference:
    same = {"n": 1, "t": 0.0, "actor": "w", "kind": "effect"}
    first, second = ({**same, **{name: pair[side] for name, pair in fields.items()}} for side in (0, 1))
    return Difference(1, first, second)


def seen(file: Path, line: int, function: str) -> Witness:
    witness = Witness()
    witness.stacks = [((str(file), line, function),)]
    return witness


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("for x in set(names):\n        do(x)", "set order: code.py:2 iterates over a set"),
        ("chosen = {1, 2}\n    do(sorted(names))\n    for x in chosen:\n        do(x)", "set order: code.py:4"),
        ("do([x for x in names.union(others)])", "set order: code.py:2"),
        ("for x in os.listdir('.'):\n        do(x)", "real I/O: code.py:2 iterates over a directory"),
        ("do(hash(names))", "an address: code.py:2 calls hash()"),
        ("for x in sorted(set(names)):\n        do(x)", "key differ"),
        ("do(names)", "key differ"),
    ],
)  # fmt: skip
def test_the_source_tells(tmp_path: Path, body: str, cause: str) -> None:
    """A loop over a set or a directory and an address are found where the event was written; a sorted set is not."""
    file = tmp_path / "code.py"
    file.write_text(f"def work(names):\n    {body}\n")
    witness = seen(file, 2, "work")
    assert suspect(differing(key=("a", "b")), witness, witness).startswith(cause)


def test_a_value_of_today_is_a_real_clock(tmp_path: Path) -> None:
    """Numbers of the present in any unit, and its date; a number of the run's own clock is not."""
    nothing = seen(tmp_path / "no.py", 1, "work")
    now = time.time()
    today = datetime.now(UTC).isoformat()
    for pair in ((now, now + 1), (int(now * 1e9), int(now * 1e9) + 5), (f"at {today}", f"at {today}x")):
        assert suspect(differing(key=pair), nothing, nothing).startswith("a real clock")
    virtual = 1_893_456_000.5
    assert "clock" not in suspect(differing(key=(virtual, virtual + 1)), nothing, nothing).partition(":")[0]


def test_threads_and_reads_come_from_what_was_seen(tmp_path: Path) -> None:
    """A real thread explains most; then what was read before the event that differs."""
    first, second = seen(tmp_path / "no.py", 1, "work"), seen(tmp_path / "no.py", 1, "work")
    second.reads = [(0, "open x.txt", "code.py:3"), (5, "open later", "code.py:9")]
    assert suspect(differing(key=("a", "b")), first, second).startswith("real I/O: open x.txt at code.py:3")
    second.threads = 2
    assert suspect(differing(key=("a", "b")), first, second).startswith("a thread: 2 real threads")
