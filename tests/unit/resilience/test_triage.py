"""Categories by words, groups by error and stack: what is alike is together, what only looks alike is not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.resilience.dlq import dead_letter_request
from harness.resilience.envelope import Envelope
from harness.resilience.triage import DeadLetter, categorize, guide_fields, stack_of


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Connection timeout", "timeout"),
        ("Read timed out. (read timeout=5)", "timeout"),
        ("myshop.NetworkTimeoutError", "timeout"),
        ("Invalid message format", "format_error"),
        ("JSONDecodeError: Expecting value", "format_error"),
        ("InvalidMessageFormatError", "format_error"),
        ("User is not authorized", "auth_error"),
        ("AuthenticationError", "auth_error"),
        ("AccessDenied", "auth_error"),
        ("Validation failed for field x", "validation_error"),
        ("field 'id' is required", "validation_error"),
        ("disk full", "other"),
        ("", "other"),
        # Words within words, which a plain search takes for what they are not.
        ("no information about the customer", "other"),
        ("the author left", "other"),
    ],
)
def test_categories(text: str, category: str) -> None:
    """Each of the known categories is found by its words and by nothing else."""
    assert categorize(text) == category


def letter(reason: str = "", body: str = "b", **fields: Any) -> DeadLetter:
    message = {"MessageId": "m", "Body": body}
    request = dead_letter_request(Envelope.of(message, reason, **fields), "https://sqs/1/dlq")
    return DeadLetter({"MessageId": "l", "Body": request["MessageBody"]})


def test_group_leaves_out_what_varies() -> None:
    """Numbers, ids, quoted texts and line numbers do not part what failed alike."""
    assert letter("order 17 of 'ann' is wrong").group == letter("order 9 of 'bob' is wrong").group
    assert letter("a", error_class="E", stack="  a/b.py, line 3, in f\nE: 1").group == (
        letter("b", error_class="E", stack="  a/b.py, line 77, in f\nE: 2").group
    )


def test_group_keeps_apart_what_differs() -> None:
    """Another place, another class, another reason: another group."""
    groups = {
        letter("a").group,
        letter("b").group,
        letter("a", error_class="E").group,
        letter("a", error_class="E", stack="  a/b.py, line 3, in f\nE: 1").group,
        letter("a", error_class="E", stack="  a/b.py, line 3, in g\nE: 1").group,
        letter("a", error_class="F", stack="  a/b.py, line 3, in f\nF: 1").group,
    }
    assert len(groups) == 6


def test_frames_of_python_stacks() -> None:
    """Frames as Python prints them are read too."""
    assert stack_of('  File "/app/shop.py", line 3, in handle\n    boom()\nValueError: x') == "/app/shop.py:handle"
    assert stack_of(None) == ""
    assert stack_of("no frames") == ""


def test_error_class_from_the_reason() -> None:
    """Where only a reason is known, its first word is the class if it looks like one."""
    assert letter("shop.errors.CardError: refused").error_class == "shop.errors.CardError"
    assert letter("Connection timeout").error_class == ""


def test_guide_fields_are_always_there() -> None:
    """A filter can rely on the older envelope's fields, whatever the dead letter is."""
    fields = guide_fields(DeadLetter({"MessageId": "l", "Body": "plain"}))
    assert fields["originalMessage"] == "plain"
    assert fields["originalMessageId"] == "l"
    assert (fields["errorReason"], fields["failedAt"], fields["originalAttributes"]) == ("", None, {})
