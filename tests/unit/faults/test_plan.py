"""Faults and plans as values, and what is said of bad ones."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from harness.errors import PlanError
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import Known

LOST = Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70)


def error_of(*arguments: Any, **named: Any) -> PlanError:
    with pytest.raises(PlanError) as caught:
        Fault(*arguments, **named)
    return caught.value


def test_json_has_every_field_of_the_format() -> None:
    """The JSON of a plan is the published format, field by field."""
    assert FaultPlan([LOST]).to_json() == {
        "version": 1,
        "faults": [
            {
                "target": "aws.sqs.DeleteMessage",
                "kind": "timeout",
                "side": "after",
                "start": 10,
                "end": 70,
                "nth": None,
                "probability": 1.0,
                "parameters": {},
            }
        ],
    }


def test_fields_that_json_leaves_out_take_their_defaults() -> None:
    """A fault of target and kind alone is a whole fault."""
    assert Fault.from_json({"target": "redis", "kind": "refused"}) == Fault("redis", "refused")


def test_equal_faults_are_equal_and_hash_alike() -> None:
    """Two faults made apart from the same values are one value; another value differs."""
    twin = Fault("aws.sqs.DeleteMessage", "timeout", "after", 10, 70)
    assert twin == LOST
    assert len({twin, LOST}) == 1
    assert twin != Fault("aws.sqs.DeleteMessage", "timeout", "after", 10, 71)
    assert FaultPlan([twin]) == FaultPlan([LOST])
    assert hash(FaultPlan([twin])) == hash(FaultPlan([LOST]))


def test_a_default_given_is_the_default_left_out() -> None:
    """Spelling out a parameter's default makes no other fault."""
    assert Fault("handler", "slow", seconds=45) == Fault("handler", "slow")


def test_faults_and_plans_are_frozen() -> None:
    """Nothing can be set on a fault or a plan."""
    with pytest.raises(AttributeError, match="frozen"):
        LOST.start = 3  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del LOST.kind
    with pytest.raises(AttributeError, match="frozen"):
        FaultPlan().faults = ()


def test_plans_survive_pickling() -> None:
    """Runs in other processes get the same plan."""
    plan = FaultPlan([LOST, Fault("handler", "poison", keys=[1, "b"])])
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_repr_makes_the_same_fault() -> None:
    """The repr of a plan is code that makes it."""
    plan = FaultPlan([LOST, Fault("process.worker", "crash", nth=3, restart_after=None), Fault("*", "hang", nth=2)])
    assert eval(repr(plan)) == plan


def test_error_classes_are_named() -> None:
    """An exception class, its full name and the bare name of a builtin are the same parameter."""
    by_name = Fault("handler", "transient", error="builtins:OSError")
    assert Fault("handler", "transient", error=OSError) == by_name
    assert Fault("handler", "transient", error="OSError") == by_name
    assert Fault("handler", "transient", error=json.JSONDecodeError).parameters["error"] == (
        "json.decoder:JSONDecodeError"
    )


def test_replace_changes_fields_and_parameters() -> None:
    """replace() keeps what it is not told to change, and drops another kind's parameters."""
    slow = Fault("dependency.payments", "slow", start=1, end=2, seconds=3)
    assert slow.replace(end=9, seconds=4) == Fault("dependency.payments", "slow", start=1, end=9, seconds=4)
    assert slow.replace(kind="reset") == Fault("dependency.payments", "reset", start=1, end=2)


def test_plans_add_remove_and_replace() -> None:
    """The helpers give other plans and leave the old one alone."""
    refused = Fault("redis", "refused")
    plan = FaultPlan([LOST])
    assert list(plan.add(refused)) == [LOST, refused]
    assert plan.add(refused).remove(0) == FaultPlan([refused])
    assert plan.replace(0, refused) == FaultPlan([refused])
    assert plan.replace(0, start=None)[0].start is None
    assert list(plan) == [LOST]
    with pytest.raises(IndexError):
        plan.remove(1)


def test_a_plan_is_made_from_what_callers_have() -> None:
    """of() takes a plan, faults, JSON and None."""
    plan = FaultPlan([LOST])
    assert FaultPlan.of(plan) is plan
    assert FaultPlan.of([LOST]) == FaultPlan.of(plan.to_json()) == plan
    assert len(FaultPlan.of(None)) == 0


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (LOST, "aws.sqs.DeleteMessage takes effect, the answer is lost, from 10 s to 70 s"),
        (Fault("aws.sqs.*", "throttled", start=5), "aws.sqs.* is throttled, from 5 s on"),
        (
            Fault("point.after-charge", "crash", nth=4, restart_after=5),
            "whoever passes point.after-charge is killed and started again after 5 s, at the 4th passing",
        ),
        (
            Fault("process.worker", "crash", start=10, restart_after=None),
            "every process worker is killed for good, at 10 s",
        ),
        (
            Fault("process.worker", "pause", nth=22),
            "the process worker that passes stands still for 45 s, at the 22nd passing",
        ),
        (
            Fault("handler", "poison", keys=["3", 4], probability=0.5),
            "the handler always fails for messages 3, 4, with probability 0.5, all the time",
        ),
        (
            Fault("dependency.payments", "status", start=0, end=60, code=429, retry_after=3),
            "dependency.payments answers 429 with Retry-After 3 s, from 0 s to 60 s",
        ),
        (Fault("clock.worker", "jump", seconds=-240, start=9), "the clock of worker jumps by -240 s, at 9 s"),
        (
            Fault("clock.worker", "drift", start=9, end=10),
            "the clock of worker runs at 1.05 times its speed, from 9 s to 10 s",
        ),
        (
            Fault("redis", "failover", lost_seconds=2, start=5),
            "redis fails over and loses the writes of the last 2 s, at 5 s",
        ),
        (Fault("workload.orders", "empty", nth=11), "the workload of orders sends empty bodies, at the 11th passing"),
        (Fault("network.sqs", "down", end=5), "the network to sqs is cut off, until 5 s"),
        (
            Fault("aws.sqs.SendMessage", "crash", side="after", nth=1),
            "whoever passes aws.sqs.SendMessage (after) is killed and started again after 1 s, at the 1st passing",
        ),
        (
            Fault("handler", "transient", side="middle"),
            "the handler, in its middle, fails with ConnectionError, which may pass, all the time",
        ),
    ],
)
def test_faults_in_words(fault: Fault, text: str) -> None:
    """str() of a fault says who, what and when."""
    assert str(fault) == text


def test_plans_in_words() -> None:
    """str() of a plan numbers its faults, and says so when it has none."""
    assert str(FaultPlan()) == "no faults"
    assert str(FaultPlan([LOST, LOST])).splitlines()[1].startswith("2. aws.sqs.DeleteMessage takes effect")


@pytest.mark.parametrize(
    ("named", "field", "says"),
    [
        ({"start": 10, "end": 5}, "end", "opens at 10"),
        ({"start": 10, "end": 10}, "end", "opens at 10"),
        ({"end": 0}, "end", "opens at 0"),
        ({"start": -1}, "start", "before the run"),
        ({"end": -1}, "end", "before the run"),
        ({"start": math.nan}, "start", "Give seconds"),
        ({"end": math.inf}, "end", "Give seconds"),
        ({"start": "10s"}, "start", "Give seconds"),
        ({"start": True}, "start", "Give seconds"),
        ({"start": 1e12}, "start", "hundred years"),
        ({"nth": 0}, "nth", "counted from 1"),
        ({"nth": -3}, "nth", "counted from 1"),
        ({"nth": 1.0}, "nth", "whole number"),
        ({"nth": True}, "nth", "whole number"),
        ({"probability": 1.01}, "probability", "from 0 to 1"),
        ({"probability": -0.1}, "probability", "from 0 to 1"),
        ({"probability": math.nan}, "probability", "from 0 to 1"),
        ({"probability": None}, "probability", "from 0 to 1"),
        ({"probability": "often"}, "probability", "from 0 to 1"),
        ({"side": "middle"}, "side", "throttled strikes before"),
        ({"side": "after"}, "side", "throttled strikes before"),
        ({"side": "befor"}, "side", "Did you mean before?"),
        ({"side": None}, "side", "one of before, middle, after"),
        ({"seconds": 3}, "parameters.seconds", "throttled takes no parameters"),
    ],
)
def test_wrong_fields_are_named(named: dict[str, Any], field: str, says: str) -> None:
    """Each wrong field is refused with its name, its value and a remedy."""
    error = error_of("aws.sqs.SendMessage", "throttled", **named)
    assert error.field == field
    assert says in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    ("arguments", "named", "field", "says"),
    [
        (("handler", "slow"), {"second": 3}, "parameters.second", "Did you mean seconds? slow takes seconds"),
        (("handler", "slow"), {"seconds": 0}, "parameters.seconds", "above zero"),
        (("handler", "slow"), {"seconds": "3"}, "parameters.seconds", "Give seconds"),
        (("handler", "slow"), {"seconds": math.inf}, "parameters.seconds", "Give seconds"),
        (("handler", "slow"), {"seconds": None}, "parameters.seconds", "Give seconds"),
        (("handler", "transient"), {"error": 7}, "parameters.error", "module:Class"),
        (("handler", "transient"), {"error": "not a name"}, "parameters.error", "module:Class"),
        (("handler", "poison"), {"keys": "abc"}, "parameters.keys", "list of message keys"),
        (("handler", "poison"), {"keys": []}, "parameters.keys", "at least one"),
        (("handler", "poison"), {"keys": [1.5]}, "parameters.keys", "as texts"),
        (("aws.sqs.*", "partial-failure"), {"share": 0}, "parameters.share", "above 0 and at most 1"),
        (("dependency.x", "status"), {"code": 200}, "parameters.code", "400 to 599"),
        (("dependency.x", "status"), {"code": "503"}, "parameters.code", "400 to 599"),
        (("dependency.x", "status"), {"retry_after": -1}, "parameters.retry_after", "or None"),
        (("process.w", "crash"), {"restart_after": -1}, "parameters.restart_after", "zero or more, or None"),
        (("clock.w", "jump"), {"seconds": 0}, "parameters.seconds", "other than zero"),
        (("clock.w", "drift"), {"rate": 0}, "parameters.rate", "above zero"),
        (("network.sqs", "latency"), {"latency": 1.5}, "parameters.latency", "whole milliseconds"),
        (("network.sqs", "latency"), {"stream": "up"}, "parameters.stream", "upstream"),
        (("network.sqs", "slicer"), {"average_size": 0}, "parameters.average_size", "one or more"),
        (
            ("network.sqs", "slicer"),
            {"average_size": 5, "size_variation": 5},
            "parameters.size_variation",
            "below average_size",
        ),
        (("network.sqs", "limit_data"), {"bytes": -1}, "parameters.bytes", "zero or more"),
    ],
)
def test_wrong_parameters_are_named(arguments: tuple[str, str], named: dict[str, Any], field: str, says: str) -> None:
    """Each unknown or ill-typed parameter is refused with its name and what it takes."""
    error = error_of(*arguments, **named)
    assert error.field == field
    assert says in str(error)


@pytest.mark.parametrize(
    ("target", "kind", "says"),
    [
        ("aws.sqs.SendMessage", "throtled", "Did you mean throttled?"),
        ("aws.sqs.SendMessage", "out_of_memory", "is a kind of redis and cannot be given at an aws target"),
        ("redis.INCR", "out_of_memory", "Did you mean out-of-memory?"),
        ("handler", "throttled", "is a kind of aws and cannot be given at a handler target"),
        ("redis.GET", "throttled", "is a kind of aws"),
        ("process.worker", "hang", "is a kind of handler"),
        ("*", "throttled", "cannot be given at a target of every layer"),
        ("workload.orders", "crash", "is a kind of process"),
        ("handler", None, "no kind of fault"),
        ("aws.sqs.DeleteMessage", "duplicate", "duplicate does not strike aws.sqs.DeleteMessage"),
        ("redis.GET", "readonly", "readonly does not strike redis.GET"),
        ("redis.DEL", "out-of-memory", "does not strike redis.DEL"),
        ("handler", "slow-start", "give process.NAME"),
    ],
)
def test_unknown_kinds_are_named(target: str, kind: Any, says: str) -> None:
    """A kind that the layer does not have is refused; where it is another layer's, that is said."""
    error = error_of(target, kind)
    assert error.field == "kind"
    assert says in str(error)


def test_sides_that_the_layer_lacks_are_refused() -> None:
    """Only the handler has a middle; points, processes and clocks have one side."""
    assert "only the handler" in str(error_of("aws.sqs.SendMessage", "hang", side="middle"))
    assert "one side only" in str(error_of("point.x", "hang", side="after"))
    assert "one side only" in str(error_of("process.x", "crash", side="after"))


def test_slow_start_counts_no_passings() -> None:
    """slow-start strikes at starts: nth is refused with what to give instead."""
    assert error_of("process.x", "slow-start", nth=2).field == "nth"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "a plan is an object, not list"),
        ({"version": 1}, "faults: is missing"),
        ({"faults": []}, "version: is missing"),
        ({"version": 2, "faults": []}, "version: is 2, this harness reads version 1"),
        ({"version": True, "faults": []}, "version: is True"),
        ({"version": 1, "fault": [], "faults": []}, "fault: is no field of a plan. Did you mean faults?"),
        ({"version": 1, "faults": {}}, "faults: is {}. Give a list"),
        ({"version": 1, "faults": ["x"]}, "faults[0]: is 'x'. Each fault is an object"),
        ({"version": 1, "faults": [{"kind": "hang"}]}, "faults[0].target: is missing"),
        ({"version": 1, "faults": [{"target": "handler"}]}, "faults[0].kind: is missing"),
        (
            {"version": 1, "faults": [{"target": "handler", "kind": "hang", "propability": 1}]},
            "faults[0].propability: is no field of a fault. Did you mean probability?",
        ),
        (
            {"version": 1, "faults": [{"target": "handler", "kind": "slow", "parameters": {"nth": 1}}]},
            "faults[0].parameters.nth: is a field of the fault",
        ),
        (
            {"version": 1, "faults": [{"target": "handler", "kind": "slow", "parameters": 3}]},
            "faults[0].parameters: is 3",
        ),
        (
            {"version": 1, "faults": [{"target": "handler", "kind": "slow", "parameters": {"seconds": -1}}]},
            "faults[0].parameters.seconds: is -1",
        ),
        (
            {
                "version": 1,
                "faults": [
                    {"target": "handler", "kind": "hang"},
                    {"target": "handler", "kind": "hang"},
                    {"target": "aws.sqs.DeletMessage", "kind": "timeout"},
                ],
            },
            "faults[2].target: 'aws.sqs.DeletMessage' names no operation of sqs. Did you mean aws.sqs.DeleteMessage?",
        ),
    ],
)
def test_wrong_json_is_named(value: object, says: str) -> None:
    """Each fault of a plan's JSON is refused with the path of its field."""
    with pytest.raises(PlanError) as caught:
        FaultPlan.from_json(value)
    assert says in str(caught.value)


def test_a_plan_is_a_list_of_faults() -> None:
    """Something else in a plan is refused with its place."""
    with pytest.raises(PlanError, match=r"faults\[1\]: is 'x'"):
        FaultPlan([LOST, "x"])  # type: ignore[list-item]
    with pytest.raises(PlanError, match="Give a list"):
        FaultPlan(7)  # type: ignore[arg-type]


def test_files(tmp_path: Path) -> None:
    """A plan comes back from its file; a file that is none is named with line or field."""
    path = tmp_path / "plan.json"
    FaultPlan([LOST]).save(path)
    assert FaultPlan.load(path) == FaultPlan([LOST])
    for content, says in (
        ('{"version": 1,\n "faults": [}', "plan.json: line 2: is not JSON"),
        ('{"version": 1, "faults": [{"target": "handler"}]}', "plan.json: faults[0].kind: is missing"),
        ("[" * 100_000, "plan.json: is not JSON (nested too deeply)"),
    ):
        path.write_text(content)
        with pytest.raises(PlanError) as caught:
            FaultPlan.load(path)
        assert says in str(caught.value)
        assert caught.value.file == str(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match="not UTF-8"):
        FaultPlan.load(path)
    with pytest.raises(PlanError, match="No such file"):
        FaultPlan.load(tmp_path / "none.json")


def test_what_is_only_for_live_runs_is_refused_in_simulation() -> None:
    """A toxic that works on bytes cannot be simulated, and the message says where it can be run."""
    plan = FaultPlan([Fault("network.sqs", "bandwidth", start=1)])
    plan.check(Known(backend="live"))
    with pytest.raises(PlanError, match=r"faults\[0\].kind: bandwidth cannot be simulated.*--backend live"):
        plan.check(Known())


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (LOST, 70),
        (Fault("redis", "refused"), None),
        (Fault("process.worker", "crash", start=10, restart_after=5), 15),
        (Fault("process.worker", "crash", start=10, restart_after=None), None),
        (Fault("process.worker", "pause", start=10, seconds=45), 55),
        (Fault("redis", "flushed", start=3), 3),
        (Fault("clock.worker", "jump", start=3), None),
        (Fault("clock.worker", "jump", start=3, end=9), 9),
        (Fault("handler", "hang", end=4), None),
        (Fault("handler", "slow", end=4, seconds=6), 10),
        (Fault("point.x", "crash", nth=1), None),
    ],
)
def test_when_a_fault_is_over(fault: Fault, end: float | None) -> None:
    """The end of a fault's work is its window's end and what it started, or unknown."""
    assert fault.effective_end == end
    assert FaultPlan([Fault("redis", "timeout", end=1), fault]).effective_end == end


def test_how_long_a_plan_needs() -> None:
    """The run must last until the last window has closed, or has opened where it stays open."""
    assert FaultPlan().last_known_end == 0
    plan = FaultPlan([LOST, Fault("handler", "poison", keys=["1"])])
    assert plan.effective_end is None
    assert plan.last_known_end == 70
    assert plan.add(Fault("redis", "refused", start=400)).last_known_end == 400
    assert plan.add(Fault("point.x", "crash", nth=1, end=90)).last_known_end == 91  # its restart
    assert plan.add(Fault("process.w", "crash", start=100, restart_after=9)).last_known_end == 109
