"""A finding as a file that replays: what was run, under which faults and schedule, and what it broke.

``counterexample.json``::

    {"version": 1,
     "scenario": {"file": "scenarios/orders.py", "name": "orders", "digest": "..."},
     "seed": 7, "plan": {...}, "schedule": [0, 1, ...], "messages": 20, "backend": "memory",
     "versions": {"python": "3.11.7", "botocore": "1.44.8", ...},
     "violated": [{"name": "no-message-loss", "detail": "...", "evidence": [12, 31]}],
     "history": "history.jsonl"}

``digest`` is that of the scenario's file, so that a replay can say that the
scenario has changed since. ``schedule`` holds one number for each choice of
the scheduler (0 = first come). ``messages`` is how many messages each
workload sends at most, ``null`` for the scenario's own number. ``history``
stands beside the file, or is ``null``. ``preempt`` (``calls`` or
``statements``, only where it was on) is the level of pre-emption.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import PlanError, UsageError
from harness.explore.sentences import effect_name
from harness.faults.names import did_you_mean
from harness.faults.plan import FaultPlan
from harness.history import History
from harness.invariants.base import Verdict
from harness.sim.preempt_rewrite import LEVELS, Level

__all__ = ["FILE_NAME", "VERSION", "Counterexample", "Violation", "test_source"]

VERSION = 1
FILE_NAME = "counterexample.json"
HISTORY_NAME = "history.jsonl"

_FIELDS = (
    "version",
    "scenario",
    "seed",
    "plan",
    "schedule",
    "messages",
    "backend",
    "versions",
    "violated",
    "history",
)
_OPTIONAL = ("preempt",)


@dataclass(frozen=True)
class Violation:
    """One invariant that the run broke, with the numbers of the events that show it."""

    name: str
    detail: str
    evidence: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "detail": self.detail, "evidence": list(self.evidence)}

    def verdict(self) -> Verdict:
        """As the judge gave it."""
        return Verdict(self.name, "violated", self.detail, self.evidence)


@dataclass(frozen=True)
class Counterexample:
    """A run that broke an invariant, as a value. ``file`` is where it was read from or written to."""

    scenario: str
    seed: int
    plan: FaultPlan
    violated: tuple[Violation, ...]
    scenario_file: str | None = None
    scenario_digest: str | None = None
    schedule: tuple[int, ...] = ()
    messages: int | None = None
    backend: str = "memory"
    versions: Mapping[str, str] = field(default_factory=dict)
    history: str | None = None
    preempt: Level | None = None
    file: Path | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        history: History,
        verdicts: Iterable[Verdict],
        *,
        schedule: Sequence[int] = (),
        messages: int | None = None,
        digest: str | None = None,
    ) -> Counterexample:
        """The counterexample that a run is, from its history and verdicts; *digest* is that of the scenario's file.

        Raises:
            ValueError: no verdict is a violation.
        """
        header = history.header
        violated = tuple(
            Violation(verdict.name, verdict.detail, tuple(verdict.evidence))
            for verdict in verdicts
            if verdict.status == "violated"
        )
        if not violated:
            raise ValueError("a run that broke nothing is no counterexample")
        file = header.get("file")
        versions = {"python": header.get("environment", {}).get("python", ""), **header.get("versions", {})}
        return cls(
            scenario=header["scenario"],
            seed=header["seed"],
            plan=FaultPlan.from_json(header["plan"]),
            violated=violated,
            scenario_file=file,
            scenario_digest=digest or None,
            schedule=tuple(schedule),
            messages=messages,
            backend=header.get("backend", "memory"),
            versions={name: str(version) for name, version in versions.items() if version},
            preempt=header.get("preempt", {}).get("level"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "scenario": {"file": self.scenario_file, "name": self.scenario, "digest": self.scenario_digest},
            "seed": self.seed,
            "plan": self.plan.to_json(),
            "schedule": list(self.schedule),
            "messages": self.messages,
            "backend": self.backend,
            "versions": dict(self.versions),
            "violated": [one.to_json() for one in self.violated],
            "history": self.history,
            **({} if self.preempt is None else {"preempt": self.preempt}),
        }

    @classmethod
    def from_json(cls, value: object, *, file: Path | None = None) -> Counterexample:
        """The counterexample that :meth:`to_json` gave.

        Raises:
            UsageError: an unknown or missing field, another version, or a wrong value; names file and field.
        """
        reader = _Reader(value, None if file is None else str(file))
        scenario = reader.mapping("scenario")
        name, path, digest = (scenario.get(part) for part in ("name", "file", "digest"))
        if not isinstance(name, str) or not name:
            raise reader.error(f"is {name!r}", "scenario.name", "Give the scenario's name")
        for part, found in (("file", path), ("digest", digest)):
            reader.require(found is None or isinstance(found, str), f"scenario.{part}", found, "Give a text or null")
        plan = reader.plan()
        schedule = reader.numbers("schedule")
        messages = reader.root["messages"]
        reader.require(
            messages is None or (_whole(messages) and messages >= 0), "messages", messages, "Give a number or null"
        )
        backend, seed, history = (reader.root[part] for part in ("backend", "seed", "history"))
        reader.require(isinstance(backend, str), "backend", backend, "Give memory, moto or live")
        reader.require(_whole(seed), "seed", seed, "Give a whole number")
        reader.require(history is None or isinstance(history, str), "history", history, "Give a file's name or null")
        preempt = reader.root.get("preempt")
        reader.require(preempt is None or preempt in LEVELS, "preempt", preempt, f"Give {' or '.join(LEVELS)}, or null")
        versions = reader.mapping("versions")
        return cls(
            scenario=name,
            seed=seed,
            plan=plan,
            violated=reader.violations(),
            scenario_file=path,
            scenario_digest=digest,
            schedule=schedule,
            messages=messages,
            backend=backend,
            versions={str(key): str(version) for key, version in versions.items()},
            history=history,
            preempt=preempt,
            file=file,
        )

    @classmethod
    def load(cls, path: Path | str) -> Counterexample:
        """Read a counterexample, or the one in a folder.

        Raises:
            UsageError: it cannot be read or is none; names file and field.
        """
        path = Path(path)
        if path.is_dir():
            path = path / FILE_NAME
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(
                f"cannot be read ({reason})", file=str(path), remedy=f"Give the path of a {FILE_NAME}"
            ) from None
        except (ValueError, RecursionError) as error:
            where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
            raise UsageError(
                "is not JSON: it is cut off or was edited", file=str(path), field=where, remedy="Copy it again"
            ) from None
        return cls.from_json(value, file=path)

    def save(self, folder: Path | str, history: History | None = None) -> Counterexample:
        """Write ``counterexample.json``, its pytest file and, if given, its history into *folder*.

        Each file is complete or not there: it is written under another name
        first. Returns the counterexample as it was written, with its file.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = Counterexample(
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("history", "file")},
            history=self.history if history is None else HISTORY_NAME,
            file=folder / FILE_NAME,
        )
        if history is not None:
            part = folder / (HISTORY_NAME + ".part")
            history.save(part)
            os.replace(part, folder / HISTORY_NAME)
        _write(folder / self.test_name, test_source(written))
        _write(folder / FILE_NAME, json.dumps(written.to_json(), indent=2) + "\n")
        return written

    @property
    def test_name(self) -> str:
        """The name of the pytest file."""
        return f"test_{self._title}.py"

    @property
    def _title(self) -> str:
        """Scenario and first invariant: tests of several findings can stand in one project."""
        return f"{_identifier(self.scenario)}_{_identifier(self.violated[0].name)}"

    def load_history(self) -> History | None:
        """The history beside the file; ``None`` if there is none.

        Raises:
            HistoryError: it is there and cannot be read.
        """
        if self.history is None or self.file is None:
            return None
        path = self.file.parent / self.history
        return History.load(path) if path.exists() else None

    def changed_versions(self, now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """What was another version then: name -> (then, now); ``""`` for what was or is not there."""
        names = sorted({*self.versions, *now})
        pairs = {name: (self.versions.get(name, ""), now.get(name, "")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _identifier(name: str) -> str:
    found = re.sub(r"\W+", "_", name.lower()).strip("_")
    return found or "scenario"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def test_source(counterexample: Counterexample) -> str:
    """A small pytest file that replays the counterexample beside it: it fails until the defect is gone."""
    broken = ", ".join(one.name for one in counterexample.violated)
    details = [_wrapped(effect_name(one.detail) + ".") for one in counterexample.violated]
    lines = [
        f'"""{_plain(counterexample.scenario)} breaks {_plain(broken)}.',
        "",
        *(line for detail in details for line in detail),
        f"Seed {counterexample.seed}, with these faults:",
        "",
        *(f"    {_plain(line)}" for line in str(counterexample.plan).splitlines()),
        "",
        "Run it with pytest; it passes once the defect is mended. With the number of an event as BREAK_AT the debugger",
        "stops in the code that made the event, while virtual time stands still.",
        '"""',
        "",
        "from pathlib import Path",
        "",
        "from harness.explore.replay import replay",
        "",
        f"BREAK_AT = None  # {_numbers(counterexample)}",
        "",
        "",
        f"def test_{counterexample._title}() -> None:",
        f'    """The run that broke {_plain(broken)} breaks nothing any more."""',
        f'    replay(Path(__file__).with_name("{FILE_NAME}"), break_at=BREAK_AT).raise_for_violation()',
        "",
    ]
    return "\n".join(lines)


def _numbers(counterexample: Counterexample) -> str:
    """Events that are worth a stop, as a comment."""
    evidence = counterexample.violated[0].evidence
    shown = ", ".join(map(str, evidence[-3:]))
    return f"the evidence: {shown}" if shown else f"a number of {HISTORY_NAME}"


test_source.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever pytest makes of its name


def _plain(text: str) -> str:
    """Text that can stand in a docstring."""
    return text.replace("\\", "\\\\").replace('"""', "'''").replace('"', "'")


def _wrapped(text: str) -> list[str]:
    """*text* in lines of a docstring, and an empty line."""
    return [*textwrap.wrap(_plain(text), 100, break_long_words=False, break_on_hyphens=False), ""]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class _Reader:
    """Takes a counterexample's JSON apart; each complaint names file and field."""

    def __init__(self, value: object, file: str | None) -> None:
        self.file = file
        if not isinstance(value, Mapping):
            raise UsageError(
                "is no counterexample", file=file, remedy=f"Give a {FILE_NAME} as `harness search` writes it"
            )
        if len(value.keys() & set(_FIELDS)) < len(_FIELDS) // 2:
            raise UsageError(
                f"is no counterexample: it has {', '.join(map(str, list(value)[:3])) or 'no fields'}",
                file=file,
                remedy=f"Give a {FILE_NAME} or a history.jsonl",
            )
        for name in value:
            if name not in _FIELDS + _OPTIONAL:
                hint = did_you_mean(name, _FIELDS + _OPTIONAL)
                raise self.error("is no field of a counterexample", str(name), hint or f"Fields: {', '.join(_FIELDS)}")
        for name in _FIELDS:
            if name not in value:
                raise self.error("is missing", name, "The file is cut off or was edited, or is no counterexample")
        self.root: Mapping[str, Any] = value
        version = value["version"]
        if version != VERSION or isinstance(version, bool):
            raise self.error(
                f"is {version!r}, this harness reads version {VERSION}",
                "version",
                "Replay it with the harness that wrote it",
            )

    def error(self, message: str, field: str, remedy: str) -> UsageError:
        return UsageError(message, file=self.file, field=field, remedy=remedy)

    def require(self, condition: bool, field: str, value: object, remedy: str) -> None:
        if not condition:
            raise self.error(f"is {value!r}", field, remedy)

    def mapping(self, field: str) -> Mapping[str, Any]:
        value = self.root[field]
        self.require(isinstance(value, Mapping), field, value, "Give an object")
        return value  # type: ignore[no-any-return]

    def plan(self) -> FaultPlan:
        try:
            return FaultPlan.from_json(self.root["plan"])
        except PlanError as error:
            where = f"plan.{error.field}" if error.field else "plan"
            raise PlanError(error.message, file=self.file, field=where, remedy=error.remedy) from None

    def numbers(self, field: str) -> tuple[int, ...]:
        value = self.root[field]
        self.require(isinstance(value, list), field, value, "Give a list of whole numbers")
        for index, one in enumerate(value):
            self.require(_whole(one) and one >= 0, f"{field}[{index}]", one, "Give whole numbers, zero or more")
        return tuple(value)

    def violations(self) -> tuple[Violation, ...]:
        value = self.root["violated"]
        self.require(isinstance(value, list) and bool(value), "violated", value, "Give a list, at least one entry")
        found = []
        for index, one in enumerate(value):
            where = f"violated[{index}]"
            self.require(isinstance(one, Mapping) and isinstance(one.get("name"), str), where, one, "Give a name")
            evidence = one.get("evidence", [])
            good = isinstance(evidence, list) and all(_whole(number) for number in evidence)
            self.require(good, f"{where}.evidence", evidence, "Give a list of event numbers")
            found.append(Violation(one["name"], str(one.get("detail", "")), tuple(evidence)))
        return tuple(found)
