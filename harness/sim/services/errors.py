"""What a simulated AWS service raises when it refuses a call."""

from __future__ import annotations

__all__ = ["ServiceError", "unknown_operation"]


class ServiceError(Exception):
    """A refusal, in both vocabularies of AWS's protocols.

    Attributes:
        code: the query protocol's code, boto3's ``Error.Code`` where the service once spoke that protocol.
        shape: the error's type in the JSON protocols, without its namespace.
        status: the HTTP status.
        message: the text.
        sender_fault: whether the caller is to blame.
    """

    def __init__(self, code: str, shape: str, message: str, status: int = 400, *, sender_fault: bool = True) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.shape = shape
        self.status = status
        self.message = message
        self.sender_fault = sender_fault

    @property
    def query_message(self) -> str:
        """The text in the query protocol, where it differs."""
        return self.message


def unknown_operation(operation: str) -> ServiceError:
    """The refusal of an operation that the service does not have."""
    return ServiceError("InvalidAction", "InvalidAction", f"The action {operation} is not valid for this endpoint.")
