"""What AWS answers to a request that was signed by a clock too far off its own.

Source: "Troubleshoot Signature Version 4 signing for API requests", IAM user
guide, for tolerance and texts; "Error responses", Amazon S3 API reference,
for S3's own code. Services that speak or once spoke the query protocol have
the older code.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from harness.sim.verdicts import Answer

__all__ = ["SKEW_SECONDS_MAX", "skew_refusal"]

#: How far a request's time may be from AWS's own.
SKEW_SECONDS_MAX = 900
_EDGE_US = SKEW_SECONDS_MAX * 1_000_000

#: Status and code of a refused signature.
_REFUSED: Mapping[str, tuple[int, str]] = {
    "cloudwatch": (403, "SignatureDoesNotMatch"),
    "dynamodb": (400, "InvalidSignatureException"),
    "sns": (403, "SignatureDoesNotMatch"),
    "sqs": (403, "SignatureDoesNotMatch"),
    "sts": (403, "SignatureDoesNotMatch"),
}
_REFUSED_ELSEWHERE = (403, "InvalidSignatureException")


def skew_refusal(service: str, clock_us: int, signed_us: int) -> Answer | None:
    """AWS's answer to a request that says it was signed at *signed_us*; ``None`` where it is accepted.

    *clock_us* is AWS's own clock; both in microseconds since 1970. A
    signature carries whole seconds.
    """
    skew_us = signed_us // 1_000_000 * 1_000_000 - clock_us
    if -_EDGE_US <= skew_us <= _EDGE_US:
        return None
    if service == "s3":
        text = "The difference between the request time and the server's time is too large."
        return Answer(403, "RequestTimeTooSkewed", text)
    signed, now = _stamp(signed_us), _stamp(clock_us)
    if skew_us < 0:
        text = f"Signature expired: {signed} is now earlier than {_stamp(clock_us - _EDGE_US)} ({now} - 15 min.)"
    else:
        text = (
            f"Signature not yet current: {signed} is still later than {_stamp(clock_us + _EDGE_US)} ({now} + 15 min.)"
        )
    status, code = _REFUSED.get(service, _REFUSED_ELSEWHERE)
    return Answer(status, code, text)


def _stamp(clock_us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=clock_us)
    return moment.strftime("%Y%m%dT%H%M%SZ")
