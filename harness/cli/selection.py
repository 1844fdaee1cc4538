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

__all__ = ["Selected", "catalogue_folder", "select"]


@dataclasses.dataclass(frozen=True)
class Selected:
    """A scenario and the argument that names it alone: its file, or ``FILE::NAME`` where that has several."""

    scenario: Scenario
    argument: str

    @property
    def name(self) -> str:
        return self.scenario.name


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


def select(arguments: Sequence[str], config: Config, *, catalogue: bool = False) -> list[Selected]:
    """The scenarios that *arguments* name, in their order; all of the folders without arguments.

    The simulation's shims go in first, so that whatever a scenario file
    imports sees them.

    Raises:
        UsageError: a name is unknown or found twice, a path is not there, a file cannot be loaded.
    """
    from harness import runner

    runner.install()
    folders = [catalogue_folder()] if catalogue else config.folders() or [catalogue_folder()]
    chosen = _named(arguments, folders, catalogue) if arguments else _load_all(folders)
    if not chosen:
        raise UsageError(
            f"no scenario in {', '.join(str(folder) for folder in folders)}",
            remedy="Name a scenario or a file, or use --catalogue",
        )
    _refuse_twice(chosen)
    return [_with_objectives(one, config) for one in chosen]


def _named(arguments: Sequence[str], folders: list[Path], catalogue: bool) -> list[Selected]:
    known: list[Selected] | None = None
    chosen: list[Selected] = []
    for argument in arguments:
        if _is_path(argument):
            chosen += _load_argument(argument)
            continue
        if known is None:
            known = _load_all(folders)
        found = [one for one in known if one.name == argument]
        if not found and not catalogue:
            found = [one for one in _load_all([catalogue_folder()]) if one.name == argument]
        if not found:
            raise UsageError(
                f"no scenario is called {argument!r} in {', '.join(str(_short(folder)) for folder in folders)}",
                remedy=nearest(argument, sorted(one.name for one in known)),
            )
        chosen += found
    return _without_repeats(chosen)


def _is_path(argument: str) -> bool:
    return argument.endswith(".py") or ".py::" in argument or "/" in argument or Path(argument).exists()


def _load_argument(argument: str) -> list[Selected]:
    """The scenarios of a folder, of a file, or the one that ``FILE::NAME`` names."""
    place, _, name = argument.partition("::")
    path = Path(place)
    if path.is_dir():
        found = _load_all([path])
        if not found:
            raise ScenarioError("has no scenario files", file=place, remedy="Scenario files end in .py")
    elif path.exists():
        found = _load_file(path)
    else:
        raise ScenarioError("is not there", file=place, remedy="Give the path of a scenario file or folder")
    if not name:
        return found
    chosen = [one for one in found if one.name == name]
    if not chosen:
        raise ScenarioError(
            f"defines no scenario called {name!r}", file=place, remedy=nearest(name, [one.name for one in found])
        )
    return chosen


def _load_all(folders: Iterable[Path]) -> list[Selected]:
    from harness.loading import scenario_files

    files: dict[Path, Path] = {}
    for folder in folders:
        for path in [folder] if folder.is_file() else scenario_files(folder):
            files.setdefault(path.resolve(), _short(path))
    return [one for path in files.values() for one in _load_file(path)]


def _load_file(path: Path) -> list[Selected]:
    from harness.loading import load

    found = load(path)
    return [Selected(one, str(path) if len(found) == 1 else f"{path}::{one.name}") for one in found]


def _short(path: Path) -> Path:
    """*path* from the current folder, where it is below it: what people type and read."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return path


def _without_repeats(chosen: Sequence[Selected]) -> list[Selected]:
    """The same scenario named twice is run once."""
    seen: dict[tuple[str, str], Selected] = {}
    for one in chosen:
        seen.setdefault((str(Path(one.scenario.file or "").resolve()), one.name), one)
    return list(seen.values())


def _refuse_twice(chosen: Sequence[Selected]) -> None:
    first: dict[str, Selected] = {}
    for one in chosen:
        other = first.setdefault(one.name, one)
        if other is not one:
            raise UsageError(
                f"the name {one.name!r} is found twice: {other.scenario.file} and {one.scenario.file}",
                remedy="Rename one of them, or give the path of the one you mean",
            )


def _with_objectives(one: Selected, config: Config) -> Selected:
    """The settings' objectives are those of a scenario that has none of its own."""
    if one.scenario.objectives or not config.objectives:
        return one
    from harness.objectives import Objectives

    file = str(config.source) if config.source else None
    objectives = Objectives.from_mapping(config.objectives, file=file)
    return dataclasses.replace(one, scenario=dataclasses.replace(one.scenario, objectives=objectives))
