"""AWS faults: what any AWS service answers when something is wrong, and the oddities of SQS.

The answers are AWS's own, so that each SDK parses, maps and retries them as
it would in earnest. Sources:

* [common] "Common Errors" of each service's API reference
  (docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html and its siblings);
* [sqs-throttled] answers of the real SQS that users posted: HTTP 403, code ``RequestThrottled``
  (github.com/async-aws/aws/issues/1227, github.com/erlcloud/erlcloud/pull/686), text "Request is throttled."
  (github.com/Particular/docs.particular.net/pull/3438);
* [s3] "Error responses" of the Amazon S3 API reference;
* [dynamodb] "Error handling with DynamoDB", Amazon DynamoDB developer guide;
* [lambda] "Invoke", AWS Lambda API reference: TooManyRequestsException, 429.

Refused signatures are those of :mod:`harness.sim.skew`.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.faults.acts import Decision, Noted
from harness.faults.kinds import Kind, Parameter, Passing
from harness.faults.names import words
from harness.sim.skew import skew_refusal
from harness.sim.verdicts import Answer, Lost, Twist

__all__ = ["KINDS", "SQS_OPERATIONS"]

#: The operations of SQS, as botocore names them.
SQS_OPERATIONS = words(
    """
    AddPermission CancelMessageMoveTask ChangeMessageVisibility ChangeMessageVisibilityBatch CreateQueue DeleteMessage
    DeleteMessageBatch DeleteQueue GetQueueAttributes GetQueueUrl ListDeadLetterSourceQueues ListMessageMoveTasks
    ListQueueTags ListQueues PurgeQueue ReceiveMessage RemovePermission SendMessage SendMessageBatch SetQueueAttributes
    StartMessageMoveTask TagQueue UntagQueue
    """
)

_UNAVAILABLE_TEXT = "The request has failed due to a temporary failure of the server."
_INTERNAL_TEXT = "The request processing has failed because of an unknown error, exception or failure."
_EXPIRED_TEXT = "The security token included in the request is expired"

#: For each kind: what each service answers; ``""`` is every other service.
_THROTTLED: Mapping[str, Answer] = {
    "": Answer(400, "ThrottlingException", "Rate exceeded"),  # [common]
    "sqs": Answer(403, "RequestThrottled", "Request is throttled."),  # [sqs-throttled]
    "sns": Answer(400, "Throttling", "Rate exceeded"),  # botocore's legacy retry table lists it for query services
    "cloudwatch": Answer(400, "Throttling", "Rate exceeded"),
    "s3": Answer(503, "SlowDown", "Please reduce your request rate."),  # [s3]
    "dynamodb": Answer(400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),  # [dynamodb]
    "lambda": Answer(429, "TooManyRequestsException", "Rate Exceeded."),  # [lambda]
}
_UNAVAILABLE: Mapping[str, Answer] = {
    "": Answer(503, "ServiceUnavailable", _UNAVAILABLE_TEXT),  # [common]
    "s3": Answer(503, "ServiceUnavailable", "Service is unable to handle request."),  # [s3]
}
_INTERNAL: Mapping[str, Answer] = {
    "": Answer(500, "InternalFailure", _INTERNAL_TEXT),  # [common]
    "s3": Answer(500, "InternalError", "We encountered an internal error. Please try again."),  # [s3]
    "dynamodb": Answer(500, "InternalServerError", "The server encountered an internal error."),  # [dynamodb]
}
_DENIED: Mapping[str, str] = {"": "AccessDeniedException", "sqs": "AccessDenied", "s3": "AccessDenied"}
_DENIED_STATUS: Mapping[str, int] = {"": 403, "dynamodb": 400}  # [common], [dynamodb]
_EXPIRED: Mapping[str, Answer] = {
    "": Answer(403, "ExpiredTokenException", f"{_EXPIRED_TEXT}."),  # [common]
    "sqs": Answer(403, "ExpiredToken", _EXPIRED_TEXT),
    "sns": Answer(403, "ExpiredToken", _EXPIRED_TEXT),
    "s3": Answer(400, "ExpiredToken", "The provided token has expired."),  # [s3]
    "dynamodb": Answer(400, "ExpiredTokenException", f"{_EXPIRED_TEXT}."),  # [dynamodb]
}


def _of(table: Mapping[str, Answer], passing: Passing) -> Answer:
    return table.get(passing.service) or table[""]


def _throttled(passing: Passing) -> Decision:
    return _of(_THROTTLED, passing)


def _unavailable(passing: Passing) -> Decision:
    return _of(_UNAVAILABLE, passing)


def _internal_error(passing: Passing) -> Decision:
    return _of(_INTERNAL, passing)


def _timeout(passing: Passing) -> Decision:
    return Lost()


def _access_denied(passing: Passing) -> Decision:
    service = passing.service
    operation = passing.point.rpartition(".")[2].partition("@")[0]
    code = _DENIED.get(service, _DENIED[""])
    status = _DENIED_STATUS.get(service, _DENIED_STATUS[""])
    who = "arn:aws:iam::000000000000:user/harness"
    text = f"User: {who} is not authorized to perform: {service}:{operation.lower()}"
    return Answer(status, code, text)


def _expired_token(passing: Passing) -> Decision:
    return _of(_EXPIRED, passing)


def _clock_skew(passing: Passing) -> Decision:
    skew_us = round(passing.parameters["seconds"] * 1_000_000)
    refusal = skew_refusal(passing.service, passing.clock_us, passing.clock_us + skew_us)
    return refusal if refusal is not None else Noted("is within the 15 minutes that AWS tolerates")


def _partial_failure(passing: Passing) -> Decision:
    return Twist("partial-failure", {"share": passing.parameters["share"]})


def _duplicate(passing: Passing) -> Decision:
    return Twist("duplicate")


def _reorder(passing: Passing) -> Decision:
    return Twist("reorder")


def _delay(passing: Passing) -> Decision:
    return Twist("delay", {"seconds": passing.parameters["seconds"]})


def _empty_receive(passing: Passing) -> Decision:
    return Twist("empty-receive")


def _stale_attributes(passing: Passing) -> Decision:
    return Twist("stale-attributes")


_EITHER = ("before", "after")
_COMMON = "AWS, Common Errors of each service's API reference"
_STANDARD = "Amazon SQS developer guide, Amazon SQS standard queues: at-least-once delivery, best-effort ordering"

_GENERAL = (
    Kind(
        name="throttled",
        layer="aws",
        summary="The service refuses the call because there are too many, with the code that this service uses.",
        phrase="is throttled",
        decide=_throttled,
        source=f"{_COMMON}; for SQS 403 RequestThrottled as its users met it",
    ),
    Kind(
        name="unavailable",
        layer="aws",
        summary="The service answers 503 ServiceUnavailable; after: although it did what was asked.",
        phrase={"before": "answers 503 ServiceUnavailable", "after": "takes effect, the answer is 503"},
        decide=_unavailable,
        sides=_EITHER,
        source=_COMMON,
    ),
    Kind(
        name="internal-error",
        layer="aws",
        summary="The service answers 500 InternalFailure; after: although it did what was asked.",
        phrase={"before": "answers 500 InternalFailure", "after": "takes effect, the answer is 500"},
        decide=_internal_error,
        sides=_EITHER,
        source=_COMMON,
    ),
    Kind(
        name="timeout",
        layer="aws",
        summary="No answer comes until the SDK's read timeout; before: the request was lost, after: the answer.",
        phrase={"before": "never arrives, so that callers time out", "after": "takes effect, the answer is lost"},
        decide=_timeout,
        sides=_EITHER,
    ),
    Kind(
        name="access-denied",
        layer="aws",
        summary="The caller may not do this: a policy was changed.",
        phrase="is denied",
        decide=_access_denied,
        source=_COMMON,
    ),
    Kind(
        name="expired-token",
        layer="aws",
        summary="The caller's session has expired and its credentials are not renewed.",
        phrase="is refused because the token has expired",
        decide=_expired_token,
        source=_COMMON,
    ),
    Kind(
        name="clock-skew",
        layer="aws",
        summary="The call is signed by a clock this far off: AWS refuses it when that is more than 15 minutes.",
        phrase="is signed by a clock {seconds} s off",
        decide=_clock_skew,
        parameters=(Parameter("seconds", "offset", -3600, "how far the caller's clock is ahead; below zero: behind"),),
        source="IAM user guide, Troubleshoot Signature Version 4 signing for API requests",
    ),
)

#: The operations that carry messages to and from a queue.
_CARRIERS = frozenset({"SendMessage", "SendMessageBatch", "ReceiveMessage"})

_SQS = (
    Kind(
        name="partial-failure",
        layer="sqs",
        summary="Some entries of a batch fail with InternalError, the call itself succeeds with HTTP 200.",
        phrase="fails for {share} of each batch's entries",
        decide=_partial_failure,
        parameters=(Parameter("share", "share", 0.5, "the share of entries that fail, at least one"),),
        operations=frozenset({"SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}),
        beyond_moto="it fails no entry of a batch by itself",
        source="Amazon SQS API reference, SendMessageBatch: check for batch errors even when the call returns 200",
    ),
    Kind(
        name="duplicate",
        layer="sqs",
        summary="A standard queue delivers a message of this call once more although nothing was wrong with it.",
        phrase="has messages delivered twice",
        decide=_duplicate,
        operations=_CARRIERS,
        beyond_moto="it never delivers twice by itself",
        source=_STANDARD,
    ),
    Kind(
        name="reorder",
        layer="sqs",
        summary="A standard queue delivers out of order; a FIFO queue does not.",
        phrase="has messages delivered out of order",
        decide=_reorder,
        operations=_CARRIERS,
        beyond_moto="it delivers in strict order",
        source=_STANDARD,
    ),
    Kind(
        name="delay",
        layer="sqs",
        summary="A message that was sent, or would be received now, can be received only after a while.",
        phrase="has messages delivered {seconds} s later",
        decide=_delay,
        parameters=(Parameter("seconds", "positive", 60, "how much later, in seconds"),),
        operations=_CARRIERS,
        source="Amazon SQS developer guide: SQS is distributed, a sent message may take a while to be received",
    ),
    Kind(
        name="empty-receive",
        layer="sqs",
        summary="A receive finds nothing although messages are there, as short polls of a sample of servers do.",
        phrase="finds nothing",
        decide=_empty_receive,
        operations=frozenset({"ReceiveMessage"}),
        source="Amazon SQS developer guide, Amazon SQS short and long polling",
    ),
    Kind(
        name="stale-attributes",
        layer="sqs",
        summary="A queue's attributes and message counts are answered as they were a while ago (up to a minute).",
        phrase="answers old attributes",
        decide=_stale_attributes,
        operations=frozenset({"GetQueueAttributes"}),
        beyond_moto="its counts are exact",
        source="Amazon SQS API reference, GetQueueAttributes: counts are eventually consistent within a minute",
    ),
)

KINDS = _GENERAL + _SQS
