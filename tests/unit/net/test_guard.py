"""Servers of others end when whoever started them does, however that ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from harness.net.guard import guarded, guarded_pid

#: Says its pid and waits for nothing that the guard does.
SERVER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def started(place: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A guarded server and its pid."""
    command = guarded([sys.executable, "-c", SERVER, str(place)])
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 20
    while not (place.exists() and place.read_text()):
        assert time.monotonic() < until, "it did not start"
        time.sleep(0.01)
    return guard, int(place.read_text())


def gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_the_end_of_standard_input_ends_the_server(tmp_path: Path) -> None:
    """Whoever started it was killed: the pipe to it closes."""
    guard, server = started(tmp_path / "pid")
    assert guard.stdin is not None
    guard.stdin.close()
    assert guard.wait(10) == 0
    assert gone(server)


def test_sigterm_ends_the_server_and_is_no_failure(tmp_path: Path) -> None:
    """As at the end of every run."""
    guard, server = started(tmp_path / "pid")
    assert guarded_pid(guard.pid) == server
    guard.terminate()
    assert guard.wait(10) == 0
    assert gone(server)
    assert guard.stdin is not None
    guard.stdin.close()


def test_how_a_server_ended_is_passed_on() -> None:
    """Its exit code, a signal as a shell tells it."""
    for script, code in (("exit 7", 7), ("kill -9 $$", 137)):
        with subprocess.Popen(guarded(["/bin/sh", "-c", script]), stdin=subprocess.PIPE) as guard:
            assert guard.wait(20) == code


def test_a_program_that_is_not_there_is_named() -> None:
    """127, as a shell says it, with the reason."""
    done = subprocess.run(guarded(["/no/such/program"]), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (127, "/no/such/program: No such file or directory")
