"""A simulation: processes of actors in virtual time, on one thread; the same run for the same seed.

The scheduler (:mod:`harness.sim.scheduler`) says who runs next. The hub, the
greenlet that called :meth:`Kernel.run`, starts new actors, because a greenlet
inherits the recursion depth of whoever starts it, and runs timers.

A crash is a SIGKILL: the actors of the process are never resumed and never
thrown into, so that no ``finally`` of theirs runs. They stay referenced until
:meth:`Kernel.close`, which unwinds them, and whatever else still lives, while
every kernel call is refused.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from greenlet import getcurrent

from harness import compat
from harness.errors import Deadlock, NestedSimulation, SimulationError
from harness.seeds import Seeds
from harness.sim import ending
from harness.sim.actors import Actor, RunOver, Timer
from harness.sim.preempt import Level, Preemption
from harness.sim.process import EPOCH_US, MONOTONIC_US, Process
from harness.sim.scheduler import NEVER, Scheduler
from harness.sim.stacks import Stack, listing
from harness.sim.watchdog import Watchdog
from harness.sim.workers import Workers

__all__ = ["EPOCH_US", "MONOTONIC_US", "Actor", "Kernel", "Process", "RunOver", "Timer"]

_get_running_loop, _set_running_loop = compat.running_loop()

_SPIN_READS = 1_000  # clock reads without giving way, after which each takes _SPIN_US
_SPIN_US = 1_000

_running: Kernel | None = None  # at most one in a process


class Kernel(Scheduler):
    """One simulation. ``run()`` may be called several times; ``close()`` ends it.

    Args:
        seeds: the scheduler draws from the stream ``scheduler``, ids from
            ``ids``, each process's ``random`` from ``random/<name>/<incarnation>``.
        max_steps: resumed actors and timers, after which a run ends as Runaway.
        max_instant_steps: so many of them at one virtual instant end it likewise (after at most twice as many).
        watchdog_seconds: real seconds without a step, after which it ends as Stalled.
        tape: the choices to make instead of seeded ones; after its end 0 (first come).
        preempt: the level at which rewritten modules give way (:mod:`harness.sim.preempt`); ``None``: they do not.
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
        max_instant_steps: int = 1_000_000,
        watchdog_seconds: float = 10.0,
        tape: Sequence[int] | None = None,
        preempt: Level | None = None,
    ) -> None:
        super().__init__(seeds, max_steps, max_instant_steps, tape)
        self.on_process_switch: Callable[[Process | None, Process], None] | None = None
        self.on_exit: Callable[[Actor, BaseException | None], None] | None = None
        self.on_sleep: Callable[[], object] | None = None  # the current actor calls time.sleep
        self.on_crash: Callable[[Process], None] | None = None
        self.on_thread_error: Callable[[Actor, BaseException], None] | None = None
        self.refused: list[SimulationError] = []  # what code inside asked of the real world
        self.processes: list[Process] = []
        self.identities = 0  # how many actors there have been: the last one's ident
        self.hashes = 0  # how many objects were given a hash by order of creation
        self.last_uuid1 = 0
        self.lock_waiters: dict[Actor, Any] = {}  # who waits for which contended lock
        self._ids: Random | None = None
        self._hub_random: Random | None = None
        self._environ: object = None  # the real os.environ's data while a process's own is in force
        self._incarnations: dict[str, int] = {}
        self._gc_was_on = False
        self._begun = False
        self._workers = Workers()
        self._watchdog = Watchdog(self, watchdog_seconds)
        self.preemption = None if preempt is None else Preemption(self, preempt)

    # -- what a run consists of --------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self.closing

    @property
    def ids(self) -> Random:
        """The stream of uuids, ``os.urandom`` and ``secrets``."""
        if self._ids is None:
            self._ids = self.seeds.stream("ids")
        return self._ids

    def lend_ids(self, stream: Random) -> Random:
        """Let ids come from *stream* until they are given back; returns what they came from."""
        before = self.ids
        self._ids = stream
        return before

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

    # -- the hub -----------------------------------------------------------------------------------

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
        self._until_us = NEVER if until_us is None else until_us
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
            if self.preemption is not None:
                self.preemption.begin()

    def _loop(self, until_us: int | None) -> str:
        timers = self._timers
        while True:
            while timers and self.stop_reason is None:
                timer = timers.popleft()
                if timer.due:
                    timer.due = 0
                    self.steps += 1
                    if self.steps > self._look_at_step and not self._gets_on():
                        self._run_away()
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

    # -- clocks ------------------------------------------------------------------------------------

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

    # -- processes ---------------------------------------------------------------------------------

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

    # -- the end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """End the run: unwind what still lives, silently, with every kernel call refused. Idempotent."""
        global _running
        if self.closing:
            return
        if _running is not None:
            raise NestedSimulation("close() was called inside a run")
        self.closing = True
        if self.preemption is not None:
            self.preemption.end()
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

    # -- what is seen from outside -----------------------------------------------------------------

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
