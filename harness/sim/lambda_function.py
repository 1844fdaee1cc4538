"""A Lambda function as the service sees it: sandboxes, warm and cold, and the limit of its concurrency.

Rules, from the AWS Lambda Developer Guide:

* [concurrency] "Understanding Lambda function scaling": one sandbox serves one invocation at a time; an invocation
  beyond the function's reserved concurrency, or the account's 1,000, is refused with TooManyRequestsException (429);
  reserved concurrency 0 refuses all.
* [lifecycle] "Understanding the Lambda execution environment lifecycle": a free warm sandbox is used again, else a
  new one is started. When one is taken down Lambda does not say; here none is, but by a fault.

Not documented, decided here: of several free sandboxes the one that was used last serves next; one that has died is
started again before a further one is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.sim import world
from harness.sim.lambda_consumer import LambdaConsumer
from harness.sim.lambda_event import VERSION, LambdaContext
from harness.sim.lambda_sandbox import Invocation, Sandbox, describe
from harness.sim.process import EPOCH_US, Process
from harness.sim.verdicts import Answer, Lost, Slow

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel

__all__ = ["Answered", "Function", "InvokeFailed", "Throttled"]

INVOKE = "aws.lambda.Invoke"


class Throttled(Exception):
    """The function's concurrency is used up: 429 TooManyRequestsException. Nothing was run."""


class InvokeFailed(Exception):
    """The request to invoke failed, or its answer was lost (``ran``: the function may have done its work)."""

    def __init__(self, text: str, *, ran: bool) -> None:
        super().__init__(text)
        self.ran = ran


class Answered(NamedTuple):
    """How an invocation ended. ``outcome`` is returned, error, timeout or crash; ``took`` in seconds."""

    request_id: str
    sandbox: str
    outcome: str
    text: str
    took: float


class Function:
    """One function of a run.

    Args:
        name: the function's name, and the group of its sandboxes' processes.
        consumer: its settings.
        ids, init: random streams of request ids and of the length of cold starts.
        launch: starts a sandbox's process: (name, log stream, main function).
        load: imports the module in the process that is current, and gives the handler.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        consumer: LambdaConsumer,
        *,
        ids: Random,
        init: Random,
        launch: Callable[[str, str, Callable[[], None]], Process],
        load: Callable[[Process], Callable[[Any, Any], object]],
        region: str,
        account: str,
    ) -> None:
        self._kernel = kernel
        self.name = name
        self.consumer = consumer
        self._ids = ids
        self._init = init
        self._launch = launch
        self._load_module = load
        self._arn = f"arn:aws:lambda:{region}:{account}:function:{name}"
        self._sandboxes: list[Sandbox] = []
        self._free: list[Sandbox] = []  # the one used last at the end
        self._by_process: dict[int, Sandbox] = {}
        self.running = 0

    def invoke(self, event: str, messages: list[str]) -> Answered:
        """Run the handler with *event* (JSON) and wait for it, as the current actor; *messages* are told alone.

        Raises:
            Throttled: the concurrency is used up, or a fault says so.
            InvokeFailed: a fault struck the request or its answer.
        """
        kernel = self._kernel
        found = world.current()
        assert found is not None
        hook = found.hook
        self._pass("before", hook)
        half_us = hook.latency_us(INVOKE) // 2
        kernel.sleep_us(half_us)
        if self.running >= self.consumer.concurrency_limit:
            raise Throttled("Rate Exceeded.")
        self.running += 1
        try:
            answered = self._run(event, messages, found.record)
        finally:
            self.running -= 1
        kernel.sleep_us(half_us)
        self._pass("after", hook)
        return answered

    def _pass(self, side: str, hook: world.Hook) -> None:
        """Pass the point of the request, or of its answer."""
        ran = side == "after"
        try:
            verdict = hook.passing(INVOKE, side)
        except Exception as error:  # a handler kind, which strikes whoever passes
            raise InvokeFailed(describe(error), ran=ran) from error
        self._strike(verdict, ran=ran)

    def _strike(self, verdict: object, *, ran: bool) -> None:
        """Act on what a fault decided for the request (not *ran*) or for its answer."""
        if verdict is None:
            return
        if isinstance(verdict, Slow):
            self._kernel.sleep_us(max(1, round(verdict.seconds * 1_000_000)))
            return
        if isinstance(verdict, Answer):
            if verdict.status == 429 and not ran:
                raise Throttled(verdict.message)
            raise InvokeFailed(f"{verdict.status} {verdict.code}", ran=ran)
        if isinstance(verdict, Lost):
            # No answer comes within the function's timeout.
            self._kernel.sleep_us(self.consumer.timeout * 1_000_000)
            raise InvokeFailed("no answer came", ran=ran)
        raise InvokeFailed("the connection broke", ran=ran)

    def _run(self, event: str, messages: list[str], record: world.Recorder) -> Answered:
        kernel = self._kernel
        caller = kernel.current
        assert caller is not None
        sandbox = self._take()
        request_id = self._request_id()
        invocation = Invocation(request_id, event, caller)
        began_us = kernel.now_us
        record(
            "lambda.invoke",
            function=self.name,
            request=request_id,
            sandbox=sandbox.name,
            cold=not sandbox.warm,
            messages=messages,
        )
        sandbox.call(invocation)
        while invocation.outcome is None:
            kernel.park()
        if sandbox.warm:
            self._free.append(sandbox)
        took = (kernel.now_us - (invocation.began_us or began_us)) / 1_000_000
        return Answered(request_id, sandbox.name, invocation.outcome, invocation.text, took)

    # -- sandboxes

    def _take(self) -> Sandbox:
        while self._free:
            sandbox = self._free.pop()
            if sandbox.warm:
                return sandbox
        for sandbox in self._sandboxes:
            if not sandbox.warm and sandbox.invocation is None:
                return sandbox
        number = len(self._sandboxes) + 1
        made = Sandbox(
            self._kernel,
            f"{self.name}.{number}",
            self._log_stream(),
            timeout_us=self.consumer.timeout * 1_000_000,
            launch=self._launch_sandbox,
            load=self._load,
            context=self._context,
            point=f"lambda.{self.name}",
        )
        self._sandboxes.append(made)
        return made

    def _launch_sandbox(self, name: str, main: Callable[[], None]) -> Process:
        sandbox = next(one for one in self._sandboxes if one.name == name)
        process = self._launch(name, sandbox.log_stream, main)
        self._by_process[id(process)] = sandbox
        return process

    def owns(self, process: Process) -> bool:
        """Whether *process* is one of its sandboxes."""
        return id(process) in self._by_process

    def ended(self, process: Process, how: str) -> None:
        """One of its sandboxes' processes has ended; *how*, in the runtime's words."""
        sandbox = self._by_process[id(process)]
        if sandbox.process is process:
            sandbox.died(how)

    def _load(self, process: Process) -> Callable[[Any, Any], object]:
        low, high = self.consumer.init_times
        us = round((low if low == high else self._init.uniform(low, high)) * 1_000_000)
        if us:
            self._kernel.sleep_us(us)
        return self._load_module(process)

    def _context(self, request_id: str, log_stream: str, deadline_ms: int) -> LambdaContext:
        return LambdaContext(
            name=self.name,
            arn=self._arn,
            request_id=request_id,
            memory=self.consumer.memory,
            log_stream=log_stream,
            deadline_ms=deadline_ms,
        )

    def _log_stream(self) -> str:
        day = time.strftime("%Y/%m/%d", time.gmtime((EPOCH_US + self._kernel.now_us) // 1_000_000))
        return f"{day}/[{VERSION}]{self._ids.getrandbits(128):032x}"

    def _request_id(self) -> str:
        text = f"{self._ids.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
