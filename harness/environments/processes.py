"""The processes of a scenario inside a simulation: their environment, modules and main functions.

A system is a factory: each start of a process (the first one and each
restart) resolves its target anew and, under ``isolate``, imports the named
modules afresh, so that what was in the memory of a crashed process is gone.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from harness import compat
from harness.environments.handler import HandlerMark
from harness.environments.lambdas import Lambdas
from harness.environments.recorder import HistoryRecorder, describe_error
from harness.loading import resolve
from harness.scenario import Process as Spec
from harness.scenario import Scenario
from harness.sim.kernel import Actor, Kernel, Process
from harness.sim.lambda_consumer import LambdaConsumer

__all__ = ["Addresses", "Env", "ProcessTable", "takes_argument"]

_FAILURES_MAX = 20  # tracebacks kept of a run
_SUPERVISOR_US = 1_000_000  # how long after the end of a process its supervisor starts the next

_TEMPLATE = re.compile(r"\{(?:(queue|http):([^{}]+)|(redis|aws))\}")


@dataclass(frozen=True)
class Env:
    """What a process's main function is given if it takes an argument."""

    process: str
    redis: str
    _queue_url: Callable[[str], str]
    _http_url: Callable[[str], str]

    def queue_url(self, name: str) -> str:
        """The URL of the queue called *name*."""
        return self._queue_url(name)

    def http_url(self, name: str) -> str:
        """The base URL of the stub dependency called *name*."""
        return self._http_url(name)


@dataclass(frozen=True)
class Addresses:
    """Where things are in this run: what the templates of ``environ`` are filled with."""

    queue_url: Callable[[str], str]
    http_url: Callable[[str], str]
    redis: str
    aws: str

    def fill(self, text: str) -> str:
        """*text* with its templates filled."""

        def value(match: re.Match[str]) -> str:
            kind, name, plain = match.groups()
            if kind == "queue":
                return self.queue_url(name)
            if kind == "http":
                return self.http_url(name)
            return self.redis if plain == "redis" else self.aws

        return _TEMPLATE.sub(value, text)


class ProcessTable:
    """Starts, restarts and tells apart the processes of one run."""

    def __init__(
        self,
        scenario: Scenario,
        kernel: Kernel,
        record: HistoryRecorder,
        addresses: Addresses,
        base_environ: tuple[tuple[str, str], ...],
        handler: HandlerMark | None,
        start_delay_us: Callable[[Process], int],
    ) -> None:
        self._scenario = scenario
        self._kernel = kernel
        self._record = record
        self._addresses = addresses
        self._base = base_environ
        self._handler = handler
        self._start_delay_us = start_delay_us
        self._specs: dict[str, Spec] = {}
        self._processes: dict[str, Process] = {}  # the last incarnation of each
        self._clocks: dict[str, tuple[int, float]] = {}  # offset and rate of each one's machine
        self._successors: set[int] = set()  # ids of process values that are started again when they end
        self._isolated: dict[int, dict[str, ModuleType]] = {}  # modules by id of the process value
        self._isolate = scenario.isolated
        self._before = {name: sys.modules[name] for name in self._names(sys.modules)} if self._isolate else {}
        self._lambdas = Lambdas(kernel, self, addresses.queue_url)
        self.failures: list[str] = []  # tracebacks of processes that ended by an exception

    def start_all(self) -> None:
        """Start every process of the scenario at the beginning of the run."""
        if self._isolate:
            self._kernel.on_process_switch = self._switch
        self._kernel.on_exit = self._exited
        self._kernel.on_crash = self._crashed
        self._kernel.on_thread_error = self._thread_failed
        for spec in self._scenario.processes:
            if isinstance(spec.target, LambdaConsumer):
                self._lambdas.start(spec)
                continue
            for name in spec.instances():
                self._specs[name] = spec
                self.start(name)

    def start(self, name: str, at_us: int = 0) -> None:
        """Start (or start again) the process called *name*, not before *at_us*."""
        if at_us > self._kernel.now_us:
            self._kernel.call_at(at_us, lambda: self.start(name))
            return
        if self._lambdas.restart(name):
            return
        spec = self._specs[name]
        self.launch(name, spec.name, lambda process: self._main(spec, process), spec)

    def launch(self, name: str, group: str, main: Callable[[Process], None], spec: Spec, **environ: str) -> Process:
        """Start a process with the variables of *spec* and *environ*; *main* is given it."""
        own = tuple((variable, self._addresses.fill(value)) for variable, value in spec.environ.items())
        variables, data = _environment(self._base, (*environ.items(), *own))
        process = self._kernel.start_process(name, lambda: main(process), group=group, environ=variables)
        process.environ_data = dict(data)
        self._processes[name] = process
        offset_us, rate = self._clocks.get(name, (0, 1.0))
        process.clock_offset_us = offset_us
        if rate != 1.0:
            process.clock_rate = rate
        return process

    def replace_when_ended(self, process: Process) -> None:
        """Start a successor once *process* has ended, as a supervisor does after SIGTERM."""
        self._successors.add(id(process))

    def move_clock(self, name: str, us: int) -> int:
        """Move the wall clock of *name*'s machine; returns its offset in microseconds."""
        offset_us, rate = self._clocks.get(name, (0, 1.0))
        offset_us += us
        self._clocks[name] = (offset_us, rate)
        process = self._processes.get(name)
        if process is not None:
            process.clock_offset_us += us
        return offset_us

    def set_clock_rate(self, name: str, rate: float) -> None:
        """Let the wall clock of *name*'s machine run at *rate*."""
        process = self._processes.get(name)
        offset_us, _ = self._clocks.get(name, (0, 1.0))
        if process is not None:
            process.clock_rate = rate
            offset_us = process.clock_offset_us
        self._clocks[name] = (offset_us, rate)

    def restore(self) -> None:
        """Give the interpreter back its own modules."""
        if self._isolate:
            self._install_modules(self._before)

    # a process's main actor

    def enter(self, process: Process, *, isolated: bool = True) -> None:
        """Begin in the current process: a slow start, the event of its start, its own modules, the marked handler."""
        delay_us = self._start_delay_us(process)
        if delay_us:
            self._kernel.sleep_us(delay_us)
        self._record("process.start", process=process.name, incarnation=process.incarnation)
        if self._isolate and isolated:
            self._import_afresh()
        if self._handler is not None and isolated:
            self._handler.install()

    def _main(self, spec: Spec, process: Process) -> None:
        self.enter(process)
        target = spec.code
        function = resolve(target, field=f"processes.{spec.name}.target") if isinstance(target, str) else target
        if takes_argument(function):
            addresses = self._addresses
            function(Env(process.name, addresses.redis, addresses.queue_url, addresses.http_url))
        else:
            function()

    # what the kernel tells

    def _exited(self, actor: Actor, error: BaseException | None) -> None:
        process = actor.process
        if actor is not process.main:
            return
        fields: dict[str, Any] = {"process": process.name, "outcome": process.exit_outcome or "returned"}
        if error is not None:
            fields["error"] = describe_error(error)
            self.failed(process.name, error)
        elif process.exit_outcome == "exit":
            fields["error"] = str(process.exit_code)
        self._record("process.exit", **fields)
        if not self._lambdas.ended(process, f"Runtime exited: {fields['outcome']}"):
            self._succeed(process)

    def _crashed(self, process: Process) -> None:
        self._record("process.crash", process=process.name)
        self._record.flush()
        if not self._lambdas.ended(process, "Runtime exited with error: signal: killed"):
            self._succeed(process)

    def _thread_failed(self, actor: Actor, error: BaseException) -> None:
        self._record("thread.error", error=describe_error(error))
        self.failed(actor.name, error)

    def failed(self, name: str, error: BaseException) -> None:
        """Keep an error for the notes of the run."""
        if len(self.failures) < _FAILURES_MAX:
            self.failures.append(f"{name}: " + "".join(traceback.format_exception(error)))

    def _succeed(self, process: Process) -> None:
        if id(process) in self._successors:
            self._successors.discard(id(process))
            self.start(process.name, self._kernel.now_us + _SUPERVISOR_US)

    # modules that are a process's own

    def _switch(self, before: Process | None, now: Process) -> None:
        if before is not None:
            self._isolated[id(before)] = {name: sys.modules[name] for name in self._names(sys.modules)}
        self._install_modules(self._isolated.get(id(now), {}))

    def _names(self, modules: Mapping[str, Any]) -> list[str]:
        roots = self._isolate
        return [name for name in modules if any(name == root or name.startswith(root + ".") for root in roots)]

    def _install_modules(self, modules: Mapping[str, ModuleType]) -> None:
        for name in self._names(sys.modules):
            del sys.modules[name]
        sys.modules.update(modules)

    def _import_afresh(self) -> None:
        self._install_modules({})
        importlib.invalidate_caches()
        for name in self._isolate:
            importlib.import_module(name)


@functools.lru_cache(maxsize=256)
def _environment(
    base: tuple[tuple[str, str], ...], own: tuple[tuple[str, str], ...]
) -> tuple[dict[str, str], dict[Any, Any]]:
    """The variables of a process, plain and as ``os.environ`` keeps them: encoding a hundred takes 60 us."""
    environ = {**dict(base), **dict(own)}
    return environ, compat.environ_data(environ)


def takes_argument(function: Callable[..., object]) -> bool:
    """Whether a process's main function wants the environment."""
    if type(function) is FunctionType and not function.__dict__:
        # A plain function, nothing wrapped round it: its code says what inspect.signature would, at once.
        return function.__code__.co_argcount > len(function.__defaults__ or ())
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters
    )
