"""Services of AWS that are not simulated here fall through to moto, in this process and in virtual time.

A request reaches moto as the bytes that the client made; what moto answers
goes back as bytes. Every operation of every service is a fault point all the
same: faults and latency are those of any other call.

While moto's code runs no actor is the current one: clocks show the service's
own time, ids come from a stream of their own, and nothing can give way, so
that one call is over before the next begins. moto is not safe under threads;
this is the one lock round it.

What stood in moto's backends before the run is put aside for its length.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.loaders import create_loader
from botocore.parsers import create_parser
from botocore.regions import EndpointResolver

from harness.compat import Moto
from harness.errors import SimulationError
from harness.sim import world as _world
from harness.sim.services.errors import ServiceError
from harness.sim.verdicts import Twist
from harness.sim.wire import botocore_clients as _clients
from harness.sim.wire.botocore_protocols import Reply

if TYPE_CHECKING:
    from harness.seeds import Seeds
    from harness.sim.wire.botocore_exchange import Call, Result
    from harness.sim.world import World

__all__ = ["ACCOUNT", "MotoServices"]

#: The account of a run: the one of the simulated services.
ACCOUNT = "000000000000"
_FAILURES_MAX = 20  # of moto's own, kept of a run

_T = TypeVar("_T")
#: Carries out a call of one service in a way of its own; true in the pair: the answer comes too late.
Handler = Callable[["Call", "Twist | None", int], "tuple[Result, bool]"]


@functools.cache
def _load() -> Moto:
    """moto, looked at once in a process and outside any run: its modules are nobody's in particular."""
    with _no_run():
        return Moto()


@contextmanager
def _no_run() -> Iterator[None]:
    run = _world.current()
    if run is None:
        yield
        return
    _world.leave()
    try:
        yield
    finally:
        _world.enter(run)


class MotoServices:
    """moto's services in one run. Nothing of moto is touched before the first call."""

    def __init__(self, world: World, seeds: Seeds) -> None:
        self._world = world
        self._seeds = seeds
        self._moto: Moto | None = None
        self._put_back: Callable[[], None] | None = None
        self._ids: Random | None = None
        self._inside = False
        self.handlers: dict[str, Handler] = {}
        #: Called when a call of any service is over.
        self.settle: Callable[[], object] | None = None
        #: What moto itself failed with.
        self.failures: list[str] = []

    def open(self) -> Moto:
        """moto with empty backends, made ready if this is the first call.

        Raises:
            EnvironmentFailed: moto is not installed or cannot be used.
        """
        if self._moto is None:
            moto = _load()
            self._put_back = moto.set_aside()
            moto.seed(self._seeds.number("moto"))
            self._ids = self._seeds.stream("moto/ids")
            self._moto = moto
        return self._moto

    def close(self) -> None:
        """Give moto's backends back what stood in them. Idempotent."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None

    def serve(self, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
        """The effect of *call*; true where its answer comes after *deadline_us*.

        Raises:
            ServiceError: moto has no such service or operation, or failed.
        """
        handler = self.handlers.get(call.service)
        if handler is not None:
            return handler(call, twist, deadline_us)
        return self.send(call, call.request.body), False

    def send(self, call: Call, body: Any) -> Reply:
        """What moto answers to *call* with this body.

        Raises:
            ServiceError: moto has no such service or operation, or failed.
        """
        moto = self.open()
        request = _addressed(call, body)
        with _no_run():
            moto.prepare(request.url)
        try:
            answer = self.within(lambda: moto.answer(request))
        except NotImplementedError:
            raise _not_simulated(call, f"moto {moto.version} does not have it") from None
        except SimulationError:
            raise
        except Exception as error:
            text = f"moto {moto.version} failed in {call.point}: {type(error).__name__}: {error}"
            if len(self.failures) < _FAILURES_MAX:
                self.failures.append(text)
            raise ServiceError(
                "InternalFailure", "InternalFailure", f"harness: {text}", 500, sender_fault=False
            ) from error
        if self.settle is not None:
            self.settle()
        if answer is None or (answer[0] == 404 and answer[2] == "Not yet implemented"):
            raise _not_simulated(call, f"moto {moto.version} does not have it")
        return _reply(call, *answer)

    def within(self, function: Callable[[], _T]) -> _T:
        """Run moto's code: in no process, on the service's clock, ids from a stream of their own."""
        kernel = self._world.kernel
        if self._inside:
            raise SimulationError("moto called a service of this run from within a call")
        assert self._ids is not None, "open() first"
        actor, kernel.current = kernel.current, None
        ids = kernel.lend_ids(self._ids)
        self._inside = True
        try:
            return function()
        finally:
            self._inside = False
            kernel.lend_ids(ids)
            kernel.current = actor


def _not_simulated(call: Call, reason: str) -> ServiceError:
    return ServiceError(
        "NotSimulated",
        "NotSimulated",
        f"harness: {call.service}.{call.operation} reaches nothing in this run: {reason}",
        501,
        sender_fault=False,
    )


# -- requests ------------------------------------------------------------------------------


@functools.cache
def _resolver() -> Any:
    with _no_run():
        return EndpointResolver(create_loader().load_data("endpoints"))


@functools.cache
def _host(endpoint_prefix: str, region: str) -> str:
    """The host that a service really has in a region."""
    found = _resolver().construct_endpoint(endpoint_prefix, region)
    return str(found["hostname"]) if found else f"{endpoint_prefix}.{region}.amazonaws.com"


def _addressed(call: Call, body: Any) -> AWSPreparedRequest:
    """The request as it would leave for AWS itself: moto tells services, and S3 buckets, by their hosts."""
    request = call.request
    parts = urlsplit(request.url)
    host, path = parts.netloc, parts.path or "/"
    if ".amazonaws.com" not in host:
        if call.service == "s3":
            bucket = ((call.context or {}).get("s3_redirect") or {}).get("bucket")
            if bucket and host.startswith(f"{bucket}."):
                path = f"/{bucket}{path}"
        model = _clients.service_model(call.service)
        host = _host(model.endpoint_prefix if model is not None else call.service, call.region)
    url = urlunsplit(("https", host, path, parts.query, ""))
    made: Any = AWSPreparedRequest
    prepared: AWSPreparedRequest = made(request.method, url, request.headers.__class__(), body, False)
    for name, value in request.headers.items():
        prepared.headers[name] = value
    prepared.headers["x-moto-account-id"] = ACCOUNT
    if "Authorization" not in prepared.headers and "X-Amz-Credential" not in parts.query:
        # Signing was skipped, and moto reads the region off the signature.
        scope = f"{call.region}/{call.service}/aws4_request"
        prepared.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential=AKIASIMULATEDKEY0001/20300101/{scope}"
    return prepared


# -- answers -----------------------------------------------------------------------------------


def _reply(call: Call, status: int, headers: Any, body: Any) -> Reply:
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body or b"")
    texts = {str(name): str(value) for name, value in headers.items()}
    return Reply(status, texts, data, "" if status < 400 else _code(call, status, texts, data))


def _code(call: Call, status: int, headers: dict[str, str], body: bytes) -> str:
    """The code of an error, as the client will read it."""
    model = _clients.service_model(call.service)
    assert model is not None
    operation = model.operation_model(call.operation)
    parsed = create_parser(model.resolved_protocol).parse(
        {
            "status_code": status,
            "headers": {name.lower(): value for name, value in headers.items()},
            "body": body,
            "context": {"operation_name": call.operation},
        },
        operation.output_shape,
    )
    return str(parsed.get("Error", {}).get("Code") or status)
