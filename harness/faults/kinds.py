"""Kinds of faults: what each is called, takes and decides, and the one registry of them all.

Each layer has a file of its own (``workload.py``, ``handler.py``, ``aws.py``,
``redis.py``, ``dependency.py``, ``network.py``, ``process.py``,
``clock.py``) with its kinds, their parameters beside what they decide. A new
kind is one more :class:`Kind` in its layer's ``KINDS``; nothing else names
it. A kind *decides* (``decide`` returns a verdict for the wire or an act for
the engine) and never acts.

``python -m harness.faults.kinds`` prints ``docs/faults.md``.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import PlanError
from harness.faults.names import did_you_mean

if TYPE_CHECKING:
    from harness.faults.acts import Decision

__all__ = ["LAYERS", "SIDES", "Kind", "Parameter", "Passing", "all_kinds", "find", "for_layer", "layer_kinds"]

SIDES = ("before", "middle", "after")

#: The layers of targets, in the order of the documentation.
LAYERS = ("workload", "handler", "lambda", "aws", "redis", "dependency", "point", "network", "process", "clock")

#: Which layers' kinds may be given at a target of a layer. Handler and process kinds strike whoever passes.
_BORROWED: Mapping[str, tuple[str, ...]] = {
    "workload": ("workload",),
    "handler": ("handler", "process"),
    "lambda": ("handler", "process"),
    "aws": ("aws", "sqs", "handler", "process"),
    "redis": ("redis", "handler", "process"),
    "dependency": ("dependency", "handler", "process"),
    "point": ("handler", "process"),
    "network": ("network",),
    "process": ("process",),
    "clock": ("clock",),
    "*": ("handler", "process"),
}

#: The longest time that a plan may name, in seconds: a hundred years.
_SECONDS_MAX = 100 * 365 * 86_400


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_seconds(value: Any) -> bool:
    return _finite(value) and 0 <= value <= _SECONDS_MAX


_ERROR_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


def _error_name(value: Any) -> Any:
    """An exception class as ``module:Class``; a bare name is one of the builtins."""
    if isinstance(value, type) and issubclass(value, BaseException):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, str) and ":" not in value and value.isidentifier():
        return f"builtins:{value}"
    return value


def _key_texts(value: Any) -> Any:
    """Keys as a tuple of texts; numbers are written as JSON writes them."""
    if isinstance(value, (list, tuple)):
        return tuple(str(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in value)
    return value


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class _Type:
    """What values a parameter takes: how they are normalised, which are right, and what to say of others."""

    holds: Callable[[Any], bool]
    remedy: str
    normalise: Callable[[Any], Any] = _same


_TYPES: Mapping[str, _Type] = {
    "seconds": _Type(_is_seconds, "Give seconds, zero or more"),
    "positive": _Type(lambda value: _is_seconds(value) and value > 0, "Give seconds above zero"),
    "offset": _Type(
        lambda value: _finite(value) and abs(value) <= _SECONDS_MAX and value != 0,
        "Give seconds other than zero; below zero is back in time",
    ),
    "rate": _Type(
        lambda value: _finite(value) and 0 < value <= 1000,
        "Give the clock's speed, above zero and at most 1000; 1 is a clock that goes right",
    ),
    "share": _Type(lambda value: _finite(value) and 0 < value <= 1, "Give a share above 0 and at most 1"),
    "status": _Type(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599,
        "Give an HTTP status from 400 to 599",
    ),
    "milliseconds": _Type(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _SECONDS_MAX * 1000,
        "Give whole milliseconds, zero or more",
    ),
    "count": _Type(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53,
        "Give a whole number, zero or more",
    ),
    "size": _Type(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 2**53,
        "Give a whole number, one or more",
    ),
    "stream": _Type(
        lambda value: value in ("upstream", "downstream"),
        'Give "upstream" (requests) or "downstream" (answers)',
    ),
    "error": _Type(
        lambda value: isinstance(value, str) and bool(_ERROR_NAME.match(value)),
        'Name an exception class as "module:Class", such as "builtins:TimeoutError"',
        _error_name,
    ),
    "keys": _Type(
        lambda value: isinstance(value, tuple) and bool(value) and all(isinstance(one, str) for one in value),
        "Give a list of message keys as texts, at least one",
        _key_texts,
    ),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind. *type* is a name of the table of types above; *optional* allows ``None``."""

    name: str
    type: str
    default: Any
    doc: str
    optional: bool = False

    def check(self, value: Any) -> Any:
        """*value* as the plan keeps it.

        Raises:
            PlanError: it is none that this parameter takes; ``field`` is ``parameters.<name>``.
        """
        if value is None and self.optional:
            return None
        kind = _TYPES[self.type]
        value = kind.normalise(value)
        if not kind.holds(value):
            remedy = kind.remedy + (", or None" if self.optional else "")
            raise PlanError(f"is {value!r}", field=f"parameters.{self.name}", remedy=remedy)
        return value


@dataclass(frozen=True, slots=True)
class Passing:
    """What a kind sees when it decides: the passing that its fault strikes.

    *now_us* is virtual time in microseconds since the start of the run,
    *clock_us* the service's own clock in microseconds since 1970, *struck*
    how often the fault has struck before, *remembered* what it has chosen
    then (a poison fault: the keys).
    """

    point: str
    side: str
    key: str | None
    now_us: int
    clock_us: int
    parameters: Mapping[str, Any]
    remembered: set[str]

    @property
    def service(self) -> str:
        """The second part of the point: botocore's service name, Redis command or dependency."""
        parts = self.point.split(".")
        return parts[1] if len(parts) > 1 else ""


Decide = Callable[[Passing], "Decision | None"]


@dataclass(frozen=True, slots=True, eq=False)  # each kind exists once: compared and hashed by identity
class Kind:
    """One kind of fault.

    Attributes:
        name: as in plans, with hyphens.
        layer: workload, handler, aws, sqs, redis, dependency, network, process or clock.
        summary: one sentence for people: what breaks.
        phrase: what ``str(fault)`` says, with the parameters in braces; one text, or one for each side.
        decide: what it decides at a passing, or at its moment.
        parameters: in the order of the documentation.
        sides: where it may strike.
        operations: the only operations or commands that it strikes (last part of the point), ``None``: all.
        once: it acts once in a run, not at each passing (a flush, a failover).
        source: who says that the real thing behaves so.
        live_only: why a simulation cannot act it, empty where it can.
        beyond_moto: what moto's SQS does instead, empty where it can be given there.
    """

    name: str
    layer: str
    summary: str
    phrase: str | Mapping[str, str]
    decide: Decide
    parameters: tuple[Parameter, ...] = ()
    sides: tuple[str, ...] = ("before",)
    operations: frozenset[str] | None = None
    once: bool = False
    source: str = ""
    live_only: str = ""
    beyond_moto: str = ""

    def check_parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Every parameter of this kind with its value, defaults filled in, in the kind's order.

        Raises:
            PlanError: an unknown name, or a value of the wrong type or range.
        """
        names = [parameter.name for parameter in self.parameters]
        for name in given:
            if name not in names:
                takes = f"{self.name} takes {', '.join(names)}" if names else f"{self.name} takes no parameters"
                hint = did_you_mean(name, names)
                raise PlanError(
                    f"{self.name} has no such parameter",
                    field=f"parameters.{name}",
                    remedy=f"{hint} {takes}" if hint else takes,
                )
        return {
            parameter.name: parameter.check(given.get(parameter.name, parameter.default))
            for parameter in self.parameters
        }


@functools.cache
def all_kinds() -> tuple[Kind, ...]:
    """Every kind, layer by layer."""
    from harness.faults import aws, clock, dependency, handler, network, process, redis, workload

    layers = (workload, handler, aws, redis, dependency, network, process, clock)
    return tuple(kind for layer in layers for kind in layer.KINDS)


@functools.cache
def layer_kinds(layer: str) -> tuple[Kind, ...]:
    """The kinds that a layer defines (``sqs`` beside ``aws``)."""
    return tuple(kind for kind in all_kinds() if kind.layer == layer)


@functools.cache
def for_layer(layer: str) -> Mapping[str, Kind]:
    """The kinds that may be given at a target of *layer*, by name; its own before those it borrows."""
    found: dict[str, Kind] = {}
    for owner in _BORROWED[layer]:
        for kind in layer_kinds(owner):
            found.setdefault(kind.name, kind)
    return found


def find(layer: str, name: object) -> Kind:
    """The kind called *name* at a target of *layer*.

    Raises:
        PlanError: there is none; names the nearest, or the layers that have it.
    """
    kinds = for_layer(layer)
    if isinstance(name, str) and name in kinds:
        return kinds[name]
    spelt = name.replace("_", "-") if isinstance(name, str) else name
    elsewhere = sorted({kind.layer for kind in all_kinds() if kind.name == spelt and spelt not in kinds})
    article = "an" if layer == "aws" else "a"
    what = "a target of every layer (*)" if layer == "*" else f"{article} {layer} target"
    remedy = f"There it is one of: {', '.join(kinds)}"
    if elsewhere:
        message = f"{name!r} is a kind of {', '.join(elsewhere)} and cannot be given at {what}"
    else:
        message = f"{name!r} is no kind of fault at {what}"
        hint = did_you_mean(name, kinds)
        remedy = f"{hint} {remedy}" if hint else remedy
    raise PlanError(message, field="kind", remedy=remedy)


if __name__ == "__main__":
    from harness.faults.reference import main

    main()
