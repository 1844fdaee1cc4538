"""A server in a process of its own: started, waited for, and stopped by its pid, whatever happens to us."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from harness.errors import EnvironmentFailed

__all__ = ["Child", "announce", "end_with_parent", "free_port", "listens"]

_GRACE_SECONDS = 5.0
_TAIL_BYTES = 2_000


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens on that port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """A running process. ``announced``: what it said of itself, ``pid``: whom to look for.

    *command* prints one line of JSON on its standard output when it can be
    used, and ends when its standard input does: then nothing stays behind even
    if this process is killed. *ready* takes the place of that line for commands
    that do not print one: it is asked until it answers something.

    Raises:
        EnvironmentFailed: it ended, or was not ready within *timeout* seconds; with the end of what it printed.
    """

    def __init__(
        self,
        what: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: str | None = None,
        ready: Callable[[], Any] | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.what = what
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if ready is None else self._errors,
                stderr=self._errors,
                env={**os.environ, **(environ or {})},
                cwd=cwd,
                start_new_session=True,  # Ctrl-C is for us: we stop it when the run's history is safe
            )
        except OSError as error:
            self._errors.close()
            raise EnvironmentFailed(f"{what} could not be started: {command[0]}: {error.strerror}") from None
        try:
            self.announced: dict[str, Any] = self._wait(ready, timeout)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def printed(self) -> str:
        """The end of what it wrote to its standard error."""
        if self._errors.closed:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        return self._errors.read().decode("utf-8", "replace").strip()

    def pause(self) -> None:
        """SIGSTOP: it does nothing until :meth:`go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.alive:
            self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, after five seconds SIGKILL; nothing if it has ended."""
        if self.alive:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):  # it was gone before its input was
                    stream.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _wait(self, ready: Callable[[], Any] | None, timeout: float) -> dict[str, Any]:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if ready is not None:
                answer = ready()
                if answer:
                    return answer if isinstance(answer, dict) else {}
                time.sleep(0.02)
            else:
                line = self._line(0.1)
                if line:
                    return self._read(line)
            if not self.alive:
                raise EnvironmentFailed(
                    f"{self.what} ended with code {self._process.returncode} before it could be used: {self.printed()}"
                )
        raise EnvironmentFailed(f"{self.what} could not be used within {timeout:.0f} s: {self.printed()}")

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(timeout) else b""

    def _read(self, line: bytes) -> dict[str, Any]:
        try:
            announced = json.loads(line)
        except ValueError:
            announced = None
        if not isinstance(announced, dict):
            raise EnvironmentFailed(f"{self.what} said {line[:200]!r} instead of where it listens")
        return announced


def announce(facts: Mapping[str, Any]) -> None:
    """The line that a :class:`Child` waits for."""
    print(json.dumps({"pid": os.getpid(), **facts}), flush=True)


def end_with_parent(stop: Callable[[], object]) -> None:
    """Call *stop* when standard input ends: whoever started us is gone. On a thread of its own."""

    def watch() -> None:
        with contextlib.suppress(OSError):  # a closed standard input is an end, too
            while os.read(sys.stdin.fileno(), 4096):
                continue
        stop()

    threading.Thread(target=watch, name="parent", daemon=True).start()
