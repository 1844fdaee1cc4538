"""Requests to AWS as they come over the wire: which service, operation and protocol, decoded by botocore's models.

JSON (``X-Amz-Target``), query (a form, or the query of a GET; old SDKs name
the queue by the path), and Smithy RPC v2 CBOR. Signatures are not checked: the
credential scope names the region.
"""

from __future__ import annotations

import functools
import re
import zlib
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import cbor2

from harness.net.http_server import Request
from harness.sim.services.errors import ServiceError
from harness.sim.wire import botocore_clients
from harness.sim.wire.botocore import refusal_of_parameters
from harness.sim.wire.botocore_protocols import (
    Malformed,
    Reply,
    decode_json,
    decode_query,
    encode_error,
    encode_result,
    fitted,
)

__all__ = ["CBOR", "Target", "answer_in", "decode", "refusal_in", "target_of"]

CBOR: Final = "smithy-rpc-v2-cbor"

_TARGETS: Final = {"AmazonSQS": "sqs", "GraniteServiceVersion20100801": "cloudwatch", "AmazonSNS": "sns"}
#: The versions that query requests name: each service has one of its own.
_VERSIONS: Final = {"2012-11-05": "sqs", "2010-08-01": "cloudwatch", "2010-03-31": "sns", "2011-06-15": "sts"}
_SIGNING_NAMES: Final = {"monitoring": "cloudwatch", "sqs": "sqs", "sns": "sns", "sts": "sts"}
_CBOR_PATH: Final = re.compile(r"/service/([A-Za-z0-9_]+)/operation/([A-Za-z0-9_]+)/?")
_SCOPE: Final = re.compile(r"Credential=[^/,\s]*/\d{8}/([A-Za-z0-9-]+)/([a-z0-9-]+)/")
_REGION: Final = "us-east-1"
_LONGEST_NAME: Final = 64  # of an operation: longer ones are not worth remembering
_MOST_UNPACKED: Final = 16 * 1024 * 1024


class Target(NamedTuple):
    """What a request asks for. ``operation`` is None where the service has none of that ``name``."""

    service: str
    name: str
    protocol: str
    region: str
    model: Any
    operation: Any
    form: bytes = b""


def target_of(request: Request) -> Target | None:
    """Which operation *request* asks for; None where it is no request to a service that is here."""
    scope = _SCOPE.search(request.header("authorization"))
    region = scope[1] if scope else _REGION
    signed_for = _SIGNING_NAMES.get(scope[2]) if scope else None
    aim = request.header("x-amz-target")
    if aim:
        prefix, _, name = aim.rpartition(".")
        return _target(_TARGETS.get(prefix), name, "json", region)
    cbor = _CBOR_PATH.fullmatch(request.path)
    if cbor is not None and request.header("smithy-protocol") == "rpc-v2-cbor":
        return _target(_TARGETS.get(cbor[1]), cbor[2], CBOR, region)
    form = request.body if request.method == "POST" and b"Action=" in request.body else request.query.encode("latin-1")
    action = re.search(rb"(?:^|&)Action=([A-Za-z0-9]+)", form)
    if action is None:
        return None
    version = re.search(rb"(?:^|&)Version=([0-9-]+)", form)
    service = _VERSIONS.get(version[1].decode()) if version else None
    return _target(service or signed_for or "sqs", action[1].decode(), "query", region, form)


def _target(service: str | None, name: str, protocol: str, region: str, form: bytes = b"") -> Target | None:
    if service is None:
        return None
    model, operation = _models(service, name if name.isidentifier() and len(name) <= _LONGEST_NAME else "")
    return None if model is None else Target(service, name, protocol, region, model, operation, form)


@functools.lru_cache(maxsize=1024)
def _models(service: str, name: str) -> tuple[Any, Any]:
    """The model of a service and of its operation; None for what there is not."""
    model = botocore_clients.service_model(service)
    if model is None or name not in model.operation_names:
        return model, None
    return model, model.operation_model(name)


def decode(target: Target, request: Request) -> dict[str, Any]:
    """The parameters, as boto3 would take them.

    Raises:
        ServiceError: they cannot be read, or are not well-formed.
    """
    shape = target.operation.input_shape
    try:
        if target.protocol == "query":
            parameters = _of_form(target, request)
        elif target.protocol == CBOR:
            parameters = _of_cbor(shape, _unpacked(request))
        else:
            parameters = decode_json(shape, _unpacked(request))
    except Malformed as malformed:
        raise ServiceError("SerializationException", "SerializationException", str(malformed)) from None
    refusal = refusal_of_parameters(parameters, shape)
    if refusal is not None:
        raise refusal
    trace = request.header("x-amzn-trace-id")
    if trace and target.name == "SendMessage":
        parameters["AWSTraceHeader"] = trace
    return parameters


def _of_form(target: Target, request: Request) -> dict[str, Any]:
    parameters = decode_query(target.service, target.name, target.operation.input_shape, target.form)
    if target.service == "sqs":
        shape = target.operation.input_shape
        path = request.path.strip("/")
        if "QueueUrl" not in parameters and path and shape is not None and "QueueUrl" in shape.members:
            parameters["QueueUrl"] = path
    return parameters


def _unpacked(request: Request) -> bytes:
    if request.header("content-encoding") != "gzip":
        return request.body
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        body = unpacker.decompress(request.body, _MOST_UNPACKED)
    except zlib.error as error:
        raise Malformed(f"the body is not compressed as it says: {error}") from None
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise Malformed("the body is cut off, or too large when unpacked")
    return body


def _of_cbor(shape: Any, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = cbor2.loads(body)
    except (cbor2.CBORDecodeError, ValueError, RecursionError, OverflowError, MemoryError) as error:
        raise Malformed(f"the body is not CBOR: {error}") from None
    if not isinstance(document, dict) and shape is not None:
        raise Malformed("the body is no map")
    return fitted(shape, document, _from_cbor)


def _from_cbor(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        return {
            name: _from_cbor(members[name], item)
            for name, item in value.items()
            if name in members and item is not None
        }
    if kind == "list":
        return [_from_cbor(shape.member, item) for item in value]
    if kind == "map":
        return {key: _from_cbor(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        if isinstance(value, datetime):  # tag 1, as cbor2 reads it
            return value
        if not isinstance(value, (int, float)):
            raise TypeError(f"{value!r} is no time")
        return datetime.fromtimestamp(value, UTC)
    return value


def answer_in(target: Target, result: dict[str, Any], request_id: str) -> Reply:
    """A successful answer in the request's protocol."""
    if target.protocol != CBOR:
        return encode_result(target.protocol, target.model, target.operation, result, request_id)
    body = cbor2.dumps(result, datetime_as_timestamp=True, timezone=UTC)
    return Reply(200, {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, body)


def refusal_in(target: Target, error: ServiceError, request_id: str) -> Reply:
    """A refusal in the request's protocol."""
    return encode_error(target.protocol, target.model, error, request_id)
