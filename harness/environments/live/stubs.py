"""The stub HTTP dependencies of a live run: real ports on loopback, with the faults of ``dependency.<name>``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from harness.environments.live.clock import LiveClock
from harness.faults.engine import FaultEngine
from harness.net.http_server import Answer as Respond
from harness.net.http_server import HttpServer, Limits, Request, Response
from harness.net.reactor import Reactor
from harness.sim.services.http import HttpObserver, HttpRequest, Responder, carry_out
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow

__all__ = ["LiveStubs"]


class LiveStubs:
    """Stubs by name, made when first mentioned. A request is answered on a thread of its own if a fault slows it."""

    def __init__(self, clock: LiveClock, engine: FaultEngine, names: list[str]) -> None:
        self._clock = clock
        self._engine = engine
        self._reactor = Reactor()
        self._responders: dict[str, Responder | None] = {}
        self.observers: list[HttpObserver] = []
        self.servers: dict[str, HttpServer] = {}
        for name in names:
            self._responders[name] = None
            self.servers[name] = HttpServer(self._reactor, self._application(name), limits=Limits(idle_seconds=600))
        self._thread = threading.Thread(target=self._reactor.run, name="live-stubs", daemon=True)
        self._faulted = any(fault.spec.layer == "dependency" for fault in engine.plan)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close every port."""
        if self._thread.is_alive():
            self._reactor.call(self._close)
            self._reactor.stop()
            self._thread.join(5.0)
        self._reactor.close()

    def url(self, name: str) -> str:
        """The stub's own address, past every proxy."""
        return self.servers[name].url

    def respond(self, name: str, responder: Responder | None) -> None:
        """Let *responder* answer."""
        self._responders[name] = responder

    def _close(self) -> None:
        for server in self.servers.values():
            server.close()

    def _application(self, name: str) -> Callable[[Request, Respond], None]:
        def application(request: Request, respond: Respond) -> None:
            asked = HttpRequest(name, request.method, request.target, dict(request.headers), request.body)
            if not self._faulted:
                respond(self._answer(asked))
                return
            # A fault may take its time: others must not wait for it.
            threading.Thread(target=self._serve, args=(asked, respond), daemon=True).start()

        return application

    def _serve(self, asked: HttpRequest, respond: Respond) -> None:
        point = f"dependency.{asked.name}"
        response = self._struck(point, "before")
        if response is None:
            answer = self._reactor.call(lambda: self._answer(asked))
            response = self._struck(point, "after") or answer
        if response is not _SILENCE:
            self._reactor.post(lambda: respond(response))

    def _struck(self, point: str, side: str) -> Response | None:
        with self._clock.lock:
            verdict = self._engine.passing(point, side)
            match verdict:
                case Slow(seconds):
                    self._clock.sleep_us(max(1, round(seconds * 1_000_000)))
                    return None
                case Answer():
                    return Response(verdict.status, verdict.body, tuple(verdict.headers.items()))
                case Lost():
                    return _SILENCE
                case Reset() | Refused():
                    return Response(close=True, reset=True)
        return None

    def _answer(self, asked: HttpRequest) -> Response:
        found = carry_out(asked, self._responders.get(asked.name), self.observers)
        return Response(found.status, found.body, tuple(found.headers.items()))


#: No answer at all: the caller waits until it gives up.
_SILENCE = Response()


def responders_of(declared: Mapping[str, Any]) -> dict[str, Responder]:
    """The responders of a scenario; a class is made for this run."""
    return {name: one() if isinstance(one, type) else one for name, one in declared.items()}
