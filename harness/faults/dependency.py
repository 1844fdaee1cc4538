"""Dependency faults: an HTTP service that the consumer calls answers with an error, late, or not at all."""

from __future__ import annotations

import math

from harness.faults.acts import Decision
from harness.faults.kinds import Kind, Parameter, Passing
from harness.sim.verdicts import Answer, Lost, Reset, Slow

__all__ = ["KINDS"]

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def _status(passing: Passing) -> Decision:
    code = passing.parameters["code"]
    retry_after = passing.parameters["retry_after"]
    reason = _REASONS.get(code, "Error")
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if retry_after is not None:
        # RFC 9110 section 10.2.3: delay-seconds is a whole number.
        headers["Retry-After"] = str(math.ceil(retry_after))
    return Answer(code, str(code), reason, headers, reason.encode())


def _slow(passing: Passing) -> Decision:
    return Slow(passing.parameters["seconds"])


def _reset(passing: Passing) -> Decision:
    return Reset()


def _timeout(passing: Passing) -> Decision:
    return Lost()


_EITHER = ("before", "after")

KINDS = (
    Kind(
        name="status",
        layer="dependency",
        summary="The service answers with an HTTP error; before: it did nothing, after: it did what was asked.",
        phrase={"before": "answers {code}{retry}", "after": "does what is asked and answers {code}{retry}"},
        decide=_status,
        parameters=(
            Parameter("code", "status", 503, "the HTTP status"),
            Parameter("retry_after", "seconds", None, "seconds for the header Retry-After; none: no such header", True),
        ),
        sides=_EITHER,
        source="RFC 9110 sections 10.2.3 and 15; RFC 6585 section 4 (429)",
    ),
    Kind(
        name="slow",
        layer="dependency",
        summary="The service takes this much longer; a caller with a shorter timeout gives up.",
        phrase="takes {seconds} s longer",
        decide=_slow,
        parameters=(Parameter("seconds", "positive", 10, "how much longer, in seconds"),),
        sides=_EITHER,
    ),
    Kind(
        name="reset",
        layer="dependency",
        summary="The connection breaks; before: the request had no effect, after: it had.",
        phrase={"before": "breaks the connection", "after": "does what is asked, then the connection breaks"},
        decide=_reset,
        sides=_EITHER,
        source="RFC 9293 section 3.5.2 (reset generation)",
    ),
    Kind(
        name="timeout",
        layer="dependency",
        summary="No answer comes until the caller's own timeout; before: the request was lost, after: the answer.",
        phrase={
            "before": "gets no request, so that callers time out",
            "after": "does what is asked, the answer is lost",
        },
        decide=_timeout,
        sides=_EITHER,
    ),
)
