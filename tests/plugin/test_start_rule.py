"""The plugin decides at start by text alone, and costs nothing where it is not wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.pytest_plugin import _seeds, wanted


class _Config:
    def __init__(self, folder: Path, chaos: bool) -> None:
        self.rootpath = folder
        self._chaos = chaos

    def getini(self, name: str) -> Any:
        assert name == "chaos"
        return self._chaos


class _Options:
    def __init__(self, seed: int | None, examples: int | None) -> None:
        self._values = {"--chaos-seed": seed, "--chaos-examples": examples}

    def getoption(self, name: str) -> int | None:
        return self._values[name]


def _wanted(folder: Path, *arguments: str, chaos: bool = False) -> bool:
    return wanted(_Config(folder, chaos), list(arguments))  # type: ignore[arg-type]  # as much of Config as it needs


def test_nothing_asks_for_it(tmp_path: Path) -> None:
    """Another project's pyproject.toml, or none, does not turn it on."""
    assert not _wanted(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.other]\n")
    assert not _wanted(tmp_path, "-q", "tests")


@pytest.mark.parametrize("file", ["harness.toml", "pyproject.toml"])
def test_settings_of_the_harness_turn_it_on(tmp_path: Path, file: str) -> None:
    """harness.toml by being there, pyproject.toml by the table."""
    (tmp_path / file).write_text("[tool.harness]\n")
    assert _wanted(tmp_path)


def test_the_ini_line_and_an_option_turn_it_on(tmp_path: Path) -> None:
    """chaos = true, or any option --chaos-*."""
    assert _wanted(tmp_path, chaos=True)
    assert _wanted(tmp_path, "--chaos-seed=3")


@pytest.mark.parametrize(
    ("options", "expected"), [((None, None), (5, 3)), ((9, None), (9, 3)), ((None, 1), (5, 1)), ((0, 2), (0, 2))]
)
def test_an_option_replaces_what_the_marker_says(options: tuple[Any, Any], expected: tuple[int, int]) -> None:
    """Seed and examples come from the option where it is given, also when it is zero."""
    config = _Options(*options)
    assert _seeds(config, {"seed": 5, "examples": 3}) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        ({"seed": 0, "examples": 0}, "examples is 0. Give a whole number, 1 or more"),
        ({"seed": "x", "examples": 1}, "seed is 'x'. Give a whole number, 0 or more"),
        ({"seed": True, "examples": 1}, "seed is True"),
    ],
)
def test_a_number_that_is_none_is_named(marked: dict[str, Any], message: str) -> None:
    """A seed or count that does not fit is an error, not a default."""
    with pytest.raises(pytest.UsageError, match=message):
        _seeds(_Options(None, None), marked)  # type: ignore[arg-type]


def test_it_takes_less_than_ten_milliseconds_when_unused() -> None:
    """Importing the plugin beside pytest and deciding takes under 10 ms (the best of five processes)."""
    code = (
        "import time, pytest\n"
        "before = time.perf_counter()\n"
        "import harness.pytest_plugin as plugin\n"
        "class Config:\n"
        "    import pathlib\n"
        "    rootpath = pathlib.Path('.')\n"
        "    def getini(self, name): return False\n"
        "assert not plugin.wanted(Config(), [])\n"
        "print(time.perf_counter() - before)\n"
    )
    root = Path(__file__).parent
    times = [
        float(subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(times) < 0.010
