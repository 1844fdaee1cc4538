"""docs/invariants.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import invariants
from harness.invariants import page


def test_the_page_is_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/invariants.md is what the code says; a stale page is told, with the command that mends it."""
    assert page.main(["--check"]) == 0
    path = tmp_path / "page.md"
    assert page.main(["--check", str(path)]) == 1
    assert "run python -m harness.invariants.page" in capsys.readouterr().err
    assert page.main([str(path)]) == 0
    assert page.main(["--check", str(path)]) == 0


def test_every_invariant_has_its_paragraph() -> None:
    """Each name is a heading, followed by its call with the values that stand where none is given."""
    text = page.document()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(invariants.NAMES)
    assert "`invariants.no_flapping(apart=20.0, at_most=6, window=300.0)`\n" in text
    assert "`invariants.alarms_fire_and_clear(*alarms, within=180.0)`\n" in text
    assert "`invariants.not_stuck()`, on by default\n" in text
    assert "`invariants.fifo_order()`, on by default where a run shows something to judge\n" in text


def test_no_markup_of_docstrings_is_left() -> None:
    """References and double backticks of docstrings are Markdown in the page."""
    assert not [mark for mark in ("``", ":func:", ":class:", ":data:") if mark in page.document()]
