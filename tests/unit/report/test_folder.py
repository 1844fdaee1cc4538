"""A report replaces a report, whole or not at all, and never somebody's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
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
