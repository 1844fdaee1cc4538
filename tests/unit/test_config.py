"""Settings: found, checked, and overridden in the order flag, environment, file, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import load
from harness.errors import UsageError


def _write(folder: Path, text: str, name: str = "harness.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    """No file, no variables: the defaults, and no folder that is not there."""
    (tmp_path / ".git").mkdir()
    found = load(tmp_path, {})
    assert (found.seed, found.backend, found.jobs, found.source) == (0, "memory", 1, None)
    assert found.folders() == []
    (tmp_path / "scenarios").mkdir()
    assert load(tmp_path, {}).folders() == [tmp_path / "scenarios"]


def test_the_nearest_file_above_counts(tmp_path: Path) -> None:
    """A file in a folder above is found, and its paths are relative to it."""
    _write(tmp_path, '[tool.harness]\nscenarios = ["chaos"]\nseed = 3\n', "pyproject.toml")
    (tmp_path / "chaos").mkdir()
    inner = tmp_path / "src" / "deep"
    inner.mkdir(parents=True)
    found = load(inner, {})
    assert found.seed == 3
    assert found.folders() == [tmp_path / "chaos"]
    assert found.out_folder == tmp_path / "reports/latest"


def test_harness_toml_comes_before_pyproject(tmp_path: Path) -> None:
    """Beside each other, harness.toml is the one that counts."""
    _write(tmp_path, "[tool.harness]\nseed = 3\n", "pyproject.toml")
    _write(tmp_path, "seed = 4\n")
    assert load(tmp_path, {}).seed == 4


def test_a_pyproject_without_our_table_is_passed_over(tmp_path: Path) -> None:
    """Another project's pyproject.toml is no end of the search."""
    _write(tmp_path, "seed = 4\n")
    inner = tmp_path / "lib"
    inner.mkdir()
    _write(inner, "[project]\nname = 'lib'\n", "pyproject.toml")
    assert load(inner, {}).seed == 4


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """HARNESS_SEED and its like replace what the file says; others' variables are not ours."""
    _write(tmp_path, "seed = 4\njobs = 2\n")
    found = load(tmp_path, {"HARNESS_SEED": "9", "HARNESS_ALLOW_INCONCLUSIVE": "yes", "HARNESS_BUILD_ID": "x"})
    assert (found.seed, found.jobs, found.allow_inconclusive) == (9, 2, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sede = 1\n", "sede: is unknown. Did you mean 'seed'?"),
        ("seed = 'x'\n", "seed: is 'x'. Give a whole number, 0 or more"),
        ("seed = -1\n", "seed: is -1"),
        ("seed = true\n", "seed: is True"),
        ("jobs = 0\n", "jobs: is 0. Give a whole number, 1 or more"),
        ("backend = 'moon'\n", "backend: is 'moon'. Choose from memory, moto, live"),
        ("scenarios = []\n", "scenarios: is []"),
        ("allow_inconclusive = 1\n", "allow_inconclusive: is 1. Give true or false"),
        ("objectives = 3\n", "objectives: is 3. Give a table"),
        ("seed = = 1\n", "is not TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, expected: str) -> None:
    """The message has the file, the key, the value and the remedy."""
    path = _write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(tmp_path, {})
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    """An environment variable that does not fit is named as such."""
    with pytest.raises(UsageError, match=r"HARNESS_SEED: is 'many'\. Give a whole number"):
        load(tmp_path, {"HARNESS_SEED": "many"})


def test_a_folder_that_is_not_there_is_an_error_only_if_named(tmp_path: Path) -> None:
    """The default folder may be missing; one that the settings name may not."""
    path = _write(tmp_path, 'scenarios = ["gone"]\n')
    with pytest.raises(UsageError, match="which is not there") as caught:
        load(tmp_path, {}).folders()
    assert str(caught.value).startswith(str(path))
