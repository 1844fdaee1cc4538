"""AWS's protocols from the server's side: requests in, answers and errors out, by botocore's own models.

Requests are decoded from their bytes, so that a handler of the user's that
changed them is honoured. JSON and query are spoken in full; the others only
as far as errors go, because no simulated service speaks them.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from harness.sim.services.errors import ServiceError

__all__ = ["Malformed", "Reply", "decode_json", "decode_query", "encode_error", "encode_result", "fitted"]


class Malformed(Exception):
    """The request's body is not what its protocol says."""


class Reply(NamedTuple):
    """Status, headers and body of an answer; of a refusal that comes in bytes, its code besides."""

    status: int
    headers: dict[str, str]
    body: bytes
    code: str = ""


# -- requests ------------------------------------------------------------------


def decode_json(shape: Any, body: bytes) -> dict[str, Any]:
    """The parameters of a JSON request.

    Raises:
        Malformed: the body is no JSON object, or a value is not of its type.
    """
    try:
        value = json.loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("the body is no JSON object")
    return fitted(shape, value, _from_json)


def fitted(shape: Any, document: dict[str, Any], convert: Callable[[Any, Any], Any]) -> dict[str, Any]:
    """*document*, decoded, as the parameters of an operation whose input is *shape*, by *convert* (shape, value).

    Raises:
        Malformed: a value is not of its type.
    """
    if shape is None:
        return {}
    try:
        result: dict[str, Any] = convert(shape, document)
    except (AttributeError, TypeError, ValueError, OverflowError, OSError) as error:  # the last two: of far times
        raise Malformed(f"the body does not fit the operation: {error}") from None
    return result


def _from_json(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        members = shape.members
        names = {member.serialization.get("name", name): name for name, member in members.items()}
        return {
            names[key]: _from_json(members[names[key]], item)
            for key, item in value.items()
            if key in names and item is not None
        }
    if kind == "list":
        return [_from_json(shape.member, item) for item in value]
    if kind == "map":
        return {key: _from_json(shape.value, item) for key, item in value.items()}
    if kind == "blob":
        return b64decode(value)
    if kind == "timestamp":
        return datetime.fromtimestamp(value, UTC) if isinstance(value, (int, float)) else datetime.fromisoformat(value)
    return value


#: SQS's model speaks JSON only by now; these are its names in the query protocol: element, key, value.
_SQS_NAMES: Mapping[str, tuple[str, str, str]] = {
    "AWSAccountIds": ("AWSAccountId", "", ""),
    "Actions": ("ActionName", "", ""),
    "AttributeNames": ("AttributeName", "", ""),
    "Attributes": ("Attribute", "Name", "Value"),
    "BinaryListValues": ("BinaryListValue", "", ""),
    "Failed": ("BatchResultErrorEntry", "", ""),
    "MessageAttributeNames": ("MessageAttributeName", "", ""),
    "MessageAttributes": ("MessageAttribute", "Name", "Value"),
    "MessageSystemAttributeNames": ("MessageSystemAttributeName", "", ""),
    "MessageSystemAttributes": ("MessageSystemAttribute", "Name", "Value"),
    "Messages": ("Message", "", ""),
    "QueueUrls": ("QueueUrl", "", ""),
    "Results": ("ListMessageMoveTasksResultEntry", "", ""),
    "StringListValues": ("StringListValue", "", ""),
    "TagKeys": ("TagKey", "", ""),
    "Tags": ("Tag", "Key", "Value"),
    "queueUrls": ("QueueUrl", "", ""),
    "tags": ("Tag", "Key", "Value"),
}


class _Names:
    """How members are called in the query protocol of one operation."""

    def __init__(self, service: str, operation: str) -> None:
        self._sqs = service == "sqs"
        self._operation = operation

    def member(self, name: str, shape: Any) -> str:
        if self._sqs and shape.type_name in ("list", "map"):
            if name == "Entries":
                return f"{self._operation}RequestEntry"
            if name == "Successful":
                return f"{self._operation}ResultEntry"
            return _SQS_NAMES[name][0]
        own = shape.serialization.get("name")
        if own is None and shape.type_name == "list" and shape.serialization.get("flattened"):
            own = shape.member.serialization.get("name")
        return str(own or name)

    def pair(self, name: str, shape: Any) -> tuple[str, str]:
        if self._sqs:
            return _SQS_NAMES[name][1:]
        return shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")

    def flat(self, shape: Any) -> bool:
        return self._sqs or bool(shape.serialization.get("flattened"))


def decode_query(service: str, operation: str, shape: Any, body: bytes) -> dict[str, Any]:
    """The parameters of a query request (a form).

    Raises:
        Malformed: the form cannot be read.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body))
    except (UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"the body is no form: {error}") from None
    tree: dict[str, Any] = {}
    for name, value in pairs:
        node = tree
        *front, last = name.split(".")
        for part in front:
            following = node.setdefault(part, {})
            if not isinstance(following, dict):
                raise Malformed(f"{name} is both a value and a group")
            node = following
        node[last] = value
    if shape is None:
        return {}
    try:
        result: dict[str, Any] = _from_tree(_Names(service, operation), shape, "", tree)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(f"the form does not fit the operation: {error!r}") from None
    if "AttributeNames" in result:
        # Where both are given the query protocol goes by the older name, JSON by the newer.
        result.pop("MessageSystemAttributeNames", None)
    return result


def _from_tree(names: _Names, shape: Any, name: str, node: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        result: dict[str, Any] = {}
        for member_name, member in shape.members.items():
            found = node.get(names.member(member_name, member))
            if found is not None:
                result[member_name] = _from_tree(names, member, member_name, found)
        return result
    if kind in ("list", "map") and node == "":
        return [] if kind == "list" else {}  # how an empty one is written
    if kind == "list":
        if not names.flat(shape):
            node = node.get(shape.member.serialization.get("name", "member"), {})
        return [_from_tree(names, shape.member, "", item) for item in _numbered(node)]
    if kind == "map":
        if not names.flat(shape):
            node = node.get("entry", {})
        key, value = names.pair(name, shape)
        return {item[key]: _from_tree(names, shape.value, "", item[value]) for item in _numbered(node)}
    if kind in ("integer", "long"):
        return int(node)
    if kind in ("float", "double"):
        return float(node)
    if kind == "boolean":
        return node.lower() == "true"
    if kind == "blob":
        return b64decode(node)
    return datetime.fromisoformat(node) if kind == "timestamp" else node


def _numbered(node: Any) -> list[Any]:
    if not isinstance(node, dict):
        return [node]  # "TagKey=a" where "TagKey.1=a" is meant: AWS takes it
    return [node[number] for number in sorted(node, key=int)]


# -- answers ---------------------------------------------------------------------


def encode_result(protocol: str, service_model: Any, operation: Any, result: dict[str, Any], request_id: str) -> Reply:
    """A successful answer in *protocol*."""
    headers: dict[str, str] = {}
    shape = operation.output_shape
    if protocol == "query":
        headers["Content-Type"] = "text/xml"
        return Reply(200, headers, _query_answer(service_model, operation, shape, result, request_id))
    headers["Content-Type"] = _json_type(service_model)
    if shape is None:
        return Reply(200, headers, b"")
    return Reply(200, headers, json.dumps(_to_json(result), separators=(",", ":")).encode("utf-8"))


def _json_type(service_model: Any) -> str:
    return f"application/x-amz-json-{service_model.metadata.get('jsonVersion', '1.0')}"


def _to_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    return value.timestamp() if isinstance(value, datetime) else value


def _query_answer(service_model: Any, operation: Any, shape: Any, result: dict[str, Any], request_id: str) -> bytes:
    name = operation.name
    parts = ['<?xml version="1.0"?>', f'<{name}Response xmlns="{_namespace(service_model)}">']
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{name}Result")
        inside: list[str] = []
        _members(_Names(service_model.service_name, name), shape, result, inside)
        parts.append(f"<{wrapper}>{''.join(inside)}</{wrapper}>" if inside else f"<{wrapper}/>")
    parts.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>")
    return "".join(parts).encode("utf-8")


def _namespace(service_model: Any) -> str:
    if service_model.service_name == "sqs":
        return "http://queue.amazonaws.com/doc/2012-11-05/"
    return str(service_model.metadata.get("xmlNamespace", "http://amazonaws.com/"))


def _members(names: _Names, shape: Any, result: dict[str, Any], out: list[str]) -> None:
    for name, member in shape.members.items():
        value = result.get(name)
        if value is not None:
            _element(names, member, name, names.member(name, member), value, out)


def _element(names: _Names, shape: Any, name: str, tag: str, value: Any, out: list[str]) -> None:
    kind = shape.type_name
    if kind == "structure":
        out.append(f"<{tag}>")
        _members(names, shape, value, out)
        out.append(f"</{tag}>")
        return
    if kind not in ("list", "map"):
        out.append(f"<{tag}>{_text(kind, value)}</{tag}>")
        return
    flat = names.flat(shape)
    if kind == "list":
        inner = tag if flat else shape.member.serialization.get("name", "member")
        pieces = [(inner, shape.member, item) for item in value]
    else:
        inner = tag if flat else "entry"
        pieces = [(inner, None, pair) for pair in value.items()]
    if not flat:
        out.append(f"<{tag}>")
    for piece_tag, piece_shape, item in pieces:
        if piece_shape is not None:
            _element(names, piece_shape, "", piece_tag, item, out)
            continue
        key_tag, value_tag = names.pair(name, shape)
        out.append(f"<{piece_tag}><{key_tag}>{escape(item[0])}</{key_tag}>")
        _element(names, shape.value, "", value_tag, item[1], out)
        out.append(f"</{piece_tag}>")
    if not flat:
        out.append(f"</{tag}>")


def _text(kind: str, value: Any) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "blob":
        return b64encode(value).decode("ascii")
    if kind == "timestamp":
        return str(value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return escape(str(value), {"\r": "&#xD;"})


# -- errors ------------------------------------------------------------------------


def encode_error(protocol: str, service_model: Any, error: ServiceError, request_id: str) -> Reply:
    """A refusal in *protocol*, as the service would send it."""
    headers: dict[str, str] = {}
    fault = "Sender" if error.sender_fault else "Receiver"
    if protocol == "json":
        headers["Content-Type"] = _json_type(service_model)
        if "awsQueryCompatible" in service_model.metadata:
            headers["x-amzn-query-error"] = f"{error.code};{fault}"
        kind = f"{_error_namespace(service_model.service_name, error.shape)}#{error.shape}"
        return Reply(error.status, headers, json.dumps({"__type": kind, "message": error.message}).encode("utf-8"))
    if protocol == "rest-json":
        headers["Content-Type"] = "application/json"
        headers["x-amzn-ErrorType"] = error.shape
        return Reply(error.status, headers, json.dumps({"message": error.message}).encode("utf-8"))
    if protocol == "smithy-rpc-v2-cbor":
        headers["Content-Type"] = "application/cbor"
        headers["smithy-protocol"] = "rpc-v2-cbor"
        if "awsQueryCompatible" in service_model.metadata:
            headers["x-amzn-query-error"] = f"{error.code};{fault}"
        return Reply(error.status, headers, _cbor({"__type": error.shape, "message": error.message}))
    headers["Content-Type"] = "text/xml"
    code, text = escape(error.code), escape(error.query_message)
    if protocol == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    elif protocol == "rest-xml":
        body = f"<Error><Code>{code}</Code><Message>{text}</Message><RequestId>{request_id}</RequestId></Error>"
    else:
        body = (
            f'<?xml version="1.0"?><ErrorResponse xmlns="{_namespace(service_model)}"><Error><Type>{fault}</Type>'
            f"<Code>{code}</Code><Message>{text}</Message><Detail/></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return Reply(error.status, headers, body.encode("utf-8"))


def _error_namespace(service: str, shape: str) -> str:
    """What stands before an error's shape in JSON, as AWS was recorded to answer."""
    if service != "cloudwatch":
        return f"com.amazonaws.{service}"
    return "com.amazon.coral.validate" if shape == "ValidationException" else "com.amazonaws.cloudwatch.v2010_08_01"


def _cbor(value: Mapping[str, str]) -> bytes:
    """A map of texts in CBOR (RFC 8949): all that an error needs."""
    out = bytearray([0xA0 | len(value)])
    for pair in value.items():
        for text in pair:
            data = text.encode("utf-8")
            out.append(0x7A)  # a text with a length of four bytes
            out += len(data).to_bytes(4, "big")
            out += data
    return bytes(out)
