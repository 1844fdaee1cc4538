"""What a search came to, as a value and as files that replay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.explore.coverage import Feature
from harness.explore.finding import save, slug
from harness.explore.minimise import Candidate
from harness.invariants.base import Verdict
from harness.result import Result

__all__ = ["Finding", "SearchReport", "Worst", "write", "write_findings"]


@dataclass(frozen=True)
class Finding:
    """An invariant that breaks, with the smallest run that was found to break it.

    Attributes:
        kinds: the kinds of the faults that it takes, sorted; none: it breaks without any.
        tried: how many candidates had been tried when it showed first.
        runs: how many runs making it small took; ``finished``: whether that came to its end.
        file: its ``counterexample.json``, once written.
    """

    invariant: str
    kinds: tuple[str, ...]
    candidate: Candidate
    result: Result
    tried: int
    runs: int = 0
    finished: bool = True
    file: Path | None = None

    @property
    def verdict(self) -> Verdict:
        """The violation, with its evidence."""
        return next(one for one in self.result.violated if one.name == self.invariant)

    @property
    def name(self) -> str:
        return f"{self.invariant} by {' and '.join(self.kinds) or 'no fault'}"

    @property
    def messages(self) -> int:
        """How many messages its run sent."""
        return sum(one["messages"] for one in self.result.history.header["workload"])

    def to_json(self) -> dict[str, Any]:
        return {
            "invariant": self.invariant,
            "kinds": list(self.kinds),
            "detail": self.verdict.detail,
            "evidence": list(self.verdict.evidence),
            "plan": self.candidate.plan.to_json(),
            "faults": len(self.candidate.plan),
            "messages": self.messages,
            "seed": self.candidate.seed,
            "schedule": list(self.result.schedule),
            "tried": self.tried,
            "shrinking_runs": self.runs,
            "smallest": self.finished,
            "file": None if self.file is None else str(self.file),
        }


@dataclass(frozen=True)
class Worst:
    """The candidate with the highest figure of a search that maximises one."""

    measure: str
    figure: float
    candidate: Candidate

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.measure,
            "figure": self.figure,
            "seed": self.candidate.seed,
            "messages": self.candidate.messages,
            "preempt": self.candidate.preempt,
            "plan": self.candidate.plan.to_json(),
        }


@dataclass(frozen=True)
class SearchReport:
    """What a search came to.

    Attributes:
        tried: how many candidates were run; ``clean``: how many of those drawn at random broke nothing.
        struck: in how many of them a fault struck.
        coverage: fault point x kind x abstract state -> in how many runs.
        reachable: how many (point, kind) the scenario has; ``reached``: how many of them were struck.
        complete: false if it was interrupted or its time was over; ``interrupted``: by Ctrl-C.
        again: how many findings of earlier searches were tried first; ``still``: how many of them break something.
        seconds: of real time, making findings small included; ``exploring``: without it.
    """

    scenario: str
    seed: int
    tried: int
    clean: int
    struck: int
    findings: tuple[Finding, ...]
    coverage: Mapping[Feature, int]
    reachable: int
    reached: int
    errors: Mapping[str, int]
    worst: Worst | None
    complete: bool
    interrupted: bool
    seconds: float
    exploring: float
    alone: str = ""
    again: int = 0
    still: int = 0

    @property
    def bound(self) -> float | None:
        """With 95 % confidence no more than this share of random plans breaks anything (rule of three).

        ``None`` where something broke, or nothing was tried.
        """
        return None if self.findings or not self.clean else min(1.0, 3 / self.clean)

    @property
    def plans_per_second(self) -> float:
        """The explorer's speed."""
        return self.tried / self.exploring if self.exploring > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "tried": self.tried,
            "clean": self.clean,
            "struck": self.struck,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "bound": self.bound,
            "findings": [one.to_json() for one in self.findings],
            "remembered": {"tried": self.again, "still": self.still},
            "errors": dict(self.errors),
            "coverage": {
                "reachable": self.reachable,
                "reached": self.reached,
                "states": [
                    {"point": point, "kind": kind, "state": state, "runs": runs}
                    for (point, kind, state), runs in self.coverage.items()
                ],
            },
            "worst": None if self.worst is None else self.worst.to_json(),
            "seconds": round(self.seconds, 3),
            "plans_per_second": round(self.plans_per_second, 1),
        }


def write(report: SearchReport, folder: Path, digest: str = "") -> SearchReport:
    """Write each finding into a folder of its own below *folder*, and the worst plan; returns it with the files.

    A finding is ``counterexample.json``, ``history.jsonl``, ``story.txt`` and a pytest file. *digest* is that of the
    scenario's file.

    Raises:
        UsageError: it cannot be written.
    """
    findings = write_findings(report.findings, folder, digest)
    try:
        if report.worst is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"worst-{report.worst.measure}.json"
            path.write_text(json.dumps(report.worst.to_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        remedy = "Choose another folder with --out"
        raise UsageError(f"cannot be written ({error.strerror})", file=str(folder), remedy=remedy) from None
    return replace(report, findings=findings)


def write_findings(findings: Sequence[Finding], folder: Path, digest: str = "") -> tuple[Finding, ...]:
    """Write each finding into a folder of its own below *folder*; returns them with their files.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        return tuple(_written(one, folder / slug(one.name), digest) for one in findings)
    except OSError as error:
        remedy = "Choose another folder with --out"
        raise UsageError(f"cannot be written ({error.strerror})", file=str(folder), remedy=remedy) from None


def _written(finding: Finding, folder: Path, digest: str) -> Finding:
    messages = finding.candidate.messages
    saved = save(finding.result, finding.verdict, folder, digest=digest, messages=messages)
    return replace(finding, file=saved.file)
