"""Every private name of botocore that the wire touches, and a check that this version has them.

botocore keeps these names from version to version but promises none of them.
A version that lacks one is refused by name, before anything is patched,
instead of giving wrong verdicts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import botocore
import botocore.client
import botocore.endpoint
import botocore.history
import botocore.hooks
import botocore.httpsession
import botocore.loaders
import botocore.regions
import botocore.signers
import botocore.useragent
from botocore.awsrequest import AWSResponse
from botocore.retries import adaptive as _adaptive
from botocore.retries import bucket as _bucket
from botocore.retries import quota as _quota
from botocore.retries import standard as _standard
from botocore.retries import throttling as _throttling

from harness.errors import EnvironmentFailed

# Typed as Any: the type stubs of botocore leave out what is private.
client: Any = botocore.client
endpoint: Any = botocore.endpoint
history: Any = botocore.history
hooks: Any = botocore.hooks
httpsession: Any = botocore.httpsession
loaders: Any = botocore.loaders
regions: Any = botocore.regions
signers: Any = botocore.signers
useragent: Any = botocore.useragent
adaptive: Any = _adaptive
bucket: Any = _bucket
quota: Any = _quota
standard: Any = _standard
throttling: Any = _throttling

__all__ = [
    "QUOTA_OF_A_SUCCESS",
    "all_own",
    "check",
    "client",
    "emitter_of",
    "endpoint",
    "has_trace",
    "hooks",
    "httpsession",
    "is_own",
    "is_shared_class",
    "loaders",
    "look_again",
    "quota_of",
    "read_timeout",
    "refill",
    "regions",
    "restart",
    "signers",
    "useragent",
    "watch_register",
    "watch_unregister",
]

_NEEDED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (httpsession.URLLib3Session, ("send",)),
    (endpoint.Endpoint, ("make_request",)),
    (client.BaseClient, ("_make_api_call",)),
    (client.ClientCreator, ("create_client", "_load_service_model", "_create_client_class")),
    (hooks.HierarchicalEmitter, ("_register_section", "unregister", "__copy__")),
    (signers.RequestSigner, ("sign",)),
    (useragent.UserAgentString, ("to_string",)),
    (standard.RetryQuotaChecker, ("release_retry_quota", "_NO_RETRY_INCREMENT")),
    (adaptive.ClientRateLimiter, ("on_sending_request",)),
    (throttling.CubicCalculator, ()),
    (bucket.TokenBucket, ()),
    (loaders.Loader, ("load_service_model", "load_data", "load_data_with_path")),
    (endpoint, ("uuid",)),
    (regions, ("EndpointProvider",)),
    (hooks, ("accepts_kwargs",)),
    (hooks.EventAliaser, ("_alias_event_name",)),
    (httpsession, ("create_urllib3_context",)),
)
_INSTANCES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (quota.RetryQuota(), ("_available_capacity", "_max_capacity", "release")),
    (history.HistoryRecorder(), ("_enabled",)),
    (hooks.EventAliaser(None), ("_alias_name_cache", "_event_aliases")),
    (hooks.HierarchicalEmitter(), ("_handlers", "_lookup_cache")),
)


def check() -> None:
    """Look for every private name.

    Raises:
        EnvironmentFailed: this version of botocore lacks one.
    """
    for owner, names in (*_NEEDED, *_INSTANCES):
        for name in names:
            if not hasattr(owner, name):
                what = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", type(owner).__name__)
                raise EnvironmentFailed(
                    f"botocore {botocore.__version__} cannot be simulated: {what}.{name} is not there. "
                    "Install a version between 1.43.115 and 1.44.x"
                )


# -- event handlers ------------------------------------------------------------

#: The name under which an emitter keeps whether its handlers are all botocore's own.
_flag = "_harness_own"
_installations = 0

#: Modules whose handlers do nothing that a caller could see on a call without an error. Powertools' own adds its name
#: to the User-Agent header of every client once any part of it is imported.
_OWN = frozenset(
    {
        "aws_lambda_powertools.shared.user_agent",
        "boto3.utils",
        "botocore.docs.utils",
        "botocore.handlers",
        "botocore.retries.standard",
        "botocore.retryhandler",
        "botocore.signers",
        "botocore.useragent",
    }
)


def is_own(handler: Any) -> bool:
    """Whether an event handler is one of botocore's own that the short cut may leave out.

    So may moto's, which it adds to every client once it is imported and which
    lets calls pass unless a mock is on.
    """
    if getattr(handler, "__module__", None) in _OWN:
        return True
    return type(handler).__module__ == "moto.core.botocore_stubber" and not handler.enabled


def all_own(emitter: Any) -> bool:
    """Whether every handler of an emitter is botocore's own.

    Looked up once for an emitter, then kept current by :func:`watch_register`
    and :func:`watch_unregister`: the look-up costs more than a call.
    """
    own: bool | None = emitter.__dict__.get(_flag)
    if own is None:
        own = emitter.__dict__[_flag] = all(map(is_own, _handlers(emitter._handlers._root)))
    return own


def look_again() -> None:
    """Forget what is known of every emitter: handlers may have come and gone unwatched since the last installation."""
    global _installations, _flag
    _installations += 1
    _flag = f"_harness_own_{_installations}"


def watch_register(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HierarchicalEmitter._register_section``, which all kinds of register end in."""

    def _register_section(self: Any, event_name: str, handler: Any, *args: Any, **kwargs: Any) -> Any:
        if self.__dict__.get(_flag) and not is_own(handler):
            self.__dict__[_flag] = False
        return original(self, event_name, handler, *args, **kwargs)

    return _register_section


def watch_unregister(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HierarchicalEmitter.unregister``: a stranger may have gone, so look again."""

    def unregister(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.__dict__.pop(_flag, None)
        return original(self, *args, **kwargs)

    return unregister


def _handlers(node: dict[str, Any]) -> Iterator[Any]:
    values = node["values"]
    if values is not None:
        yield from values.first
        yield from values.middle
        yield from values.last
    for child in node["children"].values():
        yield from _handlers(child)


def emitter_of(events: Any) -> Any:
    """The emitter behind a client's or session's ``events``."""
    return getattr(events, "_emitter", events)


def is_shared_class(service: str) -> bool:
    """Whether one client class may serve all clients of a service: botocore adds nothing to it from its session."""
    return service in ("sqs", "sns", "cloudwatch", "sts")


# -- retries -----------------------------------------------------------------------


def quota_of(client: Any) -> Any | None:
    """A standard-mode client's retry quota."""
    service = client.meta.service_model.service_id.hyphenize()
    emitter = emitter_of(client.meta.events)
    for handler in emitter._handlers.prefix_search(f"after-call.{service}"):
        owner = getattr(handler, "__self__", None)
        if isinstance(owner, standard.RetryQuotaChecker):
            return owner._quota
    return None


#: What a call that succeeds at once gives back to the quota (``RetryQuotaChecker.release_retry_quota``).
QUOTA_OF_A_SUCCESS: int = getattr(standard.RetryQuotaChecker, "_NO_RETRY_INCREMENT", 0)


def refill(retry_quota: Any) -> None:
    """Give a retry quota its full capacity."""
    retry_quota._available_capacity = retry_quota._max_capacity


def restart(limiter: Any) -> None:
    """Bring an adaptive client's rate limiter to where a new one stands, on the clock in force."""
    clock = limiter._clock
    limiter._rate_adjustor = throttling.CubicCalculator(starting_max_rate=0, start_time=clock.current_time())
    limiter._token_bucket = bucket.TokenBucket(max_rate=1, clock=clock)
    limiter._rate_clocker = adaptive.RateClocker(clock)
    limiter._enabled = False


# -- environment -------------------------------------------------------------------------

_TRACE = os.environ.encodekey("_X_AMZN_TRACE_ID")


def has_trace() -> bool:
    """Whether the process in force has a trace id in its environment, which botocore then sends along.

    Looked up in what os.environ keeps inside: the front door costs ten times as much where the name is not there.
    """
    return _TRACE in os.environ._data  # type: ignore[attr-defined]  # private


# -- answers ---------------------------------------------------------------------------


def response(url: str, status: int, headers: dict[str, str], raw: Any, content: bytes | None) -> AWSResponse:
    """An HTTP response as botocore's session gives it; with *content*, its body has been read."""
    made: Any = AWSResponse
    answer: AWSResponse = made(url, status, headers, raw)
    if content is not None:
        answer._content = content  # private
    return answer


# -- timeouts ------------------------------------------------------------------------


def read_timeout(session: Any, request: Any = None) -> float | None:
    """How long a session waits for an answer to *request*, in seconds."""
    context = getattr(request, "context", None)
    if context and context.get("read_timeout") is not None:
        return float(context["read_timeout"])
    timeout = session._timeout
    read = timeout.read_timeout if hasattr(timeout, "read_timeout") else timeout
    return read if isinstance(read, (int, float)) else None
