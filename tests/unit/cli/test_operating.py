"""What the operators' commands share: progress."""

from __future__ import annotations

import sys
import time

import pytest

from harness.cli.operating import Ticker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_progress_in_a_log_is_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand messages in a minute are six lines, on standard error: standard output is for results."""
    ticker = Ticker()
    for read in range(1, 1_201):
        clock.now += 0.05
        ticker.show(f"read {read}")
    ticker.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) in (5, 6)
    assert err.splitlines()[0] == "read 200"


def test_progress_in_a_terminal_is_one_line_that_is_taken_away(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shorter text leaves nothing of a longer one, and the result begins on a clean line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ticker = Ticker()
    for text in ("read 1000", "read 7"):
        clock.now += 0.25
        ticker.show(text)
    ticker.close()
    ticker.close()
    assert capsys.readouterr().err == "\rread 1000" + "\rread 7   " + "\r      \r"
