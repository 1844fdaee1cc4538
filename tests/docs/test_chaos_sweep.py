"""The page about sweeping one's own tests is true: its project is swept as it says, and its report compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.explore.guests import EXCUSED
from harness.sim.wire import mocked_aws, mocked_redis
from tests.docs.pages import DOCS, blocks, commands

PAGE = DOCS / "chaos-sweep.md"


def test_the_report_is_as_shown(tmp_path: Path) -> None:
    """Every line under the command is a line of its output, in this order."""
    for block in blocks(PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
    (command,) = [one for block in blocks(PAGE) if block.language == "console" for one in commands(block)]
    program, *arguments = command.arguments(os.environ)
    assert program == "pytest"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    shown = [line.strip() for line in command.output]
    assert len(shown) > 3
    assert [line for line in lines if line in shown] == shown, done.stdout


@pytest.mark.parametrize(
    "names", [EXCUSED, mocked_aws.KINDS_OF_SQS, mocked_redis.KINDS], ids=["excused", "sqs", "redis"]
)
def test_every_kind_is_named(names: frozenset[str]) -> None:
    """What may be answered with an error, and what can strike a mock."""
    text = PAGE.read_text()
    unnamed = [name for name in names if f"`{name}`" not in text and name != "reorder"]
    assert unnamed == []
