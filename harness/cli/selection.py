"""Which scenarios a command means: names, files and folders to scenarios."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from harness.config import Config, nearest
from harness.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from harness.scenario import Scenario

__all__ = ["catalogue_folder", "select"]


def catalogue_folder() -> Path:
    """The built-in catalogue: ``harness/catalogue`` of a wheel, ``scenarios`` beside an editable install.

    Raises:
        UsageError: neither is there.
    """
    package = Path(harness.__file__).resolve().parent
    for folder in (package / "catalogue", package.parent / "scenarios"):
        if folder.is_dir():
            return folder
    raise UsageError("the built-in catalogue is not there", file=str(package / "catalogue"), remedy="Install it again")


def select(arguments: Sequence[str], config: Config, *, catalogue: bool = False) -> list[Scenario]:
    """The scenarios that *arguments* name, in their order; all of the folders without arguments.

    The simulation's shims go in first, so that whatever a scenario file
    imports sees them.

    Raises:
        UsageError: a name is unknown or found twice, a path is not there, a file cannot be loaded.
    """
    from harness import runner

    runner.install()
    folders = _folders(config, catalogue)
    if not arguments:
        chosen = _load_all(folders)
        if not chosen:
            raise UsageError(
                f"no scenario in {', '.join(str(folder) for folder in folders)}",
                remedy="Name a scenario or a file, or use --catalogue",
            )
    else:
        chosen = _named(arguments, folders, config, catalogue)
    _refuse_twice(chosen)
    return [_with_objectives(one, config) for one in chosen]


def _folders(config: Config, catalogue: bool) -> list[Path]:
    if catalogue:
        return [catalogue_folder()]
    return config.folders() or [catalogue_folder()]


def _is_path(argument: str) -> bool:
    return argument.endswith(".py") or "/" in argument or "\\" in argument or Path(argument).exists()


def _named(arguments: Sequence[str], folders: list[Path], config: Config, catalogue: bool) -> list[Scenario]:
    known: list[Scenario] | None = None
    chosen: list[Scenario] = []
    for argument in arguments:
        if _is_path(argument):
            chosen += _load_path(Path(argument))
            continue
        if known is None:
            known = _load_all(folders)
        found = [one for one in known if one.name == argument]
        if not found and not catalogue:
            found = [one for one in _load_all([catalogue_folder()]) if one.name == argument]
        if not found:
            raise UsageError(
                f"no scenario is called {argument!r} in {', '.join(str(folder) for folder in folders)}",
                remedy=nearest(argument, sorted(one.name for one in known)),
            )
        chosen += found
    return _without_repeats(chosen)


def _load_path(path: Path) -> list[Scenario]:
    if path.is_dir():
        found = _load_all([path])
        if not found:
            raise ScenarioError("has no scenario files", file=str(path), remedy="Scenario files end in .py")
        return found
    if not path.exists():
        raise ScenarioError("is not there", file=str(path), remedy="Give the path of a scenario file or folder")
    from harness.loading import load

    return load(path)


def _load_all(folders: Iterable[Path]) -> list[Scenario]:
    from harness.loading import load, scenario_files

    files: dict[Path, Path] = {}
    for folder in folders:
        for path in [folder] if folder.is_file() else scenario_files(folder):
            files.setdefault(path.resolve(), _short(path))
    return [one for path in files.values() for one in load(path)]


def _short(path: Path) -> Path:
    """*path* from the current folder, where it is below it: what people type and read."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return path


def _without_repeats(chosen: Sequence[Scenario]) -> list[Scenario]:
    """The same scenario named twice is run once."""
    seen: dict[tuple[str, str], Scenario] = {}
    for one in chosen:
        seen.setdefault((str(Path(one.file or "").resolve()), one.name), one)
    return list(seen.values())


def _refuse_twice(chosen: Sequence[Scenario]) -> None:
    first: dict[str, Scenario] = {}
    for one in chosen:
        other = first.setdefault(one.name, one)
        if other is not one:
            raise UsageError(
                f"the name {one.name!r} is found twice: {other.file} and {one.file}",
                remedy="Rename one of them, or give the path of the one you mean",
            )


def _with_objectives(scenario: Scenario, config: Config) -> Scenario:
    """The settings' objectives are those of a scenario that has none of its own."""
    if scenario.objectives or not config.objectives:
        return scenario
    from harness.objectives import Objectives

    file = str(config.source) if config.source else None
    return dataclasses.replace(scenario, objectives=Objectives.from_mapping(config.objectives, file=file))
