"""Observes pybreaker: breakers, their calls and changes of state, whatever listeners the user gave them.

The hooks sit in the classes, so that breakers made before the run are seen
too. pybreaker makes a new object for each state; that object stands for the
generation, and a result is attributed to the one in which its call began.
An excluded error is a success to pybreaker (it resets the count, and closes
what is half open), and is told as one, with its name.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from harness.observe.context import Context, error_name, is_transient
from harness.observe.patching import replace_attributes, when_imported
from harness.resilience.errors import classify

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every breaker of pybreaker does to the context's record, once pybreaker is imported."""
    return when_imported("pybreaker", lambda module: _Observer(context, module).install())


class _Observer:
    def __init__(self, context: Context, module: ModuleType) -> None:
        self._context = context
        self._record = context.record
        self._module: Any = module
        self._generations: WeakKeyDictionary[object, int] = WeakKeyDictionary()  # of state objects
        self._latest: dict[str, int] = {}  # of breakers, by name
        self._open_calls: WeakKeyDictionary[object, list[int]] = WeakKeyDictionary()  # of state objects
        self._told: Any = None  # the state object whose excluded error is being handled

    def install(self) -> Callable[[], None]:
        module = self._module
        breaker, state, opened = module.CircuitBreaker, module.CircuitBreakerState, module.CircuitOpenState
        return replace_attributes(
            (breaker, "__init__", self._hook_init(breaker.__init__)),
            (breaker, "_create_new_state", self._hook_change(breaker._create_new_state)),
            (state, "before_call", self._hook_begin(state.before_call)),
            (opened, "before_call", self._hook_rejection(opened.before_call)),
            (state, "_handle_error", self._hook_error(state._handle_error)),
            (state, "_handle_success", self._hook_success(state._handle_success)),
        )

    # What is known of a breaker

    def _named(self, breaker: Any) -> dict[str, str]:
        fields = self._context.breaker(breaker, breaker._name, lambda: _limits(breaker))
        if fields["breaker"] not in self._latest:
            self._latest[fields["breaker"]] = self._generations[breaker._state] = 1
        return fields

    def _generation(self, name: str, state: Any) -> int:
        return self._generations.get(state, self._latest[name])

    # Hooks

    def _hook_init(self, original: Callable[..., None]) -> Callable[..., None]:
        def init(breaker: Any, *args: Any, **kwargs: Any) -> None:
            original(breaker, *args, **kwargs)
            if self._context.active():
                self._context.made(breaker, breaker._name)

        return init

    def _hook_change(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def create_new_state(
            breaker: Any, new_state: str, prev_state: Any = None, notify: bool = False, **kwargs: Any
        ) -> Any:
            if not notify or not self._context.active():
                return original(breaker, new_state, prev_state=prev_state, notify=notify, **kwargs)
            named = self._named(breaker)
            name = named["breaker"]
            before = prev_state.name if prev_state is not None else breaker._state.name
            state = original(breaker, new_state, prev_state=prev_state, notify=notify, **kwargs)
            if before != state.name:
                generation = self._latest[name] = self._latest[name] + 1
                self._record(
                    "breaker.transition",
                    **named,
                    **{"from": _spelled(before)},
                    to=_spelled(state.name),
                    generation=generation,
                    reason="",
                )
            self._generations[state] = self._latest[name]
            return state

        return create_new_state

    def _hook_begin(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def before_call(state: Any, *args: Any, **kwargs: Any) -> Any:
            if self._context.active():
                named = self._named(state._breaker)
                call = self._context.next_call(named["breaker"])
                self._open_calls.setdefault(state, []).append(call)
                generation = self._generation(named["breaker"], state)
                self._record("breaker.begin", **named, state=_spelled(state.name), generation=generation, call=call)
            return original(state, *args, **kwargs)

        return before_call

    def _hook_rejection(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def before_call(state: Any, *args: Any, **kwargs: Any) -> Any:
            breaker = state._breaker
            try:
                return original(state, *args, **kwargs)
            except self._module.CircuitBreakerError:
                # If the state is another one now, the call was let in as a probe, and its failure is told elsewhere.
                if breaker._state is state and self._context.active():
                    self._end(state, "rejected", None)
                raise

        return before_call

    def _hook_error(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_error(state: Any, exc: BaseException, *args: Any, **kwargs: Any) -> Any:
            if not self._context.active():
                return original(state, exc, *args, **kwargs)
            counted = state._breaker.is_system_error(exc)
            self._end(state, "failure" if counted else "success", exc)
            before, self._told = self._told, None if counted else state
            try:
                return original(state, exc, *args, **kwargs)
            finally:
                self._told = before

        return handle_error

    def _hook_success(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_success(state: Any) -> Any:
            # An excluded error ends here too, and is told already.
            if self._told is not state and self._context.active():
                self._end(state, "success", None)
            return original(state)

        return handle_success

    def _end(self, state: Any, outcome: str, error: BaseException | None) -> None:
        named = self._named(state._breaker)
        calls = self._open_calls.get(state)
        self._record(
            "breaker.call",
            **named,
            outcome=outcome,
            state=_spelled(state.name),
            generation=self._generation(named["breaker"], state),
            error=error_name(error),
            transient=is_transient(classify(error)) if error is not None else None,
            call=calls.pop() if calls and outcome != "rejected" else None,
        )


def _limits(breaker: Any) -> dict[str, Any]:
    return {
        "library": "pybreaker",
        "failure_threshold": breaker._fail_max,
        "recovery_timeout": breaker._reset_timeout,
        "half_open_permits": 1,  # it holds its lock while a call runs
        "success_threshold": getattr(breaker, "_success_threshold", 1),
        "mode": "consecutive",
    }


def _spelled(state: str) -> str:
    return state.replace("-", "_")
