"""The committed examples are what the code draws, and tell nothing of the machine that they were made on."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gallery
from harness.history import History


def test_the_live_picture_is_drawn_from_the_run_that_was_kept(tmp_path: Path) -> None:
    """A run with real processes that passed, and a picture of it: as large as the committed one, drawn by this code."""
    picture = gallery.draw_live(tmp_path)
    committed = (gallery.FOLDER / picture.name).read_bytes()
    assert picture.read_bytes()[:24] == committed[:24]  # signature, width and height
    again = picture.read_bytes()
    assert gallery.draw_live(tmp_path).read_bytes() == again


def test_the_kept_run_is_a_live_one_of_the_catalogue() -> None:
    """Its header names a scenario of the catalogue and no folder of a machine."""
    history = History.load(gallery.FOLDER / "live-history.jsonl")
    assert history.header["backend"] == "live"
    assert (gallery.ROOT / history.header["file"]).is_file()
    text = (gallery.FOLDER / "live-history.jsonl").read_text()
    assert str(Path.home()) not in text
    assert "/tmp/" not in text
    assert str(gallery.ROOT) not in text


def test_a_run_that_did_not_pass_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gallery of a broken run would be one of a broken harness."""
    from harness import runner

    class Failed:
        verdict, reason, scenario = "error", "no Redis", "sqs-cut-off"

    monkeypatch.setattr(runner, "run", lambda *arguments, **more: Failed)
    with pytest.raises(RuntimeError, match="no Redis"):
        gallery.record_live(tmp_path)
    assert list(tmp_path.iterdir()) == []
