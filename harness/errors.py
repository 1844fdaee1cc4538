"""The harness's own errors: one root, so that a caller can catch everything that is ours.

::

    HarnessError
    ├── UsageError            bad input: a file, a field, an argument; exit code 2
    │   ├── ScenarioError     a scenario file or value is wrong
    │   ├── PlanError         a fault plan is wrong: unknown point or kind, impossible window
    │   └── HistoryError      a history file cannot be read
    ├── EnvironmentFailed     an environment could not be started; exit code 3
    ├── SimulationError       the run could not go on; the run's verdict is "error"
    │   ├── Deadlock          every actor waits for another one
    │   ├── Runaway           the step limit was reached
    │   ├── Stalled           an actor blocked or span in real time
    │   ├── NestedSimulation  a simulation was started inside a simulation
    │   └── RealWorld         something real was asked for inside a run: a socket, a fork
    ├── InvariantViolated     a run broke an invariant; one subclass for each invariant
    └── Inconclusive          a run could not be judged

Each carries its data as attributes, not only as text, and its text names the
culprit and the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "Deadlock",
    "EnvironmentFailed",
    "HarnessError",
    "HistoryError",
    "Inconclusive",
    "InvariantViolated",
    "NestedSimulation",
    "PlanError",
    "RealWorld",
    "Runaway",
    "ScenarioError",
    "SimulationError",
    "Stalled",
    "UsageError",
]


class HarnessError(Exception):
    """Root of every error that the harness itself raises."""


class UsageError(HarnessError):
    """Bad input. Names the file and field where there is one, and the remedy.

    Raised before anything has started or been written; the command line ends
    with exit code 2.
    """

    def __init__(self, message: str, *, file: str | None = None, field: str | None = None, remedy: str = "") -> None:
        where = ": ".join(part for part in (file, field) if part)
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self.message = message
        self.file = file
        self.field = field
        self.remedy = remedy


class ScenarioError(UsageError):
    """A scenario file or value is wrong."""


class PlanError(UsageError):
    """A fault plan is wrong: an unknown point or kind, an impossible window, an unknown parameter."""


class HistoryError(UsageError):
    """A history file is cut off, of another schema version, or not one of ours."""


class EnvironmentFailed(HarnessError):
    """What a scenario runs in could not be started (exit code 3)."""


class SimulationError(HarnessError):
    """The simulation could not go on. ``stacks`` maps each actor's name to its stack as text."""

    def __init__(self, message: str, stacks: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.stacks = stacks or {}


class Deadlock(SimulationError):
    """Every actor waits for something that only another waiting actor could do."""


class Runaway(SimulationError):
    """The step limit was reached: the run does not come to rest."""


class Stalled(SimulationError):
    """An actor blocked or span in real time, where the virtual clock cannot move."""


class NestedSimulation(SimulationError):
    """A simulation was started inside another one; run them one after the other."""


class RealWorld(SimulationError):
    """Code inside a run asked for something real: a socket, DNS, a subprocess, a fork."""


class InvariantViolated(HarnessError, AssertionError):
    """A run broke an invariant. Subclasses (one for each invariant) keep findings apart.

    ``invariant`` is its name, ``evidence`` the numbers of the events that show
    it, ``command`` the command that repeats the run.
    """

    def __init__(self, invariant: str, detail: str, evidence: Sequence[int] = (), command: str = "") -> None:
        lines = [f"{invariant}: {detail}"]
        if evidence:
            lines.append("evidence: events " + ", ".join(str(n) for n in evidence))
        if command:
            lines.append(f"again: {command}")
        super().__init__("\n".join(lines))
        self.invariant = invariant
        self.detail = detail
        self.evidence = tuple(evidence)
        self.command = command

    def __reduce__(self) -> tuple[type[InvariantViolated], tuple[str, str, tuple[int, ...], str]]:
        # A finding crosses from a worker process with its data, which are not in ``args``.
        return type(self), (self.invariant, self.detail, self.evidence, self.command)


class Inconclusive(HarnessError, AssertionError):
    """A run that could not be judged: nothing was sent, a fault never struck, no effect is declared."""
