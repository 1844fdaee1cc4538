"""The fault engine: asked at every passing of a point, it decides which faults strike, and acts.

It implements :class:`harness.sim.world.Hook`. Kinds decide; the engine
counts passings, applies window, n-th and probability, records
``fault.start``, ``fault.end`` and ``fault.strike``, hands verdicts to the
wires, and carries out what strikes a handler or a process through the kernel
and the environment's :class:`Actions`.

A passing that no fault of the plan could strike costs two look-ups and an
addition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from random import Random
from types import TracebackType
from typing import Any, Protocol

from harness.faults import acts, points
from harness.faults.handler import make_error
from harness.faults.kinds import Passing
from harness.faults.plan import Fault, FaultPlan
from harness.faults.workload import Content, spoil
from harness.seeds import Seeds
from harness.sim import latency, verdicts
from harness.sim.world import Recorder

__all__ = ["Actions", "FaultEngine", "KernelView", "ProcessView"]

_NEVER_US = 1 << 62
#: AWS's own clock at the start of a run (the kernel's EPOCH_US): 2030-01-01T00:00:00Z.
_EPOCH_US = 1_893_456_000_000_000


class ProcessView(Protocol):
    """What the engine looks at of a simulated process."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...


class ActorView(Protocol):
    """What the engine looks at of an actor."""

    @property
    def process(self) -> Any: ...


class KernelView(Protocol):
    """What the engine asks of the kernel."""

    @property
    def now_us(self) -> int: ...
    @property
    def current(self) -> Any: ...
    def sleep_us(self, us: int) -> None: ...
    def park(self, until_us: int | None = None) -> bool: ...
    def call_at(self, at_us: int, function: Callable[[], object]) -> object: ...


class Actions(Protocol):
    """What the environment does for the engine; times in microseconds.

    Process methods may be called by an actor of that process or from the
    hub. A clock belongs to the machine of the process called *name*: a
    restarted process keeps it, and a process that is down when its clock
    moves starts with the moved clock.
    """

    def processes(self) -> Iterable[Any]:
        """The processes that run or are paused, in the order of their start."""
        ...

    def restart(self, process: Any, after_us: int) -> None:
        """Start a successor of *process* this much later. Called just before :meth:`crash`."""
        ...

    def crash(self, process: Any) -> None:
        """Kill *process*. Does not return to an actor of it."""
        ...

    def sigterm(self, process: Any, grace_us: int) -> None:
        """SIGTERM now, SIGKILL after the grace; a successor starts once it has ended."""
        ...

    def pause(self, process: Any, us: int) -> None:
        """Nothing of *process* runs for this long."""
        ...

    def jump(self, name: str, us: int) -> None:
        """Move the wall clock of the process called *name* by *us*."""
        ...

    def drift(self, name: str, rate: float) -> None:
        """Let the wall clock of the process called *name* run at *rate* from now on."""
        ...

    def flush(self) -> None:
        """Redis loses everything."""
        ...

    def failover(self, lost_us: int) -> None:
        """Redis fails over and loses the writes of the last *lost_us*."""
        ...


class _Compiled:
    """A fault of the plan made ready for a run."""

    __slots__ = (
        "decide",
        "end_us",
        "fault",
        "index",
        "nth",
        "of_process",
        "parameters",
        "probability",
        "random",
        "reaches",
        "remembered",
        "seen",
        "side",
        "spent",
        "start_us",
        "struck",
    )

    def __init__(self, index: int, fault: Fault, seeds: Seeds) -> None:
        self.index = index
        self.fault = fault
        self.side = fault.passing_side
        self.nth = fault.nth
        self.start_us = 0 if fault.start is None else round(fault.start * 1_000_000)
        self.end_us = _NEVER_US if fault.end is None else round(fault.end * 1_000_000)
        self.probability = fault.probability
        self.random: Random | None = seeds.stream(f"fault/{index}") if fault.probability < 1 else None
        self.parameters: Mapping[str, Any] = fault.parameters
        self.decide = fault.spec.decide
        self.remembered: set[str] = set()
        self.seen = 0
        self.struck = 0
        self.spent = False
        self.of_process: Callable[[ProcessView], bool] | None = None
        target = fault.where
        if target.layer in ("process", "clock"):
            named = points.matcher(target.name)
            self.of_process = lambda process: named(process.group) or named(process.name)
            # The n-th passing of any point by that process.
            self.reaches: Callable[[str], bool] = lambda point: not point.startswith("workload")
        else:
            self.reaches = points.struck_points(target, fault.spec)

    @property
    def at_passings(self) -> bool:
        """Whether it strikes at passings, and not once by the clock or at the start of processes."""
        return not self.fault.momentary and self.fault.kind != "slow-start"

    def drawn(self) -> bool:
        """Whether chance lets it strike now."""
        return self.random is None or self.random.random() < self.probability


class _Slot:
    """One point on one side: how often it was passed and struck, and which faults may strike it."""

    __slots__ = ("candidates", "passed", "struck", "wakes_us")

    def __init__(self, candidates: list[_Compiled]) -> None:
        self.passed = 0
        self.struck = 0
        self.candidates = candidates
        self.wakes_us = _first_us(candidates)


def _first_us(candidates: list[_Compiled]) -> int:
    """Before which time no candidate needs to be looked at; those that count passings always do."""
    return min((0 if one.nth is not None else one.start_us for one in candidates), default=_NEVER_US)


class _InHandler:
    """Marks whoever runs (an actor, a task of an event loop) as being inside the handler, with one message's key.

    Tasks that the handler starts, and couriers that act for it, inherit the mark with its context.
    """

    __slots__ = ("_before", "engine", "key", "middle_is_due")

    def __init__(self, engine: FaultEngine, key: str | None) -> None:
        self.engine = engine
        self.key = key
        self.middle_is_due = False

    def __enter__(self) -> None:
        self._before = _inside.get()
        _inside.set(self)
        self.middle_is_due = True
        self.engine.inside += 1
        self.engine.before_middle += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _inside.set(self._before)
        self.engine.inside -= 1
        self.reach_middle()

    def reach_middle(self) -> bool:
        """True if the middle had not been reached before."""
        if not self.middle_is_due:
            return False
        self.middle_is_due = False
        self.engine.before_middle -= 1
        return True


_inside: ContextVar[_InHandler | None] = ContextVar("harness_in_handler", default=None)


class FaultEngine:
    """Decides and carries out a plan's faults in one run.

    Args:
        plan: the faults; checked against the scenario by the caller.
        seeds: the run's; each fault and the latencies have streams of their own.
        kernel: the run's.
        record: writes events.
        actions: what the environment does.
        latencies: how long service calls take.
        elsewhere: indexes of faults that something else strikes with; here they have their windows only.

    Raises:
        PlanError: an exception class of the plan cannot be imported or made.
    """

    def __init__(
        self,
        plan: FaultPlan,
        seeds: Seeds,
        kernel: KernelView,
        record: Recorder,
        actions: Actions,
        *,
        latencies: latency.LatencyModel = latency.DEFAULT,
        elsewhere: Collection[int] = (),
    ) -> None:
        self.plan = plan
        self.kernel = kernel
        self._record = record
        self._actions = actions
        self._faults = [_Compiled(index, fault, seeds) for index, fault in enumerate(plan)]
        for one in self._faults:
            if "error" in one.parameters:
                make_error(one.parameters["error"], "", field=f"faults[{one.index}].parameters.error")
        self._passable = [one for one in self._faults if one.at_passings and one.index not in elsewhere]
        self._slots: dict[str, dict[str, _Slot]] = {"before": {}, "middle": {}, "after": {}}
        self._jumped: list[tuple[_Compiled, str]] = []
        #: How many are in the handler now, and how many of them have not yet come to its middle.
        self.inside = 0
        self.before_middle = 0
        #: Until when the work of the faults that have struck goes on, as far as it can be told.
        self.disturbed_until_us = 0
        self.latency_us: Callable[[str], int] = latencies.sampler(seeds.stream("latency"))

    # the run's start

    def start(self) -> None:
        """Schedule the windows: their events and what strikes when they open. Call it once, at the run's start."""
        for one in self._faults:
            fault = one.fault
            if fault.momentary:
                self.kernel.call_at(one.start_us, self._bound(self._moment, one))
                if fault.spec.layer == "clock" and fault.end is not None:
                    self.kernel.call_at(one.end_us, self._bound(self._put_right, one))
                continue
            if fault.nth is None or fault.start is not None or fault.end is not None:
                self.kernel.call_at(one.start_us, self._bound(self._opened, one))
                if fault.end is not None:
                    self.kernel.call_at(one.end_us, self._bound(self._closed, one))

    @staticmethod
    def _bound(function: Callable[[_Compiled], None], one: _Compiled) -> Callable[[], None]:
        return lambda: function(one)

    def _opened(self, one: _Compiled) -> None:
        self._record("fault.start", fault=one.index, target=one.fault.target, fault_kind=one.fault.kind)

    def _closed(self, one: _Compiled) -> None:
        self._put_right_clocks(one)
        self._record("fault.end", fault=one.index, target=one.fault.target, fault_kind=one.fault.kind)
        self._disturbed(self.kernel.now_us)

    # passings

    def passing(self, point: str, side: str, key: str | None = None) -> verdicts.Verdict | None:
        """See :meth:`harness.sim.world.Hook.passing`."""
        slot = self._slots[side].get(point)
        if slot is None:
            slot = self._open_slot(point, side)
        if self.before_middle and point != "handler":
            self.middle()
        slot.passed += 1
        if slot.candidates:
            return self._consider(slot, point, side, key)
        return None

    def middle(self) -> None:
        """Whoever runs is at its first service call, sleep or point inside the handler, if it is in one.

        Service calls and points say so themselves; the environment calls this
        for sleeps.
        """
        mark = _inside.get()
        if mark is not None and mark.engine is self and mark.reach_middle():
            verdict = self.passing("handler", "middle", mark.key)
            assert verdict is None, "handler and process kinds decide nothing for a wire"

    def middle_is_due(self) -> bool:
        """Whether ``middle()`` would have something to do."""
        mark = _inside.get() if self.before_middle else None
        return mark is not None and mark.engine is self and mark.middle_is_due

    def in_handler(self, key: str | None) -> _InHandler:
        """A context: whoever runs is in the handler with the message of this key."""
        return _InHandler(self, key)

    def _open_slot(self, point: str, side: str) -> _Slot:
        slot = _Slot([one for one in self._passable if one.side == side and not one.spent and one.reaches(point)])
        self._slots[side][point] = slot
        return slot

    def _consider(self, slot: _Slot, point: str, side: str, key: str | None) -> verdicts.Verdict | None:
        now_us = self.kernel.now_us
        if now_us < slot.wakes_us:
            return None
        actor = self.kernel.current
        if key is None and self.inside:
            mark = _inside.get()
            if mark is not None and mark.engine is self:
                key = mark.key
        chosen = self._chosen(slot, actor, now_us, key)
        if not chosen:
            return None
        verdict: verdicts.Verdict | None = None
        slow_s = 0.0
        for one in chosen:
            decision = one.decide(Passing(point, side, key, now_us, _EPOCH_US + now_us, one.parameters, one.remembered))
            if decision is None:
                continue
            if isinstance(decision, verdicts.Slow):
                slow_s += decision.seconds
            elif isinstance(decision, verdicts.Verdict) and verdict is not None:
                continue  # one answer a passing: the first fault's
            self._struck(one, slot, points.point_name(point, side), decision, key)
            given = self._act(one, decision, actor, points.point_name(point, side))
            verdict = given if given is not None else verdict
        if slow_s and verdict is not None:
            self.kernel.sleep_us(max(1, round(slow_s * 1_000_000)))
            return verdict
        return verdicts.Slow(slow_s) if slow_s else verdict

    def _chosen(self, slot: _Slot, actor: Any, now_us: int, key: str | None) -> list[_Compiled]:
        """The faults that window, n-th and probability let strike this passing. Counts it for each."""
        chosen = []
        over = False
        for one in slot.candidates:
            if one.spent or now_us >= one.end_us:
                over = True
                continue
            if one.of_process is not None and (actor is None or not one.of_process(actor.process)):
                continue
            one.seen += 1
            if now_us < one.start_us:
                one.spent = one.nth is not None and one.seen >= one.nth
                continue
            if one.remembered and key in one.remembered:
                chosen.append(one)
                continue
            if one.nth is not None:
                if one.seen != one.nth:
                    continue
                # Poison goes on for the message that it has chosen.
                one.spent = one.fault.kind != "poison"
            if one.drawn():
                chosen.append(one)
        if over:
            slot.candidates = [one for one in slot.candidates if not one.spent and now_us < one.end_us]
            slot.wakes_us = _first_us(slot.candidates)
        return chosen

    # what happens when a fault strikes

    def _struck(self, one: _Compiled, slot: _Slot | None, point: str, decision: acts.Decision, key: str | None) -> None:
        one.struck += 1
        if slot is not None:
            slot.struck += 1
        if one.fault.spec.once:
            one.spent = True
        fields: dict[str, Any] = {
            "fault": one.index,
            "point": point,
            "fault_kind": one.fault.kind,
            "did": acts.told(decision),
        }
        if key is not None:
            fields["key"] = key
        lasts_s = acts.lasts(decision)
        if lasts_s is not None:
            until_us = self.kernel.now_us + round(lasts_s * 1_000_000)
            self._disturbed(until_us)
            if lasts_s:
                fields["until"] = until_us / 1_000_000
        self._record("fault.strike", **fields)

    def _disturbed(self, until_us: int) -> None:
        self.disturbed_until_us = max(self.disturbed_until_us, until_us)

    def _act(self, one: _Compiled, decision: acts.Decision, actor: Any, point: str) -> verdicts.Verdict | None:
        """Carry out what is not for the wire; returns what is."""
        if isinstance(decision, verdicts.Slow | acts.Noted):
            return None
        if isinstance(decision, verdicts.Verdict):
            return decision
        if isinstance(decision, acts.Sleep):
            self.kernel.sleep_us(max(1, round(decision.seconds * 1_000_000)))
            return decision.then
        if isinstance(decision, acts.Raise):
            raise make_error(decision.error, f"injected: {one.fault.kind} at {point}")
        if isinstance(decision, acts.Hang):
            while True:
                self.kernel.park()
        if isinstance(decision, acts.Flush):
            self._actions.flush()
        elif isinstance(decision, acts.Failover):
            self._actions.failover(round(decision.lost_seconds * 1_000_000))
        elif actor is not None:
            self._act_on_process(one, decision, actor.process)
        return None

    def _act_on_process(self, one: _Compiled, decision: acts.Act, process: Any) -> None:
        actions = self._actions
        match decision:
            case acts.Crash(restart_after):
                if restart_after is not None:
                    actions.restart(process, round(restart_after * 1_000_000))
                actions.crash(process)
            case acts.Sigterm(grace):
                actions.sigterm(process, round(grace * 1_000_000))
            case acts.Pause(seconds):
                actions.pause(process, max(1, round(seconds * 1_000_000)))
            case acts.Jump(seconds):
                actions.jump(process.name, round(seconds * 1_000_000))
                self._jumped.append((one, process.name))
            case acts.Drift(rate):
                actions.drift(process.name, rate)
                self._jumped.append((one, process.name))
            case _:
                raise AssertionError(f"{decision} is no act on a process")

    # faults that strike by the clock

    def _moment(self, one: _Compiled) -> None:
        """The window of a fault that strikes once has opened."""
        now_us = self.kernel.now_us
        self._opened(one)
        target = one.fault.where
        lasts_us = 0
        if one.of_process is None:
            victims: list[Any] = [None]
        else:
            victims = [process for process in self._actions.processes() if one.of_process(process)]
        for process in victims:
            point = target.text if process is None else f"{target.layer}.{process.group}"
            slot = self._slots["before"].get(point) or self._open_slot(point, "before")
            slot.passed += 1
            if not one.drawn():
                continue
            passing = Passing(point, "before", None, now_us, _EPOCH_US + now_us, one.parameters, one.remembered)
            decision = one.decide(passing)
            assert decision is not None
            assert not isinstance(decision, verdicts.Verdict)
            self._struck(one, slot, point, decision, None)
            lasts_us = max(lasts_us, round((acts.lasts(decision) or 0) * 1_000_000))
            if process is None:
                self._act(one, decision, None, point)
            else:
                self._act_on_process(one, decision, process)
        self._end_later(one, now_us, lasts_us)

    def _end_later(self, one: _Compiled, now_us: int, lasts_us: int) -> None:
        """Say when what a fault did at its moment is over: a clock is put right at the window's end, or never."""
        fault = one.fault
        if fault.spec.layer == "clock":
            return
        if fault.kind == "crash" and fault.parameters["restart_after"] is None:
            return
        if lasts_us:
            self.kernel.call_at(now_us + lasts_us, self._bound(self._closed, one))
        else:
            self._closed(one)

    def _put_right(self, one: _Compiled) -> None:
        self._closed(one)

    def _put_right_clocks(self, one: _Compiled) -> None:
        """Take back what a clock fault did, at the end of its window."""
        kept = []
        for owner, name in self._jumped:
            if owner is not one:
                kept.append((owner, name))
            elif one.fault.kind == "jump":
                self._actions.jump(name, -round(one.parameters["seconds"] * 1_000_000))
            else:
                self._actions.drift(name, 1.0)
        self._jumped = kept

    # the workload and the start of processes

    def workload_body(
        self,
        queue: str,
        number: int,
        key: str | None,
        body: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any] | None]:
        """Body and attributes of the workload's message *number* to *queue*, as faults leave them."""
        point = f"workload.{queue}"
        slot = self._slots["before"].get(point) or self._open_slot(point, "before")
        slot.passed += 1
        content = Content(body, attributes)
        if slot.candidates and self.kernel.now_us >= slot.wakes_us:
            for one in self._chosen(slot, None, self.kernel.now_us, key):
                content = spoil(one.fault.kind, content)
                self._struck(one, slot, point, acts.Noted(f"message {number} is {one.fault.kind}"), key)
        return content.body, None if content.attributes is None else dict(content.attributes)

    def start_delay_us(self, process: ProcessView) -> int:
        """How much longer *process* takes to start now. The environment asks at each start and restart."""
        total_us = 0
        now_us = self.kernel.now_us
        for one in self._faults:
            if one.fault.kind != "slow-start" or one.of_process is None or not one.of_process(process):
                continue
            if one.start_us <= now_us < one.end_us and one.drawn():
                point = f"process.{process.group}"
                slot = self._slots["before"].get(point) or self._open_slot(point, "before")
                slot.passed += 1
                seconds = one.parameters["seconds"]
                self._struck(one, slot, point, acts.Noted(f"{process.name} starts {seconds:g} s later"), None)
                total_us += round(seconds * 1_000_000)
                self._disturbed(now_us + total_us)
        return total_us

    # for the report

    def table(self) -> dict[str, dict[str, int]]:
        """How often each point was passed and struck, by the point's name in reports."""
        found: dict[str, dict[str, int]] = {}
        for side, slots in self._slots.items():
            for point, slot in slots.items():
                row = found.setdefault(points.point_name(point, side), {"passed": 0, "struck": 0})
                row["passed"] += slot.passed
                row["struck"] += slot.struck
        return dict(sorted(found.items()))

    def unstruck(self) -> list[Fault]:
        """The faults of the plan that never struck: what this run says nothing about."""
        return [one.fault for one in self._faults if not one.struck]

    def strikes(self) -> list[int]:
        """How often each fault of the plan has struck, in the plan's order."""
        return [one.struck for one in self._faults]
