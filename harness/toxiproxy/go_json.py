"""JSON as Go's encoding/json reads and writes it, since that is what Toxiproxy's clients are used to.

Keys match whatever their case, unknown ones are ignored, ``null`` leaves the
default, text after the value is not looked at, ``1.0`` is no integer; what is
written has ``<``, ``>`` and ``&`` escaped and map keys sorted.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from harness.toxiproxy.errors import bad_body

__all__ = ["decode", "encode", "float32", "read_fields"]

_SPACE: Final = " \t\r\n"
_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_DEEPEST: Final = 200
_MOST_DIGITS: Final = 400
_LARGEST_FLOAT32: Final = 3.4028235677973366e38  # what rounds to less than infinity


class _Fraction(float):
    """A number that was written with a point or an exponent."""

    text: str


def _fraction(text: str) -> _Fraction:
    number = _Fraction(text)
    if math.isinf(number):
        raise bad_body(f"json: cannot unmarshal number {text[:20]} into Go value of type float64")
    number.text = text
    return number


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise bad_body(f"json: cannot unmarshal number {text[:20]}... into Go value of type int64")
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise bad_body(f"invalid character '{text[0]}' looking for beginning of value")


_DECODER: Final = json.JSONDecoder(parse_float=_fraction, parse_int=_integer, parse_constant=_no_constant)


def decode(body: bytes) -> Any:
    """The first JSON value in *body*.

    Raises:
        ApiError: 400, with a text close to Go's.
    """
    text = body.decode("utf-8", "replace")
    start = len(text) - len(text.lstrip(_SPACE))
    if start == len(text):
        raise bad_body("EOF")
    if text[:20_000].count("[") + text[:20_000].count("{") > _DEEPEST and _depth(text) > _DEEPEST:
        raise bad_body("exceeded max depth")
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise bad_body(_syntax(text, error)) from None
    except RecursionError:
        raise bad_body("exceeded max depth") from None
    return value


def _depth(text: str) -> int:
    deepest = depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _syntax(text: str, error: json.JSONDecodeError) -> str:
    if error.pos >= len(text.rstrip(_SPACE)) or "Unterminated" in error.msg:
        return "unexpected EOF"
    return f"invalid character {text[error.pos]!r} looking for beginning of value"


def read_fields(value: Any, types: Mapping[str, str], *, of: str, path: str | None = None) -> dict[str, Any]:
    """The fields of an object that *types* names (``string``, ``bool``, ``int64``, ``float32``, ``any``, ``object``).

    Fields that are missing or null are left out. *of*: the type's name in error texts; *path*: what stands
    there before a field's name, if not the type's.

    Raises:
        ApiError: 400, for a value that is no object or a field of a wrong type.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_body(f"json: cannot unmarshal {_kind(value)} into Go value of type {of}")
    fields: dict[str, Any] = {}
    for key, given in value.items():
        name = key if key in types else next((known for known in types if known.lower() == key.lower()), None)
        if name is None or given is None:
            continue
        fields[name] = _checked(given, types[name], f"{of.rpartition('.')[2] if path is None else path}.{name}")
    return fields


def _checked(given: Any, wanted: str, where: str) -> Any:
    kind = _kind(given)
    fits = {
        "string": kind == "string",
        "bool": kind == "bool",
        "int64": kind == "number" and not isinstance(given, float) and -(2**63) <= given < 2**63,
        "float32": kind == "number" and abs(_as_float(given)) <= _LARGEST_FLOAT32,
        "object": kind == "object",
        "array": kind == "array",
        "any": True,
    }[wanted]
    if not fits:
        exact = kind == "number" and wanted in ("int64", "float32")
        shown = f"number {getattr(given, 'text', given)}" if exact else kind
        raise bad_body(f"json: cannot unmarshal {shown} into Go struct field {where} of type {wanted}")
    if wanted == "float32":
        return float32(_as_float(given))
    return _whole(given) if wanted == "string" else given


def _whole(text: str) -> str:
    """*text* with U+FFFD for each half of a surrogate pair that stands alone."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _as_float(given: Any) -> float:
    try:
        return float(given)
    except OverflowError:
        return math.inf


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def float32(value: float) -> float:
    """*value* as a 32-bit float has it, in the shortest decimal that means the same one: 0.3 stays 0.3."""
    packed = struct.pack("<f", value)
    exact = float(struct.unpack("<f", packed)[0])
    for digits in range(1, 10):
        short = float(f"{exact:.{digits}g}")
        if abs(short) <= _LARGEST_FLOAT32 and struct.pack("<f", short) == packed:
            return short
    return exact


def encode(value: Any) -> bytes:
    """*value* as Go's ``json.Marshal`` writes it: no spaces, UTF-8, numbers that are whole without a point."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value
