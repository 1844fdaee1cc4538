"""The package as a whole: what it exports, and what it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness.resilience as package

FOLDER = Path(package.__file__).parent
SUBMODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def test_every_name_can_be_imported() -> None:
    """Each exported name leads to something, and none has the name of a module of the package."""
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert not set(package.__all__) & set(SUBMODULES)
    with pytest.raises(AttributeError, match="no attribute 'Sandwich'"):
        package.Sandwich  # noqa: B018 # reading it is the test


def test_type_checkers_see_the_same_names() -> None:
    """What is imported for type checkers is what is looked up at run time, from the same modules."""
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    seen: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness.resilience."):
            seen |= {alias.asname or alias.name: node.module.rpartition(".")[2] for alias in node.names}
    assert seen == package._HOME


def test_the_standard_library_is_enough() -> None:
    """Every submodule is imported, and every name looked up, by an interpreter that has no other package."""
    program = f"""
import importlib, sys, types
root = types.ModuleType("harness")  # the package around it may need more
root.__path__ = [{str(FOLDER.parent)!r}]
sys.modules["harness"] = root
import harness.resilience as package
for name in {SUBMODULES!r}:
    importlib.import_module("harness.resilience." + name)
for name in package.__all__:
    getattr(package, name)
ours = {{name for name in sys.modules if name.startswith("harness.") and not name.startswith("harness.resilience")}}
assert not ours, ours
assert not {{"boto3", "botocore", "redis"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_cheap() -> None:
    """Nothing is loaded before it is asked for: not even the parts."""
    program = (
        "import sys; import harness.resilience; "
        "print([name for name in sys.modules if name.startswith('harness.resilience.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
