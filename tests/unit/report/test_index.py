"""The index page tells every verdict and lets nothing of a run become markup."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser

from harness.history import Event
from harness.report.beside import Beside
from harness.report.embed import pack
from harness.report.entries import event_in_words, with_history
from harness.report.index import render
from tests.unit.report import synthetic
from tests.unit.report.entries import entry, failed, one_of_each

_EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
_VOID = {"meta", "img", "source", "br", "link", "hr", "input"}


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
    full |= {"packed": pack(full, history.header, history.events), "beside": _beside(history.events)}
    plot = {"title": _EVIL, "words": _EVIL, "svg": "<svg></svg>"}
    page = render([full], title=_EVIL, facts={_EVIL: _EVIL}, since=_EVIL, plots=[plot])
    parsed = _parsed(page)
    assert parsed.tags.count("script") == 2  # the page's own, and the packed events
    assert "img" not in parsed.tags
    assert "<script>alert" not in page
    assert page.count("alert(1)") >= 12


def _beside(events: Sequence[Event]) -> Beside:
    row = {"n": 1, "text": event_in_words(events[0])}
    assert _EVIL in row["text"]
    return Beside(_EVIL, 0, [(row, row)], 0, [_EVIL])


def test_only_the_pages_own_script_may_run() -> None:
    """The content security policy names the hash of the script that stands in the page, and no other source."""
    page = render(one_of_each())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(policy[1])
    assert policy[1].startswith("default-src ")
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"):
        assert unsafe not in script


def test_evidence_is_shown_as_events() -> None:
    """A violation's events stand under it with number, time, actor and kind."""
    history = synthetic.history(synthetic.outage())
    full = with_history(failed(), history.header, history.events)
    page = render([full])
    event = history.events[39]
    assert re.search(rf">40\s+{event['t']:.3f} s\s+{event['actor']}\s+{re.escape(str(event['kind']))}", page)
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
    assert set(re.findall(r"https?://[^\"'/ ]*/?[^\"' ]*", page)) == {
        "http://www.w3.org/2000/svg"
    }  # a name, not a place
    assert "<link" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page


def test_an_empty_report_says_so() -> None:
    """No scenario at all is said, not shown as success."""
    page = render([])
    assert "No scenario was run." in page
    assert "0 scenarios: nothing was run" in page
