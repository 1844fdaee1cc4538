"""Objectives: what the owner of a system promises, held against what happened.

``Objectives(rto="2m", rpo=0, duplicates=0, backlog="10m")``: after the last
fault the system works again within two minutes, no message is lost, none is
handled twice, and the backlog is gone within ten minutes. They are the
report's *promised, happened, met*; a run's verdict comes from its invariants.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import ScenarioError

__all__ = ["Objectives", "Outcome", "duration_text", "parse_duration"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")
_DURATION = re.compile(rf"\s*(?:{_PART.pattern}\s*)+\Z")
_REMEDY = "Write seconds as a number, or a text such as '90s', '2m', '1h30m' or '500ms'"


def parse_duration(value: object, *, field: str, file: str | None = None) -> float:
    """Seconds from a number of seconds or a text such as ``"2m"`` or ``"1h30m"``.

    Raises:
        ScenarioError: it is neither, or below zero, or no finite number.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value) and value >= 0:
            return float(value)
    elif isinstance(value, str):
        text = value.strip().lower()
        if _DURATION.match(text):
            return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
    raise ScenarioError(f"is {value!r}, which is no duration", file=file, field=field, remedy=_REMEDY)


def duration_text(seconds: float) -> str:
    """Seconds as people write them: ``850 ms``, ``12.5 s``, ``2 min``, ``1 h 30 min``."""
    if seconds < 1 and seconds:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120 and seconds != 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    parts = [(whole // 3600, "h"), (whole % 3600 // 60, "min"), (whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _count(value: object, *, field: str, file: str | None) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ScenarioError(
        f"is {value!r}, which is no number of messages",
        file=file,
        field=field,
        remedy="Give a whole number, 0 or more",
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One objective: what was promised, what happened, and whether that is what was promised.

    ``met`` is ``None`` where the run could not show it; ``happened`` says why then.
    """

    objective: str
    promised: str
    happened: str
    met: bool | None

    def to_json(self) -> dict[str, Any]:
        return {"objective": self.objective, "promised": self.promised, "happened": self.happened, "met": self.met}


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is promised. ``None``: no promise.

    Attributes:
        rto: recovery time objective: after the last fault's end the messages sent before it are dealt with
            within this time (a duration, see :func:`parse_duration`; kept in seconds).
        rpo: recovery point objective: at most so many messages are lost.
        duplicates: at most so many messages take effect more than once.
        backlog: the source queues are empty of what was sent before the last fault's end within this time.

    Raises:
        ScenarioError: a value is no duration or no number of messages.
    """

    rto: float | str | None = None
    rpo: int | None = None
    duplicates: int | None = None
    backlog: float | str | None = None

    def __post_init__(self) -> None:
        self._normalise(None, "objectives.")

    def _normalise(self, file: str | None, prefix: str) -> None:
        for name in ("rto", "backlog"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, parse_duration(value, field=prefix + name, file=file))
        for name in ("rpo", "duplicates"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _count(value, field=prefix + name, file=file))

    def __bool__(self) -> bool:
        """Whether anything is promised."""
        return any(getattr(self, name) is not None for name in self.__slots__)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, file: str | None = None, field: str = "objectives"
    ) -> Objectives:
        """Objectives from configuration (``[tool.harness.objectives]``) or a history's header.

        Raises:
            ScenarioError: an unknown name, or a value that does not fit; it names *file* and field.
        """
        if not isinstance(values, Mapping):
            raise ScenarioError(
                f"is {values!r}", file=file, field=field, remedy="Give a table, such as {rto = '2m', rpo = 0}"
            )
        for name in values:
            if name not in cls.__slots__:
                near = difflib.get_close_matches(str(name), cls.__slots__, n=1)
                raise ScenarioError(
                    "is no objective",
                    file=file,
                    field=f"{field}.{name}",
                    remedy=f"Did you mean {near[0]}?" if near else f"Choose from {', '.join(cls.__slots__)}",
                )
        try:
            return cls(**values)
        except ScenarioError as error:
            name = (error.field or "").rpartition(".")[2]
            raise ScenarioError(error.message, file=file, field=f"{field}.{name}", remedy=error.remedy) from None

    def to_json(self) -> dict[str, Any]:
        """Durations in seconds; ``None`` where nothing is promised."""
        return {name: getattr(self, name) for name in self.__slots__}

    def judge(
        self,
        *,
        recovery_seconds: float | None,
        backlog_seconds: float | None,
        lost: int | None,
        duplicated: int | None,
        faulted: bool = True,
    ) -> list[Outcome]:
        """What was promised beside what happened, one entry for each promise, in the order of the attributes.

        *faulted* says whether a fault struck at all; without one there is
        nothing to recover from and the times are not judged.
        """
        outcomes = []
        for name, promised, happened in (
            ("rto", self.rto, recovery_seconds),
            ("rpo", self.rpo, lost),
            ("duplicates", self.duplicates, duplicated),
            ("backlog", self.backlog, backlog_seconds),
        ):
            if promised is None:
                continue
            assert not isinstance(promised, str), "texts were turned into seconds when the value was made"
            if name in ("rto", "backlog"):
                outcomes.append(_time_outcome(name, promised, happened, faulted))
            else:
                outcomes.append(_count_outcome(name, int(promised), happened))
        return outcomes


def _time_outcome(name: str, promised: float, happened: float | None, faulted: bool) -> Outcome:
    text = f"within {duration_text(promised)}"
    if not faulted:
        return Outcome(name, text, "no fault struck, so there was nothing to recover from", None)
    if happened is None:
        return Outcome(name, text, "not by the end of the run", False)
    return Outcome(name, text, f"after {duration_text(happened)}", happened <= promised)


_WORDS = {"rpo": "lost", "duplicates": "handled twice"}


def _count_outcome(name: str, promised: int, happened: float | None) -> Outcome:
    word = _WORDS[name]
    text = f"none {word}" if promised == 0 else f"at most {promised} {word}"
    if happened is None:
        return Outcome(name, text, "could not be judged: no effect is declared", None)
    number = int(happened)
    return Outcome(name, text, f"{number or 'none'} {word}", number <= promised)
