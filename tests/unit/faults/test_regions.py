"""Targets that name a region: what they strike, how they read, what is refused."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from harness import Fault, FaultPlan, Process, Queue, Scenario, Workload, runner
from harness.errors import PlanError, ScenarioError
from harness.faults import points, regions
from harness.faults.kinds import find
from harness.sim.world import HOME_REGION


@pytest.mark.parametrize(
    ("target", "point", "struck"),
    [
        ("aws.sqs.SendMessage", "aws.sqs.SendMessage", True),
        ("aws.sqs.SendMessage", "aws.sqs.SendMessage@eu-west-1", True),
        ("aws.sqs.SendMessage@eu-west-1", "aws.sqs.SendMessage@eu-west-1", True),
        ("aws.sqs.SendMessage@eu-west-1", "aws.sqs.SendMessage", False),
        ("aws.sqs.SendMessage@us-east-1", "aws.sqs.SendMessage", True),
        ("aws.sqs.SendMessage@us-east-1", "aws.sqs.SendMessage@eu-west-1", False),
        ("aws.sqs.*@eu-*", "aws.sqs.DeleteMessage@eu-central-1", True),
        ("aws.sqs.*@eu-*", "aws.sqs.DeleteMessage@us-west-2", False),
        ("aws.*@us-east-1", "aws.s3.PutObject", True),
        ("aws.*@us-east-1", "aws.s3.PutObject@us-west-2", False),
        ("aws.*@us-east-1", "redis.GET", False),
        ("aws", "aws.s3.PutObject@us-west-2", True),
    ],
)
def test_a_target_strikes_in_its_region_and_without_one_in_all(target: str, point: str, struck: bool) -> None:
    """The region of a point is at its end, that of the run's own region nowhere."""
    assert points.struck_points(points.parse(target), find("aws", "throttled"))(point) is struck


def test_a_kind_of_certain_operations_strikes_them_in_a_region() -> None:
    """partial-failure strikes batches only, wherever they are."""
    reaches = points.struck_points(points.parse("aws.sqs.*@eu-west-1"), find("aws", "partial-failure"))
    assert reaches("aws.sqs.SendMessageBatch@eu-west-1")
    assert not reaches("aws.sqs.SendMessage@eu-west-1")
    assert not reaches("aws.sqs.SendMessageBatch")
    Fault("aws.sqs.*@eu-west-1", "partial-failure")
    with pytest.raises(PlanError, match="does not strike"):
        Fault("aws.sqs.SendMessage@eu-west-1", "partial-failure")


def test_a_point_is_taken_apart() -> None:
    """A point without a region is one of the run's own."""
    assert regions.of_point("aws.sqs.SendMessage@eu-west-1") == ("aws.sqs.SendMessage", "eu-west-1")
    assert regions.of_point("aws.sqs.SendMessage") == ("aws.sqs.SendMessage", HOME_REGION)
    assert points.split_point("aws.sqs.SendMessage@eu-west-1.after") == ("aws.sqs.SendMessage@eu-west-1", "after")


def test_a_plan_with_regions_goes_through_json() -> None:
    """The region is part of the target's text."""
    plan = FaultPlan([Fault("aws.*@us-east-1", "unavailable", start=1, end=2)])
    assert FaultPlan.from_json(plan.to_json()) == plan
    assert "aws.*@us-east-1" in str(plan)


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("aws@eu-west-1", "Write aws.*@eu-west-1"),
        ("aws.sqs.SendMesage@eu-west-1", "SendMessage"),
        ("aws.sqs.*@eu-wset-1", "eu-west-1"),
        ("aws.dynamodb.PutIten@eu-west-1", "PutItem"),
    ],
)
def test_a_misspelt_target_is_refused_with_the_nearest(target: str, hint: str) -> None:
    """Layer, operation and region are each looked up."""
    with pytest.raises(PlanError, match=hint):
        FaultPlan([Fault(target, "throttled")]).check(points.Known())


def run(main: Any, *faults: Fault, backend: str = "memory") -> Any:
    scenario = Scenario(
        name="regions",
        queues=[Queue("orders"), Queue("orders-west", region="us-west-2", dead_letter="dead-west", max_receives=2)],
        processes=[Process("worker", main, environ={"WEST": "{queue:orders-west}"})],
        workload=Workload(to="orders-west", messages=1),
        invariants=[],
        backends=("memory", "moto"),
    )
    result = runner.run(scenario, faults=list(faults), backend=backend)
    assert result.notes == []
    return result


@pytest.mark.parametrize("backend", ["memory", "moto"])
def test_a_queue_is_in_its_region_and_a_fault_of_one_leaves_the_other_alone(backend: str) -> None:
    """The workload and the URL lead to the queue's region; a client of another finds nothing there."""
    found: list[Any] = []

    def main(env: Any) -> None:
        import os

        url = os.environ["WEST"]
        assert url == env.queue_url("orders-west") == "https://sqs.us-west-2.amazonaws.com/000000000000/orders-west"
        east, west = boto3.client("sqs"), boto3.client("sqs", region_name="us-west-2")
        found.append(west.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]["Body"])
        with pytest.raises(east.exceptions.QueueDoesNotExist):
            east.get_queue_url(QueueName="orders-west")
        east.send_message(QueueUrl=env.queue_url("orders"), MessageBody="x")
        with pytest.raises(west.exceptions.ClientError, match=r"AccessDenied.*sqs:sendmessage"):
            west.send_message(QueueUrl=url, MessageBody="x")

    result = run(main, Fault("aws.sqs.SendMessage@us-west-2", "access-denied"), backend=backend)
    assert found == ['{"n":0}']
    assert result.unstruck == []
    assert result.faults["aws.sqs.SendMessage@us-west-2.before"] == {"passed": 1, "struck": 1}
    assert result.faults["aws.sqs.SendMessage.before"] == {"passed": 1, "struck": 0}
    assert sorted(list(result.history)[-1]["queues"]) == ["dead-west", "orders", "orders-west"]


def test_a_dead_letter_queue_of_another_region_is_refused() -> None:
    """SQS moves messages within a region only."""
    queues = [Queue("orders", dead_letter="dead"), Queue("dead", region="us-west-2")]
    with pytest.raises(ScenarioError, match=r"queues\.orders\.dead_letter: is in another region, us-west-2"):
        Scenario(
            name="x",
            queues=queues,
            processes=[Process("worker", lambda: None)],
            workload=Workload(to="orders", messages=1),
        )
    with pytest.raises(ScenarioError, match="region: is 'mars'"):
        Queue("orders", region="mars")
