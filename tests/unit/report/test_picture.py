"""One drawing serves a file and a page of two themes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from harness.report import picture
from harness.report.palette import DARK, LIGHT
from harness.report.timeline import Caption
from tests.unit.report import synthetic

_TOKEN = re.compile(r"#fe[0-9a-f]{2}b7")


def _drawing() -> str:
    history = synthetic.history(synthetic.outage())
    return picture.draw(history.header, history.events, Caption("<b>x</b>", "failed", recovery_seconds=3.0))


def test_a_file_has_the_colours_of_its_theme_and_no_placeholder() -> None:
    """What stands for a role is gone, its colour is there, and the file is XML."""
    drawing = _drawing()
    for theme in (LIGHT, DARK):
        text = picture.for_file(drawing, theme)
        assert not _TOKEN.search(text)
        assert theme.processed in text
        assert theme.breaker["half-open"][0] in text
        assert ElementTree.fromstring(text).tag.endswith("svg")


def test_a_page_has_variables_that_both_themes_define() -> None:
    """Every variable used is declared for light and for dark; no colour is fixed."""
    text = picture.for_page(_drawing(), "run-")
    assert not _TOKEN.search(text)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert "--p-breaker-half-open-face" in used
    for name in ("light", "dark"):
        assert used <= set(re.findall(r"(--[\w-]+):", picture.css_variables(name)))
    assert not re.search(r"(fill|stroke): #", text)


def test_ids_are_the_pages_own() -> None:
    """Each reference leads to an id that is there, and both bear the prefix; what nobody refers to has none."""
    text = picture.for_page(_drawing(), "run-7-")
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(ids) == set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert ids
    assert all(id.startswith("run-7-") for id in ids)


def test_text_stays_text() -> None:
    """A name with markup in it is escaped in the drawing."""
    assert "&lt;b&gt;x&lt;/b&gt;" in picture.for_page(_drawing(), "a-")
