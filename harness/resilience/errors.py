"""Which errors pass with time and which never will.

::

    Exception
    ├── TransientError                 the same call can succeed later: retry, or let the message come back
    │   ├── NetworkTimeoutError        no answer in time; the call may have taken effect
    │   ├── ServiceUnavailableError    the service is down or overloaded
    │   └── ThrottlingError            the service asks for fewer calls
    └── PermanentError                 the same call can never succeed: do not retry, dead-letter
        ├── InvalidMessageFormatError  the input cannot be read
        ├── AuthenticationError        this caller may not do this
        └── MessageTooLargeError       the input is over a limit

:func:`classify` says which of the two any error is, real ones of botocore,
redis-py, requests, urllib3, httpx, aiohttp, sockets, TLS and of other retry and
breaker libraries included, or that it is *unknown*. What an unknown error leads to is each component's own
decision. :func:`diagnose` says why, and whether the error means throttling or
a timeout, and how long the service asked to wait. Libraries are recognised by
the names of their classes; none is imported.

Your own errors: derive them from the two roots, or register them::

    from harness.resilience import register_permanent, register_transient
    register_transient(BankIsClosed)
    register_permanent(lambda error: getattr(error, "pgcode", None) == "23505")
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from harness.resilience import _error_tables as tables
from harness.resilience import _http as http

__all__ = [
    "AuthenticationError",
    "Classification",
    "Diagnosis",
    "ErrorRegistry",
    "InvalidMessageFormatError",
    "MessageTooLargeError",
    "NetworkTimeoutError",
    "PermanentError",
    "ServiceUnavailableError",
    "ThrottlingError",
    "TransientError",
    "classify",
    "code_rule",
    "diagnose",
    "raise_for_response",
    "register_permanent",
    "register_transient",
    "registry",
    "retry_after",
]


class TransientError(Exception):
    """The same call can succeed later. ``retry_after``: seconds that the service asked to wait, if it did."""

    retry_after: float | None = None

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        if retry_after is not None:
            self.retry_after = retry_after


class NetworkTimeoutError(TransientError):
    """No answer came in time. The call may have taken effect all the same."""


class ServiceUnavailableError(TransientError):
    """The service is down or overloaded."""


class ThrottlingError(TransientError):
    """The service asks for fewer calls."""


class PermanentError(Exception):
    """The same call can never succeed."""


class InvalidMessageFormatError(PermanentError):
    """The input cannot be read."""


class AuthenticationError(PermanentError):
    """This caller may not do this."""


class MessageTooLargeError(PermanentError):
    """The input is over a size limit."""


class Classification(StrEnum):
    """What :func:`classify` answers; each member equals its text."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known about one error.

    ``reason`` says what decided (``AWS code ThrottlingException``).
    ``timeout``: no answer came, so the call may have taken effect.
    ``retry_after``: seconds that the service asked to wait, or ``None``.
    """

    classification: Classification
    reason: str
    throttling: bool = False
    timeout: bool = False
    retry_after: float | None = None


#: A class of exceptions, or a function that says whether it means an error.
Matcher: TypeAlias = type[BaseException] | Callable[[BaseException], bool]


class ErrorRegistry:
    """A user's own rules, asked before everything that is built in. Thread-safe.

    The rule registered last is asked first, so that a later rule can correct
    an earlier one.
    """

    def __init__(self) -> None:
        self._rules: tuple[tuple[Matcher, Classification], ...] = ()
        self._lock = threading.Lock()

    def register(self, matcher: Matcher, classification: Classification | str) -> Callable[[], None]:
        """Classify what *matcher* matches as *classification*; returns a function that takes the rule back.

        Raises:
            TypeError: *matcher* is neither a class of exceptions nor callable.
            ValueError: *classification* is none of transient, permanent, unknown.
        """
        if isinstance(matcher, type) and not issubclass(matcher, BaseException):
            raise TypeError(f"{matcher!r} is no class of exceptions; give one, or a function of an error")
        if not callable(matcher):
            raise TypeError(f"{matcher!r} is neither a class of exceptions nor a function of an error")
        rule = (matcher, Classification(classification))
        with self._lock:
            self._rules = (rule, *self._rules)

        def remove() -> None:
            with self._lock:
                self._rules = tuple(other for other in self._rules if other is not rule)

        return remove

    def find(self, error: BaseException) -> tuple[Classification, str] | None:
        """The classification that a rule gives *error* and the rule's name, or ``None``."""
        for matcher, classification in self._rules:
            if isinstance(matcher, type):
                matched = isinstance(error, matcher)
            else:
                matched = matcher(error)
            if matched:
                return classification, getattr(matcher, "__qualname__", type(matcher).__qualname__)
        return None


#: The rules that :func:`classify` asks unless it is given others.
registry = ErrorRegistry()


def register_transient(matcher: Matcher) -> Callable[[], None]:
    """Errors that *matcher* matches pass with time; returns a function that takes the rule back."""
    return registry.register(matcher, Classification.TRANSIENT)


def register_permanent(matcher: Matcher) -> Callable[[], None]:
    """Errors that *matcher* matches never pass; returns a function that takes the rule back."""
    return registry.register(matcher, Classification.PERMANENT)


def classify(error: object, *, rules: ErrorRegistry | None = None) -> Classification:
    """Whether *error* (an exception, or an HTTP response) is transient, permanent or unknown.

    *rules* replaces the global :data:`registry`.
    """
    return diagnose(error, rules=rules).classification


def diagnose(
    error: object, *, rules: ErrorRegistry | None = None, clock: Callable[[], float] | None = None
) -> Diagnosis:
    """Everything that is known about *error* (an exception, or an HTTP response).

    *clock* gives seconds since 1970 and is asked only where a ``Retry-After``
    header names a date (``None``: ``time.time``).
    """
    if isinstance(error, BaseException):
        found = (rules if rules is not None else registry).find(error)
        if isinstance(error, ExceptionGroup):
            diagnosis = _worst([diagnose(inner, rules=rules, clock=clock) for inner in error.exceptions])
        elif (last := _last_error(error)) is not None:
            diagnosis = diagnose(last, rules=rules, clock=clock)
        else:
            diagnosis = _diagnose(error, 0)
        if found is not None:
            classification, name = found
            diagnosis = replace(diagnosis, classification=classification, reason=f"registered rule {name}")
    else:
        answer = http.answer_of(error)
        if answer is None:
            raise TypeError(f"a {type(error).__name__} is neither an exception nor an HTTP response")
        diagnosis = _by_status(answer[0])
    hint = retry_after(error, clock=clock)
    return diagnosis if hint is None else replace(diagnosis, retry_after=hint)


def retry_after(error: object, *, clock: Callable[[], float] | None = None) -> float | None:
    """Seconds that the service asked to wait, from an exception or an HTTP response; ``None`` if it did not.

    Reads, in this order: the error's own ``retry_after``; the headers
    ``x-amz-retry-after`` and ``retry-after-ms`` (milliseconds); ``Retry-After``
    (seconds, or a date, which needs *clock*: seconds since 1970). What is no
    finite number of at least 0 is no hint.
    """
    own = getattr(error, "retry_after", None)
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        return http.seconds(own)
    return http.hint_in(http.headers_of(error), clock)


def raise_for_response(response: object) -> None:
    """Raise the error that an HTTP response of any client stands for; return if it is none (below 400).

    The error has the response as ``response`` and the service's hint as ``retry_after``.

    Raises:
        ThrottlingError: status 429.
        NetworkTimeoutError: 408 or 504.
        ServiceUnavailableError: another status that passes with time.
        AuthenticationError: 401, 403, 407.
        MessageTooLargeError: 413.
        PermanentError: another status that does not.
        TypeError: *response* is no HTTP response.
    """
    answer = http.answer_of(response)
    if answer is None:
        raise TypeError(f"a {type(response).__name__} is no HTTP response that is known")
    status = answer[0]
    if status < 400:
        return
    diagnosis = diagnose(response)
    text = f"HTTP status {status}"
    error: Exception
    if diagnosis.classification is Classification.TRANSIENT:
        if diagnosis.throttling:
            error = ThrottlingError(text, retry_after=diagnosis.retry_after)
        elif diagnosis.timeout:
            error = NetworkTimeoutError(text, retry_after=diagnosis.retry_after)
        else:
            error = ServiceUnavailableError(text, retry_after=diagnosis.retry_after)
    elif status in (401, 403, 407):
        error = AuthenticationError(text)
    elif status == 413:
        error = MessageTooLargeError(text)
    else:
        error = PermanentError(text)
    error.response = response  # type: ignore[union-attr]  # one more attribute, as HTTP clients' errors have
    raise error


# How an error is judged

_DEPTH = 4  # of errors inside errors
_TRANSIENT, _PERMANENT, _UNKNOWN = Classification
_NOTHING = Diagnosis(_UNKNOWN, "nothing is known of this error")


def _diagnose(error: BaseException, depth: int) -> Diagnosis:
    if isinstance(error, TransientError):
        return Diagnosis(
            _TRANSIENT,
            "TransientError",
            throttling=isinstance(error, ThrottlingError),
            timeout=isinstance(error, NetworkTimeoutError),
        )
    if isinstance(error, PermanentError):
        return Diagnosis(_PERMANENT, "PermanentError")
    if not isinstance(error, Exception):
        return Diagnosis(_UNKNOWN, "asks to stop, is no failure")
    aws = _aws_answer(error)
    if aws is not None:
        return _by_aws(error, *aws)
    answer = http.answer_of(getattr(error, "response", None)) or http.answer_of(error)
    if answer is not None and answer[0] >= 400:
        return _by_status(answer[0])
    return _by_class(error, depth)


def _last_error(error: BaseException) -> BaseException | None:
    """What the last attempt raised, where *error* is tenacity's ``RetryError``, which hides it."""
    attempt = getattr(error, "last_attempt", None)
    if attempt is None or type(error).__module__.partition(".")[0] != "tenacity" or not attempt.done():
        return None
    last: BaseException | None = attempt.exception()
    return last


def _worst(inner: list[Diagnosis]) -> Diagnosis:
    """A group is as bad as its worst member: permanent, then unknown, then transient."""
    for wanted in (_PERMANENT, _UNKNOWN):
        for diagnosis in inner:
            if diagnosis.classification is wanted:
                return replace(diagnosis, reason=f"in a group: {diagnosis.reason}")
    return Diagnosis(
        _TRANSIENT,
        "every error of the group is transient",
        throttling=any(diagnosis.throttling for diagnosis in inner),
        timeout=any(diagnosis.timeout for diagnosis in inner),
        retry_after=max((d.retry_after for d in inner if d.retry_after is not None), default=None),
    )


def _rule(words: str, reason: str) -> Diagnosis:
    return Diagnosis(
        _PERMANENT if words == "permanent" else _TRANSIENT,
        reason,
        throttling="throttling" in words,
        timeout="timeout" in words,
    )


def _aws_answer(error: Exception) -> tuple[str, int | None] | None:
    """Code and HTTP status of botocore's ``ClientError`` (and of its modelled subclasses)."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping) or not isinstance(response.get("Error"), Mapping):
        return None
    code = str(response["Error"].get("Code") or "")
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    return code, status if isinstance(status, int) else None


def code_rule(code: str) -> str | None:
    """What an AWS error code alone says: ``transient`` or ``permanent``, with ``throttling`` beside it; else ``None``.

    For answers that carry codes in place of exceptions, such as the failed entries of a batch.
    """
    name = _code_name(code)
    words = tables.AWS_CODES.get(name)
    return words or next((rule for ending, rule in tables.AWS_CODE_ENDINGS if name.endswith(ending)), None)


def _code_name(code: str) -> str:
    return code.rpartition("#")[2].rpartition(".")[2]


def _by_aws(error: Exception, code: str, status: int | None) -> Diagnosis:
    name = _code_name(code)
    words = code_rule(code)
    if name in ("InvalidSignatureException", "SignatureDoesNotMatch") and "Signature expired" in str(error):
        # The clock is off, not the key: it passes when the clock is put right.
        words = "transient"
    if words is not None:
        return _rule(words, f"AWS code {code}")
    if name.isdigit():  # botocore puts the status where a body without a code leaves none
        status = status or int(name)
    if status is not None and status != 400:  # AWS says 400 for nearly everything, throttling included
        return replace(_by_status(status), reason=f"AWS code {code}, HTTP status {status}")
    return Diagnosis(_UNKNOWN, f"AWS code {code} is not known")


def _by_status(status: int) -> Diagnosis:
    reason = f"HTTP status {status}"
    if status == 429:
        return Diagnosis(_TRANSIENT, reason, throttling=True)
    if status in (408, 504):
        return Diagnosis(_TRANSIENT, reason, timeout=True)
    if status in (421, 423, 425):
        return Diagnosis(_TRANSIENT, reason)
    if status >= 500:
        # Not implemented, HTTP version not supported, loop detected, not extended: the same for every try.
        return Diagnosis(_PERMANENT if status in (501, 505, 508, 510) else _TRANSIENT, reason)
    if status == 409 or status < 400:
        return Diagnosis(_UNKNOWN, reason)
    return Diagnosis(_PERMANENT, reason)


def _by_class(error: Exception, depth: int) -> Diagnosis:
    for cls in type(error).__mro__:
        root = cls.__module__.partition(".")[0]
        if root == "valkey":  # a fork of redis-py with the same names
            root = "redis"
        words = tables.CLASSES.get(f"{root}.{cls.__name__}")
        if words is not None:
            return _look_closer(words, error, f"{root}.{cls.__name__}", depth)
        if root in tables.VALIDATION_MODULES and cls.__name__ in ("ValidationError", "Invalid", "DataError"):
            return Diagnosis(_PERMANENT, f"{root}.{cls.__name__}")
    return _NOTHING


def _look_closer(words: str, error: Exception, name: str, depth: int) -> Diagnosis:
    if words in ("connection", "tls"):
        refused = _tls_refusal(error)
        if refused is not None:
            return Diagnosis(_PERMANENT, f"{name}: {refused}")
        return Diagnosis(_TRANSIENT, name)
    if words == "reply":
        return _by_reply(str(error))
    if words == "inner":
        reason = getattr(error, "reason", None)
        if isinstance(reason, Exception) and depth < _DEPTH:
            inner = _diagnose(reason, depth + 1)
            return replace(inner, reason=f"{name}: {inner.reason}")
        return Diagnosis(_TRANSIENT, name)
    if words == "os":
        number = error.errno if isinstance(error, OSError) else None
        for known in tables.TRANSIENT_ERRNOS:
            if number is not None and number == getattr(errno, known, None):
                return Diagnosis(_TRANSIENT, known, timeout=known == "ETIMEDOUT")
        return _NOTHING
    if words == "sqlite":
        busy = "locked" in str(error) or "busy" in str(error)
        return Diagnosis(_TRANSIENT, f"{name}: {error}") if busy else _NOTHING
    return _rule(words, name)


def _tls_refusal(error: BaseException | None) -> str | None:
    """Why TLS can never succeed here, from the error or the errors that it carries; else ``None``."""
    for _ in range(_DEPTH):
        if error is None:
            return None
        reason = getattr(error, "reason", None)
        if isinstance(reason, str) and reason in tables.TLS_PERMANENT:
            return reason
        text = str(error)
        for known in ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"):
            if known in text:
                return known
        error = _carried(error)
    return None


def _carried(error: BaseException) -> BaseException | None:
    kwargs = getattr(error, "kwargs", None)  # botocore keeps its cause there
    inner = kwargs.get("error") if isinstance(kwargs, Mapping) else None
    for candidate in (getattr(error, "reason", None), inner, *error.args[:1], error.__cause__, error.__context__):
        if isinstance(candidate, BaseException):
            return candidate
    return None


def _by_reply(text: str) -> Diagnosis:
    word = text.partition(" ")[0]
    words = tables.REDIS_REPLIES.get(word)
    if words is not None:
        return _rule(words, f"Redis reply {word}")
    lower = text.lower()
    if "max number of clients" in lower:
        return Diagnosis(_TRANSIENT, "Redis reply: too many clients")
    for phrase in ("unknown command", "wrong number of arguments", "syntax error", "not an integer", "out of range"):
        if phrase in lower:
            return Diagnosis(_PERMANENT, f"Redis reply: {phrase}")
    return Diagnosis(_UNKNOWN, "a Redis reply that is not known")
