"""Recordings: nothing in them that others must not see."""

from __future__ import annotations

import json

from harness.fidelity.recording import TEXT_MAX, Tape, document, dumps
from harness.fidelity.run import Outcome
from tests.unit.fidelity.test_run import row


def test_accounts_handles_and_senders_are_masked() -> None:
    """Account numbers become zeros, handles get numbers, an IAM id keeps its kind only."""
    tape = Tape()
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/q"
    message = {"ReceiptHandle": "AQEBsecret", "Attributes": {"SenderId": "AIDASECRET:session"}}
    tape.answer("ReceiveMessage", {"QueueUrl": url}, {"Messages": [message]})
    tape.refusal(
        "DeleteMessage",
        {"QueueUrl": url, "ReceiptHandle": "AQEBsecret"},
        {"Error": {"Code": "C", "Message": "Value AQEBsecret is"}, "ResponseMetadata": {"HTTPStatusCode": 400}},
    )
    text = json.dumps(tape.calls)
    assert "123456789012" not in text
    assert "secret" not in text.lower()
    assert tape.calls[0]["answer"]["Messages"][0]["ReceiptHandle"] == "handle-1"
    assert tape.calls[1]["parameters"]["ReceiptHandle"] == "handle-1"
    assert tape.calls[1]["error"]["Message"] == "Value handle-1 is"
    assert tape.calls[1]["status"] == 400


def test_long_values_are_cut_and_bytes_are_text() -> None:
    """A body of a mebibyte does not fill the file; bytes stand in base64."""
    tape = Tape()
    tape.answer("SendMessage", {"MessageBody": "x" * 1_000_000, "Binary": b"\x00\xff"}, {})
    sent = tape.calls[0]["parameters"]
    assert len(sent["MessageBody"]) < TEXT_MAX + 40
    assert sent["MessageBody"].endswith("(1000000 characters)")
    assert sent["Binary"] == "AP8="


def test_the_file() -> None:
    """A recording says when and where, and each case's outcome with its calls."""
    outcome = Outcome(row(lambda bench: None), "differs", "other", 0.5, ({"operation": "SendMessage"},))
    made = document([outcome], date="2026-11-24T10:00:00+00:00", endpoint="http://x", region="eu-west-1", versions={})
    read = json.loads(dumps(made))
    assert (read["version"], read["date"][:10], read["region"]) == (1, "2026-11-24", "eu-west-1")
    assert read["cases"] == [
        {
            "number": 1,
            "id": "rule-1",
            "rule": "A rule.",
            "outcome": "differs",
            "detail": "other",
            "seconds": 0.5,
            "calls": [{"operation": "SendMessage"}],
        }
    ]
