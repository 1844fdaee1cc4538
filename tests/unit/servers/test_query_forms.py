"""SQS's query protocol at queues' URLs, and its answers in JSON."""

from __future__ import annotations

import json

import pytest

from harness.servers.query_forms import at_a_queue, json_answer, json_refusal, refused_at_a_queue
from harness.sim.services.sqs_errors import unknown_queue


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/000000000000/orders", True),
        ("/000000000000/orders.fifo", True),
        ("/", False),
        ("/000000000000", False),
        ("/other/orders", False),
        ("/000000000000/orders/more", False),
    ],
)
def test_at_a_queue(path: str, is_one: bool) -> None:
    """A queue's URL is account and name."""
    assert at_a_queue(path) is is_one


def test_actions_of_the_service() -> None:
    """CreateQueue and ListQueues belong to the service; other actions, and other services, go on."""
    assert refused_at_a_queue("sqs", "ListQueues", "/000000000000/orders")
    assert not refused_at_a_queue("sqs", "ListQueues", "/")
    assert not refused_at_a_queue("sqs", "GetQueueUrl", "/000000000000/orders")
    assert not refused_at_a_queue("sns", "ListQueues", "/000000000000/orders")


def test_answers_in_json() -> None:
    """Names as in the XML but for messages and queueUrls, attributes as a list; nothing to say is no result."""
    result = {"Messages": [{"Body": "foobar", "Attributes": {"SenderId": "AIDA"}}]}
    found = json.loads(json_answer("ReceiveMessage", result, "r").body)["ReceiveMessageResponse"]
    (message,) = found["ReceiveMessageResult"]["messages"]
    assert message == {"Body": "foobar", "Attributes": [{"Name": "SenderId", "Value": "AIDA"}]}
    assert found["ResponseMetadata"] == {"RequestId": "r"}
    listed = json.loads(json_answer("ListQueues", {"QueueUrls": ["u"]}, "r").body)
    assert listed["ListQueuesResponse"]["ListQueuesResult"] == {"queueUrls": ["u"]}
    assert "PurgeQueueResult" not in json.loads(json_answer("PurgeQueue", {}, "r").body)["PurgeQueueResponse"]


def test_refusals_in_json() -> None:
    """A refusal has status, code and the text of the query protocol."""
    reply = json_refusal(unknown_queue(), "r")
    error = json.loads(reply.body)["Error"]
    assert (reply.status, error["Code"]) == (400, "AWS.SimpleQueueService.NonExistentQueue")
    assert error["Message"].endswith("for this wsdl version.")
