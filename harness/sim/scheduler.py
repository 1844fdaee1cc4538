"""The seeded scheduler: who runs next, and how actors give way to each other.

An :class:`Actor` runs in a greenlet and gives way when it sleeps or parks.
The next to run is the one with the earliest virtual time; among those
runnable at the same instant a choice is made and recorded in ``decisions``.
Running actors switch directly to each other; whatever else is to be done (a
timer, the start of an actor, the end of the run) is the hub's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from sys import get_asyncgen_hooks, set_asyncgen_hooks
from typing import Any, NoReturn

from greenlet import getcurrent

from harness import compat
from harness.errors import Runaway, SimulationError
from harness.seeds import Seeds
from harness.sim.actors import Actor, RunOver, Timer
from harness.sim.process import Process
from harness.sim.stacks import listing

__all__ = ["NEVER", "Scheduler"]

_get_running_loop, _set_running_loop = compat.running_loop()

NEVER = 1 << 62  # later than any virtual time
_REFUSALS = 100  # calls refused after the end, after which an actor is left where it is


class Scheduler:
    """Virtual time, what is due when, and the choice among those who can run. Base of the kernel."""

    def __init__(self, seeds: Seeds, max_steps: int, max_instant_steps: int, tape: Sequence[int] | None) -> None:
        self.seeds = seeds
        self.now_us = 0
        self.steps = 0
        self.current: Actor | None = None
        self.decisions: list[int] = []
        self.last_event: int | None = None
        self.stop_reason: str | None = None
        self.closing = False
        self.hub: Any = None  # the greenlet that called run()
        self._max_steps = max_steps
        self._max_instant_steps = max_instant_steps
        self._look_at_step = min(max_steps, max_instant_steps)  # when to see whether the run gets anywhere
        self._looked_us = -1  # what virtual time it was then
        self._tape = tape
        self._random: Callable[[], float] | None = None
        self._sequence = 0
        self._heap: list[tuple[int, int, Actor | Timer]] = []
        self._ready: list[Actor] = []  # runnable now, first come first
        self._timers: deque[Timer] = deque()  # due now
        self._until_us = NEVER
        self._next: Actor | None = None  # what the hub is to start
        self._process: Process | None = None  # whose memory is in force
        self._failure: BaseException | None = None

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.now_us / 1e6

    @property
    def runnable(self) -> Sequence[Actor]:
        """Those who can run now, first come first: what a choice is made among."""
        return self._ready

    def stacks(self) -> dict[str, str]:
        """Each living actor's stack, innermost call last, as text."""
        raise NotImplementedError

    def _enter(self, process: Process | None) -> None:
        """Make *process*'s memory the one in force."""
        raise NotImplementedError

    def _handle_signals(self, actor: Actor) -> None:
        """Run the handlers of the signals that are pending for *actor*, the current one."""
        raise NotImplementedError

    # -- giving way --------------------------------------------------------------------------------

    def sleep_us(self, us: int) -> None:
        """The current actor sleeps, for one microsecond at least. Signal handlers run meanwhile (PEP 475)."""
        actor = self.current
        if actor is None:
            self._no_actor("sleep")
        actor.reads = 0
        until_us = self.now_us + (us if us > 1 else 1)
        heap = self._heap
        if (
            not self._ready
            and not self._timers
            and (not heap or heap[0][0] > until_us)
            and until_us <= self._until_us
            and self.steps < self._look_at_step
            and actor.process.held is None
            and not self.closing
        ):
            # Nothing else happens before this actor's time has come: it need not stand in the heap meanwhile.
            self._sequence += 1
            self.now_us = until_us
            self.steps += 1
        else:
            self._sequence = actor.due = sequence = self._sequence + 1
            heappush(heap, (until_us, sequence, actor))
            self._switch(actor)
        while actor.pending is not None:
            self._handle_signals(actor)
            if self.now_us >= until_us:
                return
            self._push(until_us, actor)
            self._switch(actor)

    def park(self, until_us: int | None = None) -> bool:
        """The current actor waits until ``wake()`` (True) or until *until_us* has come (False).

        After a signal handler that waited itself, True may be spurious.
        """
        actor = self.current
        if actor is None:
            self._no_actor("wait")
        actor.reads = 0
        actor.woken = False
        while True:
            actor.waiting = True
            if until_us is not None:
                if until_us > self.now_us:
                    self._push(until_us, actor)
                else:
                    actor.waiting = False
                    self._make_ready(actor)
            self._switch(actor)
            if actor.pending is None:
                return actor.woken
            woken = actor.woken
            actor.waiting = False
            actor.missed = False
            self._handle_signals(actor)
            if woken or actor.missed:
                return True
            if until_us is not None and until_us <= self.now_us:
                return False
            actor.woken = False

    def wake(self, actor: Actor) -> None:
        """Make a parked *actor* runnable now; nothing if it does not wait."""
        if actor.waiting:
            if self.closing:
                return
            actor.waiting = False
            actor.woken = True
            actor.cause = self.last_event
            if actor.pending is None:  # else a signal has made it runnable already
                actor.due = 0
                self._make_ready(actor)
        elif actor.handling:
            actor.missed = True

    def choose(self, among: int) -> int:
        """A recorded decision: an index below *among*, 0 = first come."""
        return self._choose(among)

    def call_at(self, at_us: int, function: Callable[[], object]) -> Timer:
        """Run *function* in the hub at *at_us*, before actors runnable at that instant. It must not wait."""
        if self.closing:
            self.refuse()
        self._sequence = sequence = self._sequence + 1
        timer = Timer(function, sequence)
        if at_us > self.now_us:
            heappush(self._heap, (at_us, sequence, timer))
        else:
            self._timers.append(timer)
        return timer

    def _push(self, at_us: int, actor: Actor) -> None:
        self._sequence = actor.due = sequence = self._sequence + 1
        heappush(self._heap, (at_us, sequence, actor))

    def _make_ready(self, actor: Actor) -> None:
        held = actor.process.held
        (self._ready if held is None else held).append(actor)

    def _no_actor(self, what: str) -> NoReturn:
        if self.closing:
            raise RunOver
        raise SimulationError(f"code that runs in no process (a timer, the set-up of the run) cannot {what}")

    def pause_for_signal(self) -> None:
        """The current actor waits until a signal handler has run in it (``signal.pause``)."""
        actor = self.current
        if actor is None:
            self._no_actor("wait for a signal")
        actor.reads = 0
        while actor.pending is None:
            actor.waiting = True
            self._switch(actor)
            actor.waiting = False
        self._handle_signals(actor)

    def interrupt(self, actor: Actor) -> None:
        """Resume a sleeping or parked actor so that it handles its pending signals."""
        if actor.due or actor.waiting:
            actor.due = 0
            self._make_ready(actor)

    # -- switching ---------------------------------------------------------------------------------

    def _switch(self, actor: Actor) -> None:
        """Give way. Returns when *actor*, the current one, is resumed."""
        if self.closing:
            self.refuse()
        following = self._pick()
        if following is actor:
            return
        loop = _get_running_loop()
        hooks: Any = None
        if loop is not None:  # both belong to the OS thread, and here to the actor
            _set_running_loop(None)
            hooks = get_asyncgen_hooks()
            set_asyncgen_hooks(None, None)
        actor.greenlet = getcurrent()
        if following is None or following.greenlet is None:
            self._next = following
            self.current = None
            self.hub.switch()
        else:
            self.current = following
            if following.process is not self._process:
                self._enter(following.process)
            following.greenlet.switch()
        if loop is not None:
            _set_running_loop(loop)
            set_asyncgen_hooks(*hooks)

    def _pick(self) -> Actor | None:
        """The next actor to run; None if the hub has something to do first."""
        if self._timers:
            return None
        ready = self._ready
        actor: Actor | None = None
        if not ready:
            heap = self._heap
            while True:
                if not heap:
                    return None
                at_us, sequence, thing = heap[0]
                if thing.due != sequence:  # cancelled, woken before, or killed
                    heappop(heap)
                    continue
                if at_us > self._until_us:
                    return None
                heappop(heap)
                self.now_us = at_us
                if thing.__class__ is Actor and thing.process.held is None and (not heap or heap[0][0] != at_us):
                    actor = thing  # alone at its instant, as most are
                    actor.due = 0
                    actor.waiting = False
                    break
                self._gather(thing, at_us)
                if self._timers:
                    return None
                if ready:
                    break
        if actor is None:
            waiting = len(ready)
            actor = ready.pop() if waiting == 1 else ready.pop(self._choose(waiting))
        self.steps = steps = self.steps + 1
        if steps > self._look_at_step and not self._gets_on():
            ready.insert(0, actor)
            self.call_at(0, self._run_away)
            return None
        return actor

    def _gather(self, thing: Actor | Timer, at_us: int) -> None:
        """*thing* is due at *at_us*, which is now; so may be others."""
        heap = self._heap
        while True:
            if thing.__class__ is Timer:
                self._timers.append(thing)
            else:
                thing.due = 0
                thing.waiting = False  # type: ignore[union-attr]  # an Actor
                held = thing.process.held  # type: ignore[union-attr]
                (self._ready if held is None else held).append(thing)  # type: ignore[arg-type]
            while True:
                if not heap or heap[0][0] != at_us:
                    return
                _, sequence, thing = heappop(heap)
                if thing.due == sequence:
                    break

    def _choose(self, among: int) -> int:
        tape = self._tape
        if tape is None:
            random = self._random
            if random is None:
                random = self._random = self.seeds.stream("scheduler").random
            choice = int(random() * among)
        else:
            made = len(self.decisions)
            choice = tape[made] % among if made < len(tape) else 0
        self.decisions.append(choice)
        return choice

    def decide(self, draw: Callable[[], int], among: int, *, spent: int = 0) -> int:
        """One more number below *among* in ``decisions``: what *draw* gives, or the tape; after its end *spent*."""
        tape = self._tape
        if tape is None:
            choice = draw()
        else:
            made = len(self.decisions)
            choice = tape[made] % among if made < len(tape) else spent
        self.decisions.append(choice)
        return choice

    def _gets_on(self) -> bool:
        """Whether the run may go on: the step limit is not reached and time has moved since the last look.

        Looking once in so many steps costs nothing on the way, and notices an
        instant that does not end within twice the limit.
        """
        if self.steps > self._max_steps or self.now_us == self._looked_us:
            return False
        self._looked_us = self.now_us
        self._look_at_step = min(self._max_steps, self.steps + self._max_instant_steps)
        return True

    def _run_away(self) -> NoReturn:
        stacks = self.stacks()
        if self.steps > self._max_steps:
            what = f"the run did not come to rest within {self._max_steps} steps; virtual time is {self.now:.6f} s"
            why = "Something repeats without end (a loop without a sleep?)"
        else:
            what = f"virtual time does not move: more than {self._max_instant_steps} steps at {self.now:.6f} s"
            why = "Actors that wake each other, or timers set for the same instant, go on without end"
        raise Runaway(f"{what}. {why}\n\n{listing(stacks)}", stacks)

    # -- ending ------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """``run()`` returns "stopped" at the next switch, and at each later call."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self._timers.append(Timer(lambda: None, 1))

    def fail(self, error: BaseException) -> NoReturn:
        """End ``run()`` with *error*, from an actor that is left where it is; it is not resumed."""
        actor = self.current
        if actor is None:
            raise error
        self._failure = error
        self._leave(actor)

    def fail_soon(self, error: BaseException) -> None:
        """End ``run()`` with *error* at the next switch."""

        def raise_it() -> NoReturn:
            raise error

        self._timers.append(Timer(raise_it, 1))

    def _leave(self, actor: Actor) -> NoReturn:
        """Go to the hub for good: the current actor is not resumed before ``close()``, if ever."""
        actor.greenlet = getcurrent()
        actor.loop = _get_running_loop()
        if actor.loop is not None:
            _set_running_loop(None)
            set_asyncgen_hooks(None, None)
        self.current = None
        self._next = None
        self.hub.switch()
        raise RunOver

    def refuse(self) -> NoReturn:
        """Refuse a call because the run is over: raises RunOver, and leaves an actor that will not have it.

        Services and recorders call it when ``closing`` is set.
        """
        actor = self.current
        if actor is not None:
            actor.refusals += 1
            if actor.refusals > _REFUSALS:
                self._leave(actor)
        raise RunOver
