"""Figures read as people write them."""

from __future__ import annotations

import pytest

from harness.report.words import clock, duration, fault_in_words, plural, shorten
from tests.unit.report.synthetic import fault


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.254, "0.25 s"),
        (31.5, "31.5 s"),
        (119.96, "2 min"),
        (125, "2 min 5 s"),
        (7260, "2 h 1 min"),
        (-3, "-3 s"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    """Each length of time has one plain form."""
    assert duration(seconds) == text


def test_moments() -> None:
    """A moment of a run has minutes and seconds, and hours where needed."""
    assert (clock(65), clock(3723)) == ("1:05", "1:02:03")


def test_a_long_name_loses_its_middle() -> None:
    """Both ends of a name stay, since both tell names apart."""
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 7) == "abcd…jk"
    assert len(shorten("x" * 90, 40)) == 40


def test_counts_agree_with_their_noun() -> None:
    """One message, two messages."""
    assert (plural(1, "message"), plural(1200, "message")) == ("1 message", "1,200 messages")


def test_faults_in_words() -> None:
    """A known fault is told as a sentence; one of another version by its target and kind."""
    known = fault("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70)
    assert fault_in_words(known) == "aws.sqs.DeleteMessage takes effect, the answer is lost, from 10 s to 70 s"
    assert fault_in_words(fault("aws.sqs.DeleteMessage", "gremlins")) == "aws.sqs.DeleteMessage: gremlins"
