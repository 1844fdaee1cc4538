"""The fault model: under which faults an invariant must hold, and to what it weakens under others.

A table of data. Every invariant must hold under every kind of fault, but for
the rows of :data:`MODEL`: each names what it weakens (invariants), under what
(kinds of faults), to what, *why* no system could do better, and one plan that
shows it. The runner applies the table with :func:`weaken` and prints what it
weakened; a search stays inside it unless told otherwise.

Two things need no row, because invariants are made so that they hold:
a message whose retention runs out is *expired*, which is reported apart from
lost; and a message that is put aside on record (dead letter, quarantine) has
not vanished.

``python -m harness.faults.model`` writes ``docs/fault-model.md``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol, TypeVar

from harness import generated_page
from harness.faults.kinds import find

__all__ = ["MODEL", "Under", "Weakening", "layer_of", "open_ended", "weaken"]

Json = Mapping[str, Any]

#: AWS refuses a request that was signed this much off its own time, in seconds (Signature Version 4).
_SKEW_MAX_S = 900

#: Kinds that leave the system able to do its work however long they last: they need no end.
_HARMLESS = frozenset(
    {
        "handler.permanent",
        "handler.poison",
        "sqs.duplicate",
        "sqs.reorder",
        "sqs.delay",
        "sqs.stale-attributes",
        "redis.flushed",
        "redis.failover",
        "process.slow-start",
        "clock.drift",
        "network.latency",
        "network.slicer",
        "network.slow_close",
    }
)


class SpecLike(Protocol):
    """What :func:`weaken` asks of a spec (:class:`harness.invariants.base.Spec` fits)."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> Any: ...
    def with_parameters(self, **changes: Any) -> Any: ...


S = TypeVar("S", bound=SpecLike)


class Facts(NamedTuple):
    """What the table asks of a fault."""

    layer: str
    kind: str
    side: str
    open_ended: bool
    target: str = ""


@dataclass(frozen=True)
class Under:
    """Kinds of faults: of one layer (``*``: any), with these names (none given: all of it), on these sides (none: any).

    ``open_ended``: only faults that have no end. ``service``: only where the
    target is this service of AWS, or a pattern that takes it in. ``target``:
    only where the fault's target begins so.
    """

    layer: str = "*"
    kinds: frozenset[str] = frozenset()
    sides: frozenset[str] = frozenset()
    open_ended: bool = False
    service: str = ""
    target: str = ""

    def matches(self, fault: Facts) -> bool:
        """Whether *fault* is one of these."""
        if self.layer not in ("*", fault.layer) or (self.open_ended and not fault.open_ended):
            return False
        if (self.service and not self._concerns(fault.target)) or not fault.target.startswith(self.target):
            return False
        return (not self.kinds or fault.kind in self.kinds) and (not self.sides or fault.side in self.sides)

    def _concerns(self, target: str) -> bool:
        name = f"{self.layer}.{self.service}"
        return target == self.layer or target.startswith(name) or fnmatchcase(f"{name}.PutMetricData", target)

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in sorted(self.kinds)) or "every kind"
        if self.service:
            names += f" of {self.service}"
        if self.target:
            names += f" at `{self.target}*`"
        text = names if self.layer == "*" else f"{self.layer}: {names}"
        if self.sides:
            text += f" ({', '.join(sorted(self.sides))})"
        return text + (" without an end" if self.open_ended else "")


@dataclass(frozen=True)
class Weakening:
    """One row of the fault model.

    Attributes:
        name: a short name of the row.
        invariants: what is weakened.
        under: under which faults.
        to: what still must hold, in words.
        why: why no system could do better.
        plan: a fault plan that shows it.
        parameters: what the invariant is judged with then; ``None``: it is not judged.
        unless: where one of these invariants is asked for too, the row does not apply: it declares what helps.
    """

    name: str
    invariants: tuple[str, ...]
    under: tuple[Under, ...]
    to: str
    why: str
    plan: Json
    parameters: Json | None = field(default=None)
    unless: tuple[str, ...] = ()


def _plan(*faults: Json) -> Json:
    return {"version": 1, "faults": list(faults)}


def _fault(
    target: str,
    kind: str,
    side: str = "before",
    *,
    start: float | None = None,
    end: float | None = None,
    nth: int | None = None,
    **parameters: Any,
) -> Json:
    return {
        "target": target,
        "kind": kind,
        "side": side,
        "start": start,
        "end": end,
        "nth": nth,
        "parameters": parameters,
    }


def _kinds(layer: str, *names: str, sides: Iterable[str] = ()) -> Under:
    return Under(layer, frozenset(names), frozenset(sides))


_REDIS_KINDS = ("refused", "timeout", "loading", "readonly", "out-of-memory", "flushed", "failover")
LIVENESS = ("at-least-once", "not-stuck")
RECOVERY = ("recovers-within", "backlog-drains", "throughput-returns", "not-metastable", "amplification-bounded")
ONCE = ("effects-once", "duplicates-bounded")

#: The row of faults without an end: what needs an end is not judged, safety is.
_OPEN_ENDED = Weakening(
    name="no end",
    invariants=LIVENESS + RECOVERY,
    under=(Under(open_ended=True),),
    to="not judged: safety only",
    why="A fault that never ends may hold up everything for ever, and a time after its end does not exist.",
    plan=_plan(_fault("aws.sqs.DeleteMessage", "unavailable", start=10)),
)

_EFFECT_ROWS: tuple[Weakening, ...] = (
    Weakening(
        name="killed between effect and record",
        invariants=ONCE,
        under=(_kinds("process", "crash", "sigterm"),),
        to="once, but for a message whose worker was killed between the first effect and the next",
        why="An effect in the outside world and the note that it happened are two steps; a kill between them leaves "
        "an effect that nobody knows of, and at least once means to do it again.",
        plan=_plan(_fault("handler", "crash", side="after", nth=3, restart_after=5)),
        parameters={"excused": ("*/crash", "*/sigterm", "process.crash", "process.sigterm")},
    ),
    Weakening(
        name="killed at its time limit",
        invariants=ONCE,
        under=(
            _kinds("handler", "slow", "hang"),
            _kinds("process", "pause"),
            _kinds("dependency", "slow", "timeout"),
            _kinds("redis", "timeout"),
            _kinds("network"),
        ),
        to="once, but for a message whose worker was killed between the first effect and the next",
        why="A Lambda function that takes longer than its timeout is killed where it stands: between an effect and the "
        "note that it happened, as by a crash.",
        plan=_plan(_fault("handler", "slow", side="after", nth=3, seconds=45)),
        parameters={"excused": ("process.crash",)},
    ),
    Weakening(
        name="stopped beside the effect",
        invariants=ONCE,
        under=(_kinds("process", "pause"),),
        to="once, but for a message that was delivered to another worker while one that had it stood still",
        why="A worker that stands still longer than every lease cannot know, when it goes on, that another one has "
        "taken its message over, and one that stands still between effect and record leaves an effect that nobody "
        "knows of; only the store of the effect itself could refuse the second. One that goes on in time can do both.",
        plan=_plan(_fault("dependency.payments", "pause", side="after", nth=3, seconds=120)),
        parameters={"standstills": True},
    ),
    Weakening(
        name="answer of the effect lost",
        invariants=ONCE,
        under=(_kinds("dependency"), _kinds("network")),
        to="once, but for a message whose call failed for the caller after it had taken effect",
        why="Without an answer the caller cannot tell an effect that happened from one that did not; to be sure that "
        "it happens it must ask again, unless the service itself recognises repetitions.",
        plan=_plan(_fault("dependency.payments", "timeout", side="after", start=10, end=40)),
        # Not what else may strike there: who only stands still, or gets the answer late, can still record it.
        parameters={
            "excused": (
                *(f"dependency.*.after/{kind}" for kind in ("reset", "status", "timeout")),
                "network.*/*",
                "call.failed/dependency.*",
                "call.failed/redis.*",
            )
        },
    ),
    Weakening(
        name="failed after the effect",
        invariants=ONCE,
        under=(_kinds("handler", "transient", "permanent", "poison", "hang"),),
        to="once, but for a message whose handler was made to fail after its effect",
        why="A handler that has charged and then fails has failed: who must not lose the message calls it again.",
        plan=_plan(_fault("handler", "transient", side="after", nth=3)),
        parameters={
            "excused": tuple(
                f"{place}/{kind}"
                for place in ("handler.after", "handler.middle", "point.*")
                for kind in ("transient", "permanent", "poison", "hang")
            )
        },
    ),
    Weakening(
        name="record cannot be written",
        invariants=ONCE,
        under=(_kinds("redis"),),
        to="once, but for a message with a strike on Redis, or a loss of its writes, between the two effects",
        why="The record of what was done lives in Redis: if it is down after the effect, or loses the record, "
        "nothing is left that says the effect happened.",
        plan=_plan(_fault("redis", "failover", start=20, lost_seconds=5)),
        parameters={"excused": (*(f"redis*/{kind}" for kind in _REDIS_KINDS), "call.failed/redis.*", "effect.lost")},
    ),
)

_STORE_ROWS: tuple[Weakening, ...] = (
    Weakening(
        name="effects undone by their store",
        invariants=("no-message-loss",),
        under=(_kinds("redis", "flushed", "failover"),),
        to="no message is lost but those that Redis itself held, or whose effect it had, and lost again",
        why="That a store loses what it had confirmed, a message or what was done for one, is out of the consumer's "
        "hands.",
        plan=_plan(_fault("redis", "flushed", start=30)),
        parameters={"undone_excused": True},
    ),
    Weakening(
        name="what a shared breaker's store forgot",
        invariants=("breaker-opens", "breaker-half-open-permits"),
        under=(_kinds("redis", "flushed", "failover"),),
        to="as before, but failures and probes that a shared breaker's store had counted before it lost data are none",
        why="The store is the only one that knows of the failures and the probes of all processes; what it has "
        "confirmed and lost again nobody can count.",
        plan=_plan(_fault("redis", "failover", start=20, lost_seconds=5)),
        parameters={"losses_excused": True},
    ),
)

_DEAD_LETTER_EXCUSES = (
    "*/crash",
    "*/sigterm",
    "*/pause",
    "*/hang",
    "*/slow",
    "*/duplicate",
    "process.crash",
    "process.resume",
    "aws.sqs.*/*",
    "redis*/*",
    "network.*/*",
    "dependency.*/*",
    "handler.after/*",
    "handler.middle/*",
    "point.*/*",
    "call.failed/*",
)

_NO_ATTEMPT = (
    "*/crash",
    "*/sigterm",
    "process.*",
    "*/hang",
    "*/slow",
    "*/duplicate",
    "aws.sqs.*/*",
    "redis*/*",
    "network.*/*",
)

_DEAD_LETTER_ROWS: tuple[Weakening, ...] = (
    Weakening(
        name="handled, and could not say so",
        invariants=("not-processed-and-dead-lettered",),
        under=(
            _kinds("process", "crash", "sigterm", "pause"),
            _kinds("handler", "transient", "permanent", "hang", "slow"),
            _kinds("handler", "poison", sides=("middle", "after")),
            Under("handler", frozenset({"poison"}), target="point."),
            _kinds("aws"),
            _kinds("sqs"),
            _kinds("redis"),
            _kinds("network"),
            _kinds("dependency"),
        ),
        to="not both, but for a message with a strike between its effect and its dead letter",
        why="A message that took effect and whose acknowledgement or record is lost is delivered again and again, and "
        "SQS moves it after max receives, whatever the consumer does.",
        plan=_plan(_fault("aws.sqs.DeleteMessage", "unavailable", start=10, end=600)),
        parameters={"excused": _DEAD_LETTER_EXCUSES},
    ),
    Weakening(
        name="in two hands, and nobody who knows",
        invariants=("not-processed-and-dead-lettered",),
        under=(_kinds("sqs", "duplicate"),),
        to="not both, but for a message that was delivered once more while an earlier delivery was in force",
        why="Two workers that have one message at the same time know nothing of each other, and the second delivery "
        "counts as a failure of the first: one of them puts aside what the other one is handling. Only a store that "
        "both ask can tell them, and who has one asks for effects-once.",
        plan=_plan(_fault("aws.sqs.ReceiveMessage", "duplicate", start=5, end=45)),
        parameters={"delivered_twice": True},
        unless=("effects-once",),
    ),
    Weakening(
        name="deliveries that are no attempts",
        invariants=("poison-contained",),
        under=(
            _kinds("process", "crash", "sigterm", "pause"),
            _kinds("handler", "hang", "slow"),
            _kinds("aws"),
            _kinds("sqs"),
            _kinds("redis"),
            _kinds("network"),
        ),
        to="within the bound, but for a message with such a strike since it was sent",
        why="A delivery that was lost on its way, or whose worker was killed, counts as one although nobody tried; "
        "and a message cannot be put aside while the dead-letter queue or the store of counts is down.",
        plan=_plan(_fault("handler", "poison", keys=["3"]), _fault("redis", "refused", start=0, end=120)),
        parameters={"excused": _NO_ATTEMPT},
    ),
    Weakening(
        name="receives that come to nothing",
        invariants=("tried-before-dead-lettered",),
        under=(_kinds("process", "crash", "sigterm", "pause"), _kinds("aws"), _kinds("sqs"), _kinds("network")),
        to="not judged",
        why="SQS counts a delivery also where its answer was lost on its way, or whoever had it died before he looked "
        "at it; how often that happens is up to the faults.",
        plan=_plan(_fault("aws.sqs.ReceiveMessage", "timeout", side="after", start=10, end=300)),
    ),
    Weakening(
        name="replay cut in the middle",
        invariants=("replay-once",),
        under=(_kinds("process", "crash", "sigterm", "pause"), _kinds("aws"), _kinds("sqs"), _kinds("network")),
        to="every dead letter returns at least once",
        why="To send it back and to delete the dead letter are two calls; a cut between them leaves both copies.",
        plan=_plan(_fault("aws.sqs.SendMessage", "crash", side="after", nth=2, restart_after=5)),
        parameters={"at_least": True},
    ),
)

_ANSWER_LOST = Under("aws", frozenset({"timeout"}), frozenset({"after"}), service="cloudwatch")

_MONITORING_ROWS: tuple[Weakening, ...] = (
    Weakening(
        name="CloudWatch out of reach for ever",
        invariants=("errors-counted-once", "alarms-fire-and-clear"),
        under=(
            Under("aws", open_ended=True, service="cloudwatch"),
            Under("network", open_ended=True, service="cloudwatch"),
            Under("clock", open_ended=True),
            Under("process", open_ended=True),
        ),
        to="not judged",
        why="What cannot be told to CloudWatch is not in CloudWatch: the call never succeeds, its signature is never "
        "accepted, or nobody is there to make it.",
        plan=_plan(_fault("aws.cloudwatch.PutMetricData", "access-denied", start=10)),
    ),
    Weakening(
        name="killed with its counts",
        invariants=("errors-counted-once",),
        under=(_kinds("process", "crash", "sigterm"),),
        to="not more than once; what a killed process had counted and not yet published is gone",
        why="Counts wait in memory for the next request, because an error must not cost a request of its own.",
        plan=_plan(_fault("process.worker", "crash", start=30, restart_after=5)),
        parameters={"lossy": True},
    ),
    Weakening(
        name="answer of CloudWatch lost",
        invariants=("errors-counted-once",),
        under=(_ANSWER_LOST, Under("network", service="cloudwatch"), _kinds("process", "pause")),
        to="at least once",
        why="PutMetricData has no id by which CloudWatch could know a request again: whoever sends it again after a "
        "lost answer counts twice, whoever does not may not have counted at all.",
        plan=_plan(_fault("aws.cloudwatch.PutMetricData", "timeout", side="after", nth=2)),
        parameters={"repeats": True},
    ),
    Weakening(
        name="errors that nobody could report in time",
        invariants=("alarms-fire-and-clear",),
        under=(_kinds("process"), Under("network", service="cloudwatch"), _ANSWER_LOST),
        to="judged by what CloudWatch was told",
        why="An alarm knows what it is told: counts die with a killed process, come late from one that stands still, "
        "and come twice where an answer was lost.",
        plan=_plan(_fault("process.worker", "pause", start=60, seconds=600)),
        parameters={"stored": True},
    ),
    Weakening(
        name="errors at wrong times",
        invariants=("alarms-fire-and-clear",),
        under=(_kinds("clock"),),
        to="not judged",
        why="A count is stamped by the clock of the machine that counted: CloudWatch takes it for another minute's.",
        plan=_plan(_fault("clock.worker", "jump", start=60, seconds=600)),
    ),
)

MODEL: tuple[Weakening, ...] = (_OPEN_ENDED, *_EFFECT_ROWS, *_STORE_ROWS, *_DEAD_LETTER_ROWS, *_MONITORING_ROWS)


@functools.lru_cache(maxsize=1024)
def _kind_layer(target_layer: str, kind: str) -> str:
    return find(target_layer, kind).layer


def layer_of(fault: Json) -> str:
    """The layer of a fault's kind (``sqs`` beside ``aws``): a crash at an AWS call is a process fault."""
    return _kind_layer(fault["target"].partition(".")[0], fault["kind"])


def open_ended(fault: Json) -> bool:
    """Whether a fault has no end, so that nothing can be asked of the time after it.

    One that strikes once has one, also a killed process that is started
    again. Kinds that leave the system able to do its work need none.
    """
    kind = f"{layer_of(fault)}.{fault['kind']}"
    parameters = fault.get("parameters") or {}
    if kind == "process.crash" and parameters.get("restart_after", 1.0) is None:
        return True
    if fault.get("nth") is not None:
        return kind == "handler.hang"
    if fault.get("end") is not None or kind in _HARMLESS or kind.startswith("workload."):
        return False
    if kind == "clock.jump":
        return abs(float(parameters.get("seconds", 0))) > _SKEW_MAX_S
    return not (kind.startswith("process.") and str(fault["target"]).startswith("process"))


def weaken(specs: Iterable[S], plan: Json) -> tuple[tuple[S, ...], list[dict[str, Any]]]:
    """*specs* as they may be asked for under *plan* (a fault plan as JSON), and what was weakened.

    An invariant that cannot be judged at all is left out. Each entry of the
    second value is ``{"invariant", "kinds", "to", "why"}``.
    """
    faults = [facts_of(fault) for fault in plan.get("faults") or ()]
    specs = tuple(specs)
    asked = {spec.name for spec in specs}
    rows: dict[str, list[tuple[Weakening, list[str]]]] = {}
    for row in MODEL if faults else ():
        kinds = [f"{fault.layer}.{fault.kind}" for fault in faults if any(under.matches(fault) for under in row.under)]
        if kinds and not asked & set(row.unless):
            for name in row.invariants:
                rows.setdefault(name, []).append((row, list(dict.fromkeys(kinds))))
    kept: list[S] = []
    weakened: list[dict[str, Any]] = []
    for spec in specs:
        weaker: S | None = spec
        for row, kinds in rows.get(spec.name, ()) if rows else ():
            entry = {"invariant": spec.name, "kinds": kinds, "to": row.to, "why": row.why}
            if entry not in weakened:
                weakened.append(entry)
            weaker = None if weaker is None or row.parameters is None else _merged(weaker, row.parameters)
        if weaker is not None:
            kept.append(weaker)
    return tuple(kept), weakened


def facts_of(fault: Json) -> Facts:
    """What the table asks of a fault in JSON."""
    return Facts(layer_of(fault), fault["kind"], fault.get("side") or "before", open_ended(fault), str(fault["target"]))


def _merged(spec: S, parameters: Json) -> S:
    """*spec* with *parameters* added; lists of excuses are joined."""
    given = dict(spec.parameters)
    changes = {}
    for name, value in parameters.items():
        if isinstance(value, tuple):
            value = tuple(dict.fromkeys((*(given.get(name) or ()), *value)))
        changes[name] = value
    weaker: S = spec.with_parameters(**changes)
    return weaker


# The page


def _invariant_names() -> list[str]:
    from harness.invariants import NAMES

    return list(NAMES)


def document() -> str:
    """``docs/fault-model.md``."""
    import json

    lines = [
        "# Fault model",
        "",
        "Generated by `python -m harness.faults.model`; do not edit.",
        "",
        (__doc__ or "")
        .partition("\n\n")[2]
        .rpartition("\n\n")[0]
        .replace(":data:`MODEL`", "the table below")
        .replace(":func:`weaken`", "`weaken`"),
        "",
        "## What each invariant keeps",
        "",
        "| invariant | weakens under | to |",
        "| --- | --- | --- |",
    ]
    for name in _invariant_names():
        rows = [row for row in MODEL if name in row.invariants]
        if not rows:
            lines.append(f"| {name} | nothing: it must hold under every kind | |")
        for row in rows:
            under = "; ".join(str(one) for one in row.under)
            if row.unless:
                under += f" (unless {', '.join(row.unless)} is asked for)"
            lines.append(f"| {name} | {under} | {row.to} |")
    lines += ["", "## Why, and a plan that shows it", ""]
    for row in MODEL:
        lines += [
            f"### {row.name[0].upper()}{row.name[1:]}",
            "",
            f"Weakens {', '.join(row.invariants)} to: {row.to}. {row.why}",
            "",
            "```json",
            json.dumps(row.plan),
            "```",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` say whether it is up to date (exit code 1 if not)."""
    return generated_page.keep("fault-model.md", document(), "harness.faults.model", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
