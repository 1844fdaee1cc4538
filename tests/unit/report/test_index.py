"""The index page tells every verdict and lets nothing of a run become markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from harness.report.entries import with_history
from harness.report.index import render
from tests.unit.report import synthetic
from tests.unit.report.entries import entry, failed, one_of_each

_EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
_VOID = {"meta", "img", "source", "br", "link", "hr"}


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag


def _parsed(page: str) -> _Balance:
    parser = _Balance()
    parser.feed(page)
    parser.close()
    assert parser.stack == []
    return parser


def test_every_verdict_stands_on_the_page_with_its_reason_and_command() -> None:
    """Each scenario's verdict, reason, and the command that repeats it are on the page, which is well formed."""
    page = render(one_of_each(), facts={"seed": "7"})
    _parsed(page)
    for text in ("1 error, 1 failed, 1 inconclusive, 1 left out, 1 passed", "it needs dramatiq", "redis.*: refused"):
        assert text in page
    assert "harness run lossy --seed 7" in page
    assert "1 of 20 lost: key 3" in page


def test_everything_that_a_run_brings_in_is_escaped() -> None:
    """Scripts in names, details, bodies, notes, points, commands and stacks stay text."""
    history = synthetic.history(synthetic.short())
    history.events[0] = {**history.events[0], "body": _EVIL}
    evil = {"name": _EVIL, "verdict": "violated", "detail": _EVIL, "evidence": [1]}
    full = with_history(
        entry(
            _EVIL,
            "failed",
            invariants=[evil],
            reason=_EVIL,
            sentence=_EVIL,
            command=_EVIL,
            notes=[_EVIL],
            unstruck=[_EVIL],
            faults={_EVIL: {"passed": 1, "struck": 0}},
            stacks={_EVIL: _EVIL},
            objectives=[{"objective": _EVIL, "promised": _EVIL, "happened": _EVIL, "met": False}],
            weakened=[{"invariant": _EVIL, "to": _EVIL, "why": _EVIL}],
        ),
        {**history.header, "latency_model": _EVIL},
        history.events,
    )
    page = render([{**full, "timeline": f"{_EVIL}/timeline.png"}], title=_EVIL, facts={_EVIL: _EVIL})
    parsed = _parsed(page)
    assert "script" not in parsed.tags
    assert parsed.tags.count("img") == 1
    assert "<script" not in page
    assert page.count("alert(1)") >= 12


def test_evidence_is_shown_as_events() -> None:
    """A violation's events stand under it with number, time, actor and kind."""
    history = synthetic.history(synthetic.outage())
    full = with_history(failed(), history.header, history.events)
    page = render([full])
    event = history.events[39]
    assert re.search(rf"40\s+{event['t']:.3f} s\s+{event['actor']}\s+{re.escape(str(event['kind']))}", page)
    assert "dependency.payments answers 503, from 60 s to 120 s" in page


def test_long_evidence_is_cut_and_says_so() -> None:
    """Twenty events are shown; the rest is counted."""
    history = synthetic.history(synthetic.outage())
    many = {"name": "x", "verdict": "violated", "detail": "d", "evidence": list(range(1, 101))}
    page = render([with_history(entry(invariants=[many]), history.header, history.events)])
    assert "and 80 more in the history" in page


def test_the_page_needs_no_network() -> None:
    """No address, no script, no style sheet from elsewhere."""
    page = render(one_of_each())
    assert "http://" not in page
    assert "https://" not in page
    assert "<link" not in page
    assert "prefers-color-scheme: dark" in page


def test_an_empty_report_says_so() -> None:
    """No scenario at all is said, not shown as success."""
    page = render([])
    assert "No scenario was run." in page
    assert "0 scenarios: nothing was run" in page
