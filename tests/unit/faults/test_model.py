"""The fault model: every row's example, what it weakens, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import invariants
from harness.faults import model
from harness.faults.kinds import all_kinds
from harness.faults.model import MODEL, Weakening, open_ended, weaken
from harness.faults.plan import FaultPlan
from harness.invariants.base import Spec
from harness.invariants.excuse import Excuses


def every_spec() -> list[Spec]:
    needs: dict[str, tuple[Any, ...]] = {"recovers-within": (60,), "backlog-drains": (60,)}
    return [getattr(invariants, name.replace("-", "_"))(*needs.get(name, ())) for name in invariants.NAMES]


def plan_of(target: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"version": 1, "faults": [{"target": target, "kind": kind, **fields}]}


@pytest.mark.parametrize("row", MODEL, ids=lambda row: row.name)
def test_every_example_is_a_plan_that_the_row_is_about(row: Weakening) -> None:
    """Each row's plan parses, and the row applies to it: every invariant it names is weakened to what it says."""
    plan = FaultPlan.from_json(row.plan).to_json()
    _, weakened = weaken([spec for spec in every_spec() if spec.name not in row.unless], plan)
    told = [(entry["invariant"], entry["to"]) for entry in weakened]
    assert all((name, row.to) in told for name in row.invariants)
    assert row.why


@pytest.mark.parametrize("row", MODEL, ids=lambda row: row.name)
def test_every_row_can_be_acted_on(row: Weakening) -> None:
    """A row names published invariants and kinds that exist, and its parameters fit the invariants."""
    assert set(row.invariants) <= set(invariants.NAMES)
    known = {(kind.layer, kind.name) for kind in all_kinds()}
    for under in row.under:
        assert all((under.layer, name) in known for name in under.kinds)
        assert under.layer == "*" or under.layer in {layer for layer, _ in known}
    for name in row.invariants:
        if row.parameters is not None:
            Spec(invariants.by_name(name), tuple(row.parameters.items())).checker()


def test_without_faults_nothing_is_weakened() -> None:
    """A clean run is held to everything."""
    specs = every_spec()
    assert weaken(specs, {"version": 1, "faults": []}) == (tuple(specs), [])


@pytest.mark.parametrize(
    "fault",
    [
        plan_of("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70),
        plan_of("aws.sqs.*", "throttled", start=10, end=70),
        plan_of("clock.worker", "jump", start=10, parameters={"seconds": 240}),
        plan_of("workload.orders", "malformed", nth=3),
    ],
)
def test_what_a_consumer_can_be_proof_against_is_not_weakened(fault: dict[str, Any]) -> None:
    """Lost answers of SQS, throttling, a wall clock that is off and bad messages leave delivery as strong as ever."""
    strong = [
        spec
        for spec in every_spec()
        if spec.name
        not in (
            "not-processed-and-dead-lettered",
            "poison-contained",
            "replay-once",
            "tried-before-dead-lettered",
            "alarms-fire-and-clear",
        )
    ]
    assert weaken(strong, fault) == (tuple(strong), [])


@pytest.mark.parametrize(
    ("fault", "endless"),
    [
        (plan_of("aws.sqs.*", "throttled", start=10), True),
        (plan_of("aws.sqs.*", "throttled", probability=0.2), True),
        (plan_of("aws.sqs.*", "throttled", start=10, end=20), False),
        (plan_of("aws.sqs.SendMessage", "throttled", nth=1), False),
        (plan_of("redis", "flushed", start=10), False),
        (plan_of("redis", "refused"), True),
        (plan_of("handler", "poison", parameters={"keys": ["1"]}), False),
        (plan_of("handler", "permanent", probability=0.1), False),
        (plan_of("handler", "transient", probability=0.1), True),
        (plan_of("handler", "hang", nth=3), True),
        (plan_of("handler", "crash", side="after", nth=3), False),
        (plan_of("handler", "crash", side="after", nth=3, parameters={"restart_after": None}), True),
        (plan_of("handler", "crash", side="after"), True),
        (plan_of("process.worker", "crash", start=5), False),
        (plan_of("process.worker", "pause", start=5), False),
        (plan_of("clock.worker", "jump", start=5, parameters={"seconds": 240}), False),
        (plan_of("clock.worker", "jump", start=5, parameters={"seconds": 3600}), True),
        (plan_of("clock.worker", "jump", start=5, end=60, parameters={"seconds": 3600}), False),
        (plan_of("dependency.payments", "status"), True),
        (plan_of("network.redis", "latency"), False),
        (plan_of("network.redis", "down"), True),
        (plan_of("aws.sqs.ReceiveMessage", "duplicate", probability=0.3), False),
        (plan_of("aws.sqs.ReceiveMessage", "empty-receive"), True),
        (plan_of("workload.orders", "malformed", probability=0.3), False),
    ],
)
def test_a_fault_without_an_end(fault: dict[str, Any], endless: bool) -> None:
    """Liveness and recovery are not judged under a fault that goes on holding things up for ever; safety is."""
    complete = FaultPlan.from_json(fault).to_json()
    assert open_ended(complete["faults"][0]) is endless
    kept, weakened = weaken([invariants.not_stuck(), invariants.fifo_order(), invariants.recovers_within(9)], complete)
    if endless:
        assert [spec.name for spec in kept] == ["fifo-order"]
        assert [entry["invariant"] for entry in weakened] == ["not-stuck", "recovers-within"]
        assert {entry["to"] for entry in weakened} == {"not judged: safety only"}
    else:
        assert len(kept) == 3


def test_a_crash_at_an_aws_call_is_a_process_fault() -> None:
    """What strikes decides, not where: a kill at SendMessage weakens what a kill weakens."""
    _, weakened = weaken([invariants.effects_once()], plan_of("aws.sqs.SendMessage", "crash", side="after", nth=1))
    assert weakened[0]["kinds"] == ["process.crash"]


def test_several_rows_join_their_excuses() -> None:
    """Two faults that weaken one invariant add up; the spec stays the same invariant."""
    plan = {
        "version": 1,
        "faults": [
            {"target": "process.worker", "kind": "crash", "start": 1},
            {"target": "redis", "kind": "flushed", "start": 2},
        ],
    }
    (spec,), weakened = weaken([invariants.effects_once()], plan)
    excused = dict(spec.parameters)["excused"]
    assert {"process.crash", "redis*/flushed"} <= set(excused)
    assert spec.name == "effects-once"
    assert len(weakened) == 2


@pytest.mark.parametrize(
    ("target", "excused"),
    [
        ("dependency.payments.after/timeout", True),
        ("dependency.payments.after/status", True),
        ("dependency.payments.after/pause", False),
        ("dependency.payments.after/slow", False),
        ("dependency.payments.before/timeout", False),
        ("handler.after/transient", False),
    ],
)
def test_only_a_lost_answer_excuses_a_second_call(target: str, excused: bool) -> None:
    """At a dependency, what leaves its caller without an answer excuses; who only stands still there can record it."""
    plan = {
        "version": 1,
        "faults": [
            {"target": "dependency.payments", "kind": "timeout", "side": "after", "start": 10, "end": 40},
            {"target": "dependency.payments", "kind": "pause", "side": "after", "nth": 3},
        ],
    }
    (spec,), _ = weaken([invariants.effects_once()], plan)
    parameters = dict(spec.parameters)
    assert parameters["standstills"] is True
    point, _, kind = target.partition("/")
    excuses = Excuses(parameters["excused"])
    excuses.note({"n": 5, "kind": "fault.strike", "actor": "w", "point": point, "fault_kind": kind})
    assert excuses.between(4, 6) is excused


def test_who_declares_a_store_is_held_to_it() -> None:
    """A message in two hands may be handled and put aside where nobody can know; with effects-once it must not."""
    plan = plan_of("aws.sqs.ReceiveMessage", "duplicate", start=5, end=45)
    alone = [invariants.not_processed_and_dead_lettered()]
    (spec,), _ = weaken(alone, plan)
    assert dict(spec.parameters)["delivered_twice"] is True
    (spec, _), _ = weaken([*alone, invariants.effects_once()], plan)
    assert "delivered_twice" not in dict(spec.parameters)


@pytest.mark.parametrize(
    ("target", "side", "weaker"),
    [
        ("handler", "before", False),
        ("handler", "middle", True),
        ("handler", "after", True),
        ("point.charged", "before", True),
        ("point.*", "before", True),
    ],
)
def test_poison_after_the_effect_may_be_handled_and_dead_lettered(target: str, side: str, weaker: bool) -> None:
    """Who fails for good once it took effect ends in the dead-letter queue; who fails before must not."""
    plan = plan_of(target, "poison", side=side, parameters={"keys": ["3"]})
    (spec,), weakened = weaken([invariants.not_processed_and_dead_lettered()], plan)
    assert bool(weakened) is weaker
    assert ("excused" in dict(spec.parameters)) is weaker


@pytest.mark.parametrize(
    ("target", "kind", "excused"),
    [("handler", "slow", True), ("dependency.payments", "slow", True), ("handler", "poison", False)],
)
def test_a_kill_at_the_time_limit_is_a_kill(target: str, kind: str, excused: bool) -> None:
    """What is slow may be killed by its platform between effect and record: the kill excuses, slowness alone never."""
    (spec,), _ = weaken([invariants.effects_once()], plan_of(target, kind, side="before", nth=1))
    excuses = Excuses(dict(spec.parameters).get("excused") or ())
    excuses.note({"n": 5, "kind": "fault.strike", "actor": "w", "point": "handler.after", "fault_kind": "slow"})
    assert not excuses.between(4, 6)
    excuses.note({"n": 7, "kind": "process.crash", "actor": "w", "process": "w"})
    assert excuses.between(6, 8) is excused


def test_what_it_does_not_know_is_left_alone() -> None:
    """A user's own invariant is judged as it is."""

    class Mine(invariants.Invariant):
        name = "mine"

    spec = Spec(Mine)
    assert weaken([spec], plan_of("redis", "refused")) == ((spec,), [])


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    """docs/fault-model.md is what the code says; a stale page is told."""
    assert model.main(["--check"]) == 0
    page = tmp_path / "page.md"
    assert model.main(["--check", str(page)]) == 1
    assert model.main([str(page)]) == 0
    assert model.main(["--check", str(page)]) == 0
    assert all(name in page.read_text() for name in invariants.NAMES)
