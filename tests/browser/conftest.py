"""A report's page in a real browser: Debian's Chromium, headless, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.history import History
from harness.report.beside import beside
from harness.report.folder import ReportFolder, draw
from tests.requirements import module, require
from tests.unit.report import synthetic
from tests.unit.report.entries import entry, one_of_each

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    api = module("playwright.sync_api", "browser")
    program = require("chromium")
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page file; errors of its script and every request for something else fail the test."""
    contexts = []
    wrong: list[str] = []

    def open_(page_file: Path, hash: str = "", *, dark: bool = False, width: int = 1280, height: int = 900) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith("file:") else wrong.append(request.url))
        page.goto(page_file.as_uri() + hash)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def broken(history: History) -> tuple[History, dict[str, Any]]:
    """*history* without its last effect, and the entry of a run that lost that message."""
    last = history.of("effect")[-1]
    kept = [event for event in history.events if event is not last]
    events = [{**event, "n": n} for n, event in enumerate(kept, start=1)]
    proof = next(event["n"] for event in events if event["kind"] == "delete" and event["t"] == last["t"])
    found = {
        "name": "no-message-loss",
        "verdict": "violated",
        "detail": f"1 lost: key {last['key']}",
        "evidence": [proof],
    }
    holds = {"name": "at-least-once", "verdict": "holds", "detail": "all", "evidence": []}
    return History(history.header, events), entry("lossy", "failed", invariants=[found, holds], recovery_seconds=31.5)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with a run that failed beside one that passed, a calm one, and one of each other verdict."""
    place = tmp_path_factory.mktemp("report") / "latest"
    passed = synthetic.history(synthetic.outage())
    failed, lossy = broken(passed)
    lossy["messages"] = {**lossy["messages"], "lost": 1}
    lossy["beside"] = beside(failed.events, passed.events, "Seed 1, passed/history.jsonl")
    objectives = [
        {"objective": "rpo", "promised": "none lost", "happened": "1 lost", "met": False},
        {"objective": "rto", "promised": "within 2 min", "happened": "after 31.5 s", "met": True},
    ]
    lossy["objectives"] = objectives
    with ReportFolder(place) as folder:
        entries = [draw(folder.work, lossy, failed.header, failed.events)]
        calm = synthetic.history(synthetic.calm())
        entries.append(draw(folder.work, entry("calm"), calm.header, calm.events))
        entries += one_of_each()[2:]
        folder.publish(entries, facts={"made": "for a test"})
    return place / "index.html"


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of one run with more than 100,000 events."""
    place = tmp_path_factory.mktemp("large") / "latest"
    model = synthetic.hour()
    model.per_second, model.workers = 5, 16
    history = synthetic.history(model)
    events = [dict(event) for event in history.events]
    assert len(events) > 100_000, len(events)
    with ReportFolder(place) as folder:
        folder.publish([draw(folder.work, entry("large"), history.header, events)])
    return place / "index.html"
