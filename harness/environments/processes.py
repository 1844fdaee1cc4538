"""The processes of a scenario inside a simulation: their environment, modules and main functions.

A system is a factory: each start of a process (the first one and each
restart) resolves its target anew and, under ``isolate``, imports the named
modules afresh, so that what was in the memory of a crashed process is gone.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from harness.environments.handler import HandlerMark
from harness.environments.recorder import HistoryRecorder, describe_error
from harness.loading import resolve
from harness.scenario import Process as Spec
from harness.scenario import Scenario
from harness.sim.kernel import Kernel, Process

__all__ = ["Env", "ProcessTable"]

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
        base_environ: Mapping[str, str],
        handler: HandlerMark | None,
    ) -> None:
        self._scenario = scenario
        self._kernel = kernel
        self._record = record
        self._addresses = addresses
        self._base = dict(base_environ)
        self._handler = handler
        self._specs: dict[str, Spec] = {}
        self._isolated: dict[int, dict[str, ModuleType]] = {}  # modules by id of the process value
        self._installed: dict[str, ModuleType] = {}
        self._real_environ = _environ_data()
        self._before = {name: sys.modules[name] for name in self._names(sys.modules)}
        self.failures: list[str] = []  # tracebacks of processes that ended by an exception

    def start_all(self) -> None:
        """Start every process of the scenario at the beginning of the run."""
        self._kernel.on_process_switch = self._switch
        for spec in self._scenario.processes:
            for name in spec.instances():
                self._specs[name] = spec
                self.start(name)

    def start(self, name: str, at_us: int = 0) -> Process:
        """Start (or start again) the process called *name*, not before *at_us*."""
        spec = self._specs[name]
        environ = dict(self._base)
        environ.update({variable: self._addresses.fill(value) for variable, value in spec.environ.items()})
        return self._kernel.start_process(
            name, lambda: self._main(spec, name), group=spec.name, environ=environ, at_us=at_us
        )

    def restore(self) -> None:
        """Give the interpreter back its own environment variables and modules."""
        self._kernel.on_process_switch = None
        _set_environ_data(self._real_environ)
        if self._scenario.isolate:
            self._install_modules(self._before)

    # a process's main actor

    def _main(self, spec: Spec, name: str) -> None:
        actor = self._kernel.current
        assert actor is not None
        self._record("process.start", process=name, incarnation=actor.process.incarnation)
        try:
            self._call_target(spec, name)
        except SystemExit as stop:
            self._record("process.exit", process=name, outcome="exit", error=str(stop.code))
        except Exception as error:
            self.failures.append(f"{name}: " + "".join(traceback.format_exception(error)))
            self._record("process.exit", process=name, outcome="error", error=describe_error(error))
        else:
            self._record("process.exit", process=name, outcome="returned")

    def _call_target(self, spec: Spec, name: str) -> None:
        if self._scenario.isolate:
            self._import_afresh()
        target = spec.target
        function = resolve(target, field=f"processes.{spec.name}.target") if isinstance(target, str) else target
        if self._handler is not None:
            self._handler.install()
        if _takes_argument(function):
            addresses = self._addresses
            function(Env(name, addresses.redis, addresses.queue_url, addresses.http_url))
        else:
            function()

    # what is a process's own

    def _switch(self, before: Process | None, now: Process) -> None:
        _set_environ_data(_encoded(now))
        if self._scenario.isolate:
            if before is not None:
                self._keep_modules(before)
            self._install_modules(self._isolated.get(id(now), {}))

    def _names(self, modules: Mapping[str, Any]) -> list[str]:
        roots = self._scenario.isolate
        return [name for name in modules if any(name == root or name.startswith(root + ".") for root in roots)]

    def _keep_modules(self, process: Process) -> None:
        self._isolated[id(process)] = {name: sys.modules[name] for name in self._names(sys.modules)}

    def _install_modules(self, modules: Mapping[str, ModuleType]) -> None:
        for name in self._names(sys.modules):
            del sys.modules[name]
        sys.modules.update(modules)

    def _import_afresh(self) -> None:
        self._install_modules({})
        importlib.invalidate_caches()
        for name in self._scenario.isolate:
            importlib.import_module(name)


def _takes_argument(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters
    )


# ``os.environ`` keeps its variables in one dict; swapping that dict at each switch of processes costs one
# store, copying a hundred variables would cost more than the switch.


def _environ_data() -> Any:
    return os.environ._data  # type: ignore[attr-defined]


def _set_environ_data(data: Any) -> None:
    os.environ._data = data  # type: ignore[attr-defined]


def _encoded(process: Process) -> Any:
    """The process's variables in ``os.environ``'s own encoding, made once for each process."""
    data = process.environ_data
    if data is None:
        encode = os.environ.encodekey
        encode_value = os.environ.encodevalue
        data = {encode(name): encode_value(value) for name, value in process.environ.items()}
        process.environ_data = data
    return data
