"""Where a page is tried: its files are written, its commands typed, its Python run."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from harness.cli import run_command
from tests.docs.pages import ROOT, Block, Command, blocks, commands, shows

#: Commands that simulate: typed in this process, which saves the start of an interpreter for each.
_SIMULATING = frozenset({"run", "list", "check", "replay", "search", "explain"})
_LIMIT = 120  # seconds; only there to end what hangs

#: A consumer for the examples that speak of the reader's own.
_MYSHOP = Path(__file__).parent / "myshop"

#: Runs blocks one after the other, each in a namespace of its own; prints where one failed and how.
_RUN_BLOCKS = """
import json, sys, traceback
failures = {}
for name, text in json.load(sys.stdin):
    try:
        exec(compile(text, name, "exec"), {"__name__": "__main__"})
    except BaseException:
        failures[name] = traceback.format_exc()
json.dump(failures, sys.__stdout__)
"""


@dataclass(frozen=True)
class Typed:
    """What a command did: its exit code, and what a terminal would have shown."""

    code: int
    shown: str


_DONE: dict[tuple[str, ...], Typed] = {}


class Desk:
    """A folder that a reader types in."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = {**environ, "COLUMNS": "140", "PYTHONHASHSEED": "0", "PYTHONWARNINGS": "ignore"}
        self.own_files = False
        (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\nchaos = true\n")
        package = folder / "myshop"
        package.mkdir()
        for file in sorted(_MYSHOP.glob("*.py")):
            (package / file.name).write_text(file.read_text())

    # A page

    def follow(self, page: Path, languages: Sequence[str] = ("console",), only: str = "") -> list[str]:
        """Write the files that *page* shows and type its commands, in order; what went otherwise than it says.

        *only*: the beginning of the commands to type.
        """
        wrong: list[str] = []
        for block in blocks(page):
            if block.file is not None:
                self.write(block.file, block.text)
                self.own_files = True
            elif block.language in languages:
                wrong += self._type_all([one for one in commands(block) if one.line.startswith(only)])
        return wrong

    def _type_all(self, asked: Sequence[Command]) -> list[str]:
        """Every command succeeds, unless ``echo $?`` under it shows another exit code."""
        wrong: list[str] = []
        for number, command in enumerate(asked):
            if command.line == "echo $?":
                continue
            following = asked[number + 1] if number + 1 < len(asked) else None
            told = int(following.output[0]) if following is not None and following.line == "echo $?" else 0
            done = self.type(command)
            if done.code != told:
                wrong.append(f"{command.name}: `{command.line}` ended with {done.code}, not {told}:\n{done.shown}")
            missing = shows(command.output, done.shown)
            if missing is not None:
                wrong.append(f"{command.name}: `{command.line}` does not show {missing!r} there, but:\n{done.shown}")
        return wrong

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # One command

    def type(self, command: Command) -> Typed:
        program, *arguments = command.arguments(self.environ)
        if program == "harness" and arguments[0] in _SIMULATING:
            return self._here(arguments) if self.own_files else self._once(tuple(arguments))
        if program == "harness":
            return self._process([sys.executable, "-m", "harness", *arguments])
        if program == "pytest":
            return self._process([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments])
        if program == "make":
            return self._make(arguments)
        raise ValueError(f"{command.name}: `{program}` is no command that a page may show; write it in the text")

    def _once(self, arguments: tuple[str, ...]) -> Typed:
        """The same command on another page does the same: the catalogue's scenarios have one seed."""
        if arguments not in _DONE:
            _DONE[arguments] = self._here(arguments)
        return _DONE[arguments]

    def _here(self, arguments: Sequence[str]) -> Typed:
        self.forget()
        shown = StringIO()
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = self.environ["COLUMNS"]
        try:
            with redirect_stdout(shown), redirect_stderr(shown):
                code = run_command(arguments)
        finally:
            if before is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = before
        return Typed(code, shown.getvalue())

    def forget(self) -> None:
        """Import what lies in the folder afresh: a page may show a file twice, before and after."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}"):
                del sys.modules[name]
        importlib.invalidate_caches()

    def _process(self, command: Sequence[str], stdin: str = "") -> Typed:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **self.environ, "PYTHONPATH": str(ROOT)},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT,
        )
        return Typed(done.returncode, done.stdout)

    def _make(self, arguments: Sequence[str]) -> Typed:
        """The target is there; what it runs has tests of its own."""
        done = subprocess.run(
            ["make", "-n", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=_LIMIT
        )
        return Typed(done.returncode, done.stdout + done.stderr)

    # Python

    def run_blocks(self, asked: Sequence[Block]) -> dict[str, str]:
        """Execute each block, all in one new process; the traceback of each that failed, by its name."""
        texts = [(block.name, block.text) for block in asked]
        done = subprocess.run(
            [sys.executable, "-c", _RUN_BLOCKS],
            cwd=self.folder,
            env={**os.environ, **self.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}"},
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )
        if done.returncode != 0:
            return {"the process": done.stderr}
        failures: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return failures

    def run_tests(self, asked: Sequence[Block]) -> Typed:
        """Run the blocks, which are tests, in one new pytest."""
        for number, block in enumerate(asked):
            self.write(f"test_block_{number}.py", block.text)
        return self._process([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"])


def is_test(block: Block) -> bool:
    """Whether *block* is for pytest."""
    return re.search(r"^def test_", block.text, re.M) is not None
