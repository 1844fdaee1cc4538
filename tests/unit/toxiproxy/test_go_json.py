"""JSON as Go reads and writes it."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.go_json import decode, encode, float32, read_fields

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.text('abc{[" \n', max_size=8))
def test_what_is_written_is_read_whatever_follows(value: Any, trailing: str) -> None:
    """decode(encode(x)) is x, and text after the value is not looked at."""
    separator = " " if not isinstance(value, (dict, list, str)) else ""
    assert decode(encode(value) + (separator + trailing).encode()) == value


@given(VALUES)
def test_nothing_of_html_is_left(value: Any) -> None:
    """<, >, & and the line separators are escaped, and a standard parser reads the same."""
    text = encode(value).decode()
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value


@given(st.binary(max_size=200))
def test_garbage_is_400(body: bytes) -> None:
    """Any bytes give a value or an error for the client, nothing else."""
    try:
        decode(body)
    except ApiError as error:
        told = (error.status, error.message.partition(": ")[0])
    else:
        return
    assert told == (400, "bad request body")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  \n", b"{", b'{"a"', b'{"a":', b'"x', b"[1,", b"\xef\xbb\xbf{}", "{}".encode("utf-16"),
        b"NaN", b"Infinity",
        b"1e999", b"[" * 100_000, b"{" * 1000, b'{"a":' * 300 + b"1" + b"}" * 300, b"1" * 5000,
    ],
    ids=range(16),
)  # fmt: skip
def test_what_cannot_be_read(body: bytes) -> None:
    """Half documents, byte order marks, numbers without end and bottomless nesting are 400."""
    with pytest.raises(ApiError, match="bad request body"):
        decode(body)


def test_depth_within_reason_is_read() -> None:
    """A hundred levels are no attack."""
    assert decode(b"[" * 100 + b"]" * 100)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_is_the_shortest_that_means_the_same(value: float) -> None:
    """The number read back as 32 bits is the same one."""
    assert struct.pack("<f", float32(value)) == struct.pack("<f", value)


def test_float32_prints_as_it_was_written() -> None:
    """0.3 is not 0.30000001192092896."""
    assert (float32(0.3), float32(1.0), float32(1 / 3)) == (0.3, 1.0, 0.33333334)


TYPES = {"name": "string", "enabled": "bool", "rate": "int64", "toxicity": "float32", "more": "object", "list": "array"}


def test_fields_match_whatever_their_case() -> None:
    """Keys in any case, null left out, unknown ones ignored, the last of two counts."""
    document = {"NAME": "a", "Name": "b", "enabled": None, "other": 1, "toxicity": 1}
    assert read_fields(document, TYPES, of="T") == {"name": "b", "toxicity": 1.0}
    assert read_fields(None, TYPES, of="T") == {}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "cannot unmarshal array into Go value of type pkg.T"),
        (7, "cannot unmarshal number into Go value of type pkg.T"),
        ({"name": 7}, "cannot unmarshal number into Go struct field T.name of type string"),
        ({"name": True}, "cannot unmarshal bool into Go struct field T.name of type string"),
        ({"rate": "1"}, "cannot unmarshal string into Go struct field T.rate of type int64"),
        ({"rate": 2**63}, "cannot unmarshal number 9223372036854775808 into"),
        ({"rate": True}, "cannot unmarshal bool into"),
        ({"toxicity": 1e39}, "into Go struct field T.toxicity of type float32"),
        ({"toxicity": 10**400}, "into Go struct field T.toxicity of type float32"),
        ({"more": []}, "cannot unmarshal array into"),
        ({"list": {}}, "cannot unmarshal object into"),
    ],
)
def test_wrong_types(document: Any, text: str) -> None:
    """Each is 400 with a text like Go's."""
    with pytest.raises(ApiError, match="bad request body: json: ") as refused:
        read_fields(document, TYPES, of="pkg.T")
    assert text in refused.value.message


def test_a_whole_number_with_a_point_is_no_integer() -> None:
    """1.0 and 1e3 are refused for an integer, as by Go."""
    for text in ("1.0", "1e3"):
        with pytest.raises(ApiError, match=f"number {text} into Go struct field T.rate of type int64"):
            read_fields(decode(f'{{"rate": {text}}}'.encode()), TYPES, of="T")


def test_half_a_surrogate_pair() -> None:
    """A lone surrogate becomes U+FFFD; a pair is one letter."""
    document = decode(rb'{"name": "a\ud800b\ud83d\ude00"}')
    assert read_fields(document, TYPES, of="T")["name"] == "a\ufffdb\U0001f600"


def test_numbers_that_are_whole_have_no_point() -> None:
    """1.0 is written as 1."""
    assert encode({"toxicity": 1.0, "x": 0.5}) == b'{"toxicity":1,"x":0.5}'
