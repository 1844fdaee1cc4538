"""What the kinds of each layer decide."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.faults.plan import Fault
from harness.faults.workload import BYTES_MAX, Content, spoil
from harness.sim.verdicts import Answer
from tests.unit.faults.run import Run


def answer(fault: Fault, point: str) -> Answer:
    verdict = Run(fault).passing(point, fault.side)
    assert isinstance(verdict, Answer)
    return verdict


@pytest.mark.parametrize(
    ("kind", "point", "status", "code"),
    [
        ("throttled", "aws.sqs.SendMessage", 403, "RequestThrottled"),
        ("throttled", "aws.sns.Publish", 400, "Throttling"),
        ("throttled", "aws.s3.PutObject", 503, "SlowDown"),
        ("throttled", "aws.kinesis.PutRecord", 400, "ThrottlingException"),
        ("throttled", "aws.lambda.Invoke", 429, "TooManyRequestsException"),
        ("unavailable", "aws.sqs.SendMessage", 503, "ServiceUnavailable"),
        ("internal-error", "aws.sqs.SendMessage", 500, "InternalFailure"),
        ("internal-error", "aws.dynamodb.PutItem", 500, "InternalServerError"),
        ("access-denied", "aws.sqs.SendMessage", 403, "AccessDenied"),
        ("access-denied", "aws.dynamodb.PutItem", 400, "AccessDeniedException"),
        ("access-denied", "aws.kinesis.PutRecord", 403, "AccessDeniedException"),
        ("expired-token", "aws.sqs.SendMessage", 403, "ExpiredToken"),
        ("expired-token", "aws.s3.PutObject", 400, "ExpiredToken"),
        ("clock-skew", "aws.sqs.SendMessage", 403, "SignatureDoesNotMatch"),
        ("clock-skew", "aws.s3.PutObject", 403, "RequestTimeTooSkewed"),
        ("clock-skew", "aws.dynamodb.PutItem", 400, "InvalidSignatureException"),
    ],
)
def test_aws_answers_as_the_service_does(kind: str, point: str, status: int, code: str) -> None:
    """Status and code are those that the service itself sends."""
    found = answer(Fault(point, kind), point)
    assert (found.status, found.code) == (status, code)
    assert found.message


def test_botocore_retries_what_aws_means_to_be_retried() -> None:
    """botocore's standard mode knows the throttling codes and statuses, and does not retry refusals."""
    from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

    throttled = set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES)
    transient = set(TransientRetryableChecker._TRANSIENT_STATUS_CODES)
    for service in ("sqs.SendMessage", "sns.Publish", "s3.PutObject", "kinesis.PutRecord", "dynamodb.PutItem"):
        point = f"aws.{service}"
        assert answer(Fault(point, "throttled"), point).code in throttled
        assert answer(Fault(point, "unavailable"), point).status in transient
        assert answer(Fault(point, "internal-error"), point).status in transient
        denied = answer(Fault(point, "access-denied"), point)
        assert denied.code not in throttled
        assert denied.status not in transient


def test_clock_skew_within_the_tolerance_is_borne() -> None:
    """A clock up to 15 minutes off is accepted: the fault struck, and nothing went wrong."""
    run = Run(Fault("aws.sqs.*", "clock-skew", seconds=900))
    assert run.passing("aws.sqs.SendMessage") is None
    assert run.of("fault.strike")[0]["did"] == "is within the 15 minutes that AWS tolerates"


@pytest.mark.parametrize(
    ("kind", "command", "line"),
    [
        ("loading", "GET", "LOADING Redis is loading the dataset in memory"),
        ("readonly", "INCR", "READONLY You can't write against a read only replica."),
        ("out-of-memory", "SET", "OOM command not allowed when used memory > 'maxmemory'."),
    ],
)
def test_redis_answers_its_own_error_lines(kind: str, command: str, line: str) -> None:
    """The error line is that of a Redis server."""
    found = answer(Fault("redis", kind), f"redis.{command}")
    assert (found.status, found.message) == (0, line)


def test_redis_refuses_only_what_it_would() -> None:
    """A replica reads, a full server deletes, a loading server answers what needs no data."""
    assert Run(Fault("redis", "readonly")).passing("redis.GET") is None
    assert Run(Fault("redis", "out-of-memory")).passing("redis.DEL") is None
    assert Run(Fault("redis", "loading")).passing("redis.HELLO") is None


def test_status_has_its_header() -> None:
    """Retry-After is a whole number of seconds, rounded up; without retry_after it is absent."""
    with_header = answer(Fault("dependency.p", "status", code=429, retry_after=1.5), "dependency.p")
    assert with_header.status == 429
    assert with_header.headers["Retry-After"] == "2"
    assert with_header.body == b"Too Many Requests"
    assert "Retry-After" not in answer(Fault("dependency.p", "status"), "dependency.p").headers


BODY = '{"order_id": 7, "note": "ü"}'
ATTRIBUTES: dict[str, dict[str, Any]] = {"k": {"DataType": "String", "StringValue": "x"}}


def test_malformed_is_no_json() -> None:
    """A malformed body is the beginning of the body and cannot be decoded."""
    spoilt = spoil("malformed", Content(BODY, None))
    assert BODY.startswith(spoilt.body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(spoilt.body)
    for short in ("", "7", "{}"):
        assert spoil("malformed", Content(short, None)).body != ""


def test_foreign_is_another_producers() -> None:
    """A foreign message is good JSON without the workload's fields, with a binary attribute beside its own."""
    spoilt = spoil("foreign", Content(BODY, ATTRIBUTES))
    assert "order_id" not in json.loads(spoilt.body)
    assert spoilt.attributes is not None
    assert {value["DataType"] for value in spoilt.attributes.values()} == {"String", "Number.int", "Binary"}
    assert "k" in spoilt.attributes


def test_empty_is_one_space() -> None:
    """The emptiest body that SQS accepts."""
    assert spoil("empty", Content(BODY, ATTRIBUTES)) == Content(" ", ATTRIBUTES)


@pytest.mark.parametrize("body", [BODY, "plain täxt", "[1, 2]", "", "{}"])
@pytest.mark.parametrize("attributes", [None, ATTRIBUTES])
def test_oversized_is_exactly_as_large_as_accepted(body: str, attributes: Any) -> None:
    """Body and attributes together are 1 MiB to the byte, and an object keeps its fields."""
    spoilt = spoil("oversized", Content(body, attributes))
    size = len(spoilt.body.encode()) + (0 if attributes is None else len("kStringx"))
    assert size == BYTES_MAX
    if body == BODY:
        assert json.loads(spoilt.body)["order_id"] == 7
