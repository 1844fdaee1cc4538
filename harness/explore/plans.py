"""The fault space of a scenario as something to draw from: plans at random, and plans near one that was interesting.

A plan's faults strike a chosen passing, a window of time (with or without
chance), or once at a chosen moment. Every draw is a function of the generator
handed in, and nothing is ever drawn inside a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final

from harness import runner
from harness.errors import PlanError, ScenarioError
from harness.explore.space import choices, passings
from harness.faults.kinds import all_kinds, for_layer
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import validate
from harness.result import Result
from harness.scenario import Scenario

__all__ = ["LENGTHS", "PROBABILITIES", "FaultSpace", "Possible"]

#: Lengths of windows in seconds, and chances at each passing, the plainest first.
LENGTHS: Final = (5.0, 1.0, 15.0, 30.0, 60.0, 120.0)
PROBABILITIES: Final = (1.0, 0.5, 0.2)

#: Values of parameters that are tried, the plainest first; a kind that is not here has its defaults alone.
_VARIANTS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "process.crash": ({"restart_after": 5}, {"restart_after": 1}, {"restart_after": 30}),
    "process.pause": ({"seconds": 45}, {"seconds": 5}, {"seconds": 120}),
    "process.slow-start": ({"seconds": 30}, {"seconds": 5}),
    "handler.slow": ({"seconds": 45}, {"seconds": 5}, {"seconds": 120}),
    "sqs.delay": ({"seconds": 60}, {"seconds": 5}),
    "sqs.partial-failure": ({"share": 0.5}, {"share": 1.0}),
    "dependency.slow": ({"seconds": 10}, {"seconds": 2}, {"seconds": 40}),
    "dependency.status": ({"code": 503}, {"code": 500}, {"code": 429, "retry_after": 5}),
    "redis.failover": ({"lost_seconds": 1.0}, {"lost_seconds": 10.0}),
    "network.latency": ({"latency": 1000}, {"latency": 5000}),
    "clock.jump": ({"seconds": 600}, {"seconds": -600}, {"seconds": 60}, {"seconds": -60}, {"seconds": 3600}),
    "clock.drift": ({"rate": 1.05}, {"rate": 0.95}),
}
#: What makes a process of its own end or stand still: once, at a passing or a moment.
_PROCESS_KINDS: Final = ("crash", "sigterm", "pause")
_WORKED_OFF_S: Final = 10.0
#: Kinds that have no end, whatever the plan says: safety alone is judged under them.
_ENDLESS: Final = ("hang",)


@dataclass(frozen=True)
class Possible:
    """One kind of fault at one place.

    Attributes:
        passed: how often a clean run passes the place; 0 where no passing is counted.
        ways: how it can be given: ``nth``, ``window``, ``moment``; the plainest first.
        variants: parameters to try, the plainest first.
    """

    target: str
    kind: str
    side: str
    passed: int
    ways: tuple[str, ...]
    variants: tuple[Mapping[str, Any], ...]

    def nth(self, number: int, variant: int = 0) -> Fault:
        """It strikes passing *number*, counted from 1."""
        return Fault(self.target, self.kind, side=self.side, nth=number, **self.variants[variant])

    def window(self, start: float, length: float | None, probability: float = 1.0, variant: int = 0) -> Fault:
        """It strikes from *start* for *length* seconds (``None``: without an end), each passing with *probability*."""
        end = None if length is None else start + length
        parameters = self.variants[variant]
        return Fault(
            self.target, self.kind, side=self.side, start=start, end=end, probability=probability, **parameters
        )

    def moment(self, start: float, variant: int = 0) -> Fault:
        """It strikes once, *start* seconds after the start of the run."""
        return Fault(self.target, self.kind, side=self.side, start=start, **self.variants[variant])


@dataclass(frozen=True)
class FaultSpace:
    """What can strike a scenario, with the clean run that showed it. ``ends``: until when windows open, in seconds."""

    scenario: Scenario
    clean: Result
    possible: tuple[Possible, ...]
    ends: float
    beyond: bool = False

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        *,
        seed: int = 0,
        kinds: Collection[str] | None = None,
        targets: Collection[str] | None = None,
        beyond: bool = False,
        under: FaultPlan | None = None,
    ) -> FaultSpace:
        """Run *scenario* without faults, or with those of *under*, and take down what can strike it.

        *kinds* and *targets* (patterns such as ``aws.sqs.*``) narrow it. Faults of the workload come only where
        *kinds* names them. With *beyond*, faults without an end are drawn too, under which safety alone is judged.

        Raises:
            ScenarioError: nothing is left to strike with, or a kind or backend is unknown.
        """
        known = {kind.name for kind in all_kinds()}
        unknown = sorted(set(kinds or ()) - known)
        if unknown:
            raise ScenarioError(f"{unknown[0]!r} is no kind of fault", field="kinds", remedy="docs/faults.md has them")
        clean = runner.run(scenario, faults=FaultPlan() if under is None else under, seed=seed)
        wanted = None if kinds is None else frozenset(kinds)
        found = [
            one
            for one in _everything(scenario, clean, wanted, beyond)
            if (wanted is None or one.kind in wanted)
            and (targets is None or any(fnmatchcase(one.target, pattern) for pattern in targets))
        ]
        if not found:
            raise ScenarioError(
                "has nothing that could be struck" + (" by these kinds" if kinds is not None else ""),
                field=scenario.name,
                remedy="Name other kinds or targets; a clean run must pass a service call, a point or a handler",
            )
        return cls(scenario, clean, tuple(found), max(1.0, scenario.ends), beyond)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in it, in a fixed order."""
        return tuple(dict.fromkeys(one.kind for one in self.possible))

    def draw(self, random: Random, max_faults: int, *, messages: int | None = None, swarm: bool = True) -> FaultPlan:
        """A plan of 1 to *max_faults* faults; with *swarm* half of the plans do without half of the kinds.

        *messages*: each workload sends no more than that, so that there are fewer passings and these come earlier.
        Swarm testing: Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing" (ISSTA 2012).
        """
        among = self.possible
        if swarm and random.random() < 0.5:
            kept = {kind for kind in self.kinds if random.random() < 0.5}
            among = tuple(one for one in among if one.kind in kept) or among
        return FaultPlan(self._draw_fault(random, among, messages) for _ in range(_how_many(random, max_faults)))

    def near(self, random: Random, plan: FaultPlan, max_faults: int, *, messages: int | None = None) -> FaultPlan:
        """A plan that differs from *plan* in one thing: a fault more, less, elsewhere, or at another time."""
        faults = list(plan)
        what = random.random()
        if not faults or (what < 0.35 and len(faults) < max_faults):
            faults.append(self._draw_fault(random, self.possible, messages))
        elif what < 0.5 and len(faults) > 1:
            del faults[random.randrange(len(faults))]
        else:
            index = random.randrange(len(faults))
            old = faults[index]
            place = (old.target, old.kind, old.side)
            same = [one for one in self.possible if (one.target, one.kind, one.side) == place]
            faults[index] = self._draw_fault(random, same if same and what < 0.8 else self.possible, messages)
        return FaultPlan(faults)

    def _draw_fault(self, random: Random, among: Sequence[Possible], messages: int | None) -> Fault:
        kinds = list(dict.fromkeys(one.kind for one in among))
        kind = random.choice(kinds)  # first the kind: places with many kinds shall not crowd out the others
        one = random.choice([each for each in among if each.kind == kind])
        variant = 0 if random.random() < 0.5 else random.randrange(len(one.variants))
        way = random.choice(one.ways)
        if way == "nth":
            return one.nth(1 + int(random.random() ** 2 * (one.passed * self._share(messages) + 2)), variant)
        start = round(random.random() * self._busy_until(messages), 1) if random.random() < 0.8 else 0.0
        if way == "moment":
            return one.moment(start, variant)
        endless = self.beyond and random.random() < 0.2
        # Short windows more often: a consumer that asks again at once costs a run much time in a long one.
        length = None if endless else LENGTHS[int(random.random() ** 2 * len(LENGTHS))]
        return one.window(start, length, random.choice(PROBABILITIES), variant)

    def _share(self, messages: int | None) -> float:
        """How much of the workload is left."""
        whole = sum(one.messages for one in self.scenario.workloads)
        if messages is None or not whole:
            return 1.0
        return sum(min(messages, one.messages) for one in self.scenario.workloads) / whole

    def _busy_until(self, messages: int | None) -> float:
        """Until when something goes on, in seconds: a while after the last send."""
        if messages is None:
            return self.ends
        last = max(one.due(max(0, min(messages, one.messages) - 1)) for one in self.scenario.workloads)
        return min(self.ends, last + _WORKED_OFF_S)


def _how_many(random: Random, most: int) -> int:
    """Few faults more often than many: 1 in half of the plans, 2 in a quarter, ..."""
    number = 1
    while number < most and random.random() < 0.5:
        number += 1
    return number


def _everything(scenario: Scenario, clean: Result, wanted: frozenset[str] | None, beyond: bool) -> Iterator[Possible]:
    """What can be given in *scenario*: at the points that *clean* passed, to its processes, their clocks, its wires."""
    passed = passings(clean.faults)
    for (point, side), count in passed.items():
        for choice in choices(point, side):
            kind = for_layer(point.partition(".")[0])[choice.kind]
            variants = _variants(kind.layer, kind.name)
            yield Possible(point, kind.name, side, count, _ways(kind.name, kind.layer, beyond), variants)
    for process in scenario.processes:
        target = f"process.{process.name}"
        for name in (*_PROCESS_KINDS, "slow-start"):
            ways = ("window",) if name == "slow-start" else ("moment",)
            yield from _valid(scenario, Possible(target, name, "before", 0, ways, _variants("process", name)))
        for name in ("jump", "drift"):
            possible = Possible(f"clock.{process.name}", name, "before", 0, ("window",), _variants("clock", name))
            yield from _valid(scenario, possible)
    for wire in dict.fromkeys(_wire(point) for point, _ in passed):
        for name in ("down", "latency", "timeout", "reset_peer") if wire else ():
            possible = Possible(f"network.{wire}", name, "before", 0, ("window",), _variants("network", name))
            yield from _valid(scenario, possible)
    for queue in scenario.sources:
        for name in ("malformed", "foreign", "empty", "oversized") if wanted is not None else ():
            sent = sum(one.messages for one in scenario.workloads if one.to == queue)
            possible = Possible(f"workload.{queue}", name, "before", sent, ("nth",), _variants("workload", name))
            yield from _valid(scenario, possible)


def _wire(point: str) -> str:
    """The proxy that the calls of *point* would go through; "" where there is none."""
    layer, _, rest = point.partition(".")
    if layer == "redis":
        return "redis"
    return rest.partition(".")[0].partition("@")[0] if layer in ("aws", "dependency") else ""


def _ways(name: str, layer: str, beyond: bool) -> tuple[str, ...]:
    if name in _ENDLESS:
        return ("nth",) if not beyond else ("nth", "window")
    if layer == "process":
        return ("nth",)
    return ("nth", "moment") if name in ("flushed", "failover") else ("nth", "window")


def _variants(layer: str, name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(_VARIANTS.get(f"{layer}.{name}", ({},)))


def _valid(scenario: Scenario, possible: Possible) -> Iterator[Possible]:
    """*possible*, if the scenario takes it: certain targets are there in certain scenarios only."""
    try:
        if possible.ways[0] == "nth":
            fault = possible.nth(1)
        elif possible.ways[0] == "moment":
            fault = possible.moment(0.0)
        else:
            fault = possible.window(0.0, 1.0)
        validate(FaultPlan([fault]), scenario)
    except PlanError:
        return
    yield possible
