"""The server: SQS, SNS and CloudWatch on one port, and the control API beside them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

from harness.net.hosted import HostedServer
from harness.net.http_server import Answer as Respond
from harness.net.http_server import Limits, Request, Response
from harness.servers.aws_requests import Target, answer_in, decode, refusal_in, target_of
from harness.servers.control import Control
from harness.servers.query_forms import NO_ACTION, at_a_queue, json_answer, json_refusal, refused_at_a_queue
from harness.servers.server_faults import ServerFaults
from harness.servers.server_history import Keys, ServerHistory
from harness.servers.service_clock import ServiceClock, spawn
from harness.sim.services.cloudwatch import CloudWatchService
from harness.sim.services.errors import ServiceError, unknown_operation
from harness.sim.services.sns import SnsService
from harness.sim.services.sqs import SqsService
from harness.sim.services.sqs_queue import Queue
from harness.sim.services.sts import StsService
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict
from harness.sim.world import Service

__all__ = ["AwsServer"]

_LIMITS = Limits(body_bytes=8 * 1024 * 1024, idle_seconds=120.0)
_PREFIXES = ("/_harness/", "/_localstack/")
_MICROSECONDS = 1_000_000


class _ServedSqs(SqsService):
    """Queue URLs lead back to where the client found the server."""

    front = "http://127.0.0.1:9324"

    def url_of(self, queue: Queue) -> str:
        return f"{self.front}/{self.account}/{queue.name}"


class AwsServer(HostedServer):
    """Listens as soon as it is made; serves while :meth:`run` runs, or between :meth:`start` and :meth:`stop`.

    Args:
        port: 0 takes a free one.
        account, region: of queues and ARNs, where a request names none.
        seed: of message ids, of what standard queues leave open, and of faults.
        wait_rules: AWS's 60 seconds after DeleteQueue and PurgeQueue.
        speed: seconds of the services to a second of real time; 0: their clock stands.
        key: a JSON path in message bodies: which message is this? Without one, its id.
        history_limit: after so many events the history keeps no more.

    Raises:
        EnvironmentFailed: the port cannot be had.
        UsageError: *key* is no JSON path, *speed* no speed.
    """

    thread_name = "aws-server"

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        account: str = "000000000000",
        region: str = "us-east-1",
        seed: int | None = None,
        wait_rules: bool = True,
        speed: float = 1.0,
        key: str | None = None,
        history_limit: int = 1_000_000,
        record_bodies: bool = False,
    ) -> None:
        super().__init__()
        self._seed = seed
        self._account = account
        self._region = region
        self._wait_rules = wait_rules
        self._record_bodies = record_bodies
        self.clock = ServiceClock(self.reactor)
        self.clock.set_speed(speed)
        self.history = ServerHistory(self.clock.now_us, Keys(key), limit=history_limit)
        self.faults = ServerFaults(self.clock, self.history, seed=seed or 0)
        self._services: dict[str, Service] = {}
        self._requests = 0
        self._calls = 0
        self._make_services()
        self._control = Control(self)
        self.listen("the server", self._respond, host=host, port=port, limits=_LIMITS, half_close=False)

    @property
    def sqs(self) -> SqsService:
        """The queues."""
        service = self._services["sqs"]
        assert isinstance(service, SqsService)
        return service

    @property
    def calls(self) -> int:
        """How many API calls were answered."""
        return self._calls

    def reset(self) -> None:
        """Everything back to empty: queues, alarms, faults, history. The clock runs on."""
        self.faults.clear()
        self.history.clear()
        self._make_services()

    def queues(self) -> list[dict[str, Any]]:
        """The queues as a history's header names them."""
        found = []
        for queue in self.sqs.queues():
            target, most = queue.redrive if queue.redrive is not None else (None, None)
            found.append(
                {
                    "name": queue.name,
                    "fifo": queue.name.endswith(".fifo"),
                    "visibility_timeout": queue.visibility_us / _MICROSECONDS,
                    "dead_letter": None if target is None else target.rpartition(":")[2],
                    "max_receives": most,
                    "retention": queue.retention_us / _MICROSECONDS,
                }
            )
        return found

    def _make_services(self) -> None:
        ids = random.Random(f"{self._seed}/ids") if self._seed is not None else random.Random(os.urandom(16))
        sqs = _ServedSqs(
            self.clock,
            ids,
            self.history,
            self._account,
            self._region,
            chance=random.Random(f"{self._seed}/chance") if self._seed is not None else random.Random(os.urandom(16)),
            record_bodies=self._record_bodies,
            digest_key=ids.randbytes(16),
        )
        sqs.wait_rules = self._wait_rules
        sqs.key_of = self.history.keys.of_send
        self._services = {"sqs": sqs, "sts": StsService()}
        self._makers: dict[str, Callable[[], Service]] = {
            "cloudwatch": lambda: self._make_cloudwatch(sqs),
            "sns": lambda: SnsService(self.clock, ids, sqs, lambda: 0, self._account),  # it delivers at once
        }

    def _make_cloudwatch(self, sqs: SqsService) -> Service:
        made = CloudWatchService(self.clock, self.history)
        made.measure(sqs)
        return made

    def _service(self, name: str) -> Service | None:
        found = self._services.get(name)
        if found is None and name in self._makers:
            found = self._services[name] = self._makers[name]()
        return found

    # Requests

    def _respond(self, request: Request, respond: Respond) -> None:
        if request.target.startswith(_PREFIXES):
            self._control(request, respond)
            return
        target = target_of(request)
        if target is None:
            if request.method == "GET" and request.path in ("/", "/health"):
                respond(Response(200, b"ok\n", (("Content-Type", "text/plain"),)))
                return
            if at_a_queue(request.path):
                respond(Response(404, NO_ACTION, (("Content-Type", "text/xml"),)))
                return
            text = b"no request to SQS, SNS or CloudWatch; the control API is under /_harness/\n"
            respond(Response(404, text, (("Content-Type", "text/plain"),)))
            return
        serving = spawn(lambda: self._serve(target, request, respond))
        if not serving.dead:
            request.on_gone = lambda: self.clock.give_up(serving)

    def _serve(self, target: Target, request: Request, respond: Respond) -> None:
        self._requests += 1
        request_id = f"{self._requests:08x}-0000-4000-8000-{self._requests & 0xFFFFFFFFFFFF:012x}"
        in_json = (target.service, target.protocol) == ("sqs", "query")
        in_json = in_json and request.header("accept") == "application/json"
        try:
            try:
                result = self._carry_out(target, request)
            except RecursionError:  # a policy, say, of thousands of brackets
                text = "a parameter is nested too deeply"
                raise ServiceError("InvalidParameterValue", "InvalidParameterValueException", text) from None
            if in_json:
                reply = json_answer(target.name, result, request_id)
            else:
                reply = answer_in(target, result, request_id)
        except ServiceError as error:
            reply = json_refusal(error, request_id) if in_json else refusal_in(target, error, request_id)
        except _Broken as broken:
            if broken.reset:
                respond(Response(close=True, reset=True))
            return  # lost: the client waits until it gives up
        self._calls += 1
        headers = (("x-amzn-RequestId", request_id), *reply.headers.items())
        respond(Response(reply.status, reply.body, headers))

    def _carry_out(self, target: Target, request: Request) -> dict[str, Any]:
        misplaced = target.protocol == "query" and refused_at_a_queue(target.service, target.name, request.path)
        if target.operation is None or misplaced:
            raise unknown_operation(target.name)
        parameters = decode(target, request)
        twist = self._struck(target, "before")
        service = self._service(target.service)
        if service is None:
            raise ServiceError(
                "NotSimulated", "NotSimulated", f"harness: {target.service} is not served here", 501, sender_fault=False
            )
        host = request.header("host")
        if isinstance(service, _ServedSqs) and host:
            service.front = f"http://{host}"
        result = service.call(target.name, parameters, region=target.region, twist=twist)
        self._struck(target, "after")
        return result

    def _struck(self, target: Target, side: str) -> Twist | None:
        """What a fault does to a call on one side; a twist is for the service."""
        verdict: Verdict | None = self.faults.passing(target.service, target.region, target.name, side)
        match verdict:
            case None:
                return None
            case Twist():
                return verdict
            case Slow(seconds):
                self.clock.sleep_us(max(1, round(seconds * _MICROSECONDS)))
                return None
            case Answer():
                raise ServiceError(
                    verdict.code, verdict.code, verdict.message, verdict.status, sender_fault=verdict.status < 500
                )
            case Lost():
                raise _Broken(reset=False)
            case Refused() | Reset():
                raise _Broken(reset=True)


class _Broken(Exception):
    """The client gets no answer: the connection is reset, or stays silent."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset
