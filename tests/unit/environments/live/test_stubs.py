"""Stub dependencies on real ports: who is answered what, what a fault does to an answer, and who is told of it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness import Fault
from harness.environments.live.clock import LiveClock
from harness.environments.live.processes import LiveActions
from harness.environments.live.recorder import LiveRecorder
from harness.environments.live.stubs import LiveStubs, responders_of
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.seeds import Seeds
from harness.sim.services.http import HttpResponse


class Stubs:
    """The stubs till and post, with what their observers were told."""

    def __init__(self, *faults: Fault, scale: float = 1.0) -> None:
        self.clock = LiveClock(scale)
        self.clock.start()
        self.record = LiveRecorder(self.clock)
        self.engine = FaultEngine(FaultPlan(faults), Seeds(0), self.clock, self.record, LiveActions(self.clock))
        self.engine.start()
        self.made = LiveStubs(self.clock, self.engine, ["till", "post"])
        self.told: list[tuple[str, str, str, bytes, int]] = []
        self.made.observers.append(lambda *seen: self.told.append(seen))
        self.made.start()

    def connect(self, name: str = "till", timeout: float = 10.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.made.url(name)).netloc, timeout=timeout)

    def ask(self, name: str = "till", timeout: float = 10.0) -> http.client.HTTPResponse:
        """POST /charges: its answer, read."""
        connection = self.connect(name, timeout)
        try:
            connection.request("POST", "/charges?now", b"7")
            answer = connection.getresponse()
            answer.text = answer.read()  # type: ignore[attr-defined]
            return answer
        finally:
            connection.close()

    def close(self) -> None:
        self.clock.stop()
        self.made.stop()


@contextmanager
def stubs(*faults: Fault, scale: float = 1.0) -> Iterator[Stubs]:
    found = Stubs(*faults, scale=scale)
    try:
        yield found
    finally:
        found.close()


def test_a_stub_answers_and_tells_what_was_asked() -> None:
    """200 and an empty object; method, path with its query, body and status go to the observers."""
    with stubs() as found:
        answer: Any = found.ask()
        assert (answer.status, answer.text) == (200, b"{}")
        assert found.told == [("till", "POST", "/charges?now", b"7", 200)]


def test_a_responder_answers_in_its_place_for_its_own_stub_only() -> None:
    """Status and body are its own, also what observers are told."""
    with stubs() as found:
        found.made.respond("till", lambda request: HttpResponse(402, body=request.body))
        refused: Any = found.ask()
        assert (refused.status, refused.text) == (402, b"7")
        assert found.ask("post").status == 200
        assert [(name, status) for name, _, _, _, status in found.told] == [("till", 402), ("post", 200)]


def test_a_responder_that_remembers_is_made_anew_for_each_run() -> None:
    """A class stands for its instances; a function for itself."""

    class Remembers:
        def __call__(self, request: Any) -> int:
            return 200

    def plain(request: Any) -> int:
        return 200

    first, second = responders_of({"a": Remembers, "b": plain}), responders_of({"a": Remembers, "b": plain})
    assert isinstance(first["a"], Remembers)
    assert first["a"] is not second["a"]
    assert first["b"] is second["b"] is plain


def test_an_error_of_the_dependency_is_answered_at_its_passing_only() -> None:
    """status with a Retry-After: the request had no effect, so nobody is told of it."""
    with stubs(Fault("dependency.till", "status", nth=2, code=503, retry_after=3)) as found:
        statuses = [
            (answer.status, answer.getheader("Retry-After")) for answer in (found.ask(), found.ask(), found.ask())
        ]
        assert statuses == [(200, None), (503, "3"), (200, None)]
        assert len(found.told) == 2
        assert found.ask("post").status == 200


def test_a_connection_is_reset_and_the_request_had_no_effect() -> None:
    """reset: RST instead of an answer."""
    with stubs(Fault("dependency.till", "reset", nth=1)) as found:
        with pytest.raises(ConnectionError):
            found.ask()
        assert found.told == []
        assert found.ask().status == 200


@pytest.mark.parametrize(("side", "effects"), [("before", 0), ("after", 1)])
def test_an_answer_that_never_comes(side: Any, effects: int) -> None:
    """timeout: the caller waits until it gives up; whether the request took effect is the side's difference."""
    with stubs(Fault("dependency.till", "timeout", side=side, nth=1)) as found:
        with pytest.raises(TimeoutError):
            found.ask(timeout=0.3)
        assert len(found.told) == effects
        assert found.ask().status == 200


def test_a_slow_answer_holds_up_nobody_else() -> None:
    """slow: it comes when its time is over, in the plan's seconds; others are answered meanwhile."""
    with stubs(Fault("dependency.till", "slow", nth=1, seconds=3600), scale=7200.0) as found:
        order: list[str] = []
        slow = threading.Thread(target=lambda: (found.ask(timeout=20), order.append("slow")))
        slow.start()
        while not found.engine.strikes()[0]:
            slow.join(0.01)
        assert found.ask("post").status == 200
        assert found.ask().status == 200
        order.append("others")
        slow.join(20)
        assert order == ["others", "slow"]


def test_the_end_of_a_run_closes_the_ports() -> None:
    """Nobody answers there any more."""
    with stubs() as found:
        connection = found.connect()
        found.ask()
    with pytest.raises(ConnectionError):
        connection.connect()
