"""Requests signed by a wrong clock."""

from __future__ import annotations

import pytest

from harness.sim.skew import skew_refusal

NOW_US = 1_893_456_000_000_000  # 2030-01-01T00:00:00Z
MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (-60, "Signature expired: 20291231T230000Z is now earlier than 20291231T234500Z (20300101T000000Z - 15 min.)"),
        (
            60,
            "Signature not yet current: 20300101T010000Z is still later than 20300101T001500Z "
            "(20300101T000000Z + 15 min.)",
        ),
    ],
)
def test_the_text_says_both_times(minutes: int, text: str) -> None:
    """A refused signature's text names the signed time and the edge of what is accepted."""
    refusal = skew_refusal("sqs", NOW_US, NOW_US + minutes * MINUTE_US)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.message) == (403, "SignatureDoesNotMatch", text)


def test_fifteen_minutes_are_borne() -> None:
    """Up to 15 minutes either way are accepted, a second more is not."""
    for sign in (-1, 1):
        assert skew_refusal("sqs", NOW_US, NOW_US + sign * 15 * MINUTE_US) is None
        assert skew_refusal("sqs", NOW_US, NOW_US + sign * (15 * MINUTE_US + 1_000_000)) is not None


def test_services_have_their_own_codes() -> None:
    """S3 and DynamoDB refuse with codes of their own, services unknown here with the common one."""
    codes = {
        service: refusal and (refusal.status, refusal.code)
        for service in ("s3", "dynamodb", "kinesis")
        for refusal in [skew_refusal(service, NOW_US, 0)]
    }
    assert codes == {
        "s3": (403, "RequestTimeTooSkewed"),
        "dynamodb": (400, "InvalidSignatureException"),
        "kinesis": (403, "InvalidSignatureException"),
    }
