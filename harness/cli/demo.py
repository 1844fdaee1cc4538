"""``harness demo``: what the usual tutorial consumer does on a bad day, found, told, drawn, and as a test.

::

    reports/demo/
        tutorial_consumer.py  scenario.py     what was tested: read it, mend it
        timeline.png  history.jsonl           one run in which both happen
        lost/  twice/                         a finding each: counterexample.json, history.jsonl, story.txt, test_*.py
        demo.json                             what --json gives
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, write_file
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.explore.demo import Demo, Finding
    from harness.result import Result

__all__ = ["DEFAULT_OUT", "command", "make"]

DEFAULT_OUT = Path("reports/demo")

_RESULT = "demo.json"
_OURS = frozenset(
    {"tutorial_consumer.py", "scenario.py", "timeline.png", "history.jsonl", "lost", "twice", _RESULT}
    | {"__pycache__", ".pytest_cache"}
)


@click.command("demo")
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="The first seed to try.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, help="Folder.  [default: reports/demo]")
@json_option
def command(seed: int, out: Path, json: str | None) -> int:
    """Find the message that the usual tutorial consumer loses, and the one that it handles twice.

    Needs no file of yours. Seeds are tried until both are found, with at most three faults a plan. Each finding is
    told in ten lines and written with its history, a counterexample.json for `harness replay` and a pytest file;
    the consumer itself is written too, to be read and mended.

    Exit code: 0 both were found (that is what a demo is for), 2 wrong usage, 4 not both within 200 seeds, 130
    interrupted.
    """
    output_file(json, "--json")
    from harness.cli import OK, UNSURE
    from harness.cli.demo_words import searching, tell
    from harness.cli.interrupts import catching
    from harness.report.console import make_console

    with catching() as caught, searching(make_console(stderr=True)) as told:
        demo, made = make(out, seed, told=told, stopped=lambda: bool(caught))
    if json is not None:
        write_file(json, _dumps(made))
    tell(make_console(stderr=json == "-"), demo, made)
    return OK if demo.complete else UNSURE


def make(
    out: Path,
    seed: int = 0,
    *,
    told: Callable[[int, Result], object] = lambda tried, result: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Demo, dict[str, Any]]:
    """Search from *seed* on, and write what was found into the folder *out*, which is replaced as a whole.

    Returns what was found and the result as JSON. *told* hears of each plan.

    Raises:
        UsageError: *out* holds something else, or a consumer that was edited, or cannot be written.
        KeyboardInterrupt: *stopped* said yes; nothing is written then.
    """

    def heard(tried: int, result: Result) -> None:
        if stopped():
            raise KeyboardInterrupt
        told(tried, result)

    _check(out)
    work = out.absolute().with_name(f".{out.absolute().name}.part")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", file=str(out), remedy="Name another folder with --out"
        ) from None
    try:
        demo = _search(work, seed, heard)
        if stopped():
            raise KeyboardInterrupt
        result = _write(work, out, demo)
        _publish(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return demo, result


def _search(work: Path, seed: int, told: Callable[[int, Result], object]) -> Demo:
    from harness.explore.demo import SCENARIO, prepare, search
    from harness.loading import file_digest

    with _importing(work), contextlib.redirect_stdout(sys.stderr):
        scenario = prepare(work)
        return search(scenario, seed, digest=file_digest(work / SCENARIO), told=told)


@contextlib.contextmanager
def _importing(folder: Path) -> Iterator[None]:
    """Modules come from *folder* first, so that a file of the user's with the same name changes nothing."""
    from harness.explore.demo import CONSUMER

    name, before = Path(CONSUMER).stem, list(sys.path)
    module = sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.path[:] = before
        sys.dont_write_bytecode = bytecode
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


# the folder


def _check(out: Path) -> None:
    """A demo may replace a demo, an empty folder or nothing: never somebody's files, nor their edits."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UsageError("is no folder", file=str(out), remedy="Name a folder with --out")
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    foreign = [name for name in there if name not in _OURS]
    if foreign or (there and _RESULT not in there):
        raise UsageError(
            f"holds {', '.join((foreign or there)[:3])}, which no demo wrote and which would be lost",
            file=str(out),
            remedy="Name another folder with --out",
        )
    for name, digest in _written(out).items():
        path = out / name
        if path.is_file() and _digest(path) != digest:
            raise UsageError(
                "was edited, and a new demo would replace it",
                file=str(path),
                remedy=f"Name another folder with --out, or remove {out}",
            )


def _written(out: Path) -> Mapping[str, str]:
    """The digests of the files that people edit, as the last demo wrote them."""
    import orjson

    try:
        found = orjson.loads((out / _RESULT).read_bytes())
    except (OSError, ValueError):
        return {}
    files = found.get("files") if isinstance(found, dict) else None
    return files if isinstance(files, dict) else {}


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


def _publish(work: Path, out: Path) -> None:
    shutil.rmtree(work / "__pycache__", ignore_errors=True)
    old = work.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)


# what is written


def _write(work: Path, out: Path, demo: Demo) -> dict[str, Any]:
    from harness.explore.demo import CONSUMER, SCENARIO, WANTED

    made: dict[str, Any] = {
        "seed": demo.seed,
        "tried": demo.tried,
        "runs": demo.runs,
        "complete": demo.complete,
        "folder": str(out),
        "timeline": None,
        "findings": [_save(work, out, WANTED[name], finding) for name, finding in demo.findings.items()],
        "files": {name: _digest(work / name) for name in (CONSUMER, SCENARIO)},
    }
    if demo.picture is not None:
        made["timeline"] = str(out / "timeline.png")
        (work / "timeline.png").write_bytes(_draw(demo.picture))
        demo.picture.history.save(work / "history.jsonl")
    (work / _RESULT).write_bytes(_dumps(made))
    return made


def _save(work: Path, out: Path, folder: str, finding: Finding) -> dict[str, Any]:
    from harness.explore.counterexample import FILE_NAME
    from harness.report.words import fault_in_words

    saved = finding.save(work / folder)
    counterexample, test = str(out / folder / FILE_NAME), str(out / folder / saved.test_name)
    return {
        "invariant": finding.invariant,
        "detail": finding.verdict.detail,
        "evidence": list(finding.verdict.evidence),
        "seed": finding.result.seed,
        "faults": [fault_in_words(fault) for fault in finding.plan.to_json()["faults"]],
        "plan": finding.plan.to_json(),
        "story": finding.story.to_json(),
        "counterexample": counterexample,
        "history": str(out / folder / str(saved.history)),
        "test": test,
        "replay": f"harness replay {shlex.quote(counterexample)}",
        "pytest": f"pytest {shlex.quote(test)}",
    }


def _draw(result: Result) -> bytes:
    """The timeline of a run in which the consumer fails its customers."""
    from harness.report.timeline import Caption, render

    header = result.history.header
    caption = Caption(
        title=result.scenario,
        verdict=result.verdict,
        details=f"seed {result.seed}, {result.backend}",
        messages=result.messages.to_json(),
        recovery_seconds=result.recovery_seconds,
        time_label=f"virtual time since the start, latency model {header['latency_model']}",
        evidence={verdict.name: verdict.evidence for verdict in result.violated},
    )
    return render(header, result.history.events, caption)


def _dumps(made: Mapping[str, Any]) -> bytes:
    import orjson

    return orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
