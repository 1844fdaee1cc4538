"""Consumers as processes of the operating system: started again, ended, and nobody is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.environments.live import processes as module
from harness.environments.live.clock import LiveClock
from harness.environments.live.processes import LiveProcesses
from harness.environments.live.recorder import LiveRecorder
from harness.scenario import Process

#: Instead of the worker's program: waits for the end of its input.
WAITS = "import sys; sys.stdin.read()"
#: Starts a child of its own, says its pid, and waits.
HAS_A_CHILD = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); "
    "open(sys.argv[1], 'w').write(str(child.pid)); sys.stdin.read()"
)


def target(env: Any) -> None:
    """Never called: the program is another one."""


class Table:
    """A table of processes whose program a test chooses, with what was recorded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = LiveClock(1000.0)  # what falls due comes at once
        self.clock.start()
        self.record = LiveRecorder(self.clock)
        self.command = [sys.executable, "-c", WAITS]
        popen = subprocess.Popen
        monkeypatch.setattr(module.subprocess, "Popen", lambda command, **more: popen(self.command, **more))
        self.delay_us = 0
        self.made = LiveProcesses(
            self.clock, self.record, {}, lambda spec: dict(os.environ), lambda starting: self.delay_us
        )

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.record.in_order()]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    found = Table(monkeypatch)
    yield found
    found.clock.over.set()
    found.made.close()
    found.clock.stop()


def until(condition: Callable[[], object]) -> None:
    """Wait for what other processes do: five seconds at most."""
    gate = threading.Event()
    for _ in range(500):
        if condition():
            return
        gate.wait(0.01)
    raise AssertionError("it did not come to pass within five seconds")


def alive(pid: int) -> bool:
    """Whether a process runs: one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_copies_start_and_are_gone_after_close(table: Table) -> None:
    """SIGTERM ends them; each end is written down."""
    assert table.made.start_all([Process("worker", target, count=2)]) == {"worker.1", "worker.2"}
    pids = [one.popen.pid for one in table.made.running()]
    assert [alive(pid) for pid in pids] == [True, True]
    table.made.close()
    assert [alive(pid) for pid in pids] == [False, False]
    assert table.kinds() == ["process.exit", "process.exit"]
    assert table.made.failures == []


def test_a_killed_process_is_started_again_only_if_the_plan_says_so(table: Table) -> None:
    """With a successor nothing has ended for good; without one, all has."""
    table.made.start_all([Process("worker", target)])
    first = table.made.running()[0]
    table.made.restart_after(first.name, 0.0)
    table.made.kill(first)
    assert not table.made.all_ended
    until(lambda: [one.incarnation for one in table.made.running()] == [2])
    until(lambda: not table.made._successors)
    table.made.kill(table.made.running()[0])
    until(lambda: table.made.all_ended)
    assert table.kinds() == ["process.crash", "process.crash"]


def test_what_a_consumer_started_ends_with_it(table: Table, tmp_path: Any) -> None:
    """SIGKILL of a consumer leaves no child of its behind, which would go on with its messages."""
    place = tmp_path / "pid"
    table.command = [sys.executable, "-c", HAS_A_CHILD, str(place)]
    table.made.start_all([Process("worker", target)])
    until(lambda: place.exists() and place.read_text())
    child = int(place.read_text())
    assert alive(child)
    table.made.kill(table.made.running()[0])
    until(lambda: not alive(child))


def test_a_child_that_left_its_group_ends_with_the_consumer_too(table: Table, tmp_path: Any) -> None:
    """As RQ's work horses do: they would finish a job that the run believes killed."""
    place = tmp_path / "pid"
    table.command = [sys.executable, "-c", HAS_A_CHILD.replace("'60']", "'60'], start_new_session=True"), str(place)]
    table.made.start_all([Process("worker", target)])
    until(lambda: place.exists() and place.read_text())
    child = int(place.read_text())
    assert os.getsid(child) == child
    table.made.kill(table.made.running()[0])
    until(lambda: not alive(child))


def test_the_end_of_standard_input_is_the_end_of_the_run(table: Table) -> None:
    """A run that is killed itself leaves nobody: its end of the pipe closes."""
    table.made.start_all([Process("worker", target)])
    process = table.made.running()[0]
    assert process.popen.stdin is not None
    process.popen.stdin.close()
    assert process.over.wait(5)


def test_a_process_that_dies_says_why(table: Table) -> None:
    """What it printed last is what the report tells."""
    table.command = [sys.executable, "-c", "raise SystemExit('no such setting: PAYMENTS_URL')"]
    table.made.start_all([Process("worker", target)])
    until(lambda: table.made.failures)
    assert table.made.failures == ["worker: no such setting: PAYMENTS_URL"]
    assert table.record.in_order()[0]["outcome"] == "error"


def test_a_slow_start_is_not_everybodys_end(table: Table) -> None:
    """Who waits for his start is still to come."""
    table.delay_us = 200_000_000  # 0.2 s of real time here
    assert table.made.start_all([Process("worker", target)]) == set()
    assert not table.made.all_ended
    until(lambda: table.made.running())


def test_a_pause_stops_a_process_and_lets_it_go_on(table: Table) -> None:
    """SIGSTOP and SIGCONT, both written down."""
    table.made.start_all([Process("worker", target)])
    process = table.made.running()[0]
    table.made.pause(process, 0.05)
    assert process.state == "paused"
    until(lambda: process.state == "running")
    until(lambda: table.kinds() == ["process.pause", "process.resume"])


def test_sigterm_that_is_ignored_is_followed_by_sigkill(table: Table, tmp_path: Any) -> None:
    """After the grace; a supervisor starts the next one."""
    place = tmp_path / "ready"
    ignores = f"import signal, sys; signal.signal(15, signal.SIG_IGN); open({str(place)!r}, 'w'); sys.stdin.read()"
    table.command = [sys.executable, "-c", ignores]
    table.made.start_all([Process("worker", target)])
    until(place.exists)
    process = table.made.running()[0]
    table.made.terminate(process, 0.05)
    assert process.over.wait(5)
    assert table.kinds() == ["process.sigterm", "process.crash"]
    assert not table.made.all_ended
