"""Scenario files: found by path, run as Python, errors told by file, line and remedy."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, ScenarioError
from harness.scenario import Scenario

__all__ = ["digest", "file_digest", "load", "resolve", "scenario_files"]


def scenario_files(folder: Path) -> list[Path]:
    """The scenario files below *folder*: Python files that do not begin with an underscore, sorted."""
    return sorted(
        path
        for path in folder.rglob("*.py")
        if not path.name.startswith("_") and not any(part.startswith((".", "_")) for part in path.parts[-3:-1])
    )


def load(path: Path | str) -> list[Scenario]:
    """Run the scenario file at *path* and give its scenarios, in the order in which the file defines them.

    Raises:
        ScenarioError: it is not there, has a syntax error, fails on import, or defines no scenario.
    """
    path = Path(path)
    if not path.is_file():
        raise ScenarioError("is no file", file=str(path), remedy="Give the path of a scenario file")
    module = _import_file(path)
    found: list[Scenario] = []
    for value in vars(module).values():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, Scenario) and not any(one is other for other in found):
                found.append(one)
    if not found:
        raise ScenarioError(
            "defines no scenario",
            file=str(path),
            remedy="Add: scenario = Scenario(name=..., processes=..., workload=...)",
        )
    description = inspect.getdoc(module) or ""
    return [dataclasses.replace(one, file=str(path), description=one.description or description) for one in found]


def _import_file(path: Path) -> ModuleType:
    name = "harness_scenario_" + hashlib.blake2b(str(path.resolve()).encode(), digest_size=6).hexdigest()
    for folder in (str(Path.cwd()), str(path.resolve().parent)):
        if folder not in sys.path:
            sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ScenarioError("is no Python file", file=str(path), remedy="A scenario file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):
            raise ScenarioError(
                f"has a syntax error: {error.msg}",
                file=error.filename or str(path),
                field=f"line {error.lineno}",
                remedy="Mend it; a scenario file is Python",
            ) from None
        if isinstance(error, HarnessError):
            line = _line_in(error, path)
            raise ScenarioError(str(error), file=str(path), field=f"line {line}" if line else None) from None
        if isinstance(error, Exception):
            line = _line_in(error, path)
            raise ScenarioError(
                f"cannot be imported: {type(error).__name__}: {error}",
                file=str(path),
                field=f"line {line}" if line else None,
                remedy="Run it with python to see the whole traceback",
            ) from error
        raise
    return module


def _line_in(error: BaseException, path: Path) -> int | None:
    """The last line of *path* that the error's traceback passes."""
    resolved = str(path.resolve())
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if str(Path(frame.filename).resolve()) == resolved
    ]
    return lines[-1] if lines else None


def resolve(target: str, *, field: str) -> Any:
    """The object that ``"package.module:name"`` names; imports the module.

    Raises:
        ScenarioError: the module or the name is not there.
    """
    module_name, _, attribute = target.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ScenarioError(
                f"names the module {module_name!r}, which is not there",
                field=field,
                remedy=f"Check the spelling, and that its folder is on sys.path (the current folder is: {Path.cwd()})",
            ) from None
        raise
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise ScenarioError(
                f"names {attribute!r}, which {module_name} does not have", field=field, remedy="Check the spelling"
            )
        value = getattr(value, part)
    return value


def digest(scenario: Scenario) -> str:
    """A short digest of the scenario's file, by which a counterexample knows that it has changed; "" without one."""
    if scenario.file is None or not Path(scenario.file).is_file():
        return ""
    return file_digest(Path(scenario.file))


def file_digest(path: Path) -> str:
    """A short digest of the file at *path*."""
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
