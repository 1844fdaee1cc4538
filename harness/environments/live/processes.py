"""The consumers of a live run: each a process of the operating system, started, killed, stopped and started again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from harness.environments.live.clock import LiveClock
from harness.environments.live.recorder import LiveRecorder
from harness.scenario import Process as Spec

__all__ = ["LiveActions", "LiveProcess", "LiveProcesses"]

_SUPERVISOR_SECONDS: Final = 1.0  # how long after an end its supervisor starts the next
_GRACE_SECONDS: Final = 3.0
_TAIL_BYTES: Final = 4_000
_MARK: Final = "HARNESS_LIVE_MARK"  # in the environment of a consumer, and so of everything that it starts


@dataclass(eq=False)
class LiveProcess:
    """One incarnation of a process. ``group`` is the name in the scenario, ``name`` that of this copy."""

    name: str
    group: str
    incarnation: int
    popen: subprocess.Popen[bytes]
    output: IO[bytes]
    mark: str = ""
    ended: dict[str, Any] | None = None  # what it said of its own end
    killed: bool = False
    state: str = "running"
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def process(self) -> LiveProcess:
        """As an actor: the process that it belongs to."""
        return self


class LiveProcesses:
    """Starts and ends them. ``work``: what a consumer is told besides its own name (see ``worker.py``)."""

    def __init__(
        self,
        clock: LiveClock,
        record: LiveRecorder,
        work: Mapping[str, Any],
        environ: Callable[[Spec], dict[str, str]],
        start_delay_us: Callable[[LiveProcess | Any], int],
    ) -> None:
        self._clock = clock
        self._record = record
        self._work = work
        self._environ = environ
        self._start_delay_us = start_delay_us
        self._specs: dict[str, Spec] = {}
        self._incarnations: dict[str, int] = {}
        self._lock = threading.RLock()
        self.current: dict[str, LiveProcess] = {}
        self._successors: dict[str, float] = {}  # by name: seconds after the end
        self._watchers: list[threading.Thread] = []
        self._starting = 0  # that wait for their start
        self.failures: list[str] = []
        self.closing = False

    def start_all(self, specs: Iterable[Spec]) -> set[str]:
        """Start every process of a scenario; returns the names of those that start at once."""
        at_once = set()
        for spec in specs:
            for name in spec.instances():
                self._specs[name] = spec
                if self.start(name):
                    at_once.add(name)
        return at_once

    def start(self, name: str) -> bool:
        """Start (or start again) the process called *name*; a slow start waits first (false)."""
        spec = self._specs[name]
        with self._clock.lock:
            delay_us = self._start_delay_us(_Starting(name, spec.name))
        if delay_us:
            self._starting += 1
            self._clock.call_at(self._clock.now_us + delay_us, lambda: self._launch_late(name))
            return False
        self._launch(name)
        return True

    def _launch_late(self, name: str) -> None:
        self._launch(name)
        self._starting -= 1

    def named(self, name: str) -> LiveProcess | None:
        """The living incarnation of a process."""
        return self.current.get(name)

    def running(self) -> list[LiveProcess]:
        """Those that have not ended, in the order of their names."""
        with self._lock:
            return [self.current[name] for name in sorted(self.current)]

    @property
    def all_ended(self) -> bool:
        """Whether nobody runs, and nobody is going to: nothing more can happen."""
        with self._lock:
            return not self.current and not self._successors and not self._starting

    def restart_after(self, name: str, seconds: float) -> None:
        """Once *name* has ended, start it again so much later (real seconds)."""
        self._successors[name] = seconds

    def kill(self, process: LiveProcess) -> None:
        """SIGKILL."""
        process.killed = True
        process.popen.kill()
        process.over.wait(5.0)

    def terminate(self, process: LiveProcess, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL after the grace; a supervisor starts the next one."""
        self._record("process.sigterm", process=process.name, handled=True, actor="faults")
        self.restart_after(process.name, _SUPERVISOR_SECONDS)
        process.popen.terminate()
        threading.Thread(target=self._after_grace, args=(process, grace_seconds), daemon=True).start()

    def pause(self, process: LiveProcess, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after *seconds* (real)."""
        until = self._clock.seconds + seconds
        self._record("process.pause", process=process.name, until=until, actor="faults")
        process.state = "paused"
        process.popen.send_signal(signal.SIGSTOP)

        def go_on() -> None:
            self._clock.over.wait(seconds)
            if process.popen.poll() is None:
                process.popen.send_signal(signal.SIGCONT)
                process.state = "running"
                self._record("process.resume", process=process.name, actor="faults")

        threading.Thread(target=go_on, daemon=True).start()

    def close(self) -> None:
        """End them all: SIGTERM, then SIGKILL; every one of them is gone afterwards."""
        self.closing = True
        living = self.running()
        for process in living:
            process.popen.send_signal(signal.SIGCONT)
            process.popen.terminate()
        until = time.monotonic() + _GRACE_SECONDS
        for process in living:
            if not process.over.wait(max(0.0, until - time.monotonic())):
                process.killed = True
                process.popen.kill()
        for process in living:
            process.over.wait(5.0)

    def _after_grace(self, process: LiveProcess, grace_seconds: float) -> None:
        if not process.over.wait(grace_seconds):
            process.killed = True
            process.popen.kill()

    def _launch(self, name: str) -> None:
        if self.closing:
            return
        spec = self._specs[name]
        with self._lock:
            incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
            own = {**self._work, "process": name, "group": spec.name, "incarnation": incarnation}
            mark = secrets.token_hex(16)
            output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
            popen = subprocess.Popen(
                [sys.executable, "-m", "harness.environments.live.worker"],
                env={**self._environ(spec), "HARNESS_LIVE": json.dumps(own), _MARK: mark},
                stdin=subprocess.PIPE,  # its end is the end of the run for the process, however the run ends
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the run, which ends them
            )
            process = self.current[name] = LiveProcess(name, spec.name, incarnation, popen, output, mark)
        watcher = threading.Thread(target=self._watch, args=(process,), name=f"live-{name}", daemon=True)
        self._watchers.append(watcher)
        watcher.start()

    def _watch(self, process: LiveProcess) -> None:
        code = process.popen.wait()
        with contextlib.suppress(ProcessLookupError):  # as a rule nobody is left
            os.killpg(process.popen.pid, signal.SIGKILL)  # children of its own: they are the consumer, too
        _kill_marked(process.mark)
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        printed = _tail(process.output)
        process.output.close()
        with self._lock:
            if self.current.get(process.name) is process:
                del self.current[process.name]
        self._tell_end(process, code, printed)
        process.over.set()
        if self.closing:
            return
        seconds = self._successors.get(process.name)
        if seconds is not None and not self._clock.over.wait(seconds):
            self.start(process.name)
            self._successors.pop(process.name, None)

    def _tell_end(self, process: LiveProcess, code: int, printed: str) -> None:
        name = process.name
        if process.killed or code == -signal.SIGKILL:
            self._record("process.crash", process=name, actor="faults")
            return
        ended = process.ended or {}
        outcome = ended.get("end") or ("exit" if code in (0, -signal.SIGTERM) else "error")
        fields = {"error": ended["error"]} if ended.get("error") else {}
        self._record("process.exit", process=name, outcome=outcome, actor=name, **fields)
        if outcome == "error" and not self.closing:
            self.failures.append(f"{name}: {ended.get('traceback') or printed or f'exit code {code}'}")


class _Starting:
    """A process that is about to start, as a fault engine looks at it."""

    def __init__(self, name: str, group: str) -> None:
        self.name = name
        self.group = group


class LiveActions:
    """What a fault engine has done to processes. Times of the plan, in microseconds."""

    def __init__(self, clock: LiveClock) -> None:
        self._clock = clock
        self.table: LiveProcesses | None = None

    def _processes(self) -> LiveProcesses:
        assert self.table is not None
        return self.table

    def _real(self, us: int) -> float:
        return us / 1_000_000 / self._clock.scale

    def processes(self) -> Iterable[LiveProcess]:
        return self._processes().running()

    def restart(self, process: LiveProcess, after_us: int) -> None:
        self._processes().restart_after(process.name, self._real(after_us))

    def crash(self, process: LiveProcess) -> None:
        self._processes().kill(process)

    def sigterm(self, process: LiveProcess, grace_us: int) -> None:
        self._processes().terminate(process, self._real(grace_us))

    def pause(self, process: LiveProcess, us: int) -> None:
        self._processes().pause(process, self._real(us))

    def jump(self, name: str, us: int) -> None:
        raise AssertionError("clocks of live processes are not moved: such plans are refused")

    def drift(self, name: str, rate: float) -> None:
        raise AssertionError("clocks of live processes are not moved: such plans are refused")

    def flush(self) -> None:
        raise AssertionError("redis.flushed is refused in live runs")

    def failover(self, lost_us: int) -> None:
        raise AssertionError("redis.failover is refused in live runs")


def _kill_marked(mark: str) -> None:
    """End the children that have left their parent's group (RQ's work horses, daemons), where /proc tells them."""
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL_BYTES))
    return output.read().decode("utf-8", "replace").strip()
