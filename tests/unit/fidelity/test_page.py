"""docs/sqs-fidelity.md is what the table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.fidelity import page
from harness.fidelity.known import Known
from harness.fidelity.table import rows

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_is_current() -> None:
    """The committed page is what would be written now; if not: python -m benchmarks.fidelity."""
    assert (DOCS / "sqs-fidelity.md").read_text(encoding="utf-8") == page.render()


def test_every_rule_has_a_line() -> None:
    """Each rule stands in the page with its number and its id."""
    text = page.render()
    for row in rows():
        assert f"\n| {row.number} | " in text
        assert f"`{row.id}`" in text


def test_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yes, the difference, not tried, not yet: each where it belongs; our own recording of AWS beats others'."""
    servers = {
        "memory": Known(rows={"create-answers-url": ""}),
        "moto": Known("1.0", rows={"create-answers-url": "says <x>|y"}),
        "aws": Known(date="2026-12-01", region="eu-west-1", rows={"create-answers-url": ""}),
    }
    monkeypatch.setattr(page, "known", lambda: servers)
    lines = {line.split(" | ")[0]: line for line in page.render().splitlines() if line.startswith("| ")}
    cells = lines["| 101"].split(" | ")
    assert cells[3:] == ["yes", "says &lt;x&gt;\\|y", "not yet", "2026-12-01, eu-west-1 |"]
    assert lines["| 102"].split(" | ")[3:6] == ["not tried", "not tried", "not yet"]
    assert "Our own recording: 2026-12-01, eu-west-1." in page.render()
