"""Settings: ``[tool.harness]`` in pyproject.toml, or ``harness.toml``.

The order is: a flag of the command, an environment variable ``HARNESS_*``,
the file, the default. The file is the nearest one at or above the current
folder; beside each other, ``harness.toml`` is the one that counts. Paths in
it are relative to its folder. Unknown keys are errors.

::

    [tool.harness]
    scenarios = ["scenarios"]     # folders (or files) of scenario files
    seed = 0
    backend = "memory"
    out = "reports/latest"
    jobs = 1
    allow_inconclusive = false
    objectives = { rto = "2m", rpo = 0, duplicates = 0, backlog = "10m" }   # of scenarios that have none
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError

__all__ = ["Config", "load", "nearest"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Config:
    """The settings in force. *root* is the folder of *source*, or the current one."""

    scenarios: tuple[str, ...] = ("scenarios",)
    seed: int = 0
    backend: str = "memory"
    out: str = "reports/latest"
    jobs: int = 1
    allow_inconclusive: bool = False
    objectives: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    root: Path = field(default_factory=Path.cwd)
    source: Path | None = None
    scenarios_given: bool = False

    def folders(self) -> list[Path]:
        """Where scenarios are looked for; the default folder only if it is there.

        Raises:
            UsageError: a folder that the settings name is not there.
        """
        found = [self.root / name for name in self.scenarios]
        if not self.scenarios_given:
            return [path for path in found if path.is_dir()]
        for path in found:
            if not path.exists():
                raise UsageError(
                    f"names {str(path)!r}, which is not there",
                    file=str(self.source) if self.source else "HARNESS_SCENARIOS",
                    field="scenarios" if self.source else None,
                    remedy="Name folders of scenario files",
                )
        return found

    @property
    def out_folder(self) -> Path:
        """Where reports go."""
        return self.root / self.out


def nearest(name: str, known: list[str]) -> str:
    """The remedy for an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known) or 'none'}"


def load(start: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The settings for the folder *start* (by default the current one).

    Raises:
        UsageError: the file is no TOML, has an unknown key, or a value does not fit.
    """
    start = (start or Path.cwd()).absolute()
    source, table = _find(start)
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in _KEYS:
            raise UsageError("is unknown", file=str(source), field=name, remedy=nearest(name, sorted(_KEYS)))
        values[name] = _KEYS[name](value, str(source), name)
    environ = os.environ if environ is None else environ
    for name, variable in _VARIABLES.items():
        if environ.get(variable):
            values[name] = _KEYS[name](_from_text(name, environ[variable], variable), variable, "")
    given = "scenarios" in values
    return Config(**values, root=source.parent if source else start, source=source, scenarios_given=given)


def _find(start: Path) -> tuple[Path | None, Mapping[str, Any]]:
    for folder in (start, *start.parents):
        own = folder / "harness.toml"
        if own.is_file():
            return own, _parse(own)
        project = folder / "pyproject.toml"
        if project.is_file():
            tool = _parse(project).get("tool")
            if isinstance(tool, dict) and "harness" in tool:
                return project, _table(tool["harness"], str(project), "tool.harness")
        if (folder / ".git").exists():
            break
    return None, {}


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", file=str(path), remedy="Check its permissions") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is not TOML ({error})", file=str(path), remedy="Mend it") from None


def _wrong(value: Any, file: str, key: str, remedy: str) -> UsageError:
    return UsageError(f"is {value!r}", file=file, field=key or None, remedy=remedy)


def _paths(value: Any, file: str, key: str) -> tuple[str, ...]:
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise _wrong(value, file, key, 'Give a list of folders, such as ["scenarios"]')
    return tuple(value)


def _whole(least: int) -> Callable[[Any, str, str], int]:
    def check(value: Any, file: str, key: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _wrong(value, file, key, f"Give a whole number, {least} or more")
        return value

    return check


def _text(value: Any, file: str, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(value, file, key, "Give a text")
    return value


def _backend(value: Any, file: str, key: str) -> str:
    if value not in ("memory", "moto", "live"):
        raise _wrong(value, file, key, "Choose from memory, moto, live")
    return str(value)


def _flag(value: Any, file: str, key: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, file, key, "Give true or false")
    return value


def _table(value: Any, file: str, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, file, key, "Give a table")
    return value


_KEYS: dict[str, Callable[[Any, str, str], Any]] = {
    "scenarios": _paths,
    "seed": _whole(0),
    "backend": _backend,
    "out": _text,
    "jobs": _whole(1),
    "allow_inconclusive": _flag,
    "objectives": _table,
}
_VARIABLES = {name: f"HARNESS_{name.upper()}" for name in _KEYS if name != "objectives"}


def _from_text(name: str, text: str, variable: str) -> Any:
    """The value of an environment variable in the type of its key."""
    if name == "scenarios":
        return text.split(os.pathsep)
    if name in ("seed", "jobs"):
        try:
            return int(text)
        except ValueError:
            raise _wrong(text, variable, "", "Give a whole number") from None
    if name == "allow_inconclusive":
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise _wrong(text, variable, "", "Give true or false")
        return words[text.lower()]
    return text
