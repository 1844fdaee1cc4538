"""docs/kernel.md names a test for each row of the contract: the tests must be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "kernel.md").read_text()


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_test_that_the_contract_names_exists() -> None:
    """A row whose test was renamed or removed fails here."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 45
    missing = [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)]
    assert missing == []


def test_every_row_of_the_tables_names_a_test() -> None:
    """No promise without a test."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| what"))]
    assert len(rows) > 40
    assert [row for row in rows if "`tests/" not in row] == []
