"""Listeners that write what known libraries do: breakers, retries, quarantines, degradation, counted errors.

``install(record)`` at the start of a run, the function that it returns at its
end. In between, every breaker and retry policy of a known library is seen,
whenever it was made, without a change to the code under test. A library that
is not installed costs nothing; one that is gets observed when it is imported.

One file a library, each with the same ``install(context)``:

* ``resilience_breaker``, ``resilience_retry``, ``resilience_poison``, ``resilience_degradation``,
  ``resilience_monitoring``: the project's own components
* ``pybreaker``, ``tenacity``
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from harness.observe import (
    pybreaker,
    resilience_breaker,
    resilience_degradation,
    resilience_monitoring,
    resilience_poison,
    resilience_retry,
    tenacity,
)
from harness.observe.context import Context, Record
from harness.sim import world

__all__ = ["Context", "Record", "install"]

_OBSERVERS = (
    resilience_breaker,
    resilience_retry,
    resilience_poison,
    resilience_degradation,
    resilience_monitoring,
    pybreaker,
    tenacity,
)


def install(
    record: Record,
    *,
    active: Callable[[], bool] | None = None,
    process: Callable[[], str] | None = None,
    key_of: Callable[[str], str | None] | None = None,
) -> Callable[[], None]:
    """Write what known libraries do to *record* while *active* says so, until the returned function is called.

    *active* (``None``: whether a simulation runs on this thread) keeps out
    what happens outside the run; *process* (``None``: the simulation's current
    one) names the process that acts; *key_of* knows the key of a message by
    its id. The returned function may be called twice.
    """
    context = Context(
        record,
        active if active is not None else _simulated,
        process if process is not None else _simulated_process,
        key_of,
    )
    with ExitStack() as stack:
        for observer in _OBSERVERS:
            stack.callback(observer.install(context))
        return stack.pop_all().close


def _simulated() -> bool:
    return world.current() is not None


def _simulated_process() -> str:
    run = world.current()
    actor = run.kernel.current if run is not None else None
    return actor.name.partition("/")[0] if actor is not None else "-"
