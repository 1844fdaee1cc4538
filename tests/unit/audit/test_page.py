"""docs/audit.md shows what the command says, and every rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.audit import RULES
from harness.cli import run_command

PAGE = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()


def test_every_rule_is_on_the_page() -> None:
    """With what it asks, what is at stake, AWS's page and what shows the damage; and no rule that is not there."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \| (.*) \| \[AWS\]\((.*)\) \| `(.*)` \|$", PAGE, re.M)
    assert rows == [(rule.id, rule.title, rule.stake, rule.source, rule.shown_by) for rule in RULES]


def test_the_example_says_what_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's template gives the page's output, line by line."""
    monkeypatch.chdir(tmp_path)
    template, output = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.S) for kind in ("yaml", "console"))
    assert template is not None
    assert output is not None
    Path("template.yaml").write_text(template[1])
    run: Callable[..., int] = run_command
    code = run(("audit", "template.yaml"))
    said = capsys.readouterr().out
    assert output[1] == f"$ harness audit template.yaml\n{said}$ echo $?\n{code}\n"
