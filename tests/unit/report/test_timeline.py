"""The timeline is drawn for every kind of history, the same each time, and leaves matplotlib alone."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable

import matplotlib
import pytest

from harness.history import History
from harness.report.palette import DARK, LIGHT, Theme
from harness.report.series import read_series
from harness.report.timeline import Caption, figure, render
from tests.unit.report import synthetic


def _size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _texts(history: History, caption: Caption) -> list[str]:
    from matplotlib.text import Text

    drawn = figure(read_series(history.header, history.events, evidence=caption.evidence), caption)
    return [text.get_text() for text in drawn.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("model", [synthetic.outage, synthetic.short, synthetic.calm])
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_kind_of_history_is_drawn(model: Callable[[], synthetic.Model], theme: Theme) -> None:
    """Short, calm and eventful runs give a picture of readable size in both themes."""
    history = synthetic.history(model())
    width, height = _size(render(history.header, history.events, theme=theme))
    assert width == 1430
    assert 500 < height < 1500


def test_the_same_history_gives_the_same_bytes() -> None:
    """A picture holds no date, no version, no path: drawing again gives the same file."""
    history = synthetic.history(synthetic.short())
    for kind in ("png", "svg"):
        first = render(history.header, history.events, format=kind)
        assert first == render(history.header, history.events, format=kind)
        assert b"Software" not in first
        assert b"matplotlib.org" not in first or kind == "svg"


def test_an_empty_history_is_drawn() -> None:
    """A run that ended before its first event still has a picture."""
    assert _size(render({"scenario": "nothing"}, []))[0] == 1430


def test_the_users_matplotlib_settings_are_kept_and_not_used() -> None:
    """Drawing neither follows nor changes the process's rcParams, and pyplot is never imported."""
    history = synthetic.history(synthetic.short())
    plain = render(history.header, history.events)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert render(history.header, history.events) == plain
        assert matplotlib.rcParams["font.size"] == 30
    assert "matplotlib.pyplot" not in sys.modules


def test_the_picture_names_faults_states_and_recovery() -> None:
    """Targets, kinds, breaker states, crashes, the recovery time and the verdict stand on the picture as text."""
    history = synthetic.history(synthetic.outage())
    caption = Caption(
        "downstream-down", "failed", recovery_seconds=31.5, evidence={"no-message-loss": [history.events[50]["n"]]}
    )
    texts = " | ".join(_texts(history, caption))
    for expected in (
        "downstream-down",
        "✗ failed",
        "dependency.payments  status",
        "process.worker  crash  never struck",
        "31.5 s",
        "half-open",
        "crash  ×1",
        "evidence  ×1",
        "dead letter",
        "waiting (backlog)",
    ):
        assert expected in texts


def test_text_from_outside_is_not_taken_for_mathematics() -> None:
    """A name with dollar signs, which matplotlib would parse, is drawn as it is."""
    history = synthetic.history(synthetic.short())
    assert _size(render(history.header, history.events, Caption("cost $\\frac{$ up", details="$x")))[0] == 1430


def test_many_faults_share_rows() -> None:
    """Fifty faults of many kinds fit: at most ten rows, the last one for the rest."""
    model = synthetic.short()
    model.faults = [synthetic.fault(f"aws.sqs.Op{n}", "throttled", start=n % 3, end=n % 3 + 1) for n in range(50)]
    history = synthetic.history(model)
    texts = " | ".join(_texts(history, Caption("many")))
    assert "41 more kinds of fault" in texts
    assert _size(render(history.header, history.events))[1] < 1500
