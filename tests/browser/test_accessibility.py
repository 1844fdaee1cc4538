"""axe-core finds nothing wrong with the page: contrast, names, roles, focus, in both themes and on a narrow screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.conftest import Open
from tests.requirements import module

pytestmark = pytest.mark.slow

_VIEWS = ("", "#lossy?event=40&from=50&to=150&filter=kind:receive")


@pytest.mark.parametrize("hash", _VIEWS, ids=["overview", "scenario"])
@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 1280), (False, 390), (True, 390)])
def test_axe_finds_nothing(report: Path, open_page: Open, hash: str, dark: bool, width: int) -> None:
    """Every rule of axe-core, each view opened up first."""
    axe = module("axe_playwright_python.sync_playwright", "browser").Axe()
    page = open_page(report, hash, dark=dark, width=width)
    if hash:
        page.wait_for_selector('.explorer[data-ready="yes"]')
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.keyboard.press("?")
    found = axe.run(page).response["violations"]
    told = [
        f"{one['id']}: {node['html'][:120]}: {node['failureSummary']}" for one in found for node in one["nodes"][:3]
    ]
    assert told == []


@pytest.mark.parametrize("hash", _VIEWS, ids=["overview", "scenario"])
def test_nothing_is_cut_off_on_a_narrow_screen(report: Path, open_page: Open, hash: str) -> None:
    """The page itself does not scroll sideways; what is wide scrolls in itself."""
    page = open_page(report, hash, width=390, height=800)
    if hash:
        page.wait_for_selector('.explorer[data-ready="yes"]')
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
