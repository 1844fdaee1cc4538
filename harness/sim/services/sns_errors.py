"""The errors that SNS answers with: codes of its API reference, texts as AWS was recorded to give them.

Where no text is known from a recording the function says so.
"""

from __future__ import annotations

from harness.sim.services.errors import ServiceError

__all__ = [
    "SnsError",
    "batch_ids_not_distinct",
    "batch_too_long",
    "empty_batch",
    "invalid",
    "invalid_batch_id",
    "invalid_value",
    "no_subscription",
    "no_topic",
    "too_many_entries",
]


class SnsError(ServiceError):
    """SNS refuses a call. What it carries is documented at its base."""


def invalid(reason: str) -> SnsError:
    """A parameter that does not fit: the error of most checks."""
    return SnsError("InvalidParameter", "InvalidParameterException", f"Invalid parameter: {reason}")


def invalid_value(text: str) -> SnsError:
    """A message attribute that does not fit."""
    return SnsError("ParameterValueInvalid", "InvalidParameterValueException", text)


def no_topic() -> SnsError:
    return SnsError("NotFound", "NotFoundException", "Topic does not exist", 404)


def no_subscription() -> SnsError:
    return SnsError("NotFound", "NotFoundException", "Subscription does not exist", 404)


def empty_batch() -> SnsError:
    # Code and shape are documented; the text is not recorded.
    return SnsError("EmptyBatchRequest", "EmptyBatchRequestException", "The batch request doesn't contain any entries.")


def too_many_entries() -> SnsError:
    return SnsError(
        "TooManyEntriesInBatchRequest",
        "TooManyEntriesInBatchRequestException",
        "The batch request contains more entries than permissible.",
    )


def batch_ids_not_distinct() -> SnsError:
    return SnsError(
        "BatchEntryIdsNotDistinct",
        "BatchEntryIdsNotDistinctException",
        "Two or more batch entries in the request have the same Id.",
    )


def invalid_batch_id() -> SnsError:
    return SnsError(
        "InvalidBatchEntryId",
        "InvalidBatchEntryIdException",
        "The Id of a batch entry in a batch request doesn't abide by the specification.",
    )


def batch_too_long() -> SnsError:
    return SnsError(
        "BatchRequestTooLong",
        "BatchRequestTooLongException",
        "The length of all the messages put together is more than the limit.",
    )
