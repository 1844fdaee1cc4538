"""``harness doctor`` says which programs live runs can use, and how to get the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import run_command


@pytest.mark.parametrize("there", [True, False])
def test_programs_of_live_runs(
    there: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their places; what is missing costs no exit code, since something else takes its place."""
    found: Callable[[str], str | None] = lambda name: f"/opt/{name}" if there else None  # noqa: E731
    monkeypatch.setattr(shutil, "which", found)
    assert run_command(["doctor"]) == 0
    text = capsys.readouterr().out
    for name in ("redis-server", "toxiproxy-server", "java", "go"):
        assert (f"✓ {name}: /opt/{name}" if there else f"– {name}: not here") in text
    assert there or "apt install redis-server" in text


def test_elasticmq(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its jars are looked for where ELASTICMQ_JARS says; without them the variable and the artifact are named."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.delenv("ELASTICMQ_JARS", raising=False)
    assert run_command(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "– ElasticMQ is not here: ELASTICMQ_JARS is not set" in text
    assert "org.elasticmq:elasticmq-server_2.13" in text
    monkeypatch.setenv("ELASTICMQ_JARS", str(tmp_path))
    (tmp_path / "elasticmq-server_2.13-1.7.1.jar").touch()
    assert run_command(["doctor"]) == 0
    assert f"✓ ElasticMQ: {tmp_path}/*" in capsys.readouterr().out
