"""Tests of exit, exit hooks and child processes inside a run."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import RealWorld
from tests.unit.sim.simulate import kernel, needs_shims, simulate

pytestmark = needs_shims


REFUSED: dict[str, Callable[[], Any]] = {
    "subprocess.run": lambda: subprocess.run(["true"]),
    "subprocess.Popen": lambda: subprocess.Popen(["true"]),
    "os.system": lambda: os.system("true"),
    "os.popen": lambda: os.popen("true"),
    "os.fork": os.fork,
    "os.forkpty": os.forkpty,
    "os.posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "os.spawnv": lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]),
    "os.execv": lambda: os.execv("/bin/true", ["true"]),
    "multiprocessing.Process": lambda: multiprocessing.get_context("fork").Process(target=int).start(),
    "multiprocessing spawn": lambda: multiprocessing.get_context("spawn").Process(target=int).start(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_child_processes_are_refused(name: str) -> None:
    """Each way to a new process ends in RealWorld that names the caller and what to do."""
    caught: list[str] = []

    def main() -> None:
        try:
            REFUSED[name]()
        except RealWorld as error:
            caught.append(str(error))

    simulate(main)
    assert "test_process.py" in caught[0]
    assert "declare another Process" in caught[0]


def test_child_processes_work_outside_a_run() -> None:
    """With the shims in, the world outside a run starts processes as ever."""
    assert subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True).stdout == "5\n"


def test_os_exit_is_the_end_of_the_simulated_process_alone() -> None:
    """No finally runs, no thread goes on, the exit code is kept; the test lives."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            threading.Thread(target=lambda: (time.sleep(5), log.append("thread"))).start()
            try:
                time.sleep(1)
                os._exit(7)
            finally:
                if not k.closing:
                    log.append("finally")

        process = k.start_process("p", main)
        k.start_process("other", lambda: (time.sleep(10), log.append("other")))
        k.run()
        assert (process.state, process.exit_outcome, process.exit_code) == ("crashed", "exit", 7)
    assert log == ["other"]


def test_os_abort_is_a_crash() -> None:
    """os.abort ends the simulated process as a signal would."""
    with kernel() as k:
        process = k.start_process("p", os.abort)
        k.run()
        assert (process.state, process.exit_outcome) == ("crashed", None)


def test_sys_exit_in_the_main_function_is_an_exit_with_its_code() -> None:
    """finally blocks and exit hooks run; other processes go on."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            atexit.register(log.append, "hook")
            try:
                sys.exit(4)
            finally:
                log.append("finally")

        process = k.start_process("p", main)
        k.run()
        assert (process.state, process.exit_outcome, process.exit_code) == ("exited", "exit", 4)
    assert log == ["finally", "hook"]


def test_exit_hooks_run_last_in_first_out_when_the_process_ends_and_not_when_it_is_killed() -> None:
    """atexit inside a run belongs to the simulated process; unregister works; a failing hook stops no other."""
    log: list[str] = []

    with kernel() as k:

        def main() -> None:
            atexit.register(log.append, "first")
            atexit.register(log.append, "unregistered")
            atexit.register(lambda: 1 / 0)
            atexit.register(log.append, "last")
            time.sleep(1)

        process = k.start_process("p", main)
        killed = k.start_process("killed", lambda: (atexit.register(log.append, "killed"), time.sleep(100)))
        k.call_at(5_000_000, lambda: k.crash(killed))
        k.run()
        assert process.exit_outcome == "returned"
    assert log == ["last", "unregistered", "first"]

    def unregisters() -> None:
        def hook() -> None:
            log.append("never")

        atexit.register(hook)
        atexit.unregister(hook)

    simulate(unregisters)
    assert log == ["last", "unregistered", "first"]


def test_exit_hooks_may_wait() -> None:
    """A hook that sleeps does so in virtual time, before the process is gone."""
    with kernel() as k:
        process = k.start_process("p", lambda: atexit.register(time.sleep, 3))
        k.run()
        assert (k.now, process.state) == (3.0, "exited")


def test_finalizers_made_inside_do_not_bind_the_interpreters_exit_to_a_process() -> None:
    """weakref.finalize works inside a run and runs when its object goes."""
    log: list[str] = []

    class Thing:
        pass

    def main() -> None:
        thing = Thing()
        weakref.finalize(thing, log.append, "gone")
        del thing

    simulate(main)
    assert log == ["gone"]


def test_the_process_id_stays_real() -> None:
    """os.getpid answers the real process id, the same for all simulated processes."""
    found: list[int] = []
    simulate(lambda: found.append(os.getpid()), lambda: found.append(os.getpid()))
    assert found == [os.getpid()] * 2
