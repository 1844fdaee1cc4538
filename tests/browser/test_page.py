"""What a person does with a report, done in Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.report.folder import ReportFolder, draw
from tests.browser.conftest import Open
from tests.unit.report import synthetic
from tests.unit.report.entries import entry

pytestmark = pytest.mark.slow


def _ready(page: Any, run: str) -> Any:
    page.wait_for_selector(f'.explorer[data-run="{run}"][data-ready="yes"]')
    return page.locator(f'.explorer[data-run="{run}"]')


def _found(explorer: Any) -> int:
    return int(explorer.locator(".found").inner_text().split(" of ")[0].replace(",", ""))


def test_the_first_screen_is_for_a_manager(report: Path, open_page: Open) -> None:
    """Loss, what broke, what was not tested and what changed are seen; the scenarios' own views are not."""
    page = open_page(report)
    assert "1 message lost" in page.locator("header").inner_text()
    assert page.locator("tr.outage").count() == 5
    for title in ("What broke", "How much was tried", "What was not tested", "What changed since the last report"):
        assert page.get_by_role("heading", name=re.compile(title)).is_visible()
    assert not page.locator("#lossy").is_visible()


def test_from_red_to_the_event_in_three_clicks(report: Path, open_page: Open) -> None:
    """The failed row, the link to what shows it: the event is chosen, with its message's life and its state."""
    page = open_page(report)
    page.get_by_role("link", name="lossy").last.click()
    explorer = _ready(page, "lossy")
    page.get_by_role("link", name="the event that shows it").click()
    detail = explorer.locator(".detail")
    detail.get_by_text("shows that no-message-loss is broken").wait_for()
    assert "delete" in detail.inner_text()
    assert detail.locator(".life li").count() >= 3
    assert detail.locator("tr.changed").count() >= 1
    assert page.locator(".row[aria-selected=true]").inner_text().split()[0] == detail.locator(
        "h4"
    ).first.inner_text().split()[1].strip(":")
    assert "first difference" in page.locator("#lossy .beside").inner_text()


def test_a_drawn_range_narrows_events_charts_and_verdicts(report: Path, open_page: Open) -> None:
    """Drawing across the chart shows that time's events only, dims verdicts without evidence there, and is a link."""
    page = open_page(report, "#lossy")
    explorer = _ready(page, "lossy")
    whole = _found(explorer)
    chart = explorer.locator(".plot")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_function("location.hash.includes('from=')")
    explorer = _ready(page, "lossy")
    assert 0 < _found(explorer) < whole
    low, high = (float(explorer.locator(f"input.{name}").input_value()) for name in ("from", "to"))
    times = [float(text) for text in explorer.locator(".row .t").all_inner_texts()]
    assert times
    assert all(low <= t <= high + 0.001 for t in times)
    assert page.locator("#lossy tr.outside").count() == 2
    assert "evidence of 0 of 1" in page.locator("#lossy .in-range").inner_text()
    link = page.url
    again = open_page(report, link[link.index("#") :])
    assert _found(_ready(again, "lossy")) == _found(explorer)
    page.keyboard.press("w")
    page.wait_for_function("!location.hash.includes('from=')")
    assert _found(explorer) == whole


def test_levels_fall_back_between_messages(report: Path, open_page: Open) -> None:
    """However many changes share a pixel, a curve goes on from the last of them: an empty queue is drawn as empty."""
    page = open_page(report, "#calm")
    explorer = _ready(page, "calm")
    backlog = explorer.locator("path.curve.backlog").get_attribute("d")
    heights = [float(one) for one in re.findall(r"V([\d.]+)", backlog)]
    assert heights[-1] == max(heights)  # the bottom: nothing waits at the end
    in_flight = explorer.locator("path.curve.in-flight").get_attribute("d")
    assert float(re.findall(r"V([\d.]+)", in_flight)[-1]) == max(heights)


def test_the_range_can_be_set_without_a_mouse(report: Path, open_page: Open) -> None:
    """Numbers, and the arrow and plus keys on the chart."""
    page = open_page(report, "#lossy")
    explorer = _ready(page, "lossy")
    explorer.locator("input.from").fill("60")
    explorer.locator("input.to").fill("120")
    explorer.locator("input.to").press("Enter")
    page.wait_for_function("location.hash.includes('from=60&to=120')")
    explorer.locator(".chart").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("location.hash.includes('from=75&to=135')")
    page.keyboard.press("+")
    page.wait_for_function("location.hash.includes('from=90&to=120')")


def test_keys_lead_through_the_page(report: Path, open_page: Open) -> None:
    """j, Enter, /, j and k, e, n, Escape."""
    page = open_page(report)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    explorer = _ready(page, "lossy")
    page.keyboard.press("/")
    page.keyboard.type("kind:effect")
    page.keyboard.press("Escape")
    assert set(explorer.locator(".row .kind").all_inner_texts()) == {"effect"}
    page.keyboard.press("j")
    page.keyboard.press("j")
    first = explorer.locator(".row[aria-selected=true] .n").inner_text()
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert explorer.locator(".row[aria-selected=true] .n").inner_text() == first
    page.keyboard.press("e")
    explorer.locator(".detail").get_by_text("shows that no-message-loss is broken").wait_for()
    page.keyboard.press("n")
    page.wait_for_function("location.hash === '#calm'")
    page.keyboard.press("Escape")
    page.locator("#overview").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("lossy")
    assert page.locator("tr.outage:visible").count() == 1


def test_a_message_can_be_followed_from_send_to_end(report: Path, open_page: Open) -> None:
    """Events of the life are links; the state before and after says where the message was."""
    page = open_page(report, "#lossy?filter=key:5 kind:effect")
    explorer = _ready(page, "lossy")
    explorer.locator(".row").first.click()
    life = explorer.locator(".detail .life li")
    life.first.wait_for()
    assert "send" in life.first.inner_text()
    assert "delete" in life.last.inner_text()
    life.last.locator("a").click()
    state = explorer.locator(".detail tr", has_text="this message")
    state.get_by_text("acknowledged").wait_for()
    assert "in flight from orders" in state.inner_text()


def test_a_filter_over_100_000_events_is_quick(
    large: Path, open_page: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of filter narrows the list to what fits, with a handful of rows in the page; its time is printed."""
    page = open_page(large, "#large")
    explorer = _ready(page, "large")
    whole = _found(explorer)
    assert whole > 100_000
    shown = []
    for text in ("kind:effect", "payments", "key:77", "-kind:send -kind:receive", "actor:worker breaker", "xyzzy"):
        explorer.locator("input.filter").fill(text)
        page.wait_for_function(
            "text => new URLSearchParams(location.hash.split('?')[1]).get('filter') === text", arg=text
        )
        shown.append((text, _found(explorer), float(explorer.get_attribute("data-filter-ms"))))
        assert explorer.locator(".row").count() < 60
    with capsys.disabled():
        print("".join(f"\n  {ms:6.1f} ms  {count:>7,} of {whole:,}  {text}" for text, count, ms in shown))
    assert [count for _, count, _ in shown][-1] == 0
    assert all(0 < count < whole for _, count, _ in shown[:-1])
    assert all(ms < 2_000 for _, _, ms in shown)  # catches a hang; the figure itself is for reading


def test_a_long_list_scrolls_to_its_end(large: Path, open_page: Open) -> None:
    """The last event is reached by scrolling and by a link, and the page stays small."""
    page = open_page(large, "#large")
    explorer = _ready(page, "large")
    whole = _found(explorer)
    explorer.locator(".events").evaluate("list => list.scrollTop = list.scrollHeight")
    page.wait_for_function(
        "n => [...document.querySelectorAll('.row .n')].some(cell => cell.textContent === String(n))", arg=whole
    )
    page.evaluate(f"location.hash = '#large?event={whole // 2}'")
    explorer.locator(".row[aria-selected=true]", has_text=str(whole // 2)).wait_for()
    assert page.locator("*").count() < 5_000


def test_what_a_run_brings_in_never_runs(tmp_path: Path, open_page: Open) -> None:
    """Scripts in names, bodies, actors and points are text in the page, the list, the detail and the chart."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"&amp;"
    history = synthetic.history(synthetic.short())
    events = [{**event, "actor": evil, "body": evil} for event in history.events]
    found = {"name": evil, "verdict": "violated", "detail": evil, "evidence": [3]}
    with ReportFolder(tmp_path / "latest") as folder:
        full = draw(
            folder.work,
            entry("evil", "failed", invariants=[found], sentence=evil, command=evil),
            history.header,
            events,
        )
        page_file = folder.publish([full], facts={evil: evil})
    page = open_page(page_file, f"#evil?event=3&filter={evil}")
    explorer = _ready(page, "evil")
    assert evil in explorer.locator(".detail").inner_text()
    assert page.locator("img").count() == 0


def test_it_prints_whole(report: Path, open_page: Open) -> None:
    """On paper every scenario is there and nothing that only a screen can use."""
    page = open_page(report, "#calm")
    _ready(page, "calm")
    page.emulate_media(media="print")
    assert page.locator("#overview").is_visible()
    assert page.locator("#lossy").is_visible()
    assert not page.locator(".explorer:visible").count()
    assert not page.locator("nav:visible").count()
    assert page.pdf(format="A4")[:5] == b"%PDF-"
