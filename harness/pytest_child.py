"""Runs one test of a pytest session in a child process, under a plan, and brings back what it said.

The child is a fork: collection is done, nothing has been set up, and whatever
the test leaves behind ends with it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from harness.environments.callers import Callers
from harness.environments.guest import Called, Guest, Handled, Stay
from harness.explore.guests import Run
from harness.faults.plan import FaultPlan
from harness.sim_fixture import Sim

__all__ = ["INSIDE_S", "OUTSIDE_S", "SWEPT_FAULTS", "Child", "run_in_child"]

#: Real seconds that a repetition may take: in the kernel, where time is virtual, and outside it.
INSIDE_S = 60.0
OUTSIDE_S = 30.0
NO_LIMIT_S = 86_400.0

#: Faults that the fixture ``sim`` adds to those of the test.
SWEPT_FAULTS = pytest.StashKey[list[Any]]()
#: Where the fixture ``sim`` is found after the test.
SIM = pytest.StashKey[Sim]()


@dataclass(frozen=True)
class Child:
    """What a child brought back: its run, the reports for pytest, and the result of its ``sim``, if it had one."""

    run: Run
    reports: list[pytest.TestReport]
    sim: Mapping[str, Any] | None

    @property
    def passed(self) -> bool:
        return self.run.stay.ended == "done" and not self.run.failed and bool(self.reports)


def run_in_child(
    item: pytest.Item,
    plan: FaultPlan,
    callers: Callers,
    *,
    where: str,
    seed: int,
    max_seconds: float = 86_400.0,
    patient: bool = False,
) -> Child:
    """Run *item* with all its fixtures. *where*: "kernel", "outside", or "sim" (the test runs a kernel itself).

    With *patient* it may take as long as it takes.
    """
    limit_s = NO_LIMIT_S if patient else OUTSIDE_S if where == "outside" else INSIDE_S

    def inside() -> dict[str, Any]:
        return _stay(item, plan, callers, where, seed, max_seconds)

    document = _forked(inside, limit_s)
    if document is None:
        return Child(Run(Stay("hang", f"it did not end within {limit_s:g} real seconds")), [], None)
    if "broken" in document:
        return Child(Run(Stay("refused", str(document["broken"]))), [], None)
    given = document["stay"]
    stay = Stay(
        **{
            **given,
            "called": [Called(*one) for one in given["called"]],
            "handled": [Handled(*one) for one in given["handled"]],
        }
    )
    reports = [
        item.config.hook.pytest_report_from_serializable(config=item.config, data=one) for one in document["reports"]
    ]
    failed = [report.when for report in reports if report.failed]
    error = next((_error_of(report) for report in reports if report.failed), "")
    return Child(Run(stay, failed, error), reports, document["sim"])


def _error_of(report: pytest.TestReport) -> str:
    """A failure in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "").strip()
    return str(text).partition("\n")[0][:200]


def _stay(
    item: pytest.Item, plan: FaultPlan, callers: Callers, where: str, seed: int, max_seconds: float
) -> dict[str, Any]:
    reports: list[pytest.TestReport] = []

    def test() -> None:
        reports.extend(runtestprotocol(item, log=False, nextitem=None))

    if where == "sim":
        item.config.stash[SWEPT_FAULTS] = list(plan)
        test()
        stay = Stay()
    else:
        guest = Guest(plan, seed, callers, inside=where == "kernel", max_seconds=max_seconds)
        stay = guest.run(test)
    to_json = item.config.hook.pytest_report_to_serializable
    return {
        "stay": {
            **vars(stay),
            "called": [dataclasses.astuple(one) for one in stay.called],
            "handled": [dataclasses.astuple(one) for one in stay.handled],
        },
        "reports": [to_json(config=item.config, report=one) for one in reports],
        "sim": _sim_result(item),
    }


def _sim_result(item: pytest.Item) -> dict[str, Any] | None:
    made = item.stash.get(SIM, None)
    result = None if made is None else made.result
    if result is None:
        return None
    return {
        "verdict": result.verdict,
        "violated": {one.name: one.detail for one in result.violated},
        "unstruck": list(result.unstruck),
        "reason": result.reason,
        "points": result.faults,
    }


# -- the fork


def _forked(function: Callable[[], dict[str, Any]], limit_s: float) -> dict[str, Any] | None:
    """What *function* returns in a child process; ``None`` if it has not ended after *limit_s*, and is killed."""
    source, sink = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # The child goes on with this thread alone, which is all that it needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(source)
        _child(function, sink)
    os.close(sink)
    try:
        data = _read(source, time.monotonic() + limit_s)
        if data is None:
            os.kill(pid, signal.SIGKILL)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(source)
        os.waitpid(pid, 0)
    if data is None:
        return None
    if not data:
        return {"broken": "the process of the test ended before it could say anything"}
    document: dict[str, Any] = json.loads(data)
    return document


def _child(function: Callable[[], dict[str, Any]], sink: int) -> None:
    """Run *function*, write what it returns, and end without unwinding anything."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the session
        try:
            document = function()
        except BaseException:
            document = {"broken": traceback.format_exc().strip().splitlines()[-1]}
        data = json.dumps(document, default=_as_text).encode()
        while data:
            data = data[os.write(sink, data) :]
    finally:
        os._exit(0)


def _as_text(value: object) -> str:
    return os.fspath(value) if isinstance(value, Path) else repr(value)


def _read(source: int, until: float) -> bytes | None:
    """Everything that comes; ``None`` if it takes too long."""
    parts: list[bytes] = []
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0 or not select.select([source], [], [], left_s)[0]:
            return None
        part = os.read(source, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
