"""Wraps the declared handler: where handler faults strike and the service time is spent."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from random import Random
from typing import Any

from harness.environments.recorder import HistoryRecorder, describe_error
from harness.errors import ScenarioError
from harness.faults.engine import FaultEngine
from harness.loading import resolve
from harness.scenario import Scenario, Target
from harness.sim.aside import aside
from harness.sim.kernel import Kernel

__all__ = ["HandlerMark"]


class _Attributes(MutableMapping[str, Any]):
    """The attributes of a class as a mapping."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Any:
        return vars(self._owner)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._owner, name, value)

    def __delitem__(self, name: str) -> None:
        delattr(self._owner, name)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self._owner))

    def __len__(self) -> int:
        return len(vars(self._owner))


KeyOf = Callable[[Mapping[str, Any] | str | None, str | None], str | None]


class HandlerMark:
    """Puts a wrapper where the handler's name is looked up, for the time of one run."""

    def __init__(
        self,
        scenario: Scenario,
        kernel: Kernel,
        engine: FaultEngine,
        record: HistoryRecorder,
        service_time: Random,
        message_key: KeyOf,
        *,
        effect: bool,
    ) -> None:
        assert scenario.handler is not None
        self._target: Target = scenario.handler
        times = scenario.service_time
        self._low, self._high = times if isinstance(times, tuple) else (times, times)
        self._kernel = kernel
        self._engine = engine
        self._record = record
        self._random = service_time
        self._message_key = message_key
        self._effect = effect
        self._undo: list[tuple[MutableMapping[str, Any], str, Any]] = []

    def install(self) -> None:
        """Wrap the handler in the module in force (again after a fresh import); wrapped once only."""
        names, name = self._place()
        function = names[name]
        if getattr(function, "__harness_wrapped__", None) is self:
            return
        wrapper = self._wrap(function)
        wrapper.__harness_wrapped__ = self  # type: ignore[attr-defined]
        self._undo.append((names, name, function))
        names[name] = wrapper

    def uninstall(self) -> None:
        """Put every handler back."""
        while self._undo:
            names, name, function = self._undo.pop()
            names[name] = function

    def _place(self) -> tuple[MutableMapping[str, Any], str]:
        """Where the handler's name is looked up: its module's names, or its class's attributes."""
        target = self._target
        if isinstance(target, str):
            module, _, path = target.partition(":")
            resolve(target, field="handler")
            names: MutableMapping[str, Any] = vars(sys.modules[module])
        else:
            path = target.__qualname__
            if "<locals>" in path:
                raise ScenarioError(
                    f"is {path}, which cannot be found by name in its module",
                    field="handler",
                    remedy="Use a function at the top of its module",
                )
            # The function's own module, which need not be the one that sys.modules has under that name.
            names = inspect.unwrap(target).__globals__
        *parents, name = path.split(".")
        for parent in parents:
            names = _Attributes(names[parent])
        return names, name

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):
            return self._wrap_coroutine(function)
        kernel, engine, record = self._kernel, self._engine, self._record

        @functools.wraps(function)
        def handler(*args: Any, **kwargs: Any) -> Any:
            if kernel.current is None:
                return function(*args, **kwargs)
            message, key = self._identify(args, kwargs)
            began = kernel.now_us
            record("handler.start", message, key=key)
            try:
                with engine.in_handler(key):
                    engine.passing("handler", "before", key)
                    self._spend_service_time()
                    result = function(*args, **kwargs)
                    engine.passing("handler", "after", key)
            except BaseException as error:
                self._failed(message, key, began, error)
                raise
            self._succeeded(message, key, began)
            return result

        return handler

    def _wrap_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a coroutine function: what strikes it stops its task, not the event loop."""
        kernel, engine, record = self._kernel, self._engine, self._record

        @functools.wraps(function)
        async def handler(*args: Any, **kwargs: Any) -> Any:
            if kernel.current is None:
                return await function(*args, **kwargs)
            message, key = self._identify(args, kwargs)
            began = kernel.now_us
            record("handler.start", message, key=key)
            try:
                with engine.in_handler(key):
                    await aside(lambda: engine.passing("handler", "before", key))
                    seconds = self._service_time()
                    if seconds:
                        await asyncio.sleep(seconds)
                    result = await function(*args, **kwargs)
                    await aside(lambda: engine.passing("handler", "after", key))
            except BaseException as error:
                self._failed(message, key, began, error)
                raise
            self._succeeded(message, key, began)
            return result

        return handler

    def _failed(self, message: str | None, key: str | None, began_us: int, error: BaseException) -> None:
        if not self._kernel.closed:
            took = (self._kernel.now_us - began_us) / 1_000_000
            self._record("handler.end", message, key=key, outcome="error", error=describe_error(error), took=took)

    def _succeeded(self, message: str | None, key: str | None, began_us: int) -> None:
        if self._effect:
            self._record("effect", message, name="handled", key=key, source="handler")
        took = (self._kernel.now_us - began_us) / 1_000_000
        self._record("handler.end", message, key=key, outcome="ok", took=took)

    def _service_time(self) -> float:
        """How long this message takes, in seconds."""
        if self._high <= 0:
            return 0.0
        return self._low if self._low == self._high else self._random.uniform(self._low, self._high)

    def _spend_service_time(self) -> None:
        seconds = self._service_time()
        if seconds:
            self._kernel.sleep_us(max(1, round(seconds * 1_000_000)))

    def _identify(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str | None, str | None]:
        """The id and key of the message that the handler was given, from the argument that looks like one."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, Mapping):
                if "MessageId" in value:
                    message = str(value["MessageId"])
                    return message, self._message_key(value.get("Body"), message)
                if "messageId" in value:  # a record of a Lambda event
                    message = str(value["messageId"])
                    return message, self._message_key(value.get("body"), message)
                return None, self._message_key(value, None)
            if isinstance(value, str):
                return None, self._message_key(value, None)
            message_id = getattr(value, "message_id", None)
            if isinstance(message_id, str):
                return message_id, self._message_key(getattr(value, "body", None), message_id)
        return None, None
