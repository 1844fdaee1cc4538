"""The errors that CloudWatch answers with, in both of its vocabularies.

CloudWatch grew up with the query protocol: each error has a *query code*
(what boto3 shows as ``Error.Code``) and a *shape* (the ``__type`` of the JSON
answer). Texts are AWS's own where an answer was recorded; where none was,
the function says so.
"""

from __future__ import annotations

from harness.sim.services.errors import ServiceError

__all__ = [
    "CloudWatchError",
    "invalid_combination",
    "invalid_next_token",
    "invalid_value",
    "missing_parameter",
    "not_in_enum",
    "not_simulated",
    "resource_not_found",
    "throttled",
    "too_large",
    "validation_error",
]


class CloudWatchError(ServiceError):
    """CloudWatch refuses a call. Raised by every operation of the service; what it carries stands at its base."""


def invalid_value(message: str) -> CloudWatchError:
    return CloudWatchError("InvalidParameterValue", "InvalidParameterValueException", message)


def invalid_combination(message: str) -> CloudWatchError:
    return CloudWatchError("InvalidParameterCombination", "InvalidParameterCombinationException", message)


def missing_parameter(name: str) -> CloudWatchError:
    # The shape is documented, the text is not recorded.
    return CloudWatchError(
        "MissingParameter", "MissingRequiredParameterException", f"The parameter {name} is required."
    )


def validation_error(message: str) -> CloudWatchError:
    return CloudWatchError("ValidationError", "ValidationException", message)


def not_in_enum(value: object, field: str, choices: tuple[str, ...]) -> CloudWatchError:
    """The form that AWS's framework gives a value outside an enumeration."""
    return validation_error(
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(choices)}]"
    )


def resource_not_found() -> CloudWatchError:
    """An unknown alarm: status 404 and an empty text, as recorded."""
    return CloudWatchError("ResourceNotFound", "ResourceNotFound", "", 404)


def invalid_next_token() -> CloudWatchError:
    # The shape is documented, the text is not recorded.
    return CloudWatchError("InvalidNextToken", "InvalidNextToken", "The next token specified is invalid.")


def throttled() -> CloudWatchError:
    """The account's quota of calls a second is used up."""
    return CloudWatchError("Throttling", "Throttling", "Rate exceeded")


def too_large(size: int, limit: int) -> CloudWatchError:
    # Neither code nor text is recorded; 413 is what the limit of a request's size means.
    return CloudWatchError(
        "RequestEntityTooLarge",
        "RequestEntityTooLargeException",
        f"Request size {size} exceeded {limit} bytes",
        413,
    )


def not_simulated(what: str) -> CloudWatchError:
    """Something of CloudWatch that the simulation does not have; never taken for an answer of AWS."""
    return CloudWatchError(
        "NotSimulated", "NotSimulated", f"harness: the simulated CloudWatch has no {what}", 501, sender_fault=False
    )
