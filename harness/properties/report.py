"""What a probe found: one report of every property, each failing one with its smallest example in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["Finding", "Level", "PropertiesFailed", "PropertyResult", "Report", "Verdict"]

Verdict: TypeAlias = Literal["holds", "fails", "untried"]

#: ``plain``: found whatever the threads do. ``calls``: found only where a thread is held up in the middle of the
#: component's own code, at a place where CPython may switch threads.
Level: TypeAlias = Literal["plain", "calls"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A property that does not hold: the smallest example found in words, and what happened in it, line by line."""

    property: str
    example: str
    evidence: tuple[str, ...]
    level: Level = "plain"
    replay: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "property": self.property,
            "example": self.example,
            "evidence": list(self.evidence),
            "level": self.level,
            "replay": self.replay,
        }


@dataclass(frozen=True, slots=True)
class PropertyResult:
    """One property: how many of the examples could have broken it, and whether one did. ``promise`` is it in words."""

    name: str
    promise: str
    verdict: Verdict
    examples: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "verdict": self.verdict, "examples": self.examples}


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a probe. ``kind`` is ``retry`` or ``breaker``; ``contract`` its name."""

    contract: str
    kind: str
    seed: int
    properties: tuple[PropertyResult, ...]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether every property that was tried holds."""
        return not self.findings

    def raise_for_findings(self) -> None:
        """Raise one error that tells all findings, if there are any.

        Raises:
            PropertiesFailed: a property does not hold.
        """
        if self.findings:
            raise PropertiesFailed(self)

    def to_json(self) -> dict[str, Any]:
        return {
            "contract": self.contract,
            "kind": self.kind,
            "seed": self.seed,
            "properties": [one.to_json() for one in self.properties],
            "findings": [one.to_json() for one in self.findings],
        }

    def __str__(self) -> str:
        counted = f"{len(self.findings)} of {len(self.properties)} properties fail"
        lines = [f"{self.contract}: {counted}" if self.findings else f"{self.contract}: no property fails"]
        by_name = {one.name: one for one in self.properties}
        for finding in self.findings:
            only = " (only where threads are switched in the middle of its code)" if finding.level == "calls" else ""
            lines.append(f"✗ {finding.property}: {by_name[finding.property].promise}{only}")
            lines.append(f"    {finding.example}")
            lines += [f"      {line}" for line in finding.evidence]
        for one in self.properties:
            if one.verdict == "untried":
                lines.append(f"- {one.name}: nothing could be tried")
        return "\n".join(lines)


class PropertiesFailed(AssertionError):
    """A component breaks promises of its contract. ``report`` has everything."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report

    def __reduce__(self) -> tuple[type[PropertiesFailed], tuple[Report]]:
        return type(self), (self.report,)
