"""Runs scenarios in processes of their own: the parent's side. The other side is :mod:`harness.cli.worker`.

A worker reads jobs from its standard input and answers on its standard
output, one JSON object a line. It is in a session of its own, so that Ctrl-C
reaches the parent alone, and it ends by itself when its input closes: no
worker outlives the command, however the command ends.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any, Final

from harness.cli.execute import Job, failed, interrupted
from harness.errors import HarnessError, ScenarioError

__all__ = ["Pool", "run_alone"]


_LIVE_END_SECONDS: Final = 20.0


class _Worker:
    def __init__(self) -> None:
        self.job: Job | None = None
        self.buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")},
            start_new_session=True,
        )

    @property
    def output(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def give(self, job: Job) -> None:
        import orjson

        assert self.process.stdin is not None
        self.job = job
        try:
            self.process.stdin.write(orjson.dumps(job.to_json(), option=orjson.OPT_APPEND_NEWLINE))
            self.process.stdin.flush()
        except BrokenPipeError:
            # It has died: its output is at an end too, and reading that says how.
            return

    def close(self) -> int:
        """Close both pipes, upon which it ends by itself, and wait for it; its exit code."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait()
        self.output.close()
        return code

    def kill(self) -> None:
        """End it at once, with whatever else the code under test has started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def gone(self) -> str:
        """How it ended."""
        code = self.close()
        if code < 0:
            return f"its process was killed by signal {signal.Signals(-code).name}"
        return f"its process ended with exit code {code} before it had a verdict"


class Pool:
    """*size* workers. ``run`` gives each job's entry in the order of the jobs."""

    def __init__(self, size: int) -> None:
        self._size = size
        #: What is done, by name; complete when ``run`` returns, partial after an exception.
        self.entries: dict[str, dict[str, Any]] = {}
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            if kind is not None:
                worker.kill()
            worker.close()
        self._selector.close()

    def run(
        self,
        jobs: Sequence[Job],
        *,
        began: Callable[[str], None] = lambda name: None,
        ended: Callable[[dict[str, Any]], None] = lambda entry: None,
    ) -> list[dict[str, Any]]:
        """Run *jobs*.

        Raises:
            UsageError: what a worker said of bad input.
            KeyboardInterrupt: Ctrl-C; ``entries`` has what was done by then.
        """
        waiting = deque(jobs)
        for _ in range(min(self._size, len(jobs))):
            self._next(self._hire(), waiting, began)
        try:
            while len(self.entries) < len(jobs):
                for key, _ in self._selector.select():
                    worker: _Worker = key.data
                    for entry in self._heard(worker):
                        self.entries[entry["name"]] = entry
                        ended(entry)
                        self._next(worker if worker in self._workers else self._hire(), waiting, began)
        except KeyboardInterrupt:
            self._end_live()
            raise
        return [self.entries[job.name] for job in jobs]

    def _end_live(self) -> None:
        """Live runs in hand end by themselves when asked: they stop what they started, and keep their history."""
        asked = [one for one in self._workers if one.job is not None and one.job.backend == "live"]
        for worker in asked:
            worker.process.send_signal(signal.SIGINT)
        until = time.monotonic() + _LIVE_END_SECONDS
        while asked and time.monotonic() < until:
            for key, _ in self._selector.select(until - time.monotonic()):
                worker = key.data
                for entry in self._heard(worker):
                    if worker in asked and worker in self._workers:
                        self.entries[entry["name"]] = interrupted(entry)
                    asked = [one for one in asked if one is not worker]
                asked = [one for one in asked if one in self._workers]

    def _hire(self) -> _Worker:
        worker = _Worker()
        self._workers.append(worker)
        self._selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker

    def _next(self, worker: _Worker, waiting: deque[Job], began: Callable[[str], None]) -> None:
        worker.job = None
        if waiting:
            job = waiting.popleft()
            began(job.name)
            worker.give(job)

    def _heard(self, worker: _Worker) -> list[dict[str, Any]]:
        """The entries that *worker* has sent; one that says error if it died with a job in hand."""
        data = os.read(worker.output.fileno(), 1 << 20)
        if data:
            *lines, worker.buffer = (worker.buffer + data).split(b"\n")
            return [_answer(line) for line in lines]
        self._selector.unregister(worker.output)
        self._workers.remove(worker)
        reason = worker.gone()
        return [] if worker.job is None else [failed(worker.job, reason)]


def _answer(line: bytes) -> dict[str, Any]:
    import orjson

    answer = orjson.loads(line)
    if "usage" in answer:
        raise ScenarioError(answer["usage"])
    if "failure" in answer:
        raise HarnessError(answer["failure"])
    entry: dict[str, Any] = answer["entry"]
    return entry


def run_alone(job: Job) -> dict[str, Any]:
    """Run one job in a fresh process."""
    with Pool(1) as pool:
        return pool.run([job])[0]
