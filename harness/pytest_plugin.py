"""The pytest plugin: the fixture ``sim`` and the marker ``chaos``.

It decides at start, by text only, whether it takes part: a ``harness.toml``,
``[tool.harness]`` in pyproject.toml, ``chaos = true`` among pytest's settings
or an option ``--chaos-*``. Then the simulation's shims go in before anything
is collected, so that the modules under test see them. Otherwise nothing of
the harness is imported until a test asks for ``sim``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    pass

_INI = "chaos"
_ACTIVE = pytest.StashKey[bool]()
_MARKER = (
    "chaos(faults=[...], seed=0, examples=1): faults for the test's `sim`; with examples=n the body runs n times, "
    "with the seeds seed, seed + 1, ..."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(_INI, "install the simulation before tests are collected (resilience-harness)", "bool", False)
    group = parser.getgroup("chaos", "resilience-harness")
    group.addoption("--chaos-seed", type=int, default=None, metavar="N", help="seed of every `sim` (marker: seed)")
    group.addoption(
        "--chaos-examples",
        type=int,
        default=None,
        metavar="N",
        help="runs of each chaos test (marker: examples)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    early_config.stash[_ACTIVE] = wanted(early_config, args)


def wanted(config: pytest.Config, args: list[str]) -> bool:
    """Whether the shims go in at start; looks at text alone."""
    if any(argument.startswith("--chaos-") for argument in args) or config.getini(_INI):
        return True
    folder = config.rootpath
    return (folder / "harness.toml").is_file() or _mentions(folder / "pyproject.toml", b"[tool.harness")


def _mentions(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


def pytest_unconfigure(config: pytest.Config) -> None:
    import sys

    runner = sys.modules.get("harness.runner")
    if runner is not None:
        runner.uninstall()
