"""Whose call is it: the line of the code under test, or a test's own."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.environments.callers import Callers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    return tmp_path.resolve()


def module(folder: Path, name: str, text: str) -> types.ModuleType:
    path = folder / name
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def callers(folder: Path) -> Callable[[], tuple[str, bool]]:
    # What runs these tests stands for the runner: the stack ends there.
    return Callers(folder, lambda path: "tests" in path.parts[-2:] or path == Path(__file__)).now


_APP = "def work(ask):\n    return ask()\n"


def test_code_under_test(folder: Path) -> None:
    """A test calls the code, the code calls: told from the project's folder, with line and function."""
    app = module(folder, "app.py", _APP)
    assert app.work(callers(folder)) == ("app.py:2 in work", False)


def test_a_tests_own_call(folder: Path) -> None:
    """Nothing but a test's lines on the way."""
    test = module(folder, "tests/test_app.py", _APP)
    assert test.work(callers(folder)) == ("tests/test_app.py:2 in work", True)


def test_a_handler_of_a_test_that_the_code_calls(folder: Path) -> None:
    """The innermost line is the test's, yet code under test led there."""
    app = module(folder, "app.py", _APP)
    test = module(folder, "tests/test_app.py", _APP)
    site, own = app.work(lambda: test.work(callers(folder)))
    assert site.startswith("tests/test_app.py:2 in work")
    assert not own


def test_libraries_carry_a_call(folder: Path) -> None:
    """The standard library and clients are on the way only; another package is code."""
    app = module(
        folder,
        "app.py",
        "import functools\n\ndef work(ask):\n    return functools.reduce(lambda a, b: ask(), [1, 2])\n",
    )
    found: Any = app.work(callers(folder))
    assert found == ("app.py:4 in <lambda>", False)
    known = Callers(folder, lambda path: False)
    packages = Path(pytest.__file__).parent.parent
    assert known._of(str(packages / "boto3" / "session.py"))[0] == "carrier"
    assert known._of(str(packages / "pytest_asyncio" / "plugin.py"))[0] == "carrier"
    assert known._of(str(packages / "_pytest" / "runner.py"))[0] == "runner"
    assert known._of(str(packages / "sqs_workers" / "queue.py")) == ("code", "sqs_workers/queue.py")
    assert known._of(str(Path(sys.modules["json"].__file__ or "")))[0] == "carrier"
