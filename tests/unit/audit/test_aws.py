"""Queues that are there: read over HTTP from a real server, functions and alarms as AWS answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.audit import audit
from harness.audit.aws import read_queues
from harness.audit.estate import Unknown
from harness.servers.aws_server import AwsServer


@pytest.fixture
def server() -> Iterator[AwsServer]:
    with AwsServer(seed=1) as found:
        yield found


class Lambda:
    """What Lambda answers of one mapping; *refused* operations are denied."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    def get_paginator(self, name: str) -> Any:
        self.check("ListEventSourceMappings")
        return self

    def paginate(self, EventSourceArn: str) -> Iterator[dict[str, Any]]:  # as boto3 has it
        found = {
            "UUID": "1-2-3",
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:charge",
            "BatchSize": 10,
            "MaximumBatchingWindowInSeconds": 0,
            "FunctionResponseTypes": [],
        }
        yield {"EventSourceMappings": [found] if EventSourceArn.endswith(":orders") else []}

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # as boto3 has it
        self.check("GetFunctionConfiguration")
        return {"Timeout": 30}

    def get_function_concurrency(self, FunctionName: str) -> dict[str, Any]:  # as boto3 has it
        self.check("GetFunctionConcurrency")
        return {"ReservedConcurrentExecutions": 2}

    def check(self, name: str) -> None:
        if name in self.refused:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, name)


def clients(server: AwsServer, awslambda: Any) -> Any:
    def client(service: str) -> Any:
        if service == "lambda":
            return awslambda
        return boto3.client(
            service,
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    return client


def queues(server: AwsServer, count: int = 2) -> str:
    sqs = clients(server, None)("sqs")
    dead = sqs.create_queue(QueueName="orders-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": count})
    url: str = sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    return url


def test_a_queue_with_everything_behind_it(server: AwsServer) -> None:
    """Its dead-letter queue, its mapping and function, and the alarms are read; changes are commands."""
    url = queues(server)
    found = audit(read_queues([url], clients(server, Lambda())))
    changes = {each.rule.id: each.change for each in found.findings}
    assert set(changes) == {
        "max-receives",
        "dead-letter-retention",
        "lambda-concurrency",
        "lambda-visibility-timeout",
        "lambda-partial-batch",
        "dead-letter-alarm",
    }
    assert found.unjudged == ()
    assert changes["lambda-visibility-timeout"] == (
        f'aws sqs set-queue-attributes --queue-url {url} --attributes \'{{"VisibilityTimeout": "180"}}\''
    )
    assert changes["lambda-concurrency"] == (
        "aws lambda update-event-source-mapping --uuid 1-2-3 --scaling-config MaximumConcurrency=2"
    )
    assert "--dimensions Name=QueueName,Value=orders-dead" in changes["dead-letter-alarm"]
    assert '"maxReceiveCount\\": 5' in changes["max-receives"]
    assert ":orders-dead" in changes["max-receives"]


def test_an_alarm_that_is_there(server: AwsServer) -> None:
    """The alarm that the change makes is found."""
    url = queues(server)
    clients(server, None)("cloudwatch").put_metric_alarm(
        AlarmName="a",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": "orders-dead"}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
    )
    found = audit(read_queues([url], clients(server, Lambda())))
    assert "dead-letter-alarm" not in {each.rule.id for each in found.findings}


def test_what_may_not_be_read_is_not_judged(server: AwsServer) -> None:
    """A refusal is a remark or a reason, never a pass."""
    url = queues(server)
    nothing = read_queues([url], clients(server, Lambda("ListEventSourceMappings")))
    assert nothing.mappings is None
    assert nothing.remarks == ("event source mappings were not looked at: AccessDeniedException",)
    half = read_queues([url], clients(server, Lambda("GetFunctionConfiguration", "GetFunctionConcurrency")))
    (function,) = half.functions
    assert isinstance(function.timeout, Unknown)
    assert isinstance(function.reserved_concurrency, Unknown)
    assert {each.rule.id for each in audit(half).unjudged} == {"lambda-concurrency", "lambda-visibility-timeout"}


def test_a_dead_letter_queue_that_is_gone(server: AwsServer) -> None:
    """It is a remark; the queue itself is judged."""
    url = queues(server)
    sqs = clients(server, None)("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="orders-dead")["QueueUrl"])
    estate = read_queues([url], clients(server, Lambda()))
    (remark,) = estate.remarks
    assert remark.endswith(
        "orders-dead, the dead-letter queue of orders, could not be read: AWS.SimpleQueueService.NonExistentQueue"
    )
    assert len(estate.queues) == 1


def test_a_queue_that_is_not_there(server: AwsServer) -> None:
    """What boto3 raises is raised."""
    with pytest.raises(ClientError, match="NonExistentQueue"):
        read_queues([f"{server.url}/000000000000/none"], clients(server, Lambda()))
