"""Joins unmodified boto3 clients to the run's services.

=============================  ====================================================
``botocore.py``                installs the wire; the cut at ``URLLib3Session.send``
``botocore_exchange.py``       one request: faults, latency, the service, its clock
``botocore_protocols.py``      AWS's protocols from the server's side
``botocore_shortcut.py``       the way past serialising, signing and parsing
``botocore_moto.py``           services that are not ours: moto, in this process
``botocore_clients.py``        cheap clients, and clients made before the run
``botocore_privates.py``       the private names of botocore that are touched
=============================  ====================================================

The cut is made for the class, so that clients made before the run, resources
and paginators go through it. Whatever host a request names, it reaches the
run's services; the region is the client's. Outside a run everything is as it
was.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, NamedTuple

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.validate import ParamValidator

from harness.errors import RealWorld
from harness.sim import world as _world
from harness.sim.services.errors import ServiceError, unknown_operation
from harness.sim.verdicts import Answer
from harness.sim.wire import botocore_clients as _clients
from harness.sim.wire import botocore_privates as _privates
from harness.sim.wire import botocore_shortcut as _shortcut
from harness.sim.wire.botocore_exchange import Call, Failed, Result, exchange, run_state, suffix_of
from harness.sim.wire.botocore_protocols import Malformed, Reply, decode_json, decode_query, encode_error, encode_result
from harness.sim.wire.botocore_shortcut import short_cut
from harness.sim.world import World

__all__ = [
    "environ",
    "failure_as_seen",
    "install",
    "installed",
    "refusal_of_parameters",
    "send_for",
    "short_cut",
    "uninstall",
]

#: Where clients are told to go: loopback, on a port where nothing ever listens (discard).
ENDPOINT_URL = "http://127.0.0.1:9"

_undo: list[Callable[[], None]] = []


def environ() -> dict[str, str]:
    """The AWS settings of a run: fake keys, no metadata service, none of the user's AWS files."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIASIMULATEDKEY0001",
        "AWS_SECRET_ACCESS_KEY": "simulated-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": ENDPOINT_URL,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def install() -> None:
    """Put the wire in; once more is nothing. Outside a run it does nothing.

    Raises:
        EnvironmentFailed: this version of botocore cannot be simulated.
    """
    if _undo:
        return
    _privates.check()
    _privates.look_again()
    session, endpoint = _privates.httpsession.URLLib3Session, _privates.endpoint.Endpoint
    client = _privates.client.BaseClient
    _replace(session, "send", _cut(session.send))
    _replace(endpoint, "make_request", _remember_operation(endpoint.make_request))
    _replace(client, "_make_api_call", _shortcut.wrap(client._make_api_call))
    for owner, name, value in (*_shortcut.replacements(), *_clients.replacements()):
        _replace(owner, name, value)
    _clients.find_early()


def installed() -> bool:
    """Whether the wire is in."""
    return bool(_undo)


def uninstall() -> None:
    """Take the wire out; once more is nothing."""
    while _undo:
        _undo.pop()()
    _clients.forget()


def _replace(owner: Any, name: str, value: Any) -> None:
    before = vars(owner)[name]
    setattr(owner, name, value)
    _undo.append(lambda: setattr(owner, name, before))


# -- the full path ------------------------------------------------------------------


def _remember_operation(original: Callable[..., Any]) -> Callable[..., Any]:
    """While an actor makes a request, the wire knows which operation its bytes are."""

    def make_request(self: Any, operation_model: Any, request_dict: dict[str, Any]) -> Any:
        world = _world.current()
        actor = world.kernel.current if world is not None else None
        if world is None or actor is None:
            return original(self, operation_model, request_dict)
        calls = run_state(world).calls
        before = calls.get(actor)
        calls[actor] = (operation_model, request_dict["context"])
        try:
            return original(self, operation_model, request_dict)
        finally:
            if before is None:
                calls.pop(actor, None)
            else:
                calls[actor] = before

    return make_request


def _cut(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, request: Any) -> Any:
        world = _world.current()
        if world is None:
            return original(self, request)
        if world.kernel.current is None:
            raise RealWorld(
                f"a request to {request.url} from code that runs in no process of the simulation; "
                "make AWS calls in a process or handler"
            )
        return _send(world, self, request)

    return send


def send_for(world: World, session: Any, request: Any, known: tuple[Any, dict[str, Any]] | None) -> Any:
    """What ``URLLib3Session.send`` answers in a run, for another kind of client.

    *session* has the read timeout, *known* is the operation whose bytes these
    are, and the request's context. Runs in an actor that makes no other call.
    """
    calls = run_state(world).calls
    actor = world.kernel.current
    if known is not None:
        calls[actor] = known
    try:
        return _send(world, session, request)
    finally:
        calls.pop(actor, None)


class _Target(NamedTuple):
    """What a request asks for."""

    model: Any
    name: str
    operation: Any  # None where the service has none of that name
    protocol: str
    region: str


def _send(world: World, session: Any, request: Any) -> Any:
    state = run_state(world)
    actor = world.kernel.current
    known = state.calls.get(actor)
    target = _target(request, known)
    failed = state.replies.pop(actor, None)
    result: Result = {}
    if failed is None:
        try:
            result = _answer(world, session, request, target, None if known is None else known[1])
        except Failed as failure:
            failed = failure
    if failed is not None and failed.refusal is None:
        _break(failed, request)
    request_id, date = state.answered(world.kernel.now_us)
    if isinstance(result, Reply):
        reply = result
    elif failed is None:
        reply = encode_result(target.protocol, target.model, target.operation, result, request_id)
    else:
        reply = _refusal(target.protocol, target.model, failed.refusal, request_id)
    headers = {"x-amzn-RequestId": request_id, "Date": date, **reply.headers}
    return _response(request, Reply(reply.status, headers, reply.body))


def _answer(world: World, session: Any, request: Any, target: _Target, context: Any) -> Result:
    """Decode a request and carry it out. Raises Failed; takes virtual time whatever happens."""
    parameters: dict[str, Any] = {}
    refusal: ServiceError | None = None
    if target.operation is None:
        refusal = unknown_operation(target.name)
    elif target.protocol in ("json", "query") and _is_ours(world, target.model.service_name):
        try:
            parameters = _parameters(request, target)
        except Malformed as malformed:
            refusal = ServiceError("SerializationException", "SerializationException", str(malformed))
        else:
            refusal = refusal_of_parameters(parameters, target.operation.input_shape)
    service = target.model.service_name
    point = f"aws.{service}.{target.name}{suffix_of(target.region)}"
    if refusal is not None:
        world.kernel.sleep_us(world.hook.latency_us(point))
        raise Failed(refusal)
    trace = request.headers.get("X-Amzn-Trace-Id")
    if trace and service == "sqs" and target.name == "SendMessage":
        parameters["AWSTraceHeader"] = _text(trace)
    timeout = _privates.read_timeout(session, request)
    timeout_us = None if timeout is None else round(timeout * 1_000_000)
    signed_us = _signed_us(world, request)
    call = Call(point, service, target.name, target.region, parameters, timeout_us, signed_us, request, context)
    return exchange(world, call)


def _is_ours(world: World, service: str) -> bool:
    """Whether requests to *service* are decoded here: it is simulated, or is SQS, whose calls are watched in moto too.

    None of these speaks another protocol than JSON and query.
    """
    return service in world.services or service in world.makers or service in ("sqs", "sts")


def refusal_of_parameters(parameters: dict[str, Any], shape: Any) -> ServiceError | None:
    """The service's refusal of parameters that no client has validated; ``None`` if they are well-formed."""
    if shape is None or _shortcut.plainly_valid(shape)(parameters):
        return None
    for name in shape.required_members:
        if name not in parameters:
            return ServiceError(
                "MissingParameter",
                "MissingRequiredParameterException",
                f"The request must contain the parameter {name}.",
            )
    report = ParamValidator().validate(parameters, shape)
    if not report.has_errors():
        return None
    return ServiceError("SerializationException", "SerializationException", report.generate_report())


#: Names that signatures have for services, where they are not botocore's own.
_SIGNING_NAMES = {"monitoring": "cloudwatch"}


def _target(request: Any, known: tuple[Any, dict[str, Any]] | None) -> _Target:
    """Which operation a request is, its protocol, and the client's region.

    Raises:
        EndpointConnectionError: it is no request to AWS's API.
    """
    if known is not None:
        operation, context = known
        model = operation.service_model
        region = context.get("client_region") or "us-east-1"
        return _Target(model, operation.name, operation, model.resolved_protocol, region)
    # A request that no client made: signed and sent by hand.
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    scope = headers.get("authorization", "").partition("Credential=")[2].split(",")[0].split("/")
    region, service = (scope[2], scope[3]) if len(scope) >= 5 else ("us-east-1", "")
    aim = headers.get("x-amz-target", "")
    if aim:
        name, protocol = aim.rpartition(".")[2], "json"
    else:
        name, protocol = _text(request.body or b"").partition("Action=")[2].split("&")[0], "query"
    model = _clients.service_model(_SIGNING_NAMES.get(service, service)) if service and name else None
    if model is None:
        raise EndpointConnectionError(
            endpoint_url=request.url, error="harness: only signed requests to AWS's API lead anywhere in a run"
        )
    operation = model.operation_model(name) if name in model.operation_names else None
    return _Target(model, name, operation, protocol, region)


def _parameters(request: Any, target: _Target) -> dict[str, Any]:
    """What a request asks with. Raises Malformed."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode("utf-8")
    elif not isinstance(body, (bytes, bytearray)):
        body = body.read()
    if _text(request.headers.get("Content-Encoding") or "") == "gzip":
        try:
            body = gzip.decompress(bytes(body))
        except (OSError, EOFError, zlib.error) as error:
            raise Malformed(f"the body is not compressed as it says: {error}") from None
    shape = target.operation.input_shape
    if target.protocol == "json":
        return decode_json(shape, bytes(body))
    return decode_query(target.model.service_name, target.name, shape, bytes(body))


def _signed_us(world: World, request: Any) -> int:
    """What the client's clock showed: the signature's date, or the process's clock where signing was skipped."""
    stamp = request.headers.get("X-Amz-Date")
    if stamp:
        try:
            moment = datetime.strptime(_text(stamp), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return 0
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000
    kernel = world.kernel
    actor = kernel.current
    assert actor is not None
    return actor.process.wall_clock_us(kernel.now_us)


def _text(value: bytes | bytearray | str) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


def _break(failed: Failed, request: Any) -> None:
    """Raise what botocore raises when a connection fails so."""
    url = request.url
    if failed.broken == "timeout":
        raise ReadTimeoutError(endpoint_url=url, error="Read timed out.")
    if failed.broken == "refused":
        raise EndpointConnectionError(endpoint_url=url, error="Connection refused")
    raise ConnectionClosedError(error="Connection reset by peer", request=request, endpoint_url=url)


def _refusal(protocol: str, model: Any, refusal: ServiceError | Answer | Reply | None, request_id: str) -> Reply:
    assert refusal is not None
    if isinstance(refusal, Reply):
        return refusal
    if isinstance(refusal, Answer):
        if refusal.body:
            return Reply(refusal.status, dict(refusal.headers), refusal.body)
        error = ServiceError(
            refusal.code, refusal.code, refusal.message, refusal.status, sender_fault=refusal.status < 500
        )
        reply = encode_error(protocol, model, error, request_id)
        return Reply(reply.status, {**reply.headers, **refusal.headers}, reply.body)
    return encode_error(protocol, model, refusal, request_id)


def failure_as_seen(request: Any, model: Any, failed: Failed, request_id: str) -> Any:
    """What a client of the service *model* gets for *request* where an exchange has failed.

    Raises:
        HTTPClientError: no answer comes; as botocore tells of a broken connection.
    """
    if failed.refusal is None:
        _break(failed, request)
    reply = _refusal(model.resolved_protocol, model, failed.refusal, request_id)
    return _response(request, Reply(reply.status, {"x-amzn-RequestId": request_id, **reply.headers}, reply.body))


class _Raw(BytesIO):
    """The body as urllib3 would hand it over."""

    def stream(self) -> Any:
        yield self.read()


def _response(request: Any, reply: Reply) -> Any:
    content = None if getattr(request, "stream_output", False) else reply.body
    return _privates.response(request.url, reply.status, reply.headers, _Raw(reply.body), content)
