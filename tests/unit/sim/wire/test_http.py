"""Unmodified HTTP clients on the run's stubs."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3

from harness.sim.services.http import HttpRequest, HttpResponse
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow
from harness.sim.wire.http import connector
from harness.sim.wire.stream import SILENCE_GIVES_UP_US
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")

POINT = "dependency.payments"
URL = "http://payments.stub.internal:80"


def run_with(main: Callable[[Run], object], **plan: list[Any]) -> Run:
    """Run *main* with the verdicts of *plan* (``before=[...]``, ``after=[...]``) at the stub's point."""
    with Run() as run:
        run.faults.plan = {(POINT, side): list(verdicts) for side, verdicts in plan.items()}
        run.seen = []  # type: ignore[attr-defined]
        run.world.http.observers.append(lambda *told: run.seen.append(told))  # type: ignore[attr-defined]
        run.actor(lambda: main(run))
        run.go()
    return run


def seen(run: Run) -> list[tuple[str, str, str, bytes, int]]:
    return run.seen  # type: ignore[attr-defined, no-any-return]


def test_requests_urllib3_and_urllib_reach_a_stub_and_take_time() -> None:
    """Each of them gets 200 and {} from a stub that nobody set up, one latency later."""

    def main(run: Run) -> None:
        began = run.kernel.now_us
        assert requests.get(f"{URL}/a?b=1", timeout=5).json() == {}
        assert run.kernel.now_us - began == 10_000
        assert urllib3.PoolManager().request("GET", f"{URL}/b").json() == {}
        with urllib.request.urlopen(f"{URL}/c") as response:
            assert response.read() == b"{}"

    run = run_with(main)
    assert [(name, path) for name, _, path, _, _ in seen(run)] == [
        ("payments", "/a?b=1"),
        ("payments", "/b"),
        ("payments", "/c"),
    ]


def test_a_responder_answers_and_sees_the_whole_request() -> None:
    """Method, path, headers and body arrive; a mapping is sent as JSON, a response as it is, None as {}."""
    got: list[HttpRequest] = []
    answers: Iterator[Any] = iter(
        [{"id": "ch_1"}, HttpResponse(201, {"X-Id": "7"}, b"made"), None, HttpResponse(204, body=b"")]
    )

    def responder(request: HttpRequest) -> Any:
        got.append(request)
        return next(answers)

    def main(run: Run) -> None:
        run.world.http.respond("payments", responder)
        session = requests.Session()
        assert session.post(f"{URL}/charges", json={"order_id": 1}, headers={"X-A": "b"}).json() == {"id": "ch_1"}
        second = session.put(f"{URL}/x", data=b"\x00\xff")
        assert (second.status_code, second.headers["X-Id"], second.text) == (201, "7", "made")
        assert session.delete(f"{URL}/y").text == "{}"
        assert session.get(f"{URL}/z").status_code == 204
        assert session.head(f"{URL}/z", timeout=1).text == ""

    answers = iter([*answers, None])
    run_with(main)
    assert (got[0].method, got[0].path, got[0].json()) == ("POST", "/charges", {"order_id": 1})
    assert got[0].headers["x-a"] == "b"
    assert got[1].body == b"\x00\xff"


def test_a_responder_that_fails_answers_500() -> None:
    """A bug in a stub is seen as a server error that says what it was."""

    def main(run: Run) -> None:
        run.world.http.respond("payments", lambda request: request.json())
        response = requests.get(URL)
        assert response.status_code == 500
        assert "JSONDecodeError" in response.text

    run_with(main)


@pytest.mark.parametrize(("status", "failed"), [(200, 0), (404, 0), (429, 1), (500, 1), (503, 1)])
def test_a_stub_that_refuses_by_itself_has_failed_for_the_caller(status: int, failed: int) -> None:
    """An overloaded stub's own answer is a failed call without a fault; a caller that gave up before fails once."""

    def main(run: Run) -> None:
        run.world.http.respond("payments", lambda request: HttpResponse(status))
        assert requests.get(URL, timeout=5).status_code == status
        assert requests.get(URL, timeout=5).status_code == status
        with pytest.raises(requests.ReadTimeout):
            requests.get(URL, timeout=1)
        run.kernel.sleep_us(10_000_000)

    run = run_with(main, before=[None, Slow(2), Slow(2)])
    calls = run.of("call.failed")
    assert [(call["point"], call["error"], call["fault"]) for call in calls] == [
        *[(POINT, str(status), None)] * 2 * failed,
        (POINT, "TimeoutError", None),
    ]
    assert [round(call["took"], 1) for call in calls] == [*[0.0, 2.0] * failed, 1.0]


def test_connections_are_kept_alive_and_a_stale_one_is_replaced() -> None:
    """One session uses one connection; a session from an earlier run opens a new one instead of failing."""
    session = requests.Session()
    ports = []

    def main(run: Run) -> None:
        for _ in range(3):
            session.get(URL)
        ports.append(run.world.http.local_port())

    run_with(main)
    run_with(main)
    assert ports == [50_002, 50_002]


def test_chunked_bodies_and_100_continue() -> None:
    """A body in chunks arrives whole; Expect: 100-continue is answered before the body is sent."""

    def main(run: Run) -> None:
        requests.post(URL, data=iter([b'{"a":', b"1}"]))
        sock = connector("payments.stub.internal", 80, 5.0)
        assert sock is not None
        sock.sendall(b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"ok")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")

    run = run_with(main)
    assert [body for *_, body, _ in seen(run)] == [b'{"a":1}', b"ok"]


def test_requests_sent_together_are_answered_in_order() -> None:
    """Pipelined requests, and one that comes byte by byte."""

    def main(run: Run) -> None:
        sock = connector("payments.stub.internal", 80, 5.0)
        assert sock is not None
        sock.sendall(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        for byte in b"GET /3 HTTP/1.1\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        answers = b""
        while data := sock.recv(1000):
            answers += data
        assert answers.count(b"HTTP/1.1 200 OK") == 3

    run = run_with(main)
    assert [path for _, _, path, _, _ in seen(run)] == ["/1", "/2", "/3"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000, 431),
    ],
)
def test_malformed_requests_are_answered_and_end_the_connection(data: bytes, status: int) -> None:
    """Like a server: an error status and the end; no stub is asked, nothing of ours is raised."""

    def main(run: Run) -> None:
        sock = connector("payments.stub.internal", 80, 5.0)
        assert sock is not None
        sock.sendall(data)
        assert sock.recv(1000).startswith(b"HTTP/1.1 %d " % status)
        assert sock.recv(1000) == b""

    assert seen(run_with(main)) == []


def test_an_error_answer_comes_with_its_headers_and_urllib3_retries_by_them() -> None:
    """429 with Retry-After: urllib3's own Retry waits those seconds of virtual time, then succeeds."""

    def main(run: Run) -> None:
        retry = urllib3.Retry(3, status_forcelist=[429], allowed_methods=None)
        began = run.kernel.now
        response = urllib3.PoolManager(retries=retry).request("POST", f"{URL}/charges")
        assert response.status == 200
        assert 7 <= run.kernel.now - began < 7.2

    run = run_with(main, before=[Answer(429, headers={"Retry-After": "7"})])
    assert len(seen(run)) == 1
    assert [event["error"] for event in run.of("call.failed")] == ["429"]


@pytest.mark.parametrize(("side", "effects"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize(
    ("verdict", "error"),
    [(Lost(), requests.ReadTimeout), (Reset(), requests.ConnectionError), (Answer(503), requests.HTTPError)],
)
def test_before_nothing_has_happened_and_after_it_has(
    side: str, effects: int, verdict: Any, error: type[Exception]
) -> None:
    """The caller sees the same failure; only the stub knows whether the request was carried out."""

    def main(run: Run) -> None:
        began = run.kernel.now
        with pytest.raises(error):
            requests.post(f"{URL}/charges", timeout=2).raise_for_status()
        assert run.kernel.now - began < 2.1

    run = run_with(main, **{side: [verdict]})
    assert len(seen(run)) == effects
    assert len(run.of("call.failed")) == 1


def test_a_refused_request_is_a_refused_connection() -> None:
    """The library's own error with ECONNREFUSED in it."""

    def main(run: Run) -> None:
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(URL)

    assert seen(run_with(main, before=[Refused()])) == []


def test_a_slow_dependency_and_a_caller_without_patience() -> None:
    """Before: the request is carried out after the caller gave up; after: before it gave up, the answer is late."""
    when: list[float] = []

    def main(run: Run) -> None:
        run.world.http.observers.append(lambda *told: when.append(round(run.kernel.now, 1)))
        for _ in range(2):
            with pytest.raises(requests.ReadTimeout):
                requests.post(URL, timeout=2)
        run.kernel.sleep_us(10_000_000)

    run_with(main, before=[Slow(5)], after=[Slow(5)])
    assert when == [2.0, 5.0]


def test_a_slow_dependency_and_a_patient_caller() -> None:
    """The answer comes, later."""

    def main(run: Run) -> None:
        began = run.kernel.now
        assert requests.post(URL, timeout=20).ok
        assert run.kernel.now - began == pytest.approx(5.01)

    run_with(main, before=[Slow(5)])


def test_without_a_timeout_silence_ends_when_the_operating_system_gives_up() -> None:
    """A caller that set no timeout does not hang the run."""

    def main(run: Run) -> None:
        began = run.kernel.now_us
        with pytest.raises(requests.ReadTimeout):
            requests.get(URL)
        assert SILENCE_GIVES_UP_US <= run.kernel.now_us - began < SILENCE_GIVES_UP_US + 1_000_000

    run_with(main, after=[Lost()])


def test_hosts_that_are_no_stubs_are_not_ours() -> None:
    """The connector leaves them to the simulation's refusal of real sockets."""
    with Run():
        assert connector("example.com", 80, None) is None
        assert connector("a.b.stub.internal", 80, None) is None
        assert connector("payments.stub.internal.", 80, None) is not None


def test_http_client_and_error_statuses_of_urllib() -> None:
    """http.client directly, and urllib's HTTPError, work on the stub's socket."""

    def main(run: Run) -> None:
        connection = http.client.HTTPConnection("payments.stub.internal", timeout=3)
        connection.request("POST", "/x", body=b"abc")
        assert connection.getresponse().read() == b"{}"
        connection.close()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(URL)
        assert caught.value.code == 502
        caught.value.close()

    run_with(main, before=[None, Answer(502)])


def test_https_to_a_stub_is_served_in_plain() -> None:
    """requests and urllib reach the stub under https:// without a certificate in the way."""

    def main(run: Run) -> None:
        assert requests.get("https://payments.stub.internal/a").json() == {}
        with urllib.request.urlopen("https://payments.stub.internal/b") as response:
            assert response.read() == b"{}"

    assert [path for _, _, path, _, _ in seen(run_with(main))] == ["/a", "/b"]
