"""Virtual time and the seeded scheduler: ordinary synchronous Python, one thread, the same run for the same seed.

An :class:`Actor` runs in a greenlet and gives way when it sleeps or parks.
The next to run is the one with the earliest virtual time (whole
microseconds); among those runnable at the same instant a choice is made and
recorded in ``decisions``. Running actors switch directly to each other; the
hub (the greenlet that called :meth:`Kernel.run`) starts new ones, because a
greenlet inherits the recursion depth of whoever starts it, and runs timers.

A crash is a SIGKILL: the actors of the process are never resumed and never
thrown into, so that no ``finally`` of theirs runs. They stay referenced until
:meth:`Kernel.close`, which unwinds them, and whatever else still lives, while
every kernel call is refused.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, NoReturn

from greenlet import getcurrent

from harness import compat
from harness.errors import Deadlock, NestedSimulation, Runaway, SimulationError
from harness.seeds import Seeds
from harness.sim import ending
from harness.sim.actors import Actor, RunOver, Timer
from harness.sim.process import EPOCH_US, MONOTONIC_US, Process
from harness.sim.stacks import Stack, listing
from harness.sim.watchdog import Watchdog
from harness.sim.workers import Workers

__all__ = ["EPOCH_US", "MONOTONIC_US", "Actor", "Kernel", "Process", "RunOver", "Timer"]

_get_running_loop, _set_running_loop = compat.running_loop()

_NEVER = 1 << 62  # later than any virtual time
_SPIN_READS = 1_000  # clock reads without giving way, after which each takes _SPIN_US
_SPIN_US = 1_000
_REFUSALS = 100  # calls refused after the end, after which an actor is left where it is

_running: Kernel | None = None  # at most one in a process


class Kernel:
    """One simulation. ``run()`` may be called several times; ``close()`` ends it.

    Args:
        seeds: the scheduler draws from the stream ``scheduler``, ids from
            ``ids``, each process's ``random`` from ``random/<name>/<incarnation>``.
        max_steps: resumed actors and timers, after which a run ends as Runaway.
        watchdog_seconds: real seconds without a step, after which it ends as Stalled.
        tape: the choices to make instead of seeded ones; after its end 0 (first come).
    """

    #: Run in a process's main actor when its main function has ended: (kernel, process). Patches add to it.
    exit_steps: list[Callable[[Kernel, Process], None]] = []
    #: Run when a kernel runs for the first time. Patches add to it.
    begin_steps: list[Callable[[Kernel], None]] = []
    #: Run when a kernel closes, after everything is unwound. Patches add to it.
    close_steps: list[Callable[[Kernel], None]] = []

    def __init__(
        self,
        seeds: Seeds,
        *,
        max_steps: int = 20_000_000,
        watchdog_seconds: float = 10.0,
        tape: Sequence[int] | None = None,
    ) -> None:
        self.seeds = seeds
        self.now_us = 0
        self.steps = 0
        self.current: Actor | None = None
        self.decisions: list[int] = []
        self.last_event: int | None = None
        self.stop_reason: str | None = None
        self.closing = False
        self.on_process_switch: Callable[[Process | None, Process], None] | None = None
        self.on_exit: Callable[[Actor, BaseException | None], None] | None = None
        self.on_sleep: Callable[[], object] | None = None  # the current actor calls time.sleep
        self.on_crash: Callable[[Process], None] | None = None
        self.on_thread_error: Callable[[Actor, BaseException], None] | None = None
        self.refused: list[SimulationError] = []  # what code inside asked of the real world
        self.processes: list[Process] = []
        self.identities = 0  # how many actors there have been: the last one's ident
        self.lock_waiters: dict[Actor, Any] = {}  # who waits for which contended lock
        self._max_steps = max_steps
        self._tape = tape
        self._random: Callable[[], float] | None = None
        self.last_uuid1 = 0
        self.hashes = 0  # how many objects were given a hash by order of creation
        self._ids: Random | None = None
        self._hub_random: Random | None = None
        self._sequence = 0
        self._heap: list[tuple[int, int, Actor | Timer]] = []
        self._ready: list[Actor] = []  # runnable now, first come first
        self._timers: deque[Timer] = deque()  # due now
        self._until_us = _NEVER
        self.hub: Any = None  # the greenlet that called run()
        self._next: Actor | None = None  # what the hub is to start
        self._process: Process | None = None
        self._environ: object = None  # the real os.environ's data while a process's own is in force
        self._incarnations: dict[str, int] = {}
        self._failure: BaseException | None = None
        self._gc_was_on = False
        self._begun = False
        self._workers = Workers()
        self._watchdog = Watchdog(self, watchdog_seconds)

    # -- what a run consists of -------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self.now_us / 1e6

    @property
    def closed(self) -> bool:
        return self.closing

    @property
    def ids(self) -> Random:
        """The stream of uuids, ``os.urandom`` and ``secrets``."""
        if self._ids is None:
            self._ids = self.seeds.stream("ids")
        return self._ids

    @property
    def hub_random(self) -> Random:
        """``random`` of code that runs in no process (timers, the set-up of the run)."""
        if self._hub_random is None:
            self._hub_random = self.seeds.stream("random")
        return self._hub_random

    def start_process(
        self,
        name: str,
        main: Callable[[], object],
        *,
        group: str | None = None,
        environ: Mapping[str, str] | None = None,
        at_us: int = 0,
    ) -> Process:
        """A new process that calls *main* at *at_us* (at once if that has passed). A name used before: a restart."""
        incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        process = Process(self, name, group or name, incarnation, environ)
        self.processes.append(process)

        def body() -> None:
            ending.run_main(self, process, main)

        process.main = self._add(process, body, name, False, at_us)
        return process

    def spawn(self, process: Process, function: Callable[[], object], name: str, *, daemon: bool = True) -> Actor:
        """A new actor of *process*, runnable now. Its name is ``<process>/<name>``."""
        return self._add(process, function, f"{process.name}/{name}", daemon, 0)

    def _add(self, process: Process, function: Callable[[], object], name: str, daemon: bool, at_us: int) -> Actor:
        if self.closing:
            self.refuse()
        if not process.alive:
            raise SimulationError(f"{process.name} is {process.state}: nothing can be started in it")
        self.identities += 1
        actor = Actor(process, function, name, daemon, self.identities)
        actor.cause = self.last_event
        process.actors[actor] = None
        if at_us > self.now_us:
            self._push(at_us, actor)
        else:
            self._make_ready(actor)
        return actor

    # -- giving way -------------------------------------------------------------------------------

    def sleep_us(self, us: int) -> None:
        """The current actor sleeps, for one microsecond at least. Signal handlers run meanwhile (PEP 475)."""
        actor = self.current
        if actor is None:
            self._no_actor("sleep")
        actor.reads = 0
        until_us = self.now_us + (us if us > 1 else 1)
        self._sequence = actor.due = sequence = self._sequence + 1
        heappush(self._heap, (until_us, sequence, actor))
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

    # -- switching --------------------------------------------------------------------------------

    def _switch(self, actor: Actor) -> None:
        """Give way. Returns when *actor*, the current one, is resumed."""
        if self.closing:
            self.refuse()
        following = self._pick()
        if following is actor:
            return
        loop = _get_running_loop()
        if loop is not None:
            _set_running_loop(None)
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

    def _pick(self) -> Actor | None:
        """The next actor to run; None if the hub has something to do first."""
        if self._timers:
            return None
        ready = self._ready
        if not ready:
            heap = self._heap
            while True:
                if not heap:
                    return None
                at_us, sequence, thing = heap[0]
                if thing.due != sequence:  # cancelled, woken before, or killed
                    heappop(heap)
                elif at_us > self._until_us:
                    return None
                else:
                    heappop(heap)
                    self.now_us = at_us
                    self._gather(thing, at_us)
                    if self._timers:
                        return None
                    if ready:
                        break
        waiting = len(ready)
        actor = ready.pop() if waiting == 1 else ready.pop(self._choose(waiting))
        self.steps = steps = self.steps + 1
        if steps > self._max_steps:
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

    def _enter(self, process: Process | None) -> None:
        """Make *process*'s memory the one in force: environ, and what the environment swaps."""
        before = self._process
        self._process = process
        if process is not None and process.environ is not None:
            data = process.environ_data
            if data is None:
                data = process.environ_data = compat.environ_data(process.environ)
            real = compat.swap_environ(data)
            if self._environ is None:
                self._environ = real
        elif self._environ is not None:
            compat.swap_environ(self._environ)
            self._environ = None
        if process is not None and self.on_process_switch is not None:
            self.on_process_switch(before, process)

    # -- the hub ----------------------------------------------------------------------------------

    def run(self, until_us: int | None = None) -> str:
        """Run until nothing can run any more ("idle"), until *until_us* ("until") or until ``stop()`` ("stopped").

        Raises:
            Deadlock: without *until_us*, actors that are no daemons wait and nothing can ever wake them.
            Runaway: the step limit was reached.
            Stalled: an actor blocked or span in real time.
            NestedSimulation: a kernel runs in this process already.
        """
        global _running
        if _running is not None:
            raise NestedSimulation("a simulation is running in this process already; run them one after the other")
        if self.closing:
            raise SimulationError("this kernel is closed")
        self.hub = getcurrent()
        self._until_us = _NEVER if until_us is None else until_us
        self._begin()
        loop = _get_running_loop()
        _set_running_loop(None)
        _running = self
        try:
            with self._watchdog:
                return self._loop(until_us)
        finally:
            _running = None
            self.current = None
            self._enter(None)
            _set_running_loop(loop)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._gc_was_on = gc.isenabled()
            gc.disable()
            for step in self.begin_steps:
                step(self)

    def _loop(self, until_us: int | None) -> str:
        timers = self._timers
        while True:
            while timers and self.stop_reason is None:
                timer = timers.popleft()
                if timer.due:
                    timer.due = 0
                    self.steps += 1
                    timer.function()
            if self.stop_reason is not None:
                return "stopped"
            actor = self._pick()
            if actor is None:
                if timers:
                    continue
                return self._rest(until_us)
            while actor is not None:
                actor = self._resume(actor)

    def _resume(self, actor: Actor) -> Actor | None:
        """Run *actor* until somebody has something for the hub: perhaps another one to start."""
        self.current = actor
        if actor.process is not self._process:
            self._enter(actor.process)
        if actor.greenlet is None:
            ended = self._workers.start(self, actor, self.hub)
        else:
            ended = actor.greenlet.switch()
        self.current = None
        if ended:  # an actor that has ended; a mere switch to the hub gives ()
            self._ended(ended)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        following, self._next = self._next, None
        return following

    def live(self, actor: Actor) -> None:
        """An actor's whole life, in its greenlet."""
        try:
            if actor.pending is not None:
                self._handle_signals(actor)
            actor.function()
        except RunOver:
            pass
        except BaseException as error:
            actor.error = error
        _set_running_loop(None)

    def _ended(self, actor: Actor) -> None:
        actor.dead = True
        process = actor.process
        process.actors.pop(actor, None)
        if self.closing:
            return
        if actor.sentinel is not None:
            actor.sentinel.release()
        if actor.locals is not None:
            ending.drop_locals(actor)
        if actor.joiners is not None:
            for joiner in actor.joiners:
                self.wake(joiner)
        error = actor.error
        if actor is process.main:
            ending.exited(self, process)
            error = process.exit_error
        elif error is not None:
            if isinstance(error, SystemExit):
                error = None
            elif self.on_thread_error is not None:
                self.on_thread_error(actor, error)
        if self.on_exit is not None:
            self.on_exit(actor, error)

    def _rest(self, until_us: int | None) -> str:
        """Nothing is due within the limit."""
        living = self.living()
        if self._heap or (until_us is not None and living):
            if until_us is not None and until_us > self.now_us:
                self.now_us = until_us
            return "until"
        waiting = [actor.name for actor in living if not actor.daemon]
        if waiting:
            stacks = self.stacks()
            names = ", ".join(waiting)
            raise Deadlock(f"nothing can ever run again, and these wait: {names}\n\n{listing(stacks)}", stacks)
        return "idle"

    def _run_away(self) -> NoReturn:
        stacks = self.stacks()
        raise Runaway(
            f"the run did not come to rest within {self._max_steps} steps; virtual time is {self.now:.6f} s. "
            f"Something repeats without end (a loop without a sleep?)\n\n{listing(stacks)}",
            stacks,
        )

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
        _set_running_loop(None)
        self.current = None
        self._next = None
        self.hub.switch()
        raise RunOver

    # -- clocks -----------------------------------------------------------------------------------

    def read_wall_us(self) -> int:
        """The current process's wall clock, in microseconds since 1970. A clock read counts (see ``_spin``)."""
        actor = self.current
        if actor is None:
            return EPOCH_US + self.now_us
        actor.reads += 1
        if actor.reads > _SPIN_READS:
            self._spin(actor)
        process = actor.process
        wall_us = process.wall_us
        return self.now_us + wall_us if wall_us is not None else process.wall_clock_us(self.now_us)

    def read_monotonic_us(self) -> int:
        """The monotonic clock, in microseconds since the machine's start. A clock read counts."""
        actor = self.current
        if actor is not None:
            actor.reads += 1
            if actor.reads > _SPIN_READS:
                self._spin(actor)
        return MONOTONIC_US + self.now_us

    def _spin(self, actor: Actor) -> None:
        """Code that loops until a clock has moved: let the clock move and others run."""
        reads = actor.reads
        self.sleep_us(_SPIN_US)
        actor.reads = reads

    # -- processes --------------------------------------------------------------------------------

    def crash(self, process: Process) -> None:
        """SIGKILL: no actor of *process* ever runs again. Does not return if the current actor is one of them."""
        if self.closing:
            self.refuse()
        if not process.alive:
            return
        process.state = "crashed"
        self._halt(process)
        if self.on_crash is not None:
            self.on_crash(process)
        actor = self.current
        if actor is not None and actor.process is process:
            self._leave(actor)

    def _halt(self, process: Process) -> None:
        """Take every actor of *process* out of the schedule, for good."""
        if process.actors:
            for actor in process.actors:
                actor.dead = True
                actor.due = 0
                actor.waiting = False
                self.lock_waiters.pop(actor, None)
            self._ready[:] = [actor for actor in self._ready if actor.process is not process]
        process.held = None
        for timer in process.timers.values():
            timer.cancel()
        if self.lock_waiters:
            ending.free_locks(self, process)

    def pause(self, process: Process, us: int) -> None:
        """No actor of *process* runs for *us*; if the current actor is one of them it waits too."""
        if self.closing:
            self.refuse()
        if not process.alive:
            return
        resume_at_us = self.now_us + max(us, 1)
        if process.held is None:
            process.held = [actor for actor in self._ready if actor.process is process]
            self._ready[:] = [actor for actor in self._ready if actor.process is not process]
            process.state = "paused"
        if resume_at_us > process.resume_at_us:
            process.resume_at_us = resume_at_us
            self.call_at(resume_at_us, lambda: self._unpause(process))
        actor = self.current
        if actor is not None and actor.process is process:
            process.held.append(actor)
            self._switch(actor)
            if actor.pending is not None:
                self._handle_signals(actor)

    def _unpause(self, process: Process) -> None:
        if process.held is None or process.resume_at_us > self.now_us:
            return
        held, process.held = process.held, None
        process.state = "running"
        self._ready.extend(held)

    def sigterm(self, process: Process, grace_us: int) -> bool:
        """Deliver SIGTERM; kill the process if it has not ended after *grace_us*.

        True if it had a handler (or ignores the signal); without one the
        process is killed at once. Raises what the handler raises if the
        current actor is the process's main one.
        """
        return ending.sigterm(self, process, grace_us)

    def deliver(self, process: Process, number: int) -> bool:
        """Deliver signal *number*; False if its default action killed the process."""
        return ending.deliver(self, process, number)

    def _handle_signals(self, actor: Actor) -> None:
        ending.handle_signals(self, actor)

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

    # -- the end ----------------------------------------------------------------------------------

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

    def close(self) -> None:
        """End the run: unwind what still lives, silently, with every kernel call refused. Idempotent."""
        global _running
        if self.closing:
            return
        if _running is not None:
            raise NestedSimulation("close() was called inside a run")
        self.closing = True
        self.hub = getcurrent()
        _running = self
        try:
            ending.unwind(self, self._watchdog)
        finally:
            _running = None
            self.current = None
            self._enter(None)
            self._heap.clear()
            self._ready.clear()
            if self._begun:
                for step in self.close_steps:
                    step(self)
                if self._gc_was_on:
                    gc.enable()
                gc.collect(0)

    # -- what is seen from outside ----------------------------------------------------------------

    def blocked(self) -> list[str]:
        """The names of the living actors that wait without a deadline."""
        return [actor.name for actor in self.living() if actor.waiting and not actor.due]

    def living(self) -> list[Actor]:
        """The actors that may still run, in order of creation."""
        living = [actor for process in self.processes if process.alive for actor in process.actors]
        living.sort(key=lambda actor: actor.ident)
        return living

    def stacks(self) -> dict[str, str]:
        """Each living actor's stack, innermost call last, as text."""
        return {actor.name: Stack(actor, actor is self.current).text() for actor in self.living()}
