"""The stubs' HTTP server under bytes of every kind."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.sim.wire.http import connector
from tests.budget import examples
from tests.unit.sim.wire.bench import Run

Call = tuple[str, str, bytes, bool]

_CALLS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        st.from_regex(r"/[a-z0-9/?=&%.-]{0,20}", fullmatch=True),
        st.binary(max_size=60),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def _bytes(call: Call) -> bytes:
    method, path, body, chunked = call
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode()
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = [body[index : index + 7] for index in range(0, len(body), 7)]
    chunks = b"".join(b"%x;note=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: t\r\n\r\n"


def _exchange(data: bytes, cuts: list[int]) -> tuple[list[Any], bytes]:
    """Send *data* in pieces; what the stub saw, and what came back."""
    seen: list[Any] = []
    answers = bytearray()

    def main() -> None:
        sock = connector("payments.stub.internal", 80, 5.0)
        assert sock is not None
        places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        try:
            for begin, end in pairwise(places):
                sock.sendall(data[begin:end])
            while received := sock.recv(65_536):
                answers.extend(received)
        except OSError:
            pass  # the end of the connection, or the wait for a request that never became whole
        sock.close()

    with Run() as run:
        run.world.http.observers.append(lambda *told: seen.append(told[1:4]))
        run.actor(main)
        run.go()
    return seen, bytes(answers)


@given(_CALLS, st.lists(st.integers(0, 10_000), max_size=6))
@settings(deadline=None, max_examples=examples(100))
def test_requests_arrive_whole_however_their_bytes_are_cut(calls: list[Call], cuts: list[int]) -> None:
    """Method, path and body of each, in order, with lengths or in chunks, sent together or in pieces."""
    seen, answers = _exchange(b"".join(map(_bytes, calls)), cuts)
    assert seen == [(method, path, body) for method, path, body, _ in calls]
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == len(calls)


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"a: b", b":"])))
@settings(deadline=None, max_examples=examples(200))
def test_garbage_never_raises_anything_but_what_a_socket_raises(data: bytes | list[bytes]) -> None:
    """It is answered with an error status, or taken for the beginning of a request; never a crash of the server."""
    raw = data if isinstance(data, bytes) else b"".join(data)
    _, answers = _exchange(raw, [])
    assert answers == b"" or answers.startswith(b"HTTP/1.1 ")
