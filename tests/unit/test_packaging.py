"""What is installed: every package once, the catalogue inside, and a base that needs the standard library only."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_is_in_the_wheel() -> None:
    """A new folder with Python in it must be named in pyproject.toml, or the wheel lacks it."""
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "harness").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    catalogue = {
        ".".join(("harness.catalogue", *path.parent.relative_to(ROOT / "scenarios").parts))
        for path in (ROOT / "scenarios").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    data = {"harness.report.templates", "harness.report.templates.script", "harness.starter.files"}
    assert named == found | catalogue | data


def test_components_and_points_need_the_standard_library_only() -> None:
    """In an interpreter without site-packages both import, and nothing heavy comes along."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import harness, harness.points, harness.resilience\n"
        "from harness.resilience import CircuitBreaker, ExponentialBackoffRetry, ResilientConsumer\n"
        "harness.points.effect('charged', 1)\n"
        "heavy = {'greenlet', 'boto3', 'redis', 'matplotlib', 'hypothesis', 'click', 'rich', 'orjson'}\n"
        "assert not heavy & set(sys.modules)\n"
    )
    outcome = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr


def test_the_public_names() -> None:
    """Each name of harness.__all__ is there, and none is the name of a module that a function would hide."""
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    functions = {name for name in harness.__all__ if callable(getattr(harness, name))}
    modules = {path.stem for path in (ROOT / "harness").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not functions & modules


def test_a_missing_extra_is_named() -> None:
    """Without the sim extra a name that needs it says in one line what to install."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import harness\n"
        "try:\n    harness.run\nexcept ImportError as error:\n    print(error)\n"
    )
    outcome = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert "pip install 'resilience-harness[sim]'" in outcome.stdout
