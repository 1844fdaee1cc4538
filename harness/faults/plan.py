"""Faults and plans as values: equality, JSON both ways, and a text that a person understands.

A :class:`Fault` says what breaks (its kind), where (its target and side) and
when (window, n-th passing, probability; all three apply). A
:class:`FaultPlan` is an ordered collection of them; a fault's place in it is
its name in histories (``fault: 2``) and its random stream.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import PlanError
from harness.faults import kinds, points, wording
from harness.faults.kinds import SIDES, Kind
from harness.faults.names import did_you_mean
from harness.faults.points import Known, Target

__all__ = ["VERSION", "Fault", "FaultPlan"]

VERSION = 1

_FIELDS = ("target", "kind", "side", "start", "end", "nth", "probability", "parameters")
_SECONDS_MAX = 100 * 365 * 86_400


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Fault:
    """One fault of a plan: a frozen value, checked when it is made.

    Args:
        target: a point without its side, a pattern, or a layer (see :mod:`harness.faults.points`).
        kind: what breaks (``docs/faults.md`` lists all kinds).
        side: ``before`` the effect, ``after`` it, or in the ``middle`` of the handler.
        start: when the window opens, in seconds since the start of the run; ``None``: from the start.
        end: when it closes; ``None``: never.
        nth: strike the n-th passing only, counted from 1 over all processes from the start of the run.
        probability: strike each passing with this probability, drawn from the run's seed.
        parameters: the kind's own; those left out take their defaults.

    Raises:
        PlanError: a field is wrong; ``field`` names it.
    """

    __slots__ = ("_hash", "_values", "kind", "spec", "where")

    kind: str
    #: The kind's specification.
    spec: Kind
    #: The target taken apart.
    where: Target
    _values: tuple[Any, ...]
    _hash: int

    def __init__(
        self,
        target: str,
        kind: str,
        side: str = "before",
        start: float | None = None,
        end: float | None = None,
        nth: int | None = None,
        probability: float = 1.0,
        **parameters: Any,
    ) -> None:
        if not isinstance(target, str) or not target:
            raise PlanError(f"is {target!r}", field="target", remedy='Name a point, such as "aws.sqs.DeleteMessage"')
        parsed = points.parse(target)
        spec = kinds.find(parsed.layer, kind)
        points.check_reach(parsed, spec)
        _check_side(parsed, spec, side)
        _check_window(start, end)
        _check_choice(parsed, spec, nth, probability)
        complete = spec.check_parameters(parameters)
        _check_together(spec, complete)
        put = object.__setattr__
        put(self, "kind", kind)
        put(self, "spec", spec)
        put(self, "where", parsed)
        put(self, "_values", (target, kind, side, start, end, nth, probability, tuple(complete.items())))
        put(self, "_hash", hash(self._values))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Fault is a frozen value; make another one with fault.replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Fault is a frozen value")

    @property
    def target(self) -> str:
        return self._values[0]  # type: ignore[no-any-return]

    @property
    def side(self) -> str:
        return self._values[2]  # type: ignore[no-any-return]

    @property
    def start(self) -> float | None:
        return self._values[3]  # type: ignore[no-any-return]

    @property
    def end(self) -> float | None:
        return self._values[4]  # type: ignore[no-any-return]

    @property
    def nth(self) -> int | None:
        return self._values[5]  # type: ignore[no-any-return]

    @property
    def probability(self) -> float:
        return self._values[6]  # type: ignore[no-any-return]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Every parameter of the kind with its value, defaults included."""
        return MappingProxyType(dict(self._values[7]))

    @property
    def passing_side(self) -> str:
        """The side on which passings are struck: for network kinds it follows from the stream."""
        if self.where.layer == "network":
            return "after" if self.parameters.get("stream") == "downstream" else "before"
        return self.side

    @property
    def effective_end(self) -> float | None:
        """When what this fault does is over, in seconds; ``None``: never, or it cannot be told before the run.

        A crash ends with the restart, a pause when the process goes on.
        """
        end = self.end
        momentary = self.momentary
        if momentary:
            lasting = _lasting(self.spec.name, self.parameters)
            if self.nth is not None:
                return None
            if self.spec.layer == "clock":
                return end
            return None if lasting is None else (self.start or 0) + lasting
        if end is None:
            return None
        lasting = _lasting(self.spec.name, self.parameters)
        return None if lasting is None else end + lasting

    @property
    def momentary(self) -> bool:
        """Whether it strikes once when its window opens, and not at passings."""
        if self.nth is not None or self.spec.name == "slow-start":
            return False
        if self.where.layer in ("process", "clock"):
            return True
        return self.spec.once and self.start is not None

    def replace(self, **changes: Any) -> Fault:
        """Another fault that differs in the named fields or parameters.

        With another ``kind``, parameters of the old one are dropped.
        """
        values: dict[str, Any] = dict(zip(_FIELDS[:-1], self._values[:-1], strict=True))
        if changes.get("kind", self.kind) == self.kind:
            values.update(self._values[-1])
        values.update(changes)
        return Fault(**values)

    def to_json(self) -> dict[str, Any]:
        """This fault as JSON values, every field present."""
        values: dict[str, Any] = dict(zip(_FIELDS[:-1], self._values[:-1], strict=True))
        values["parameters"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in self._values[-1]
        }
        return values

    @classmethod
    def from_json(cls, value: object, *, field: str = "fault") -> Fault:
        """The fault that :meth:`to_json` gave; *field* is its name in messages.

        Raises:
            PlanError: an unknown or missing field, or a wrong value.
        """
        if not isinstance(value, Mapping):
            raise PlanError(f"is {value!r}", field=field, remedy="Each fault is an object with target and kind")
        for name in value:
            if name not in _FIELDS:
                hint = did_you_mean(name, _FIELDS)
                raise PlanError(
                    "is no field of a fault", field=f"{field}.{name}", remedy=hint or f"Fields: {', '.join(_FIELDS)}"
                )
        for name in ("target", "kind"):
            if name not in value:
                raise PlanError("is missing", field=f"{field}.{name}", remedy="Each fault has a target and a kind")
        fields = dict(value)
        parameters = fields.pop("parameters", {})
        if not isinstance(parameters, Mapping):
            raise PlanError(f"is {parameters!r}", field=f"{field}.parameters", remedy="Give an object, {} for none")
        for name in parameters:
            if name in _FIELDS:
                raise PlanError(
                    "is a field of the fault, not a parameter",
                    field=f"{field}.parameters.{name}",
                    remedy=f"Write it beside {_FIELDS[0]} and {_FIELDS[1]}",
                )
        try:
            return cls(**fields, **parameters)
        except PlanError as error:
            raise _within(error, field) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fault) and self._values == other._values

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return Fault.from_json, (self.to_json(),)

    def __repr__(self) -> str:
        parts = [repr(self.target), repr(self.kind)]
        for name, default in (("side", "before"), ("start", None), ("end", None), ("nth", None), ("probability", 1.0)):
            value = getattr(self, name)
            if value != default:
                parts.append(f"{name}={value!r}")
        defaults = {parameter.name: parameter.default for parameter in self.spec.parameters}
        parts += [f"{name}={value!r}" for name, value in self._values[-1] if value != defaults[name]]
        return f"Fault({', '.join(parts)})"

    def __str__(self) -> str:
        return wording.sentence(self)


def _lasting(kind: str, parameters: Mapping[str, Any]) -> float | None:
    """How long after its strike a fault's work goes on, in seconds; ``None``: for ever."""
    if kind == "hang":
        return None
    if kind == "crash":
        return parameters["restart_after"]  # type: ignore[no-any-return]
    if kind == "sigterm":
        return parameters["grace"]  # type: ignore[no-any-return]
    if kind in ("pause", "slow", "slow-start", "delay"):
        return parameters["seconds"]  # type: ignore[no-any-return]
    return 0


def _check_side(target: Target, spec: Kind, side: object) -> None:
    if side not in SIDES:
        raise PlanError(
            f"is {side!r}", field="side", remedy=did_you_mean(side, SIDES) or f"Give one of {', '.join(SIDES)}"
        )
    if side not in spec.sides:
        raise PlanError(
            f"is {side!r}, where {spec.name} does not strike",
            field="side",
            remedy=f"{spec.name} strikes {' or '.join(spec.sides)}",
        )
    if target.layer == "handler":
        return
    if side == "middle":
        raise PlanError("is 'middle', which only the handler has", field="side", remedy="Give before or after")
    if side == "after" and target.layer in ("point", "process", "clock", "workload"):
        raise PlanError(
            f"is 'after', and {target.layer} has one side only", field="side", remedy="Leave it out (before)"
        )


def _check_window(start: object, end: object) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is None:
            continue
        if not _number(value):
            raise PlanError(
                f"is {value!r}", field=name, remedy="Give seconds since the start of the run as a number, or None"
            )
        if value < 0:  # type: ignore[operator]
            raise PlanError(f"is {value!r}, before the run", field=name, remedy="Give zero or more seconds")
        if value > _SECONDS_MAX:  # type: ignore[operator]
            raise PlanError(f"is {value!r}, more than a hundred years", field=name, remedy="Give seconds")
    if end is not None and end <= (start or 0):  # type: ignore[operator]
        raise PlanError(
            f"is {end!r}, and the window opens at {start or 0!r}",
            field="end",
            remedy="Give an end after the start, or None for a window that stays open",
        )


def _check_choice(target: Target, spec: Kind, nth: object, probability: object) -> None:
    if nth is not None:
        if not isinstance(nth, int) or isinstance(nth, bool):
            raise PlanError(f"is {nth!r}", field="nth", remedy="Give a whole number, 1 for the first passing")
        if nth < 1:
            raise PlanError(f"is {nth!r}", field="nth", remedy="Passings are counted from 1")
        if spec.name == "slow-start":
            raise PlanError(
                f"is {nth!r}, and slow-start strikes at starts, not at passings",
                field="nth",
                remedy="Give a window (start, end) in which the process starts",
            )
    if not _number(probability) or not 0 <= probability <= 1:  # type: ignore[operator]
        raise PlanError(f"is {probability!r}", field="probability", remedy="Give a number from 0 to 1")
    if spec.name == "slow-start" and target.layer != "process":
        raise PlanError(
            f"slow-start cannot be given at {target.text}",
            field="kind",
            remedy="It strikes where processes start: give process.NAME",
        )


def _check_together(spec: Kind, parameters: Mapping[str, Any]) -> None:
    """What two parameters must not be at once: Toxiproxy's slicer ends its server when these do not fit."""
    if spec.name == "slicer" and parameters["size_variation"] >= parameters["average_size"]:
        raise PlanError(
            f"is {parameters['size_variation']!r}, not below the average size {parameters['average_size']!r}",
            field="parameters.size_variation",
            remedy="Give a variation below average_size",
        )


def _within(error: PlanError, field: str, file: str | None = None) -> PlanError:
    """The same error, its field named from the plan's root."""
    inner = error.field
    return PlanError(
        error.message, file=file or error.file, field=f"{field}.{inner}" if inner else field, remedy=error.remedy
    )


class FaultPlan:
    """An ordered collection of faults: a frozen value.

    ``FaultPlan()`` injects nothing. Iterating, ``len`` and indexing give the
    faults; :meth:`add`, :meth:`remove` and :meth:`replace` give other plans.

    Raises:
        PlanError: something that is no :class:`Fault`.
    """

    __slots__ = ("faults",)

    faults: tuple[Fault, ...]

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        if isinstance(faults, Fault):
            faults = (faults,)
        try:
            found = tuple(faults)
        except TypeError:
            raise PlanError(f"is {faults!r}", field="faults", remedy="Give a list of Fault values") from None
        for index, fault in enumerate(found):
            if not isinstance(fault, Fault):
                raise PlanError(
                    f"is {fault!r}",
                    field=f"faults[{index}]",
                    remedy='Give Fault values, such as Fault("aws.sqs.SendMessage", "throttled")',
                )
        object.__setattr__(self, "faults", found)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a FaultPlan is a frozen value; use add, remove or replace")

    @classmethod
    def of(cls, value: FaultPlan | Iterable[Fault] | Mapping[str, Any] | None) -> FaultPlan:
        """A plan from what callers give: a plan, faults, a plan's JSON, or ``None`` for no faults."""
        if isinstance(value, FaultPlan):
            return value
        if isinstance(value, Mapping):
            return cls.from_json(value)
        return cls(() if value is None else value)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.faults)

    def __len__(self) -> int:
        return len(self.faults)

    def __getitem__(self, index: int) -> Fault:
        return self.faults[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FaultPlan) and self.faults == other.faults

    def __hash__(self) -> int:
        return hash(self.faults)

    def __reduce__(self) -> tuple[Any, ...]:
        return FaultPlan, (self.faults,)

    def __repr__(self) -> str:
        return f"FaultPlan([{', '.join(map(repr, self.faults))}])"

    def __str__(self) -> str:
        if not self.faults:
            return "no faults"
        return "\n".join(f"{number}. {fault}" for number, fault in enumerate(self.faults, start=1))

    def add(self, *faults: Fault) -> FaultPlan:
        """This plan with more faults at its end."""
        return FaultPlan((*self.faults, *faults))

    def remove(self, index: int) -> FaultPlan:
        """This plan without the fault at *index*.

        Raises:
            IndexError: there is none.
        """
        kept = list(self.faults)
        del kept[index]
        return FaultPlan(kept)

    def replace(self, index: int, fault: Fault | None = None, **changes: Any) -> FaultPlan:
        """This plan with another fault at *index*: *fault*, or the one there with some fields changed.

        Raises:
            IndexError: there is none.
        """
        changed = list(self.faults)
        changed[index] = (fault or changed[index]).replace(**changes)
        return FaultPlan(changed)

    @property
    def effective_end(self) -> float | None:
        """When the last fault is over, in seconds; ``None`` if one never is or it cannot be told before the run."""
        ends = [fault.effective_end for fault in self.faults]
        known = [end for end in ends if end is not None]
        return max(known, default=0.0) if len(known) == len(ends) else None

    @property
    def last_known_end(self) -> float:
        """Until when the run must go on for every window to have opened and closed, in seconds.

        Of a fault without an end that is its start.
        """
        ends = [fault.effective_end for fault in self.faults]
        starts = [fault.start or 0.0 for fault in self.faults]
        closes = [fault.end or 0.0 for fault in self.faults]
        return max([0.0, *starts, *closes, *(end for end in ends if end is not None)])

    def check(self, known: Known) -> None:
        """Hold every target against a scenario's names.

        Raises:
            PlanError: the first that names nothing, as ``faults[2].target``.
        """
        for index, fault in enumerate(self.faults):
            try:
                points.check_known(fault.where, known)
                if known.backend != "live" and fault.spec.live_only:
                    raise PlanError(
                        f"{fault.kind} cannot be simulated", field="kind", remedy=fault.spec.live_only.capitalize()
                    )
                if known.backend == "moto" and fault.spec.beyond_moto:
                    raise PlanError(
                        f"{fault.kind} cannot be given on moto: {fault.spec.beyond_moto}",
                        field="kind",
                        remedy='Run it on memory, and leave "moto" out of the scenario\'s backends',
                    )
            except PlanError as error:
                raise _within(error, f"faults[{index}]") from None

    def to_json(self) -> dict[str, Any]:
        """This plan as JSON values."""
        return {"version": VERSION, "faults": [fault.to_json() for fault in self.faults]}

    @classmethod
    def from_json(cls, value: object) -> FaultPlan:
        """The plan that :meth:`to_json` gave.

        Raises:
            PlanError: another version, unknown fields, or a wrong fault; names the field.
        """
        if not isinstance(value, Mapping):
            raise PlanError(
                f"a plan is an object, not {type(value).__name__}", remedy='Give {"version": 1, "faults": [...]}'
            )
        for name in value:
            if name not in ("version", "faults"):
                hint = did_you_mean(name, ("version", "faults"))
                raise PlanError("is no field of a plan", field=str(name), remedy=hint or "Fields: version, faults")
        for name in ("version", "faults"):
            if name not in value:
                raise PlanError("is missing", field=name, remedy='Give {"version": 1, "faults": [...]}')
        version = value["version"]
        if version != VERSION or isinstance(version, bool):
            raise PlanError(
                f"is {version!r}, this harness reads version {VERSION}",
                field="version",
                remedy="Write the plan in this version, or use the harness that wrote it",
            )
        faults = value["faults"]
        if not isinstance(faults, (list, tuple)):
            raise PlanError(f"is {faults!r}", field="faults", remedy="Give a list of faults, [] for none")
        return cls(Fault.from_json(fault, field=f"faults[{index}]") for index, fault in enumerate(faults))

    @classmethod
    def load(cls, path: Path | str) -> FaultPlan:
        """Read a plan from a JSON file.

        Raises:
            PlanError: it cannot be read or is no plan; names file and field.
        """
        name = str(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise PlanError(f"cannot be read ({reason})", file=name, remedy="Give the path of a plan's JSON") from None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise PlanError(
                f"is not JSON ({reason})", file=name, field=where, remedy="A plan is one JSON object"
            ) from None
        try:
            return cls.from_json(value)
        except PlanError as error:
            raise PlanError(error.message, file=name, field=error.field, remedy=error.remedy) from None

    def save(self, path: Path | str) -> None:
        """Write this plan as a JSON file."""
        Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
