"""A child process for one run: what it says, how it ends when it says nothing, and that nobody waits for ever."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

from harness.pytest_child import _forked


def test_what_it_returns() -> None:
    """A document, paths as text."""
    assert _forked(lambda: {"a": [1, 2], "where": Path("/x")}, 30) == {"a": [1, 2], "where": "/x"}


def test_more_than_a_pipe_holds() -> None:
    """Read while it writes."""
    assert _forked(lambda: {"text": "x" * 1_000_000}, 30) == {"text": "x" * 1_000_000}


def test_an_exception_and_a_death() -> None:
    """Told in a line; a process that was killed is told too."""

    def fails() -> dict[str, Any]:
        raise ValueError("no bucket")

    def dies() -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    assert _forked(fails, 30) == {"broken": "ValueError: no bucket"}
    assert _forked(dies, 30) == {"broken": "the process of the test ended before it could say anything"}


def test_it_is_killed_when_its_time_is_over() -> None:
    """What waits for ever is ended, and its process is gone."""
    source, sink = os.pipe()

    def waits() -> dict[str, Any]:
        os.write(sink, str(os.getpid()).encode())
        threading.Event().wait()
        return {}

    assert _forked(waits, 0.5) is None
    os.close(sink)
    pid = int(os.read(source, 20))
    os.close(source)
    assert not Path(f"/proc/{pid}").exists()
