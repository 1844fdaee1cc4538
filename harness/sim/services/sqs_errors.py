"""The errors that SQS answers with, in both of its vocabularies.

SQS grew up with the query protocol and moved to JSON: each error has a *query
code* (what boto3 shows as ``Error.Code``) and a *shape* (the ``__type`` of the
JSON answer). Texts are those that AWS was recorded to answer; where none was
recorded the function says so.
"""

from __future__ import annotations

from harness.sim.services.errors import ServiceError

__all__ = [
    "SqsError",
    "batch_ids_not_distinct",
    "batch_too_long",
    "empty_batch",
    "empty_string_attribute",
    "fifo_only",
    "invalid_attribute_value",
    "invalid_batch_id",
    "invalid_contents",
    "invalid_parameter",
    "invalid_receipt_handle",
    "missing_parameter",
    "one_encryption_only",
    "over_limit",
    "parameter_reason",
    "purge_in_progress",
    "queue_deleted_recently",
    "queue_exists",
    "too_many_entries",
    "unknown_attribute",
    "unknown_queue",
]

_PREFIX = "AWS.SimpleQueueService."


class SqsError(ServiceError):
    """SQS refuses a call. Raised by every operation of the service; what it carries is documented at its base."""

    @property
    def query_message(self) -> str:
        """The text in the query protocol, which differs for an unknown queue."""
        if self.shape == "QueueDoesNotExist":
            return "The specified queue does not exist for this wsdl version."
        return self.message


def unknown_queue() -> SqsError:
    return SqsError(_PREFIX + "NonExistentQueue", "QueueDoesNotExist", "The specified queue does not exist.")


def queue_exists(attribute: str) -> SqsError:
    return SqsError(
        "QueueAlreadyExists",
        "QueueNameExists",
        f"A queue already exists with the same name and a different value for attribute {attribute}",
    )


def queue_deleted_recently() -> SqsError:
    return SqsError(
        _PREFIX + "QueueDeletedRecently",
        "QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
    )


def purge_in_progress(name: str) -> SqsError:
    return SqsError(
        _PREFIX + "PurgeQueueInProgress",
        "PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
        403,
    )


def unknown_attribute(name: str) -> SqsError:
    return SqsError("InvalidAttributeName", "InvalidAttributeName", f"Unknown Attribute {name}.")


def fifo_only(name: str) -> SqsError:
    return SqsError(
        "InvalidAttributeName",
        "InvalidAttributeName",
        f"You can specify the {name} only when FifoQueue is set to true.",
    )


def one_encryption_only() -> SqsError:
    return SqsError(
        "InvalidAttributeName",
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
    )


def invalid_attribute_value(name: str, reason: str = "") -> SqsError:
    text = f"Invalid value for the parameter {name}."
    return SqsError("InvalidAttributeValue", "InvalidAttributeValue", f"{text} Reason: {reason}" if reason else text)


def missing_parameter(name: str) -> SqsError:
    return SqsError(
        "MissingParameter", "MissingRequiredParameterException", f"The request must contain the parameter {name}."
    )


def invalid_parameter(message: str) -> SqsError:
    return SqsError("InvalidParameterValue", "InvalidParameterValueException", message)


def parameter_reason(value: object, parameter: str, reason: str) -> SqsError:
    """The usual form of a refused parameter."""
    return invalid_parameter(f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def invalid_contents() -> SqsError:
    # Code and shape are recorded; the text is not, beyond that it lists the ranges.
    return SqsError(
        "InvalidMessageContents",
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
        "#xE000 to #xFFFD | #x10000 to #x10FFFF",
    )


def invalid_receipt_handle(handle: str) -> SqsError:
    return SqsError(
        "ReceiptHandleIsInvalid",
        "ReceiptHandleIsInvalid",
        f'The input receipt handle "{handle}" is not a valid receipt handle.',
    )


def empty_batch(entry: str) -> SqsError:
    return SqsError(
        _PREFIX + "EmptyBatchRequest", "EmptyBatchRequest", f"There should be at least one {entry} in the request."
    )


def too_many_entries(sent: int) -> SqsError:
    return SqsError(
        _PREFIX + "TooManyEntriesInBatchRequest",
        "TooManyEntriesInBatchRequest",
        f"Maximum number of entries per request are 10. You have sent {sent}.",
    )


def invalid_batch_id() -> SqsError:
    return SqsError(
        _PREFIX + "InvalidBatchEntryId",
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
        "It can be at most 80 letters long.",
    )


def batch_ids_not_distinct(entry_id: str) -> SqsError:
    return SqsError(_PREFIX + "BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")


def batch_too_long(limit: int, sent: int) -> SqsError:
    return SqsError(
        _PREFIX + "BatchRequestTooLong",
        "BatchRequestTooLong",
        f"Batch requests cannot be longer than {limit} bytes. You have sent {sent} bytes.",
    )


def empty_string_attribute(name: str) -> SqsError:
    return invalid_parameter(f"Message (user) attribute '{name}' must contain a non-empty value of type 'String'.")


def over_limit() -> SqsError:
    # The shape is documented; neither its code's prefix nor its text is recorded.
    return SqsError("OverLimit", "OverLimit", "Too many messages are in flight.", 403)
