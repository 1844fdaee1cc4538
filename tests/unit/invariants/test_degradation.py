"""Degradation's invariants on histories written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import invariants
from harness.errors import ScenarioError
from harness.invariants.base import Spec
from tests.histories import HistoryBuilder

LEVELS = ["normal", "light_degradation", "moderate_degradation", "severe_degradation", "emergency_mode"]
MEASURES = {"processing-rate": 1, "features": 2, "breakers": 3, "emergency": 4}
FOLLOWS = invariants.level_follows_health()
FLAPS = invariants.no_flapping()
APPLIED = invariants.measures_applied()


class Degraded(HistoryBuilder):
    """A history of one manager."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self.process = "worker.1"
        self.level = 0
        self.created(**fields)

    def note(self, kind: str, **fields: Any) -> int:
        return self.add(f"degradation.{kind}", actor=f"{self.process}/degradation", manager="m", **fields)

    def created(self, **fields: Any) -> int:
        given = {
            "levels": LEVELS,
            "thresholds": {"error_rate": [0.05, 0.1, 0.2, 0.5], "processing_latency": [5, 10, 20, None]},
            "measures": MEASURES,
            "features": ["recommendations"],
            "breakers": 1,
            "queues": ["orders"],
        }
        return self.note("created", library="harness", **{**given, **fields})

    def health(self, assessed: int, at: float, allows: int | None = None, **metrics: float) -> int:
        return self.note(
            "health",
            at=at,
            health=metrics,
            assessed=LEVELS[assessed],
            allows=LEVELS[assessed if allows is None else allows],
            level=LEVELS[self.level],
            pinned=False,
        )

    def change(self, level: int, at: float, *, by_hand: bool = False) -> int:
        before, self.level = self.level, level
        return self.note(
            "level", at=at, level=LEVELS[level], before=LEVELS[before], health={}, reason="", by_hand=by_hand
        )

    def measure(self, measure: str, active: bool, **details: Any) -> int:
        given = {"rate": 5.0, "off": ["recommendations"], "breakers": ["payments"], "intake": "stopped"}
        if not active:
            given = {"rate": None, "off": [], "breakers": [], "intake": "open"}
        return self.note("measure", at=self.t, measure=measure, active=active, level="", **{**given, **details})

    def to(self, level: int, at: float) -> None:
        """A change of level with all its measures, as it should be."""
        before = self.level
        self.change(level, at)
        for measure, number in MEASURES.items():
            if number <= level:
                self.measure(measure, True)
        for measure, number in reversed(MEASURES.items()):
            if level < number <= before:
                self.measure(measure, False)

    def kinds(self, numbers: tuple[int, ...]) -> list[str]:
        return [self.events[number - 1]["kind"] for number in numbers]


class TestLevelFollowsHealth:
    def test_it_follows(self) -> None:
        """Up after ten seconds, down after a while: holds."""
        h = Degraded()
        for at in (5, 10):
            h.health(3, at, error_rate=0.3)
        h.to(3, 15)
        for at in range(20, 60, 5):
            h.health(0, at)
        h.to(0, 60)
        h.health(0, 65)
        verdict = h.judge(FOLLOWS)
        assert (verdict.status, verdict.detail) == ("holds", "11 looks at the health, 2 changes of level")

    def test_a_level_that_is_never_set(self) -> None:
        """The health asks and asks, and the level stays: violated, with the first look and the last."""
        h = Degraded()
        first = h.health(3, 5)
        for at in range(10, 65, 5):
            h.health(3, at)
        assert h.judge(FOLLOWS).status == "holds"
        last = h.health(3, 66)
        verdict = h.judge(FOLLOWS)
        assert verdict.status == "violated"
        assert "level normal stays below what the health asks for (severe_degradation) for 61 s" in verdict.detail
        assert verdict.evidence == (first, last)
        assert h.judge(invariants.level_follows_health(within="2m")).status == "holds"

    def test_a_level_that_is_too_low(self) -> None:
        """Some level is not enough: it has to be the one that is asked for."""
        h = Degraded()
        h.to(1, 1)
        for at in range(5, 80, 5):
            h.health(3, at)
        assert h.judge(FOLLOWS).status == "violated"

    def test_nothing_is_lifted(self) -> None:
        """The health is good again, and the level stays for more than ten minutes."""
        h = Degraded()
        h.health(2, 5)
        h.to(2, 10)
        for at in range(20, 615, 5):
            h.health(0, at)
        assert h.judge(FOLLOWS).status == "holds"
        h.health(0, 625)
        verdict = h.judge(FOLLOWS)
        assert verdict.status == "violated"
        assert "is kept above" in verdict.detail
        assert h.judge(invariants.level_follows_health(lowered_within="20m")).status == "holds"

    def test_the_margin_may_keep_a_level(self) -> None:
        """Health between a level's threshold and its margin keeps the level for as long as it stays there."""
        h = Degraded()
        h.health(2, 5)
        h.to(2, 10)
        for at in range(20, 2_000, 20):
            h.health(1, at, allows=2)
        assert h.judge(FOLLOWS).status == "holds"

    def test_an_interruption_begins_anew(self) -> None:
        """Health that is good in between, and a change of level, begin the time anew."""
        h = Degraded()
        for at in range(5, 200, 5):
            h.health(0 if at % 50 == 0 else 3, at)
        h.health(0, 199)
        for at in range(200, 250, 5):
            h.health(4, at)
        h.to(3, 250)
        for at in range(255, 305, 5):
            h.health(4, at)
        assert h.judge(FOLLOWS).status == "holds"

    def test_a_metric_that_is_left_out(self) -> None:
        """Latency far above its threshold, judged as normal: violated at the first look; an endless limit is none."""
        h = Degraded()
        n = h.health(0, 5, error_rate=0.0, processing_latency=40.0)
        verdict = h.judge(FOLLOWS)
        assert verdict.status == "violated"
        assert "processing_latency is 40, which asks for severe_degradation" in verdict.detail
        assert verdict.evidence == (1, n)

    def test_what_stood_still_saw_nothing(self) -> None:
        """A process that was paused, or is a new one, and one that looked only twice, is not accused."""
        h = Degraded()
        h.health(3, 5)
        h.health(3, 100)
        h.add("process.resume", actor="faults", process="worker.1", at=101)
        for at in (105, 110, 115, 120, 150):
            h.health(3, at)
        h.add("process.crash", actor="faults", process="worker.1", at=151)
        h.add("process.start", actor="worker.1", process="worker.1", incarnation=2, at=152)
        h.created()
        for at in (155, 160, 165, 170, 190):
            h.health(3, at)
        assert h.judge(FOLLOWS).status == "holds"

    def test_pinned(self) -> None:
        """What a person keeps in force is not judged."""
        h = Degraded()
        for at in range(5, 100, 5):
            h.health(3, at)
            h.events[-1] = {**h.events[-1], "pinned": True}
        assert h.judge(FOLLOWS).status == "inconclusive"

    def test_a_manager_made_anew_begins_anew(self) -> None:
        """What an earlier manager of the same name and process left undone is not held against the next."""
        h = Degraded()
        for at in (5, 20, 40, 60):
            h.health(3, at)
        h.created()
        for at in (70, 80, 90, 100):
            h.health(3, at)
        assert h.judge(FOLLOWS).status == "holds"

    def test_two_processes_are_two_managers(self) -> None:
        """A good look of one process does not excuse the other."""
        h = Degraded()
        h.process = "worker.2"
        h.created()
        for at in range(5, 80, 5):
            h.process = "worker.1"
            h.health(3, at)
            h.process = "worker.2"
            h.health(0, at)
        assert h.judge(FOLLOWS).status == "violated"


class TestNoFlapping:
    def test_up_and_down_once(self) -> None:
        """Steps in one direction may follow each other closely; the other direction comes later."""
        h = Degraded()
        for level, at in ((1, 5), (2, 6), (4, 7), (3, 60), (2, 61), (0, 62)):
            h.change(level, at)
        verdict = h.judge(FLAPS)
        assert (verdict.status, verdict.detail) == ("holds", "6 changes of level, 1 of them in the other direction")

    def test_too_close(self) -> None:
        """Down ten seconds after up: violated, with both."""
        h = Degraded()
        up = h.change(1, 5)
        down = h.change(0, 15)
        verdict = h.judge(FLAPS)
        assert verdict.status == "violated"
        assert verdict.evidence == (up, down)
        assert h.judge(invariants.no_flapping(apart=10)).status == "holds"

    def test_too_often(self) -> None:
        """Turning round every forty seconds without end: violated at the seventh time in five minutes."""
        h = Degraded()
        for number in range(7):
            h.change(1 - number % 2, 40 * number)
        assert h.judge(FLAPS).status == "holds"
        h.change(0, 280)
        verdict = h.judge(FLAPS)
        assert verdict.status == "violated"
        assert len(verdict.evidence) == 7
        assert h.judge(invariants.no_flapping(at_most=7)).status == "holds"
        assert h.judge(invariants.no_flapping(window=200)).status == "holds"

    def test_old_turns_are_forgotten(self) -> None:
        """A level that changes every minute and a half for an hour is one that follows."""
        h = Degraded()
        for number in range(40):
            h.change(1 - number % 2, 90 * number)
        assert h.judge(FLAPS).status == "holds"

    def test_by_hand(self) -> None:
        """A person may go to and fro."""
        h = Degraded()
        for number in range(20):
            h.change(1 - number % 2, number, by_hand=True)
        h.change(1, 21)
        assert h.judge(FLAPS).status == "holds"

    def test_a_new_process_begins_anew(self) -> None:
        """The level of a process that died is not gone back on by its successor."""
        h = Degraded()
        h.change(2, 5)
        h.change(1, 40)
        h.add("process.start", actor="worker.1", process="worker.1", incarnation=2, at=41)
        h.created()
        h.level = 0
        h.change(2, 42)
        assert h.judge(FLAPS).status == "holds"
        for number in range(1, 6):
            h.change(2 - number % 2, 42 + 25 * number)
        h.add("process.start", actor="worker.1", process="worker.1", incarnation=3, at=170)
        h.created()
        h.level = 0
        for number in range(4):
            h.change(1 - number % 2, 171 + 25 * number)
        assert h.judge(FLAPS).status == "holds"


class TestMeasuresApplied:
    def healthy(self, h: Degraded, *times: float) -> None:
        for at in times:
            h.health(0, at)

    def test_applied_and_lifted(self) -> None:
        """Each level has its measures and no more."""
        h = Degraded()
        for level, at in ((1, 5), (4, 20), (2, 60), (0, 90)):
            h.to(level, at)
            self.healthy(h, at + 11)
        verdict = h.judge(APPLIED)
        assert (verdict.status, verdict.detail) == ("holds", "4 measures applied, 4 lifted")

    def test_not_applied(self) -> None:
        """A level without its measure."""
        h = Degraded()
        n = h.change(2, 5)
        h.measure("features", True)
        self.healthy(h, 15)
        assert h.judge(APPLIED).status == "inconclusive"
        last = h.health(0, 16)
        verdict = h.judge(APPLIED)
        assert verdict.status == "violated"
        assert "has not applied processing-rate" in verdict.detail
        assert verdict.evidence == (n, last)
        assert h.judge(invariants.measures_applied(within=30)).status == "inconclusive"

    def test_not_lifted(self) -> None:
        """Measures that stay when the level is normal again."""
        h = Degraded()
        h.to(2, 5)
        h.change(0, 60)
        h.measure("features", False)
        self.healthy(h, 71)
        verdict = h.judge(APPLIED)
        assert verdict.status == "violated"
        assert "has not lifted processing-rate" in verdict.detail
        assert h.kinds(verdict.evidence) == [
            "degradation.measure",
            "degradation.level",
            "degradation.health",
        ]

    @pytest.mark.parametrize(
        ("measure", "details", "says"),
        [
            ("processing-rate", {"rate": None}, "the rate is not limited"),
            ("features", {"off": []}, "none of recommendations is off"),
            ("breakers", {"breakers": []}, "none of its 1 breakers"),
            ("emergency", {"intake": "open"}, "intake is open"),
        ],
    )
    def test_an_empty_measure(self, measure: str, details: dict[str, Any], says: str) -> None:
        """A measure that is applied and does nothing is none."""
        h = Degraded()
        h.change(MEASURES[measure], 5)
        n = h.measure(measure, True, **details)
        verdict = h.judge(APPLIED)
        assert verdict.status == "violated"
        assert says in verdict.detail
        assert verdict.evidence == (n,)

    def test_nothing_to_switch_is_no_empty_measure(self) -> None:
        """A manager without features and breakers has nothing to switch off or tighten."""
        h = Degraded(features=[], breakers=0)
        h.change(3, 5)
        for measure in ("processing-rate", "features", "breakers"):
            h.measure(measure, True, off=[], breakers=[])
        self.healthy(h, 20)
        h.to(0, 40)
        assert h.judge(APPLIED).status == "holds"

    def test_a_rate_that_limits_nothing(self) -> None:
        """More receives than the rate allows, with the limit as evidence; a burst of a batch is allowed."""
        h = Degraded()
        h.change(1, 5)
        limit = h.measure("processing-rate", True, rate=2.0)
        for number in range(200):
            h.receive(f"m{number}", at=5 + number / 2, actor="worker.1")
        for number in range(20):
            h.receive(f"b{number}", at=110, actor="worker.1/consumer-1")
        h.receive("other", at=111, actor="worker.2")
        assert h.judge(APPLIED).status == "inconclusive"
        for number in range(10):
            h.receive(f"c{number}", at=112, actor="worker.1/consumer-1")
        verdict = h.judge(APPLIED)
        assert verdict.status == "violated"
        assert "limits to 2.00 messages a second" in verdict.detail
        assert limit in verdict.evidence
        assert h.kinds(verdict.evidence)[-1] == "receive"

    def test_a_rate_holds_for_its_queues_only(self) -> None:
        """What the process receives from queues that the manager does not know is not limited by it."""
        h = Degraded(queues=["mails"])
        h.change(1, 5)
        h.measure("processing-rate", True, rate=0.5)
        for number in range(100):
            h.receive(f"m{number}", at=6, actor="worker.1")
        assert h.judge(APPLIED).status == "inconclusive"

    def test_a_failed_measure_that_is_repeated(self) -> None:
        """A measure that failed and was applied at the next look was applied."""
        h = Degraded()
        h.change(1, 5)
        h.measure("processing-rate", False, error="RuntimeError")
        h.health(1, 6)
        h.measure("processing-rate", True)
        self.healthy(h, 30)
        h.to(0, 31)
        assert h.judge(APPLIED).status == "holds"

    def test_a_new_process_has_none(self) -> None:
        """A process that begins again has no measures to lift, and its rate is gone."""
        h = Degraded()
        h.to(4, 5)
        h.to(3, 25)
        h.measure("processing-rate", True)
        h.add("process.start", actor="worker.1", process="worker.1", incarnation=2, at=41)
        h.created()
        h.level = 0
        for number in range(100):
            h.receive(f"m{number}", at=42, actor="worker.1")
        self.healthy(h, 80)
        assert h.judge(APPLIED).status == "holds"


@pytest.mark.parametrize("spec", [FOLLOWS, FLAPS, APPLIED])
class TestNothingToJudge:
    def test_no_manager(self, spec: Spec) -> None:
        """Without a manager it is inconclusive and says what to do, or left out where it is optional."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        assert "ServiceDegradationManager" in h.judge(spec).detail
        assert h.judge(spec).status == "inconclusive"
        assert h.judged([spec.where_observed()]).finish() == []

    def test_a_manager_with_nothing_to_do(self, spec: Spec) -> None:
        """A health that was always good proves nothing."""
        h = Degraded()
        for at in range(5, 100, 5):
            h.health(0, at)
        verdict = h.judge(spec)
        assert verdict.status == "inconclusive"
        assert "add load" in verdict.detail


def test_out_of_range() -> None:
    """Bounds that are none are refused where they are written."""
    calls: list[Callable[[], object]] = [
        lambda: invariants.level_follows_health(within=0),
        lambda: invariants.level_follows_health(lowered_within="soon"),
        lambda: invariants.no_flapping(apart=-1),
        lambda: invariants.no_flapping(at_most=-1),
        lambda: invariants.no_flapping(window=0),
        lambda: invariants.measures_applied(within=0),
    ]
    for make in calls:
        with pytest.raises(ScenarioError):
            make()


def test_turns_of_an_earlier_process_do_not_count() -> None:
    """A process that begins anew has never turned round, even where a person had set the level before it ended."""
    h = Degraded()
    for at, level in ((10, 1), (40, 0), (70, 1)):
        h.change(level, at)
    h.change(0, 100, by_hand=True)
    h.add("process.crash", actor="faults", process="worker.1", at=110)
    h.add("process.start", actor="worker.1", process="worker.1", incarnation=2, at=111)
    h.created()
    h.level = 0
    h.change(1, 120)
    h.change(0, 150)
    assert h.judge(invariants.no_flapping(at_most=2)).status == "holds"
    h.change(1, 180)
    h.change(0, 210)
    assert h.judge(invariants.no_flapping(at_most=2)).status == "violated"


def test_measures_of_an_earlier_manager_are_not_those_of_the_next() -> None:
    """A manager made anew in the same process has applied nothing, and its time to do so begins with it."""
    h = Degraded()
    h.to(2, 10)
    h.health(2, 30, error_rate=0.15)
    h.created()
    h.level = 0
    h.health(0, 60)
    h.to(1, 70)
    h.health(1, 90, error_rate=0.07)
    h.to(0, 100)
    h.health(0, 120)
    assert h.judge(APPLIED).status == "holds"
