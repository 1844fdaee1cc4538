"""How live runs are judged: what a missed bound on time, a scale and a failure do to the verdict; what is kept."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from harness import live_runner, runner
from harness.environments.live.options import LiveOptions
from harness.errors import EnvironmentFailed
from harness.history import Writer
from harness.invariants.base import Verdict
from harness.loading import load
from harness.scenario import Scenario
from tests.systems import live_consumers

EVENTS = [
    {"n": 1, "t": 0.0, "actor": "-", "kind": "run.start"},
    {"n": 2, "t": 1.5, "actor": "-", "kind": "run.end", "reason": "quiet", "queues": {}, "points": {}, "steps": 0},
]


class Runs:
    """Live runs that do nothing: each takes the next of *ends*, an error to raise or the verdicts of its judge."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: Any) -> None:
        self.ends = list(ends)
        self.done = 0
        outer = self

        class Run:
            events = EVENTS
            started = True
            notes: list[str] = []
            clock = type("Clock", (), {"seconds": 1.5})

            def __init__(self, *arguments: Any) -> None:
                outer.done += 1
                self.notes = []

            def execute(self) -> None:
                end = outer.ends[0]
                if isinstance(end, BaseException):
                    type(self).started = getattr(end, "started", True)
                    raise end

            def close(self) -> None:
                outer.closed = True

            def unstruck(self) -> list[str]:
                return []

            def table(self) -> dict[str, Any]:
                return {}

            def strikes(self) -> list[int]:
                return []

        class Judge(live_runner.Judge):
            def finish(self) -> list[Verdict]:
                end = outer.ends.pop(0)
                return [] if isinstance(end, BaseException) else end

        monkeypatch.setattr(live_runner, "LiveRun", Run)
        monkeypatch.setattr(live_runner, "Judge", Judge)


def scenario() -> Scenario:
    return load(live_consumers.__file__)[0]


def run(out: Path | None = None, **live: Any) -> Any:
    return runner.run(scenario(), backend="live", out=out, options=runner.Options(live=LiveOptions(**live)))


MET = [Verdict("no-message-loss", "held", "", ()), Verdict("recovers-within", "held", "", ())]
LATE = [Verdict("no-message-loss", "held", "", ()), Verdict("recovers-within", "violated", "after 9 s", ())]
LOST = [Verdict("no-message-loss", "violated", "1 lost", ()), Verdict("recovers-within", "violated", "after 9 s", ())]


@pytest.mark.parametrize(
    ("ends", "verdict", "runs"),
    [
        ([MET], "passed", 1),
        ([LATE, MET], "flaky", 2),
        ([LATE, LATE, MET], "flaky", 3),
        ([LATE, LATE, LATE], "failed", 3),
        ([LOST], "failed", 1),
        ([LATE, LOST], "failed", 2),
    ],
)
def test_a_missed_bound_on_time_is_tried_twice_more(
    monkeypatch: pytest.MonkeyPatch, ends: list[Any], verdict: str, runs: int
) -> None:
    """It fails at three of three; a broken safety invariant fails at once."""
    made = Runs(monkeypatch, *ends)
    result = run()
    assert (result.verdict, made.done) == (verdict, runs)
    if runs > 1:
        assert any("missed recovers-within" in note for note in result.notes)


def test_bounds_on_time_are_inconclusive_where_the_services_clock_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consumers wait in real time: nothing that compares times means anything."""
    Runs(monkeypatch, LATE)
    result = run(time_scale=4.0)
    assert result.verdict == "inconclusive"
    assert {one.name: one.status for one in result.verdicts} == {
        "no-message-loss": "held",
        "recovers-within": "inconclusive",
    }


@pytest.mark.parametrize(
    ("end", "reason"),
    [(EnvironmentFailed("the SQS server does not answer"), "does not answer"), (KeyboardInterrupt(), "interrupted")],
)
def test_a_run_that_is_broken_off_is_an_error_and_its_history_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: BaseException, reason: str
) -> None:
    """Never passed; the events up to then are in the file."""
    made = Runs(monkeypatch, end)
    result = run(tmp_path)
    assert result.verdict == "error"
    assert reason in result.reason
    assert made.closed
    assert result.history_file is not None
    assert len(result.history_file.read_text().splitlines()) == 1 + len(EVENTS)


def test_ctrl_c_before_the_workload_keeps_the_history_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That it was interrupted, and when, stands in the file; it is an error and not nothing."""
    stopped = KeyboardInterrupt()
    stopped.started = False  # type: ignore[attr-defined]
    made = Runs(monkeypatch, stopped)
    result = run(tmp_path)
    assert (result.verdict, result.reason) == ("error", "interrupted")
    assert made.closed
    assert result.history_file is not None
    assert len(result.history_file.read_text().splitlines()) == 1 + len(EVENTS)


def test_ctrl_c_while_everything_is_stopped_is_an_error_and_no_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The others are stopped all the same, and what was done is kept."""
    Runs(monkeypatch, MET)

    def close(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(live_runner.LiveRun, "close", close)
    result = run(tmp_path)
    assert (result.verdict, result.reason) == ("error", "interrupted")
    assert result.history_file is not None
    assert len(result.history_file.read_text().splitlines()) == 1 + len(EVENTS)


def test_an_environment_that_could_not_begin_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing has happened: there is nothing to judge."""
    error = EnvironmentFailed("no Redis answers")
    error.started = False  # type: ignore[attr-defined]
    made = Runs(monkeypatch, error)
    with pytest.raises(EnvironmentFailed, match="no Redis"):
        run(tmp_path)
    assert made.closed


def test_a_full_disk_makes_an_error_of_a_run_that_would_have_passed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its evidence is not there; the file is closed."""
    Runs(monkeypatch, MET)

    def full(self: Writer, event: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Writer, "write", full)
    result = run(tmp_path)
    assert result.verdict == "error"
    assert "No space left on device" in result.reason
