"""Real errors of real libraries, classified."""

from __future__ import annotations

import email.utils
import errno
import http.client
import json
import pickle
import socket
import sqlite3
import ssl
import urllib.error
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import botocore.exceptions as aws
import pybreaker
import pytest
import redis.exceptions
import requests
import tenacity
import urllib3
import urllib3.exceptions
from botocore.exceptions import ClientError

from harness.resilience import (
    AuthenticationError,
    Classification,
    ErrorRegistry,
    InvalidMessageFormatError,
    MessageTooLargeError,
    NetworkTimeoutError,
    PermanentError,
    ServiceUnavailableError,
    ThrottlingError,
    TransientError,
    classify,
    diagnose,
    raise_for_response,
    register_permanent,
    register_transient,
    retry_after,
)


def client_error(
    code: str, status: int = 400, headers: dict[str, str] | None = None, message: str = "no"
) -> ClientError:
    """What boto3 raises when a service refuses."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "SendMessage")


@pytest.mark.parametrize("root", [TransientError, PermanentError])
def test_the_taxonomy_is_plain_exceptions(root: type[Exception]) -> None:
    """Each class is made with one message, says it, and survives pickling."""
    for cls in [root, *(one for one in root.__subclasses__() if one.__module__ == root.__module__)]:
        error = cls("what happened")
        assert str(error) == "what happened"
        assert str(pickle.loads(pickle.dumps(error))) == "what happened"
        assert classify(error) == ("transient" if root is TransientError else "permanent")


def test_the_two_roots_have_the_subclasses_that_users_know() -> None:
    """Names and places in the tree are those that people catch."""
    for cls in (NetworkTimeoutError, ServiceUnavailableError, ThrottlingError):
        assert issubclass(cls, TransientError)
        assert not issubclass(cls, PermanentError)
    for other in (InvalidMessageFormatError, AuthenticationError, MessageTooLargeError):
        assert issubclass(other, PermanentError)
        assert not issubclass(other, TransientError)


def test_a_subclass_with_its_own_constructor_still_classifies() -> None:
    """A user's subclass need not call the parent's constructor."""

    class Own(TransientError):
        def __init__(self, a: int, b: int) -> None:
            self.sum = a + b

    assert diagnose(Own(1, 2)).classification is Classification.TRANSIENT
    assert retry_after(Own(1, 2)) is None


@pytest.mark.parametrize(
    ("code", "status", "expected", "throttling"),
    [
        ("ThrottlingException", 400, "transient", True),
        ("Throttling", 400, "transient", True),
        ("RequestThrottled", 403, "transient", True),
        ("AWS.SimpleQueueService.OverLimit", 403, "transient", True),
        ("KMS.ThrottlingException", 400, "transient", True),
        ("SomethingNewThrottledException", 400, "transient", True),
        ("SlowDown", 503, "transient", True),
        ("InternalFailure", 500, "transient", False),
        ("ServiceUnavailable", 503, "transient", False),
        ("RequestTimeout", 400, "transient", False),
        ("NeverHeardOf", 500, "transient", False),
        ("502", 502, "transient", False),
        ("ExpiredToken", 403, "transient", False),
        ("RequestTimeTooSkewed", 403, "transient", False),
        ("AccessDenied", 403, "permanent", False),
        ("AccessDeniedException", 400, "permanent", False),
        ("InvalidClientTokenId", 403, "permanent", False),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, "permanent", False),
        ("com.amazonaws.sqs#QueueDoesNotExist", 400, "permanent", False),
        ("InvalidParameterValue", 400, "permanent", False),
        ("AWS.SimpleQueueService.BatchRequestTooLong", 400, "permanent", False),
        ("ReceiptHandleIsInvalid", 404, "permanent", False),
        ("NeverHeardOf", 403, "permanent", False),
        ("NeverHeardOf", 400, "unknown", False),
    ],
)
def test_aws_error_codes(code: str, status: int, expected: str, throttling: bool) -> None:
    """A ClientError is judged by its code, then by its status; an unknown code with 400 stays unknown."""
    diagnosis = diagnose(client_error(code, status))
    assert (diagnosis.classification, diagnosis.throttling) == (expected, throttling)


def test_a_signature_that_expired_is_the_clocks_fault() -> None:
    """The same code is transient when the clock is off and permanent when the key is wrong."""
    expired = client_error("InvalidSignatureException", 403, message="Signature expired: 20300101T000000Z is now ...")
    wrong = client_error("InvalidSignatureException", 403, message="The request signature we calculated does not match")
    assert (classify(expired), classify(wrong)) == ("transient", "permanent")


def test_every_throttling_code_of_botocore_is_known() -> None:
    """What botocore's own retries take for throttling, we do (a transaction in progress apart, which is a conflict)."""
    from botocore.retries.standard import ThrottledRetryableChecker

    for code in ThrottledRetryableChecker._THROTTLED_ERROR_CODES:
        diagnosis = diagnose(client_error(code))
        assert diagnosis.classification == "transient", code
        assert diagnosis.throttling or code == "TransactionInProgressException", code


def _certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.reason = "CERTIFICATE_VERIFY_FAILED"
    return error


URL = "https://sqs.test"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aws.EndpointConnectionError(endpoint_url=URL), "transient"),
        (aws.ConnectionClosedError(endpoint_url=URL), "transient"),
        (aws.ReadTimeoutError(endpoint_url=URL), "transient"),
        (aws.ConnectTimeoutError(endpoint_url=URL), "transient"),
        (aws.ProxyConnectionError(proxy_url=URL), "transient"),
        (aws.HTTPClientError(error=OSError("x")), "transient"),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), "transient"),
        (aws.SSLError(endpoint_url=URL, error=ssl.SSLEOFError(8, "EOF occurred")), "transient"),
        (aws.SSLError(endpoint_url=URL, error=_certificate_error()), "permanent"),
        (aws.ParamValidationError(report="bad"), "permanent"),
        (aws.NoCredentialsError(), "permanent"),
        (aws.NoRegionError(), "permanent"),
        (redis.exceptions.ConnectionError("Error 111 connecting"), "transient"),
        (redis.exceptions.TimeoutError("Timeout reading"), "transient"),
        (redis.exceptions.BusyLoadingError("Redis is loading"), "transient"),
        (redis.exceptions.ReadOnlyError("You can't write"), "transient"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "transient"),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN"), "transient"),
        (redis.exceptions.MaxConnectionsError("Too many connections"), "transient"),
        (redis.exceptions.WatchError("Watched variable changed"), "transient"),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), "transient"),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save"), "transient"),
        (redis.exceptions.ResponseError("max number of clients reached"), "transient"),
        (redis.exceptions.AuthenticationError("NOAUTH Authentication required."), "permanent"),
        (redis.exceptions.ResponseError("NOAUTH Authentication required."), "permanent"),
        (redis.exceptions.NoPermissionError("no permissions"), "permanent"),
        (redis.exceptions.DataError("Invalid input of type"), "permanent"),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against a key"), "permanent"),
        (redis.exceptions.ResponseError("unknown command 'FOO'"), "permanent"),
        (redis.exceptions.ResponseError("something of a module's own"), "unknown"),
        (redis.exceptions.LockError("not owned"), "unknown"),
        (requests.ConnectionError(), "transient"),
        (requests.ReadTimeout(), "transient"),
        (requests.exceptions.ChunkedEncodingError(), "transient"),
        (requests.exceptions.SSLError(_certificate_error()), "permanent"),
        (requests.exceptions.InvalidURL(), "permanent"),
        (requests.exceptions.MissingSchema(), "permanent"),
        (requests.exceptions.TooManyRedirects(), "permanent"),
        (requests.exceptions.JSONDecodeError("no", "", 0), "permanent"),
        (requests.RequestException(), "unknown"),
        (urllib3.exceptions.ProtocolError("aborted"), "transient"),
        (urllib3.exceptions.ReadTimeoutError(None, URL, "read"), "transient"),  # type: ignore[arg-type]
        (urllib3.exceptions.MaxRetryError(None, URL, _certificate_error()), "permanent"),  # type: ignore[arg-type]
        (urllib3.exceptions.MaxRetryError(None, URL), "transient"),  # type: ignore[arg-type]
        (urllib3.exceptions.LocationParseError("x"), "permanent"),
        (urllib.error.URLError(ConnectionRefusedError()), "transient"),
        (urllib.error.URLError("unknown url type"), "transient"),
        (urllib.error.HTTPError(URL, 503, "no", http.client.HTTPMessage(), None), "transient"),
        (urllib.error.HTTPError(URL, 404, "no", http.client.HTTPMessage(), None), "permanent"),
        (http.client.RemoteDisconnected(), "transient"),
        (http.client.IncompleteRead(b""), "transient"),
        (ConnectionResetError(), "transient"),
        (BrokenPipeError(), "transient"),
        (TimeoutError(), "transient"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "transient"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "transient"),
        (OSError(errno.EMFILE, "Too many open files"), "transient"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "unknown"),
        (OSError("no number"), "unknown"),
        (ssl.SSLEOFError(8, "EOF occurred"), "transient"),
        (ssl.SSLZeroReturnError(6, "closed"), "transient"),
        (_certificate_error(), "permanent"),
        (json.JSONDecodeError("no", "", 0), "permanent"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "no"), "permanent"),
        (sqlite3.OperationalError("database is locked"), "transient"),
        (sqlite3.OperationalError("no such table: a"), "unknown"),
        (ValueError("could be anything"), "unknown"),
        (KeyError("order_id"), "unknown"),
        (RuntimeError(), "unknown"),
        (KeyboardInterrupt(), "unknown"),
        (SystemExit(), "unknown"),
    ],
    ids=lambda value: (
        type(value).__module__ + "." + type(value).__name__ if isinstance(value, BaseException) else value
    ),
)
def test_errors_of_libraries(error: BaseException, expected: str) -> None:
    """Real exceptions, made as their libraries make them, are judged right."""
    assert classify(error) == expected


@pytest.mark.parametrize(
    ("module", "names", "expected"),
    [
        ("httpx", ("ConnectError", "NetworkError", "TransportError"), "transient"),
        ("httpx", ("ReadTimeout", "TimeoutException", "TransportError"), "transient"),
        ("httpx", ("UnsupportedProtocol", "TransportError"), "permanent"),
        ("aiohttp.client_exceptions", ("ServerDisconnectedError", "ClientConnectionError"), "transient"),
        ("aiohttp.client_exceptions", ("ClientConnectorCertificateError", "ClientConnectionError"), "permanent"),
        ("pydantic_core._pydantic_core", ("ValidationError",), "permanent"),
        ("jsonschema.exceptions", ("ValidationError",), "permanent"),
        ("valkey.exceptions", ("ConnectionError",), "transient"),
        ("somewhere.else_", ("ConnectionError",), "unknown"),
    ],
)
def test_libraries_that_are_not_installed_are_known_by_name(module: str, names: tuple[str, ...], expected: str) -> None:
    """Classes are recognised by module and name through their bases, without an import."""
    cls: Any = Exception
    for name in reversed(names):
        cls = type(name, (cls,), {"__module__": module})
    assert classify(cls()) == expected


@pytest.mark.parametrize("error", [PermanentError("no"), ThrottlingError("slow down"), KeyError("order_id")])
def test_what_tenacity_gave_up_on_is_judged_as_what_it_was(error: Exception) -> None:
    """Its RetryError hides the last attempt's error: a permanent one is not tried again for that."""
    given_up = tenacity.Future(1)
    given_up.set_exception(error)
    diagnosis = diagnose(tenacity.RetryError(given_up))
    assert diagnosis.classification is classify(error)
    assert diagnosis.throttling is diagnose(error).throttling


def test_what_tenacity_gave_up_on_obeys_the_rules_and_keeps_its_hint() -> None:
    """The users' own rules and the service's wish to wait are found inside it too."""
    rules = ErrorRegistry()
    rules.register(KeyError, "permanent")
    given_up = tenacity.Future(1)
    given_up.set_exception(KeyError("order_id"))
    assert classify(tenacity.RetryError(given_up), rules=rules) == "permanent"
    slow = tenacity.Future(1)
    slow.set_exception(ThrottlingError("slow down", retry_after=7))
    assert diagnose(tenacity.RetryError(slow)).retry_after == 7


def test_what_tenacity_gave_up_on_because_of_a_result() -> None:
    """Where no attempt raised, the condition that it waited for can still come."""
    given_up = tenacity.Future(1)
    given_up.set_result(None)
    assert classify(tenacity.RetryError(given_up)) == "transient"


def test_the_refusal_of_another_librarys_breaker_passes_with_time() -> None:
    """A breaker that is open now is not always open: the call is neither the message's fault nor a bug."""
    assert classify(pybreaker.CircuitBreakerError("Timeout not elapsed yet")) == "transient"
    for module in ("circuitbreaker", "purgatory.domain.model", "aiobreaker.state"):
        name = "OpenedState" if module.startswith("purgatory") else "CircuitBreakerError"
        assert classify(type(name, (Exception,), {"__module__": module})()) == "transient"


def test_a_timeout_says_that_the_call_may_have_taken_effect() -> None:
    """Read timeouts are told apart from refused connections."""
    assert diagnose(aws.ReadTimeoutError(endpoint_url=URL)).timeout
    assert diagnose(requests.ReadTimeout()).timeout
    assert not diagnose(ConnectionRefusedError()).timeout


def test_groups_are_as_bad_as_their_worst() -> None:
    """An exception group is transient only if all of it is."""
    transient, permanent, unknown = ConnectionError(), PermanentError(), RuntimeError()
    assert classify(ExceptionGroup("", [transient, ThrottlingError()])) == "transient"
    assert classify(ExceptionGroup("", [transient, unknown])) == "unknown"
    assert classify(ExceptionGroup("", [transient, unknown, permanent])) == "permanent"
    assert classify(ExceptionGroup("", [ExceptionGroup("", [ExceptionGroup("", [permanent])])])) == "permanent"


def test_a_group_carries_the_longest_hint_and_obeys_the_rules() -> None:
    """Its members are judged like any error: by the rules given, with their hints."""
    hints = ExceptionGroup("", [ThrottlingError(retry_after=2), ThrottlingError(retry_after=5)])
    assert diagnose(hints).retry_after == 5
    assert diagnose(hints).throttling
    rules = ErrorRegistry()
    rules.register(BankIsClosed, "permanent")
    group = ExceptionGroup("", [ExceptionGroup("", [BankIsClosed()])])
    assert (classify(group), classify(group, rules=rules)) == ("unknown", "permanent")


def _http(status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, "unknown"), (400, "permanent"), (401, "permanent"), (404, "permanent"), (408, "transient"),
        (409, "unknown"), (413, "permanent"), (422, "permanent"), (425, "transient"), (429, "transient"),
        (500, "transient"), (501, "permanent"), (502, "transient"), (503, "transient"), (504, "transient"),
        (505, "permanent"),
    ],
)  # fmt: skip
def test_http_statuses(status: int, expected: str) -> None:
    """A response, and the error that requests raises for it, are judged by the status."""
    assert classify(_http(status)) == expected
    assert classify(requests.HTTPError(response=_http(status))) == expected


def test_responses_of_other_clients() -> None:
    """urllib3's and aiohttp's responses have ``status``; what has neither is refused."""
    assert classify(urllib3.HTTPResponse(status=503)) == "transient"
    assert classify(SimpleNamespace(status=429, headers={})) == "transient"
    with pytest.raises(TypeError, match="neither an exception nor an HTTP response"):
        classify("503")


NOW = 1_900_000_000.0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ThrottlingError("slow", retry_after=2), 2.0),
        (requests.HTTPError(response=_http(429, Retry_After="7")), 7.0),
        (_http(503, Retry_After=" 1.5 "), 1.5),
        (_http(503, Retry_After=email.utils.formatdate(NOW + 30, usegmt=True)), 30.0),
        (_http(503, Retry_After=email.utils.formatdate(NOW - 30, usegmt=True)), 0.0),
        (_http(503, Retry_After="soon"), None),
        (_http(503, Retry_After="-5"), None),
        (_http(503, Retry_After="nan"), None),
        (_http(503, Retry_After="inf"), None),
        (_http(503, Retry_After="Mon, 99 Foo 2030 00:00:00 GMT"), None),
        (_http(503), None),
        (client_error("Throttling", headers={"x-amz-retry-after": "1500"}), 1.5),
        (client_error("Throttling", headers={"retry-after": "3"}), 3.0),
        (client_error("Throttling"), None),
        (SimpleNamespace(status=429, headers={"RETRY-AFTER": "4"}), 4.0),
        (ConnectionError(), None),
        (SimpleNamespace(status=429, headers={}, retry_after="soon"), None),
        (SimpleNamespace(status=429, headers={"Retry-After": "4"}, retry_after=True), 4.0),
        (ThrottlingError(retry_after=float("inf")), None),
    ],
)
def test_hints(error: Any, expected: float | None) -> None:
    """Seconds, dates and AWS's milliseconds are read; what is no sensible number is no hint."""
    assert retry_after(error, clock=lambda: NOW) == expected
    assert diagnose(error, clock=lambda: NOW).retry_after == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, AuthenticationError), (403, AuthenticationError), (404, PermanentError), (408, NetworkTimeoutError),
        (413, MessageTooLargeError), (429, ThrottlingError), (500, ServiceUnavailableError),
        (504, NetworkTimeoutError),
    ],
)  # fmt: skip
def test_raise_for_response(status: int, expected: type[Exception]) -> None:
    """A response becomes the error of the taxonomy, with the response on it."""
    response = _http(status, Retry_After="9")
    with pytest.raises(expected, match=str(status)) as caught:
        raise_for_response(response)
    assert type(caught.value) is expected
    assert caught.value.response is response  # type: ignore[attr-defined]
    assert getattr(caught.value, "retry_after", 9.0) == 9.0


def test_a_good_response_raises_nothing() -> None:
    """Below 400 there is nothing to raise."""
    raise_for_response(_http(204))
    raise_for_response(_http(302))


class BankIsClosed(Exception):
    """A user's own."""


@pytest.fixture
def removals() -> Iterator[list[Any]]:
    """Rules that a test registers, to be taken back."""
    taken: list[Any] = []
    yield taken
    for remove in taken:
        remove()


def test_users_register_their_own(removals: list[Any]) -> None:
    """A class or a function decides before what is built in; the rule can be taken back."""
    assert classify(BankIsClosed()) == "unknown"
    removals.append(register_transient(BankIsClosed))
    assert classify(BankIsClosed()) == "transient"
    removals.append(register_permanent(lambda error: "fraud" in str(error)))
    assert classify(BankIsClosed("fraud")) == "permanent"
    assert classify(BankIsClosed("lunch")) == "transient"
    removals.pop()()
    assert classify(BankIsClosed("fraud")) == "transient"


def test_a_rule_keeps_what_else_is_known() -> None:
    """A rule changes the verdict; throttling and hints are still read off the error."""
    rules = ErrorRegistry()
    rules.register(ThrottlingError, "permanent")
    diagnosis = diagnose(ThrottlingError(retry_after=3), rules=rules)
    assert (diagnosis.classification, diagnosis.throttling, diagnosis.retry_after) == ("permanent", True, 3.0)
    assert classify(ThrottlingError()) == "transient"


@pytest.mark.parametrize("matcher", [int, "ConnectionError", None])
def test_what_cannot_match_is_refused(matcher: Any) -> None:
    """A rule that could never match is an error when it is made, not silence later."""
    with pytest.raises(TypeError):
        register_transient(matcher)
    with pytest.raises(ValueError, match="sometimes"):
        ErrorRegistry().register(KeyError, "sometimes")
