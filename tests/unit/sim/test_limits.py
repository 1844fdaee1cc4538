"""What is not simulated: each line of docs/not-simulated.md is shown by a test, here or where it says."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path

import pytest

from harness.errors import Stalled
from harness.sim import limits
from harness.sim.patches.audit import REFUSED
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate
from tests.unit.sim.test_contract import functions_of

pytestmark = needs_shims

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_current() -> None:
    """docs/not-simulated.md is what the code says now."""
    page = (ROOT / "docs" / "not-simulated.md").read_text()
    assert page == limits.markdown(), "run: python -m harness.sim.limits > docs/not-simulated.md"
    assert all(f"`{event}`" in page for event in REFUSED)


@pytest.mark.parametrize("limit", limits.LIMITS, ids=lambda limit: limit.what[:40])
def test_each_line_names_a_test_that_is_there(limit: limits.Limit) -> None:
    """A line whose test was renamed or removed fails here."""
    path, _, name = limit.test.partition("::")
    assert name in functions_of(ROOT / path)


@pytest.mark.parametrize("call", ["epoll", "flock", "pipe"])
def test_a_c_call_that_blocks_stops_the_run(call: str, tmp_path: Path) -> None:
    """epoll, a file lock that another holds, an empty pipe: Stalled with the stack, not a hang."""
    fcntl = pytest.importorskip("fcntl")
    reader, writer = os.pipe()
    paths = [os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2)]

    def blocks() -> None:
        if call == "epoll":
            import select

            select.epoll().poll()
        elif call == "flock":
            fcntl.flock(paths[1], fcntl.LOCK_EX)
        else:
            os.read(reader, 1)

    fcntl.flock(paths[0], fcntl.LOCK_EX)
    try:
        with kernel(watchdog_seconds=0.2) as k:
            k.start_process("worker", blocks)
            with pytest.raises(Stalled, match="worker has blocked or span") as caught:
                k.run()
        assert "in blocks" in caught.value.stacks["worker"]
    finally:
        for descriptor in (reader, writer, *paths):
            os.close(descriptor)


def test_entropy_that_c_code_draws_is_real() -> None:
    """/dev/urandom read past Python's functions differs between two runs of one seed."""

    def main() -> bytes:
        with open("/dev/urandom", "rb") as device:
            return device.read(16)

    assert answer(main, seed=1) != answer(main, seed=1)


_SHARED: list[str] = []


def test_processes_share_modules() -> None:
    """A module's list that one simulated process changes is changed for the other."""

    def later() -> None:
        time.sleep(1)
        _SHARED.append("two")

    _SHARED.clear()
    simulate(lambda: _SHARED.append("one"), later)
    assert _SHARED == ["one", "two"]


def test_code_takes_no_virtual_time() -> None:
    """A long computation is over at the instant at which it began."""

    def main() -> float:
        before = time.monotonic()
        sum(number * number for number in range(200_000))
        return time.monotonic() - before

    assert answer(main) == 0.0


def test_pid_and_time_zone_are_the_machines() -> None:
    """Both are what they are outside a run."""
    assert answer(lambda: (os.getpid(), time.tzname, time.timezone)) == (os.getpid(), time.tzname, time.timezone)


class _Thing:
    """Something to finalize."""


def test_finalizers_of_living_objects_do_not_run_at_a_simulated_exit() -> None:
    """``weakref.finalize`` of an object that outlives its process is not called when that process exits."""
    log: list[str] = []
    kept: list[_Thing] = []

    def main() -> None:
        kept.append(_Thing())
        weakref.finalize(kept[0], log.append, "finalized")

    simulate(main, lambda: time.sleep(10))
    assert log == []
    kept.clear()
    assert log == ["finalized"]


def test_a_paused_process_dies_of_a_signal_at_once() -> None:
    """SIGTERM without a handler ends a process that is paused, before its pause ends."""
    with kernel() as k:
        process = k.start_process("p", lambda: time.sleep(100))
        k.call_at(1_000_000, lambda: k.pause(process, 50_000_000))
        k.call_at(2_000_000, lambda: k.sigterm(process, 1_000_000))
        k.call_at(2_000_001, lambda: states.append(process.state))
        states: list[str] = []
        k.run()
    assert states == ["crashed"]


def test_old_instances_of_subclasses_of_local_are_shared() -> None:
    """Made before harness was imported, a subclass's instance shows every actor the same values."""
    program = """
    import threading
    class Own(threading.local):
        value = 0
    OWN = Own()
    from harness.sim import patches
    from tests.unit.sim.simulate import answer
    patches.install()
    def main():
        def work(): OWN.value += 1
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return OWN.value
    print(answer(main))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("3", "")
