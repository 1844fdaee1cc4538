"""A report replaces a report, whole or not at all, and never somebody's files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.errors import EnvironmentFailed, UsageError
from harness.history import Writer
from harness.report.folder import ReportFolder, draw
from tests.unit.report import synthetic
from tests.unit.report.entries import entry


def test_a_report_is_moved_into_place_whole(tmp_path: Path) -> None:
    """Nothing is at the place before publish; afterwards all files are, and the work folder is gone."""
    place = tmp_path / "deep" / "latest"
    history = synthetic.history(synthetic.short())
    with ReportFolder(place) as folder:
        full = draw(folder.work, entry("one"), history.header, history.events)
        assert not place.exists()
        page = folder.publish([full])
    assert page == place / "index.html"
    names = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    drawn = ["one/timeline.png", "one/timeline.svg"]
    assert names == ["index.html", "junit.xml", *drawn, "results.json", "summary.md"]
    assert [path.name for path in place.parent.iterdir()] == ["latest"]
    assert page.read_text().count("<svg") == 1


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    """What the older report had and the newer has not is gone."""
    for name in ("old", "new"):
        with ReportFolder(tmp_path / "latest") as folder:
            (folder.work / name).mkdir()
            folder.publish([entry(name)])
    assert not (tmp_path / "latest" / "old").exists()
    assert (tmp_path / "latest" / "new").exists()


def test_an_error_leaves_the_older_report(tmp_path: Path) -> None:
    """A run that breaks off writes nothing: the report before it stays, no part is left behind."""
    with ReportFolder(tmp_path / "latest") as folder:
        folder.publish([entry("old")])
    with pytest.raises(RuntimeError), ReportFolder(tmp_path / "latest"):
        raise RuntimeError
    assert "old" in (tmp_path / "latest" / "results.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


@pytest.mark.parametrize("kind", ["file", "foreign", "mixed"])
def test_somebodys_files_are_never_replaced(tmp_path: Path, kind: str) -> None:
    """A file, a folder without a report, and a report with a stranger's file in it are refused by name."""
    place = tmp_path / "mine"
    if kind == "file":
        place.write_text("precious")
    else:
        if kind == "mixed":
            with ReportFolder(place) as folder:
                folder.publish([])
        place.mkdir(exist_ok=True)
        (place / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="mine"):
        ReportFolder(place)
    assert "precious" in (place if kind == "file" else place / "thesis.txt").read_text()


def test_a_run_without_events_has_no_picture(tmp_path: Path) -> None:
    """What was left out has an entry and no timeline."""
    with ReportFolder(tmp_path / "latest") as folder:
        full = draw(folder.work, entry("none", "left out"), {}, [])
    assert "timeline" not in full


def test_on_a_full_disk_what_was_recorded_is_kept_and_told(tmp_path: Path) -> None:
    """The histories are evidence that took time: they lie beside the report's place, and the older report stays."""
    place = tmp_path / "latest"
    with ReportFolder(place) as folder:
        folder.publish([entry("old")])

    def unfinished(text: str) -> None:
        with ReportFolder(place) as folder:
            (folder.work / "one").mkdir()
            (folder.work / "one" / "history.jsonl").write_text(text)
            raise OSError(errno.ENOSPC, "No space left on device")

    kept = tmp_path / "latest.unfinished"
    for text in ("first", "second"):
        with pytest.raises(EnvironmentFailed) as caught:
            unfinished(text)
        message = str(caught.value)
        assert "No space left on device" in message
        assert str(kept) in message
        assert "--out" in message
        assert (kept / "one" / "history.jsonl").read_text() == text
    assert "old" in (place / "results.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "latest.unfinished"]


def test_after_any_other_error_nothing_is_left(tmp_path: Path) -> None:
    """A defect keeps no half of a report."""
    with pytest.raises(OSError, match="busy"), ReportFolder(tmp_path / "latest"):
        raise OSError(errno.EBUSY, "busy")
    assert list(tmp_path.iterdir()) == []


def test_a_history_is_written_whole_where_a_disk_takes_it_in_pieces(tmp_path: Path) -> None:
    """What a write did not take is written by the next one, which says it where the disk is full."""
    writer = Writer(tmp_path / "history.jsonl", {"schema": "x"}, buffer_bytes=1 << 20)
    for number in range(100):
        writer.write({"n": number, "t": 0.0, "actor": "-", "kind": "run.start"})
    file, writes = writer._file, []

    class Pieces:
        closed = False

        def write(self, data: bytes) -> int:
            writes.append(len(data))
            return file.write(bytes(data[:1000])) or 0

        def close(self) -> None:
            file.close()

    writer._file = Pieces()  # type: ignore[assignment]
    writer.close()
    assert len(writes) > 1
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 101
