"""What the API answers when something is wrong: the texts and status codes of Toxiproxy 2.12."""

from __future__ import annotations

__all__ = ["ApiError", "bad_body", "invalid"]


class ApiError(Exception):
    """An error for the client. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_body(detail: str) -> ApiError:
    """The body could not be read, or a field of it has a wrong type."""
    return ApiError(400, f"bad request body: {detail}")


def invalid(detail: str) -> ApiError:
    """A value that Toxiproxy accepts, or dies of, and that is refused here."""
    return ApiError(400, f"bad request body: {detail}")


def missing_field(name: str) -> ApiError:
    return ApiError(400, f"missing required field: {name}")


def proxy_not_found() -> ApiError:
    return ApiError(404, "proxy not found")


def proxy_exists() -> ApiError:
    return ApiError(409, "proxy already exists")


def toxic_not_found() -> ApiError:
    return ApiError(404, "toxic not found")


def toxic_exists() -> ApiError:
    return ApiError(409, "toxic already exists")


def invalid_stream() -> ApiError:
    return ApiError(400, "stream was invalid, can be either upstream or downstream")


def invalid_type() -> ApiError:
    return ApiError(400, "invalid toxic type")
