"""RESP as a server speaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sim.wire.resp import Error, ProtocolError, Push, RequestParser, Simple, encode


def test_a_request_in_pieces_is_one_request() -> None:
    """Bytes may arrive in any pieces: the request is complete with its last byte and not before."""
    data = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\n"
    parser = RequestParser()
    seen = [parser.feed(data[index : index + 1]) for index in range(len(data))]
    assert seen[:-1] == [[]] * (len(data) - 1)
    assert seen[-1] == [[b"GET", b"a\r\nbc"]]


@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4), max_size=5), st.integers(1, 40))
def test_requests_come_out_as_they_went_in(requests: list[list[bytes]], step: int) -> None:
    """Whatever the arguments hold and however the bytes are cut, the same requests come out in order."""
    data = b"".join(
        b"*%d\r\n" % len(fields) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in fields)
        for fields in requests
    )
    parser = RequestParser()
    seen = []
    for start in range(0, len(data), step):
        seen += parser.feed(data[start : start + step])
    assert seen == requests


def test_an_inline_command_is_understood() -> None:
    """A line without the array form is a command in words, as from telnet."""
    assert RequestParser().feed(b"PING hello\r\n") == [[b"PING", b"hello"]]


@pytest.mark.parametrize("data", [b"*x\r\n", b"*1\r\n+GET\r\n", b"*1\r\n$a\r\n"])
def test_garbage_is_a_protocol_error(data: bytes) -> None:
    """What is no request is refused, not guessed at."""
    with pytest.raises(ProtocolError, match="Protocol error"):
        RequestParser().feed(data)


@pytest.mark.parametrize(
    ("value", "resp2", "resp3"),
    [
        (b"a", b"$1\r\na\r\n", b"$1\r\na\r\n"),
        (Simple(b"OK"), b"+OK\r\n", b"+OK\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (7, b":7\r\n", b":7\r\n"),
        (2**70, b"$22\r\n1180591620717411303424\r\n", b"(1180591620717411303424\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
        ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
        ({b"b", b"a"}, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"~2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ([b"a", Error("ERR no\nline")], b"*2\r\n$1\r\na\r\n-ERR no line\r\n", b"*2\r\n$1\r\na\r\n-ERR no line\r\n"),
        (Push([b"message", b"c", b"m"]), None, b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
    ],
)
def test_each_type_has_its_form_in_both_protocols(value: object, resp2: bytes | None, resp3: bytes) -> None:
    """RESP3's own types fall back to what RESP2 has; sets go out sorted; an error stays one line."""
    assert encode(value, 3) == resp3
    if resp2 is not None:
        assert encode(value, 2) == resp2


def test_a_value_without_a_form_is_an_error() -> None:
    """Nothing is sent as its repr."""
    with pytest.raises(TypeError, match="object"):
        encode(object(), 3)
