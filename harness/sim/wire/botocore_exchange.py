"""One request to an AWS service and its answer, whatever path led here: faults, latency, the service's own clock.

The full path (bytes through botocore's serialiser, signer, parser and retry
handlers) and the short cut both call :func:`exchange`, so that points are
passed, latencies drawn and events recorded in the same order on both.
"""

from __future__ import annotations

import functools
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.sim.process import EPOCH_US
from harness.sim.services.errors import ServiceError
from harness.sim.services.sts import StsService
from harness.sim.skew import skew_refusal
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict
from harness.sim.wire import botocore_clients as _clients
from harness.sim.wire.botocore_protocols import Reply
from harness.sim.world import HOME_REGION

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel
    from harness.sim.world import World

__all__ = ["Call", "Failed", "Result", "RunState", "exchange", "run_state", "suffix_of"]

#: What a service answers: a simulated one in Python, one that falls through to moto in bytes.
Result: TypeAlias = dict[str, Any] | Reply

#: How long a client without a read timeout waits for an answer that never comes: until TCP gives up (Linux: 2 hours).
NO_TIMEOUT_US = 7_200_000_000
_SECOND = 1_000_000
_NEVER = 1 << 62
#: A clock less than this off is never refused.
_MINUTE_US = 60 * _SECOND


def suffix_of(region: str) -> str:
    """What the points of a region have at their end: nothing in the run's own."""
    return "" if region == HOME_REGION else f"@{region}"


class Call(NamedTuple):
    """A request as it leaves the client."""

    point: str  # aws.<service>.<operation>, @<region> where that is not the run's own
    service: str
    operation: str
    region: str
    parameters: dict[str, Any]
    read_timeout_us: int | None
    #: What the client's wall clock showed when it signed, in microseconds since 1970.
    signed_us: int
    #: The request itself and what is known of it, on the full path.
    request: Any = None
    context: Any = None


class Failed(Exception):
    """The caller gets no result: the service's refusal, an answer made by a fault, or a broken connection.

    ``refusal`` is what the service answers (bytes, where they came from moto); ``broken`` is "timeout",
    "refused" or "reset" where no answer comes.
    """

    def __init__(self, refusal: ServiceError | Answer | Reply | None = None, broken: str = "") -> None:
        super().__init__(broken or str(refusal))
        self.refusal = refusal
        self.broken = broken

    @property
    def name(self) -> str:
        """The error's name for the history."""
        if self.refusal is not None:
            return self.refusal.code or str(self.refusal.status)
        return _BROKEN_NAMES[self.broken]


_BROKEN_NAMES = {
    "timeout": "ReadTimeoutError",
    "refused": "EndpointConnectionError",
    "reset": "ConnectionClosedError",
}


class RunState:
    """What the wire keeps for the length of one run."""

    __slots__ = ("_date", "_date_s", "calls", "invocations", "replies", "requests", "short", "sts")

    def __init__(self, *, short: bool = True) -> None:
        #: Whether the services that the short cut leads to are simulated in this run.
        self.short = short
        self.requests = 0
        self.invocations = 0
        #: The operation that an actor is in the middle of: (operation model, request context).
        self.calls: dict[Any, tuple[Any, dict[str, Any]]] = {}
        #: A failure that an actor met on the short cut, to be told on its full path.
        self.replies: dict[Any, Failed] = {}
        self.sts = StsService()
        self._date_s = -1
        self._date = ""

    def answered(self, now_us: int) -> tuple[str, str]:
        """The request id and the Date header of the next answer."""
        self.requests += 1
        second = now_us // _SECOND
        if second != self._date_s:
            self._date_s = second
            day, of_day = divmod(second, 86_400)
            hour, of_hour = divmod(of_day, 3_600)
            self._date = f"{_day(day)} {hour:02}:{of_hour // 60:02}:{of_hour % 60:02} GMT"
        return f"{self.requests:08x}-0000-4000-8000-000000000000", self._date


@functools.lru_cache(maxsize=16)
def _day(day: int) -> str:
    """The date of a Date header (RFC 9110), so many days after the epoch of simulated time, which is a midnight."""
    return formatdate(EPOCH_US // _SECOND + day * 86_400, usegmt=True)[:16]


def run_state(world: World) -> RunState:
    """The wire's state of this run. With the first call clients from before the run start anew."""
    state: RunState | None = world.wires.get("botocore")
    if state is None:
        state = world.wires["botocore"] = RunState(short="sqs" in world.services)
        _clients.renew()
    return state


def exchange(world: World, call: Call) -> Result:
    """Carry out one request, in virtual time.

    Raises:
        Failed: the caller gets an error answer or none.
    """
    kernel = world.kernel
    if kernel.closing:
        kernel.refuse()  # the run is over: nothing reaches a service any more
    started_us = kernel.now_us
    try:
        return _exchange(world, kernel, call, started_us)
    except Failed as failed:
        world.record(
            "call.failed",
            point=call.point,
            error=failed.name,
            fault=None,
            took=(kernel.now_us - started_us) / _SECOND,
        )
        raise


def _exchange(world: World, kernel: Kernel, call: Call, started_us: int) -> Result:
    hook = world.hook
    point = call.point
    timeout_us = call.read_timeout_us
    deadline_us = _NEVER if timeout_us is None else started_us + timeout_us
    verdict = hook.passing(point, "before")
    latency_us = hook.latency_us(point)
    half_us = latency_us // 2
    late = False
    if half_us < deadline_us - started_us:  # as _sleep() does: this is the way of every call
        kernel.sleep_us(half_us)
    else:
        late = _sleep(kernel, half_us, deadline_us)
    twist: Twist | None = None
    if verdict is not None:
        twist, slow = _obey(kernel, verdict, deadline_us, latency_us - half_us)
        late = late or slow
    clock_us = EPOCH_US + kernel.now_us
    if not -_MINUTE_US < call.signed_us - clock_us < _MINUTE_US:
        refusal = skew_refusal(call.service, clock_us, call.signed_us)
        if refusal is not None:
            _sleep(kernel, latency_us - half_us, deadline_us)
            raise Failed(refusal)
    try:
        result, gave_up = _serve(world, call, twist, deadline_us)
    except ServiceError as error:
        _sleep(kernel, latency_us - half_us, deadline_us)
        raise Failed(error) from None
    if isinstance(result, Reply) and result.code:
        _sleep(kernel, latency_us - half_us, deadline_us)
        raise Failed(result)
    late = late or gave_up
    verdict = hook.passing(point, "after")
    if not late:
        back_us = latency_us - half_us
        if back_us < deadline_us - kernel.now_us:
            kernel.sleep_us(back_us)
        else:
            late = _sleep(kernel, back_us, deadline_us)
    if verdict is not None:
        _, slow = _obey(kernel, verdict, deadline_us, 0)
        late = late or slow
    if late:
        raise Failed(broken="timeout")
    return result


def _sleep(kernel: Kernel, us: int, deadline_us: int) -> bool:
    """Wait, but not beyond the caller's patience. True when that has run out."""
    left_us = deadline_us - kernel.now_us
    if us < left_us:
        kernel.sleep_us(us)
        return False
    if left_us > 0:
        kernel.sleep_us(left_us)
    return True


def _obey(kernel: Kernel, verdict: Verdict, deadline_us: int, back_us: int) -> tuple[Twist | None, bool]:
    """Act on a verdict. Returns a twist for the service, and whether the caller's patience has run out."""
    match verdict:
        case Twist():
            return verdict, False
        case Slow(seconds):
            return None, _sleep(kernel, round(seconds * _SECOND), deadline_us)
        case Answer():
            _sleep(kernel, back_us, deadline_us)
            raise Failed(verdict)
        case Lost():
            # Without a timeout of its own the client waits until the connection is given up.
            until_us = deadline_us if deadline_us != _NEVER else kernel.now_us + NO_TIMEOUT_US
            if until_us > kernel.now_us:
                kernel.sleep_us(until_us - kernel.now_us)
            raise Failed(broken="timeout" if deadline_us != _NEVER else "reset")
        case Refused():
            raise Failed(broken="refused")
        case Reset():
            raise Failed(broken="reset")


def _serve(world: World, call: Call, twist: Twist | None, deadline_us: int) -> tuple[Result, bool]:
    """The service's effect; true if its answer comes after the caller gave up."""
    service = world.services.get(call.service) or world.service(call.service)
    if service is None:
        if call.service != "sts":
            if world.elsewhere is not None and call.request is not None:
                found: tuple[Result, bool] = world.elsewhere.serve(call, twist, deadline_us)
                return found
            simulated = ", ".join(sorted({*world.services, *world.makers, "sts"}))
            raise ServiceError(
                "NotSimulated",
                "NotSimulated",
                f"harness: the service {call.service!r} is not simulated; its operation {call.operation} "
                f"reaches nothing in this run (simulated: {simulated})",
                501,
                sender_fault=False,
            )
        service = run_state(world).sts
    kernel = world.kernel
    patience_us = deadline_us - kernel.now_us
    if call.operation == "ReceiveMessage" and call.service == "sqs" and patience_us <= 20 * _SECOND:
        return _impatient_receive(kernel, service, call, twist, deadline_us)
    return service.call(call.operation, call.parameters, region=call.region, twist=twist), False


def _impatient_receive(
    kernel: Kernel, service: Any, call: Call, twist: Twist | None, deadline_us: int
) -> tuple[dict[str, Any], bool]:
    """A long poll by a client that may hang up first: the service sees that and stops waiting."""
    wait_s = call.parameters.get("WaitTimeSeconds")
    if wait_s is None:
        wait_s = service.wait_seconds(call.parameters, call.region)
    patience_s = max(0, deadline_us - kernel.now_us) // _SECOND
    if not isinstance(wait_s, int) or not patience_s < wait_s <= 20:
        return service.call(call.operation, call.parameters, region=call.region, twist=twist), False
    parameters = {**call.parameters, "WaitTimeSeconds": patience_s}
    result = service.call(call.operation, parameters, region=call.region, twist=twist)
    return result, not result and _sleep(kernel, _NEVER, deadline_us)
