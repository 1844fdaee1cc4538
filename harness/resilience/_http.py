"""Reading HTTP answers of any client: status, headers, and how long the service asked to wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["answer_of", "headers_of", "hint_in", "seconds"]


def answer_of(value: object) -> tuple[int, Any] | None:
    """Status and headers of a response (or of an error that is one) of requests, urllib3, httpx, aiohttp, urllib."""
    headers = getattr(value, "headers", None)
    for name in ("status_code", "status", "code"):
        status = getattr(value, name, None)
        if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status < 600:
            continue
        if name == "status_code" or headers is not None:
            return int(status), headers
    return None


def headers_of(error: object) -> Any:
    """The headers of the answer that *error* is or carries, else ``None``."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        return (response.get("ResponseMetadata") or {}).get("HTTPHeaders")
    answer = answer_of(response) or answer_of(error)
    return answer[1] if answer is not None else None


def hint_in(headers: Any, clock: Callable[[], float] | None) -> float | None:
    """Seconds that the headers ask to wait, ``None`` where they do not or where it is no sensible number."""
    for name, scale in (("x-amz-retry-after", 0.001), ("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = _header(headers, name)
        if value is None:
            continue
        try:
            return seconds(float(value) * scale)
        except ValueError:
            if name == "retry-after":
                return _until(value, clock)
    return None


def seconds(value: float) -> float | None:
    """*value* as a time to wait: finite and not below 0, else ``None``."""
    return float(value) if math.isfinite(value) and value >= 0 else None


def _header(headers: Any, name: str) -> str | None:
    if not hasattr(headers, "items"):
        return None
    for key, value in headers.items():
        if str(key).lower() == name:
            return str(value).strip()
    return None


def _until(date: str, clock: Callable[[], float] | None) -> float | None:
    from email.utils import parsedate_to_datetime  # takes 10 ms to import, and dates are rare

    try:
        moment = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
    now = clock() if clock is not None else time.time()
    return max(0.0, moment - now)
