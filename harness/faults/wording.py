"""A fault in words: who, what, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.faults.plan import Fault

__all__ = ["ordinal", "sentence"]

_HANDLER = {
    "before": "the handler",
    "middle": "the handler, in its middle,",
    "after": "the handler, at its end,",
}


def sentence(fault: Fault) -> str:
    """*fault* as one sentence without a full stop: ``aws.sqs.DeleteMessage takes effect, the answer is lost, ...``."""
    return f"{_subject(fault)} {_phrase(fault)}{_when(fault)}"


def _subject(fault: Fault) -> str:
    target = fault.where
    layer, name = target.layer, target.name
    if layer == "handler":
        return _HANDLER[fault.side]
    if layer == "process":
        return f"every process {name}" if fault.nth is None else f"the process {name} that passes"
    if fault.spec.layer in ("handler", "process"):
        place = "any point" if layer == "*" else target.text
        return f"whoever passes {place}" + ("" if layer == "point" else f" ({fault.side})")
    if layer == "clock":
        return f"the clock of {name}"
    if layer == "workload":
        return "the workload" if name == "*" else f"the workload of {name}"
    if layer == "network":
        return f"the network to {name}"
    return target.text


def _phrase(fault: Fault) -> str:
    phrase = fault.spec.phrase
    parameters = fault.parameters
    values = {name: _shown(value) for name, value in parameters.items()}
    restart = parameters.get("restart_after")
    values["restart"] = " for good" if restart is None else f" and started again after {restart:g} s"
    retry = parameters.get("retry_after")
    values["retry"] = "" if retry is None else f" with Retry-After {retry:g} s"
    if fault.spec.name == "poison" and parameters["keys"] is None:
        values["keys"] = "that it strikes"
    return (phrase if isinstance(phrase, str) else phrase[fault.side]).format_map(values)


def _when(fault: Fault) -> str:
    parts = []
    if fault.probability != 1:
        parts.append(f"with probability {fault.probability:g}")
    if fault.nth is not None:
        parts.append(f"at the {ordinal(fault.nth)} passing")
    start, end = fault.start, fault.end
    if fault.momentary and (end is None or fault.spec.layer != "clock"):
        parts.append(f"at {start or 0:g} s")
    elif start is not None and end is not None:
        parts.append(f"from {start:g} s to {end:g} s")
    elif start is not None:
        parts.append(f"from {start:g} s on")
    elif end is not None:
        parts.append(f"until {end:g} s")
    elif fault.nth is None:
        parts.append("all the time")
    return "".join(f", {part}" for part in parts)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, str):
        return value.removeprefix("builtins:")
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, ..."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number % 10, 'th')}"
