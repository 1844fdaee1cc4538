"""SNS on the server: a topic's messages reach its queues, whatever the protocol of the request."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.servers.aws_server import AwsServer


@pytest.fixture
def server() -> Iterator[AwsServer]:
    with AwsServer(seed=1, key="$.id") as found:
        yield found


def client(server: AwsServer, name: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client(name, endpoint_url=server.url, region_name="us-east-1", **keys)


def test_what_is_published_is_delivered_to_a_queue(server: AwsServer) -> None:
    """Raw and in an envelope; the history has the sends, under the message's key."""
    sns, sqs = client(server, "sns"), client(server, "sqs")
    topic = sns.create_topic(Name="orders")["TopicArn"]
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("raw", "wrapped")]
    for name, raw in (("raw", "true"), ("wrapped", "false")):
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:us-east-1:000000000000:{name}",
            Attributes={"RawMessageDelivery": raw},
        )
    sns.publish(TopicArn=topic, Message='{"id": 7}')
    bodies = [sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"][0]["Body"] for url in urls]
    assert bodies[0] == '{"id": 7}'
    assert json.loads(bodies[1])["Message"] == '{"id": 7}'
    sends = [json.loads(line) for line in server.call(server.history.lines)]
    assert next((one["queue"], one["key"]) for one in sends if one["kind"] == "send") == ("raw", "7")
    for one in (sns, sqs):
        one.close()


def test_a_topic_that_is_not_there_is_an_error_of_sns(server: AwsServer) -> None:
    """As a client knows it, and as it comes over the wire: XML with the code of the query protocol."""
    sns = client(server, "sns")
    with pytest.raises(ClientError) as refused:
        sns.publish(TopicArn="arn:aws:sns:us-east-1:000000000000:none", Message="x")
    assert refused.value.response["Error"]["Code"] == "NotFound"
    sns.close()
    form = {"Action": "GetTopicAttributes", "Version": "2010-03-31"}
    form["TopicArn"] = "arn:aws:sns:us-east-1:000000000000:none"
    with pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.urlopen(server.url, urllib.parse.urlencode(form).encode(), timeout=5)
    with answered.value as answer:
        assert answer.code == 404
        assert b"<Code>NotFound</Code>" in answer.read()


def test_a_reset_takes_topics_away(server: AwsServer) -> None:
    """Everything is back to empty."""
    sns = client(server, "sns")
    sns.create_topic(Name="orders")
    server.call(server.reset)
    assert sns.list_topics()["Topics"] == []
    sns.close()
