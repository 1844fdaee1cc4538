"""What a run of a scenario ended in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, Inconclusive, SimulationError
from harness.history import History
from harness.invariants.base import Verdict
from harness.invariants.exceptions import exception_for
from harness.invariants.messages import MessageCounts

__all__ = ["VERDICTS", "Result", "overall"]

#: Every verdict of a run, from the worst to the best.
VERDICTS = ("error", "failed", "flaky", "inconclusive", "left out", "passed")


def overall(verdicts: Sequence[Verdict], unstruck: Sequence[str]) -> str:
    """The verdict of a run that came to its end.

    *unstruck* describes the faults that never struck: what they stand for
    was not tested.
    """
    if any(verdict.status == "violated" for verdict in verdicts):
        return "failed"
    if not verdicts or unstruck or any(verdict.status == "inconclusive" for verdict in verdicts):
        return "inconclusive"
    return "passed"


@dataclass(frozen=True)
class Result:
    """The verdict of one run, with its evidence.

    *verdict* is ``passed``, ``failed``, ``inconclusive``, ``flaky``,
    ``error`` or ``left out``; *verdicts* one :class:`Verdict` for each
    invariant; *faults* maps each fault point to how often it was passed and
    struck. Times are in seconds.
    """

    scenario: str
    verdict: str
    seed: int
    backend: str
    history: History
    verdicts: Sequence[Verdict] = ()
    messages: MessageCounts = field(default_factory=MessageCounts)
    recovery_seconds: float | None = None
    faults: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    simulated_seconds: float = 0.0
    wall_seconds: float = 0.0
    history_file: Path | None = None
    unstruck: Sequence[str] = ()
    weakened: Sequence[Mapping[str, Any]] = ()
    objectives: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    reason: str = ""
    stacks: Mapping[str, str] = field(default_factory=dict)
    schedule: Sequence[int] = ()
    sentence: str = ""
    command: str = ""

    @property
    def violated(self) -> list[Verdict]:
        """The invariants that were broken."""
        return [verdict for verdict in self.verdicts if verdict.status == "violated"]

    def raise_for_violation(self) -> None:
        """Raise if the run broke an invariant or could not go on; an inconclusive run raises nothing.

        Raises:
            InvariantViolated: the subclass of the first broken invariant.
            SimulationError: the run ended as error.
        """
        for verdict in self.violated:
            raise exception_for(verdict.name)(verdict.name, verdict.detail, verdict.evidence, self.command)
        if self.verdict == "error":
            raise SimulationError(self.reason, dict(self.stacks))

    def raise_for_verdict(self) -> None:
        """Like :meth:`raise_for_violation`, and an inconclusive run raises too.

        Raises:
            Inconclusive: nothing was broken, but something could not be judged.
            HarnessError: the scenario was left out.
        """
        self.raise_for_violation()
        if self.verdict == "inconclusive":
            reasons = [f"{one.name}: {one.detail}" for one in self.verdicts if one.status == "inconclusive"]
            reasons += [f"never struck: {fault}" for fault in self.unstruck]
            raise Inconclusive("\n".join([*reasons, f"again: {self.command}"]))
        if self.verdict == "left out":
            raise HarnessError(f"{self.scenario} was left out: {self.reason}")

    def to_json(self) -> dict[str, Any]:
        """One entry of ``harness run --json``."""
        return {
            "name": self.scenario,
            "verdict": self.verdict,
            "seed": self.seed,
            "backend": self.backend,
            "simulated_seconds": self.simulated_seconds,
            "wall_seconds": round(self.wall_seconds, 3),
            "history": None if self.history_file is None else str(self.history_file),
            "messages": self.messages.to_json(),
            "recovery_seconds": self.recovery_seconds,
            "faults": {point: dict(counts) for point, counts in self.faults.items()},
            "invariants": [
                {"name": v.name, "verdict": v.status, "detail": v.detail, "evidence": list(v.evidence)}
                for v in self.verdicts
            ],
            "objectives": [dict(one) for one in self.objectives],
            "weakened": [dict(one) for one in self.weakened],
            "unstruck": list(self.unstruck),
            "notes": list(self.notes),
            "reason": self.reason,
            "sentence": self.sentence,
            "command": self.command,
        }
