"""A sandbox of a Lambda function: the process that runs the handler, one invocation at a time.

Rules, from the AWS Lambda Developer Guide, "Understanding the Lambda execution environment lifecycle" [lifecycle]:

* *Init*: the module is imported before the first invocation, in at most 10 seconds that do not count against the
  function's timeout. If they do not suffice, Init is done again within the first invocation, and does count.
* *Invoke*: an error that the handler raises ends the invocation, and the sandbox serves on. If the process dies or
  the timeout is reached the sandbox is reset: the next invocation begins with an Init that counts against the
  function's timeout (a "suppressed init").
* Between invocations the sandbox is frozen: its threads do not run on until the next invocation thaws it. What the
  module holds in memory stays.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.redact import mask_addresses
from harness.sim import world
from harness.sim.lambda_event import LambdaContext, answer_text
from harness.sim.process import Process

if TYPE_CHECKING:
    from harness.sim.actors import Actor, Timer
    from harness.sim.kernel import Kernel

__all__ = ["INIT_S_MAX", "Invocation", "Sandbox", "describe", "freeze", "thaw"]

INIT_S_MAX = 10
_ERROR_CHARS_MAX = 300

#: How an invocation ended: the handler returned, it raised, the time was over, the process died.
Outcome: TypeAlias = Literal["returned", "error", "timeout", "crash"]


def freeze(kernel: Kernel, process: Process) -> None:
    """No actor of *process* runs until :func:`thaw`; the current actor, which is one of them, waits too."""
    if kernel.closing:
        kernel.refuse()
    actor = kernel.current
    assert actor is not None
    if process.held is None:
        process.held = [one for one in kernel._ready if one.process is process]
        kernel._ready[:] = [one for one in kernel._ready if one.process is not process]
        process.state = "paused"
    process.held.append(actor)
    kernel._switch(actor)
    if actor.pending is not None:
        kernel._handle_signals(actor)


def thaw(kernel: Kernel, process: Process) -> None:
    """Let a frozen process run on, unless a fault has paused it besides: then it does at the end of the pause."""
    kernel._unpause(process)


class Invocation:
    """One call of the handler. ``caller`` waits for ``outcome``; ``text`` is the answer's JSON or says what failed."""

    def __init__(self, request_id: str, event: str, caller: Actor) -> None:
        self.request_id = request_id
        self.event = event
        self.caller = caller
        self.outcome: Outcome | None = None
        self.text = ""
        self.began_us = 0  # when the handler was called; 0: not yet

    def end(self, kernel: Kernel, outcome: Outcome, text: str) -> None:
        """Set how it ended, once, and wake the caller."""
        if self.outcome is None:
            self.outcome = outcome
            self.text = text
            kernel.wake(self.caller)


class Sandbox:
    """One execution environment. ``start`` begins its process; ``died`` must be called when that has ended.

    Args:
        name: its process's name, ``fn.1``.
        log_stream: what its log is called.
        timeout_us: the function's.
        launch: starts a process of this name with the given main function.
        load: imports the module and gives the handler; takes the time that an Init takes.
        context: makes the context of an invocation from its id, log stream and deadline (milliseconds since 1970).
        point: the fault point that its handler passes before and after each call.
    """

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        log_stream: str,
        *,
        timeout_us: int,
        launch: Callable[[str, Callable[[], None]], Process],
        load: Callable[[Process], Callable[[Any, Any], object]],
        context: Callable[[str, str, int], LambdaContext],
        point: str,
    ) -> None:
        self._kernel = kernel
        self.name = name
        self.log_stream = log_stream
        self._timeout_us = timeout_us
        self._launch = launch
        self._load = load
        self._context = context
        self._point = point
        self.process: Process | None = None
        self.invocation: Invocation | None = None
        self._reset = False  # it died in an invocation: the next Init counts against the timeout
        self._deadline_us = 0
        self._timer: Timer | None = None
        self._incarnations = 0

    @property
    def warm(self) -> bool:
        """Whether its module is loaded and it can be called at once."""
        return self.process is not None and self.process.alive

    def call(self, invocation: Invocation) -> None:
        """Hand *invocation* to the sandbox, which is started if need be; its caller is woken when it has ended."""
        self.invocation = invocation
        if self.warm:
            assert self.process is not None
            self._limit(invocation, self._timeout_us)
            thaw(self._kernel, self.process)
        else:
            self._start(invocation)

    def _start(self, invocation: Invocation) -> None:
        self._incarnations += 1
        suppressed = self._reset
        self._limit(invocation, self._timeout_us if suppressed else INIT_S_MAX * 1_000_000, init=not suppressed)
        number = self._incarnations
        self.process = self._launch(self.name, lambda: self._run(number, suppressed))

    def _limit(self, invocation: Invocation, us: int, *, init: bool = False) -> None:
        """End *invocation*, or the Init before it, once *us* have passed."""
        self._no_limit()
        self._deadline_us = self._kernel.now_us + us

        def over() -> None:
            if init:
                self._again(invocation)
            else:
                seconds = us / 1_000_000
                self._fail("timeout", f"{invocation.request_id} Task timed out after {seconds:.2f} seconds")

        self._timer = self._kernel.call_at(self._deadline_us, over)

    def _no_limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self, invocation: Invocation) -> None:
        """Init took too long: do it again, within the invocation."""
        assert self.process is not None
        self.invocation = None
        self._kernel.crash(self.process)
        self._reset = True
        self.call(invocation)

    def _fail(self, outcome: Outcome, text: str) -> None:
        """The time is over: kill the process."""
        invocation, self.invocation = self.invocation, None
        assert invocation is not None
        assert self.process is not None
        self._reset = True
        self._kernel.crash(self.process)
        invocation.end(self._kernel, outcome, text)

    def died(self, text: str) -> None:
        """Its process has ended: killed by a fault, or by its own exit. What it worked on has failed."""
        self.process = None
        self._no_limit()
        invocation, self.invocation = self.invocation, None
        if invocation is not None:
            self._reset = True
            invocation.end(self._kernel, "crash", f"RequestId: {invocation.request_id} Error: {text}")

    # -- in the process

    def _run(self, number: int, suppressed: bool) -> None:
        """The process's life: Init, then one invocation after the other."""
        kernel = self._kernel
        process = self.process
        assert process is not None
        handler: Callable[[Any, Any], object] | None = None
        failure = ""
        try:
            handler = self._load(process)
        except Exception as error:
            failure = describe(error)
        if self.invocation is not None and not suppressed:
            self._limit(self.invocation, self._timeout_us)
        while number == self._incarnations:
            invocation = self.invocation
            if invocation is None:
                freeze(kernel, process)
                continue
            if handler is None:
                self._finish(invocation, "error", failure)
                self._reset = True
                return  # a sandbox whose Init failed is not used again
            self._handle(invocation, handler)
            freeze(kernel, process)

    def _handle(self, invocation: Invocation, handler: Callable[[Any, Any], object]) -> None:
        kernel = self._kernel
        found = world.current()
        assert found is not None
        invocation.began_us = kernel.now_us
        left_ms = (self._deadline_us - kernel.now_us) // 1000
        context = self._context(invocation.request_id, self.log_stream, int(time.time() * 1000) + left_ms)
        os.environ["_X_AMZN_TRACE_ID"] = _trace_id(invocation.request_id, int(time.time()))
        try:
            found.hook.passing(self._point, "before")
            answer = handler(json.loads(invocation.event), context)
            found.hook.passing(self._point, "after")
        except Exception as error:
            self._finish(invocation, "error", describe(error))
            return
        try:
            text = answer_text(answer)
        except (TypeError, ValueError) as error:
            self._finish(invocation, "error", f"Runtime.MarshalError: Unable to marshal response: {error}")
            return
        self._finish(invocation, "returned", text)

    def _finish(self, invocation: Invocation, outcome: Outcome, text: str) -> None:
        if self.invocation is invocation:
            self._no_limit()
            self.invocation = None
            self._reset = False
            invocation.end(self._kernel, outcome, text)


def describe(error: BaseException) -> str:
    """An exception's class and message, without addresses."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return mask_addresses(text)[:_ERROR_CHARS_MAX]


def _trace_id(request_id: str, seconds: int) -> str:
    """A trace id as X-Ray writes it, not sampled, from the request's id."""
    digits = request_id.replace("-", "")
    return f"Root=1-{seconds:08x}-{digits[:24]};Parent={digits[-16:]};Sampled=0"
