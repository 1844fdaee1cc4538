"""``pytest --chaos-sweep``: somebody's existing tests, once for each fault that could strike a call in them.

Each test runs in child processes: once as it is, in the kernel, which counts
its AWS and Redis calls; then once for each (call, kind) with that fault. What
judges is the test's own assertions, hangs, and what becomes of messages. A
test that the kernel refuses runs outside it. The report groups by call.

The module is imported for ``--chaos-sweep`` alone. Under pytest-xdist each
worker sweeps its own tests, and the controller tells what they found.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.config import nearest
from harness.environments.callers import Callers
from harness.environments.guest import Called, warm
from harness.explore.guests import Trial, judge, judge_sim, trials, trials_of_sim
from harness.explore.space import passings
from harness.faults.kinds import all_kinds
from harness.faults.plan import FaultPlan
from harness.pytest_child import OUTSIDE_S, Child, run_in_child

__all__ = ["Budget", "ChaosSweep"]

#: Where a test's report carries what its sweep found: pytest-xdist sends it along.
_CARRIED = "chaos_sweep"
_FINDINGS = ("message lost", "hang", "test fails")
_PATIENCE_S = 3_600.0  # virtual seconds beyond the clean run, after which a repetition hangs
_UNITS = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True)
class Budget:
    """How much is tried: ``all`` passings or the first of each (call, kind), within so many seconds."""

    whole: bool = False
    seconds: float = 600.0

    @classmethod
    def parse(cls, text: str) -> Budget:
        """``first``, ``all``, a time such as ``90s``, ``10m`` or ``1h``, or both with a comma.

        Raises:
            UsageError: it is neither.
        """
        whole, seconds = False, 600.0
        for part in text.split(","):
            word = part.strip()
            if word in ("first", "all"):
                whole = word == "all"
                continue
            number, unit = word[:-1], word[-1:]
            try:
                seconds = float(number) * _UNITS[unit]
            except (KeyError, ValueError):
                seconds = -1
            if not 0 < seconds < float("inf"):
                raise pytest.UsageError(
                    f"--chaos-sweep-budget: {word!r} is no budget. Give first or all, a time such as 90s, 10m or 1h, "
                    "or both: all,1h"
                )
        return cls(whole, seconds)


@dataclass
class _Swept:
    """What the sweep of one test came to; as JSON it travels with the test's report.

    ``where``: kernel, outside, sim; "" for a test that was skipped or failed by itself.
    """

    nodeid: str
    where: str = "kernel"
    why: str = ""
    slow: bool = False
    own: int = 0
    calls: int = 0
    tried: list[tuple[str, str, str, str]] = field(default_factory=list)  # call, fault, verdict, detail
    left: int = 0


class ChaosSweep:
    """The plugin's hooks."""

    def __init__(self, config: pytest.Config) -> None:
        if not hasattr(os, "fork"):
            raise pytest.UsageError("--chaos-sweep needs os.fork, which this system does not have")
        if config.getoption("usepdb", False):
            raise pytest.UsageError(
                "--chaos-sweep runs tests in child processes, where --pdb has no terminal: leave one"
            )
        self._config = config
        self._budget = Budget.parse(config.getoption("--chaos-sweep-budget"))
        self._only: str | None = config.getoption("--chaos-sweep-fault")
        self._kinds = _kinds(config.getoption("--chaos-sweep-kinds"))
        self._seed: int = config.getoption("--chaos-seed") or 0
        patterns = config.getini("python_files")
        self._callers = Callers(config.rootpath, lambda path: _is_test(path, config.rootpath, patterns))
        self._until = 0.0
        self._done = 0
        self._tried: set[str] = set()
        self._warmed: set[str] = set()
        self._swept: list[_Swept] = []

    # -- running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run the test and its repetitions in children of this process."""
        if not self._until:
            self._until = time.monotonic() + self._budget.seconds
        if hasattr(item.ihook, "pytest_timeout_cancel_timer"):
            item.ihook.pytest_timeout_cancel_timer(item=item)  # its limit is for one run
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        found = _Swept(item.nodeid)
        interrupted: KeyboardInterrupt | None = None
        reports: list[pytest.TestReport] = []
        try:
            clean = self._clean(item, found)
            reports = clean.reports
            if clean.passed and not found.slow and not any(report.skipped for report in reports):
                reports = self._repeat(item, clean, found) or reports
            else:
                found.where = ""
        except KeyboardInterrupt as error:
            interrupted = error
        self._done += 1
        if reports:
            setattr(reports[-1], _CARRIED, vars(found))
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if interrupted is not None:
            raise interrupted
        return True

    def _clean(self, item: pytest.Item, found: _Swept) -> Child:
        """The test as it is: in the kernel; outside it where the kernel refuses it or it fails there alone."""
        nothing = FaultPlan()
        if "sim" in getattr(item, "fixturenames", ()):
            found.where = "sim"
            clean = run_in_child(item, nothing, self._callers, where="sim", seed=self._seed)
            return clean if clean.reports else self._patiently(item, found)
        clean = run_in_child(item, nothing, self._callers, where="kernel", seed=self._seed)
        if clean.passed:
            return clean
        outside = run_in_child(item, nothing, self._callers, where="outside", seed=self._seed)
        if not outside.reports:
            return self._patiently(item, found, "outside")
        found.where = "outside"
        stay = clean.run.stay
        found.why = next(iter(stay.refused), "") or stay.reason or clean.run.error
        return outside

    def _patiently(self, item: pytest.Item, found: _Swept, where: str = "sim") -> Child:
        """Too slow to be repeated: what the test says by itself, told as ever."""
        found.slow = True
        patient = run_in_child(item, FaultPlan(), self._callers, where=where, seed=self._seed, patient=True)
        return patient if patient.reports else self._said(item, patient)

    def _said(self, item: pytest.Item, child: Child) -> Child:
        """A child that brought no reports back: say so as the test's own failure."""
        text = f"the test in a process of its own: {child.run.stay.reason}"
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
        return Child(child.run, [report], None)

    def _repeat(self, item: pytest.Item, clean: Child, found: _Swept) -> list[pytest.TestReport]:
        """Every fault within the budget; with ``--chaos-sweep-fault`` that one, whose reports are returned."""
        todo = self._todo(clean, found)
        if self._only is not None:
            chosen = next((one for one in todo if one.name == self._only), None)
            return [] if chosen is None else self._shown(self._try(item, chosen, clean, found), found)
        share_until = time.monotonic() + self._share(item)
        for number, trial in enumerate(todo):
            if number and time.monotonic() > share_until:
                found.left = len(todo) - number
                break
            self._try(item, trial, clean, found)
        return []

    @staticmethod
    def _shown(child: Child, found: _Swept) -> list[pytest.TestReport]:
        """The reports of the one repetition that was asked for, with its verdict."""
        _, fault, verdict, detail = found.tried[-1]
        for report in child.reports:
            report.sections.append(("chaos", f"{fault}: {verdict}" + (f": {detail}" if detail else "")))
        return child.reports

    def _todo(self, clean: Child, found: _Swept) -> list[Trial]:
        """What to try: what no test has tried yet first."""
        if found.where == "sim":
            todo = [] if clean.sim is None else trials_of_sim(passings(clean.sim["points"]))
        else:
            called = clean.run.stay.called
            found.own = sum(one.own for one in called if one.side == "before")
            found.calls = sum(not one.own for one in called if one.side == "before")
            todo = trials(clean.run.stay)
            self._warm(called)
        if self._kinds is not None:
            todo = [one for one in todo if one.kind in self._kinds]
        if self._only is None and not self._budget.whole:
            firsts = {one.sort: one for one in reversed(todo)}
            todo = [one for one in todo if firsts[one.sort] is one]
        return [
            *(one for one in todo if one.sort not in self._tried),
            *(one for one in todo if one.sort in self._tried),
        ]

    def _warm(self, called: Sequence[Called]) -> None:
        services = {one.point.split(".")[1]: None for one in called if one.point.startswith("aws.")}
        new = [name for name in services if name not in self._warmed]
        if new:
            warm(new)
            self._warmed.update(new)

    def _share(self, item: pytest.Item) -> float:
        """How many of the seconds that are left this test may have."""
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        to_come = max(1, len(item.session.items) // workers - self._done)
        return max(0.0, self._until - time.monotonic()) / to_come

    def _try(self, item: pytest.Item, trial: Trial, clean: Child, found: _Swept) -> Child:
        patience_s = clean.run.stay.seconds + _PATIENCE_S
        child = run_in_child(
            item, trial.plan, self._callers, where=found.where, seed=self._seed, max_seconds=patience_s
        )
        if found.where == "sim":
            verdict, detail = judge_sim(trial, child.run, child.sim)
        else:
            verdict, detail = judge(trial, clean.run.stay, child.run)
        self._tried.add(trial.sort)
        found.tried.append((trial.call, trial.name, verdict, detail))
        return child

    # -- telling

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what a sweep found, here or in a worker."""
        carried = getattr(report, _CARRIED, None)
        if carried is not None and not hasattr(self._config, "workerinput"):
            self._swept.append(_Swept(**{**carried, "tried": [tuple(one) for one in carried["tried"]]}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Something found is a failure."""
        if exitstatus == pytest.ExitCode.OK and any(
            verdict in _FINDINGS for one in self._swept for _, _, verdict, _ in one.tried
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The report, call by call."""
        terminalreporter.section("chaos sweep")
        for line in told(self._swept, self._budget):
            terminalreporter.write_line(line)


def told(swept: Sequence[_Swept], budget: Budget) -> list[str]:
    """The report: a paragraph for each call, then what was not swept and why, then the totals."""
    lines: list[str] = []
    by_call: dict[str, list[tuple[str, str, str, str]]] = {}
    for one in swept:
        for call, fault, verdict, detail in one.tried:
            by_call.setdefault(call, []).append((one.nodeid, fault, verdict, detail))
    for call, rows in sorted(by_call.items()):
        counts = Counter(row[2] for row in rows)
        told_counts = ", ".join(
            f"{counts[name]} {name}" for name in ("handled", *_FINDINGS, "not reached") if counts[name]
        )
        lines.append(f"{call}: {told_counts}")
        lines += _findings(rows)
    totals = Counter(row[2] for rows in by_call.values() for row in rows)
    outside = [one for one in swept if one.where == "outside"]
    if outside:
        lines.append(f"Outside the kernel, which refuses them (at most {OUTSIDE_S:g} s each):")
        lines += [f"    {one.nodeid}: {one.why}" for one in outside]
    slow = [one.nodeid for one in swept if one.slow]
    if slow:
        lines.append(f"Not swept, for they take longer than {OUTSIDE_S:g} s: {', '.join(slow)}")
    unfit = sum(not one.where and not one.slow for one in swept)
    if unfit:
        lines.append(f"Skipped, or failed without any fault, and not swept: {_tests(unfit)}")
    quiet = sum(bool(one.where) and not one.tried and not one.left for one in swept)
    if quiet:
        lines.append(f"No AWS or Redis call but the test's own, so nothing to strike: {_tests(quiet)}")
    left = [one for one in swept if one.left]
    if left:
        total = sum(one.left for one in left)
        lines.append(
            f"Left out for want of time ({budget.seconds:g} s; --chaos-sweep-budget): {total} repetitions of "
            f"{_tests(len(left))}, such as {left[0].nodeid}"
        )
    struck = sum(totals.values()) - totals["not reached"]
    told_totals = ", ".join(f"{totals[name]} {name}" for name in _FINDINGS)
    lines.append(
        f"{_tests(len(swept))}, {sum(one.calls for one in swept)} calls of the code under test ("
        f"{sum(one.own for one in swept)} of the tests' own left alone): "
        f"{totals['handled']} of {struck} faults handled; {told_totals}"
    )
    return lines


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"


def _findings(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """What was not handled, one paragraph for each kind of fault, verdict and detail."""
    found: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for nodeid, fault, verdict, detail in rows:
        if verdict in _FINDINGS:
            found.setdefault((fault.partition(" #")[0], verdict, detail), []).append((nodeid, fault))
    lines = []
    for (fault, verdict, detail), where in found.items():
        nodeid, name = where[0]
        more = f" (and {len(where) - 1} more)" if len(where) > 1 else ""
        lines.append(f"  ✗ {verdict}: {fault}: {detail}{more}")
        lines.append(f"      again: pytest {shlex.quote(nodeid)} --chaos-sweep --chaos-sweep-fault {shlex.quote(name)}")
    return lines


def _is_test(path: Path, root: Path, patterns: Sequence[str]) -> bool:
    """Whether *path* is a test's: by its name, conftest.py, or what stands in a folder of tests."""
    if path.name == "conftest.py" or any(path.match(pattern) for pattern in patterns):
        return True
    try:
        folders = path.resolve().relative_to(root).parts[:-1]
    except ValueError:
        return False
    return any(folder in ("test", "tests", "testing") for folder in folders)


def _kinds(text: str | None) -> frozenset[str] | None:
    """The kinds of ``--chaos-sweep-kinds``; ``None``: all.

    Raises:
        UsageError: one is none.
    """
    if text is None:
        return None
    known = [kind.name for kind in all_kinds()]
    unknown = [one for one in text.split(",") if one not in known]
    if unknown:
        raise pytest.UsageError(
            f"--chaos-sweep-kinds: {unknown[0]!r} is no kind of fault. {nearest(unknown[0], known)}"
        )
    return frozenset(text.split(","))
