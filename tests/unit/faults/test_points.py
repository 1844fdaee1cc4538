"""Targets: what they match, and what is said of targets that name nothing."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import PlanError
from harness.faults import aws, kinds, points, redis
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import Known


def reaches(target: str, kind: str, point: str) -> bool:
    fault = Fault(target, kind)
    return points.struck_points(fault.where, fault.spec)(point)


def test_the_table_of_sqs_operations_is_botocores() -> None:
    """The operations known without reading AWS's model are those of the model."""
    from botocore.loaders import create_loader

    assert create_loader().load_service_model("sqs", "service-2")["operations"].keys() == aws.SQS_OPERATIONS


def test_redis_commands_have_the_flags_of_redis() -> None:
    """Which commands write and which need memory is what Redis's own command table says."""
    import importlib.resources
    import json

    table = json.loads(importlib.resources.files("fakeredis").joinpath("commands.json").read_text())
    for name, kind in (("write", "readonly"), ("denyoom", "out-of-memory")):
        struck = kinds.for_layer("redis")[kind].operations
        assert struck is not None
        flagged = {
            entry.upper()
            for entry, row in table.items()
            if name in row[2] and "write" in row[2] and " " not in entry and "." not in entry
        }
        assert not {one for one in flagged & redis.COMMANDS if one not in struck}
        read = {entry.upper() for entry, row in table.items() if "readonly" in row[2] and " " not in entry}
        assert not read & struck


@pytest.mark.parametrize(
    ("target", "kind", "point", "struck"),
    [
        ("aws.sqs.SendMessage", "throttled", "aws.sqs.SendMessage", True),
        ("aws.sqs.SendMessage", "throttled", "aws.sqs.SendMessageBatch", False),
        ("aws.sqs.Send*", "throttled", "aws.sqs.SendMessageBatch", True),
        ("aws.sqs.*", "throttled", "aws.sns.Publish", False),
        ("aws.*", "throttled", "aws.sns.Publish", True),
        ("aws", "throttled", "aws.sns.Publish", True),
        ("aws.*", "throttled", "redis.GET", False),
        ("aws.sqs.*", "duplicate", "aws.sqs.ReceiveMessage", True),
        ("aws.sqs.*", "duplicate", "aws.sqs.DeleteMessage", False),
        ("aws", "partial-failure", "aws.dynamodb.DeleteMessageBatch", False),
        ("redis", "readonly", "redis.GET", False),
        ("redis", "readonly", "redis.INCR", True),
        ("redis.*", "timeout", "redis.JSON.SET", True),
        ("redis", "loading", "redis.CONNECT", False),
        ("handler", "hang", "handler", True),
        ("point.*", "hang", "point.after-charge", True),
        ("point", "hang", "point.after-charge", True),
        ("*", "hang", "redis.GET", True),
        ("*", "hang", "handler", True),
        ("*", "hang", "workload.orders", False),
        ("dependency.payments", "reset", "dependency.payments", True),
        ("dependency", "reset", "dependency.payments", True),
        ("network.sqs", "down", "aws.sqs.SendMessage", True),
        ("network.sqs", "down", "aws.sns.Publish", False),
        ("network.redis", "down", "redis.GET", True),
        ("network.*", "down", "dependency.payments", True),
        ("network.payments", "down", "dependency.payments", True),
        ("network.payments", "down", "point.payments", False),
        ("workload", "empty", "workload.orders", True),
        ("workload.orders", "empty", "workload.others", False),
    ],
)
def test_what_a_target_matches(target: str, kind: str, point: str, struck: bool) -> None:
    """A target matches exactly the points that its name, pattern or layer says and its kind can strike."""
    assert reaches(target, kind, point) is struck


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("", "Name a point"),
        (7, "Name a point"),
        ("sqs.SendMessage", "begins with no layer"),
        ("redi.GET", "Did you mean redis?"),
        ("aws.", "has no name after aws."),
        ("aws.sqs.Send Message", "has no name after aws."),
        ("aws.sqs", "Give aws.sqs.* for all of them"),
        ("aws.sqs.deletemessage", "Did you mean aws.sqs.DeleteMessage?"),
        ("aws.sqs.Delete*Messages", "names no operation of sqs"),
        ("aws.sqs.DeleteMessage.after", 'Fault("aws.sqs.DeleteMessage", ..., side="after")'),
        ("handler.middle", 'Fault("handler", ..., side="middle")'),
        ("handler.charge", 'The handler is "handler"'),
        ("redis.incr", "Did you mean redis.INCR?"),
        ("redis.XYZZY", "Write commands in capitals"),
    ],
)
def test_targets_that_are_none(target: Any, says: str) -> None:
    """What is no target in any scenario is refused when the fault is made."""
    with pytest.raises(PlanError) as caught:
        Fault(target, "crash")
    assert caught.value.field == "target"
    assert says in str(caught.value)


KNOWN = Known(
    queues=("orders",), processes=("worker", "api"), dependencies=("payments",), points=("after-charge",), handler=False
)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            Fault("process.workers", "crash"),
            "'process.workers' names no process of the scenario. Did you mean process.",
        ),
        (Fault("clock.xyz", "jump"), "names no process of the scenario. It has worker, api"),
        (Fault("workload.order", "empty"), "Did you mean workload.orders?"),
        (Fault("dependency.payment", "reset"), "Did you mean dependency.payments?"),
        (Fault("network.payment", "down"), "Did you mean network.payments?"),
        (Fault("network.rediss", "down"), "Did you mean network.redis?"),
        (Fault("point.after_charge", "hang"), "Did you mean point.after-charge?"),
        (Fault("handler", "hang"), 'Add handler="package.module:function"'),
        (Fault("aws.dynamo.PutItem", "throttled"), "Did you mean aws.dynamodb?"),
        (Fault("aws.qqqqqq.PutItem", "throttled"), "Write the service as boto3.client() takes it"),
        (Fault("aws.dynamodb.PutItems", "throttled"), "Did you mean aws.dynamodb.PutItem?"),
    ],
)
def test_targets_that_the_scenario_lacks(fault: Fault, says: str) -> None:
    """A name that the scenario or AWS does not have is refused with the fault's place in the plan."""
    with pytest.raises(PlanError) as caught:
        FaultPlan([Fault("redis", "refused"), fault]).check(KNOWN)
    assert caught.value.field == "faults[1].target"
    assert says in str(caught.value)


def test_targets_that_the_scenario_has() -> None:
    """Names, patterns and whole layers that match something are accepted."""
    FaultPlan(
        [
            Fault("process.worker", "crash"),
            Fault("process.*", "crash"),
            Fault("clock.a*", "jump"),
            Fault("workload", "empty"),
            Fault("workload.orders", "empty"),
            Fault("dependency.payments", "reset"),
            Fault("network.sqs", "down"),
            Fault("point.after-charge", "hang"),
            Fault("aws", "throttled"),
            Fault("aws.*.SendMessage", "throttled"),
            Fault("aws.dynamodb.Put*", "throttled"),
            Fault("redis.JSON.SET", "timeout"),
            Fault("*", "crash", nth=1),
        ]
    ).check(KNOWN)


def test_names_not_known_beforehand_are_accepted() -> None:
    """Where a scenario cannot say its names, any name may come up in the run."""
    FaultPlan([Fault("point.anything", "hang"), Fault("dependency.any", "reset"), Fault("handler", "hang")]).check(
        Known()
    )


def test_names_of_a_scenario() -> None:
    """The names are the scenario's processes (each instance too), sources, and stubs."""
    from harness.scenario import Process, Scenario, Workload

    scenario = Scenario(
        name="s",
        processes=[Process("worker", "m:f", count=2, environ={"URL": "{http:payments}/charge"})],
        workload=Workload(to="orders", messages=1),
        invariants=(),
    )
    known = points.known_names(scenario)
    assert known.dependencies == ("payments",)
    points.validate(FaultPlan([Fault("process.worker.2", "crash"), Fault("process.worker", "crash")]), scenario)
    with pytest.raises(PlanError, match=r"faults\[0\].target"):
        points.validate(FaultPlan([Fault("process.worker.3", "crash")]), scenario)


def test_names_of_points_in_reports() -> None:
    """A point's name has its side where the layer has sides, and can be taken apart again."""
    for target, side, name in (
        ("aws.sqs.DeleteMessage", "after", "aws.sqs.DeleteMessage.after"),
        ("handler", "middle", "handler.middle"),
        ("point.after-charge", "before", "point.after-charge"),
        ("process.worker", "before", "process.worker"),
        ("point.before", "before", "point.before"),
    ):
        assert points.point_name(target, side) == name
        assert points.split_point(name) == (target, side)
