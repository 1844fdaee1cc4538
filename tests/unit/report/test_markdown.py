"""The summary for a pull request: what is wrong first, and nothing of a run becomes markup."""

from __future__ import annotations

from harness.report.changes import changes
from harness.report.markdown import comparison, escaped, summary
from tests.unit.report.entries import entry, failed, one_of_each

_EVIL = "<img src=x onerror=alert(1)> @everyone #1 [a](http://evil) |\n# head `x`"


def test_what_is_wrong_stands_first_with_its_command() -> None:
    """The failed and the broken run lead the table; each has the command that repeats it."""
    text = summary(one_of_each(), changes([entry("lossy")], [failed("lossy")]))
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[1] for row in rows] == ["lossy", "broken", "vague", "calm", "elsewhere"]
    assert "again: `harness run lossy --seed 7`" in text
    assert "newly failing: lossy (passed before, failed now)" in text


def test_loss_is_said_whatever_the_rest() -> None:
    """A lost message stands in a line of its own."""
    lossy = failed()
    lossy["messages"] = {**lossy["messages"], "lost": 2}
    assert "**✗ 2 messages lost.**" in summary([lossy, *(entry(f"ok-{n}") for n in range(50))])


def test_nothing_of_a_run_becomes_markup() -> None:
    """Tags, mentions, links, tables, headings and code are escaped, and a name stays in its line."""
    evil = {"name": _EVIL, "verdict": "violated", "detail": _EVIL, "evidence": []}
    text = summary([entry(_EVIL, "failed", invariants=[evil], command="harness run x")], changes([], [entry(_EVIL)]))
    for bad in ("<img", "@everyone", "#1", "[a](", "\n# head"):
        assert bad not in text.removeprefix("# Resilience report")
    assert len([line for line in text.splitlines() if line.startswith("| ✗")]) == 1


def test_plain_text_stays_readable() -> None:
    """Words, figures and hyphens are not strewn with backslashes."""
    assert escaped("sqs-down-five-minutes, 3.5 s (2)") == "sqs-down-five-minutes, 3.5 s \\(2\\)"
    assert escaped("x" * 1000).endswith("…")


def test_a_comparison_without_changes_says_so() -> None:
    """And one with a broken limit does not."""
    same = changes([entry()], [entry()])
    assert "Nothing: same scenarios" in comparison(same)
    assert "Nothing" not in comparison(same, ["recovery=+20%: calm"])
