"""Finding the scenario of a saved run again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.explore.locate import find, make_importable
from harness.loading import file_digest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a scenario and a finding; the current folder is another one that has a file of the same name."""
    for folder in ("project/scenarios", "project/reports/search/one", "elsewhere/scenarios"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "project" / "scenarios" / "orders.py").write_text("mine")
    (tmp_path / "elsewhere" / "scenarios" / "orders.py").write_text("other")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "project"


def test_beside_and_above_the_saved_run_first(project: Path) -> None:
    """A path relative to the project is found from the finding's folder, before the current folder's."""
    saved = project / "reports" / "search" / "one" / "counterexample.json"
    assert find("scenarios/orders.py", saved) == project / "scenarios" / "orders.py"


def test_the_current_folder_else(project: Path, tmp_path: Path) -> None:
    """A finding that was copied out of its project is replayed where its project is."""
    assert find("scenarios/orders.py", tmp_path / "counterexample.json") == Path("scenarios/orders.py")
    assert find("scenarios/orders.py") == Path("scenarios/orders.py")


def test_the_digest_decides(project: Path) -> None:
    """Of two files of one name the one that has not changed; if both have, the nearer one."""
    saved = project / "reports" / "x.json"
    other = file_digest(Path("scenarios/orders.py"))
    assert find("scenarios/orders.py", saved, other) == Path("scenarios/orders.py")
    assert find("scenarios/orders.py", saved, "neither") == project / "scenarios" / "orders.py"


def test_absolute_paths_and_nothing(project: Path) -> None:
    """An absolute path is itself or nothing; what is nowhere is None."""
    path = project / "scenarios" / "orders.py"
    assert find(str(path), Path("x.json")) == path
    assert find(str(project / "gone.py"), Path("x.json")) is None
    assert find("gone.py", project / "x.json") is None


def test_what_a_scenario_can_import(project: Path) -> None:
    """Its own folder, the folder from which it was named, and its project's; each once, after all that was there."""
    before = list(sys.path)
    path = project / "scenarios" / "orders.py"
    make_importable("scenarios/orders.py", path)
    make_importable("scenarios/orders.py", path)
    assert sys.path == [*before, str(project / "scenarios"), str(project)]


def test_the_project_of_an_absolute_path(project: Path) -> None:
    """Without a relative name the project is the nearest folder above that looks like one."""
    before = list(sys.path)
    (project / "pyproject.toml").write_text("")
    path = project / "scenarios" / "orders.py"
    make_importable(str(path), path)
    assert sys.path == [*before, str(project / "scenarios"), str(project)]
