"""The Lambda functions of a scenario: which processes they are made of, and what is told to whom.

A function called ``fn`` has one process for its event source mapping,
``fn:poller``, and one for each sandbox, ``fn.1``, ``fn.2``, ... of the group
``fn``, which is what a fault at ``process.fn`` strikes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from harness.loading import resolve
from harness.scenario import Process as Spec
from harness.sim.kernel import Kernel, Process
from harness.sim.lambda_consumer import LambdaConsumer
from harness.sim.lambda_event import environment
from harness.sim.lambda_function import Function
from harness.sim.lambda_poller import Poller

__all__ = ["Lambdas"]

_REGION = "us-east-1"
_ACCOUNT = "000000000000"


class _Table(Protocol):
    """What is needed of the table of processes."""

    def launch(self, name: str, group: str, main: Callable[[Process], None], spec: Spec, **environ: str) -> Process:
        """Start a process with the variables of *spec* and *environ*; *main* is given it."""
        ...

    def enter(self, process: Process, *, isolated: bool = True) -> None:
        """Begin in the current process: a slow start, the event of its start, its own modules, the marked handler."""
        ...

    def failed(self, name: str, error: BaseException) -> None:
        """Keep an error for the notes of the run."""
        ...


class Lambdas:
    """Starts functions and their mappings, and tells functions when one of their processes has ended."""

    def __init__(self, kernel: Kernel, table: _Table, queue_url: Callable[[str], str]) -> None:
        self._kernel = kernel
        self._table = table
        self._queue_url = queue_url
        self._functions: list[Function] = []
        self._pollers: dict[str, tuple[Spec, Function]] = {}
        self._told: set[tuple[str, str]] = set()

    def start(self, spec: Spec) -> None:
        """Create the function of *spec* and start its mapping."""
        consumer = spec.target
        assert isinstance(consumer, LambdaConsumer)
        seeds = self._kernel.seeds
        function = Function(
            self._kernel,
            spec.name,
            consumer,
            ids=seeds.stream(f"lambda/{spec.name}/ids"),
            init=seeds.stream(f"lambda/{spec.name}/init"),
            launch=lambda name, log_stream, main: self._launch(spec, consumer, name, log_stream, main),
            load=lambda process: self._load(spec, consumer, process),
            region=_REGION,
            account=_ACCOUNT,
        )
        self._functions.append(function)
        self._pollers[f"{spec.name}:poller"] = (spec, function)
        self.restart(f"{spec.name}:poller")

    def restart(self, name: str) -> bool:
        """Start the process called *name* again if it is a mapping's. True: it is Lambda's business, do no more."""
        found = self._pollers.get(name)
        if found is not None:
            spec, function = found
            self._table.launch(name, name, lambda process: self._poll(function, spec, process), spec)
            return True
        return any(name.startswith(f"{function.name}.") for function in self._functions)

    def ended(self, process: Process, how: str) -> bool:
        """Tell the function that *process* has ended. True if it is Lambda's, and needs no successor."""
        for function in self._functions:
            if function.owns(process):
                function.ended(process, how)
                return True
        return False

    def _poll(self, function: Function, spec: Spec, process: Process) -> None:
        self._table.enter(process, isolated=False)
        assert spec.queue is not None
        Poller(self._kernel, function, self._queue_url(spec.queue)).main()

    def _launch(
        self, spec: Spec, consumer: LambdaConsumer, name: str, log_stream: str, main: Callable[[], None]
    ) -> Process:
        handler = consumer.handler
        environ = environment(
            spec.name,
            memory=consumer.memory,
            handler=handler.replace(":", ".") if isinstance(handler, str) else handler.__qualname__,
            region=_REGION,
            stream=log_stream,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        )
        return self._table.launch(name, spec.name, lambda process: main(), spec, **environ)

    def _load(self, spec: Spec, consumer: LambdaConsumer, process: Process) -> Callable[[Any, Any], object]:
        """Import the handler in the sandbox that is current.

        Raises whatever the import raises: the function fails with it.
        """
        try:
            self._table.enter(process)
            handler = consumer.handler
            if not isinstance(handler, str):
                return handler
            found: Callable[[Any, Any], object] = resolve(handler, field=f"processes.{spec.name}.target.handler")
        except Exception as error:
            if (spec.name, str(error)) not in self._told:
                self._told.add((spec.name, str(error)))
                self._table.failed(process.name, error)
            raise
        return found
