"""The entry of the command line: its exit code is never one that Python chose."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from harness import cli
from tests.unit.cli.conftest import Done


@pytest.fixture(autouse=True)
def _hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is not to be replaced by a test."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def _exit_code(monkeypatch: pytest.MonkeyPatch, run: Callable[..., int]) -> object:
    monkeypatch.setattr(cli, "run_command", run)
    monkeypatch.setattr(sys, "argv", ["harness", "list"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_a_defect_of_ours_is_no_violation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception shows its traceback and exits 3, not 1."""

    def broken(arguments: object) -> int:
        raise ZeroDivisionError("ours")

    assert _exit_code(monkeypatch, broken) == 3
    assert "ZeroDivisionError: ours" in capsys.readouterr().err


def test_ctrl_c_at_any_time_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also before a command has begun."""

    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    assert _exit_code(monkeypatch, interrupted) == 130
    assert capsys.readouterr().err == "harness: interrupted\n"


def test_no_argument_shows_the_commands(command: Callable[..., Done]) -> None:
    """A bare ``harness`` is no error: it shows what there is."""
    done = command()
    assert done.code == 0
    for name in ("run", "list", "check", "replay", "doctor"):
        assert f"  {name} " in done.out


def test_each_command_has_help(command: Callable[..., Done]) -> None:
    """--help works on every command and names its arguments."""
    from harness.cli.root import COMMANDS

    for name in COMMANDS:
        done = command(name, "--help")
        assert done.code == 0
        assert done.out.startswith(f"Usage: harness {name}")


def test_doctor_names_what_is_there(command: Callable[..., Done]) -> None:
    """Everything that run needs is there, so doctor exits 0 and names it."""
    done = command("doctor")
    assert done.code == 0
    assert "✓ sim: greenlet " in done.out
    assert "scenarios: the built-in catalogue" in done.out
