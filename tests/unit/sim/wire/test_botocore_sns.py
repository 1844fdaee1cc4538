"""SNS under real boto3 clients: topics, subscriptions, publishing, deliveries to queues."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from harness.sim import patches
from harness.sim.services.sns import SnsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Answer, Lost
from harness.sim.wire import botocore as wire
from tests.unit.sim.wire.aws import Run, client

ARN = "arn:aws:sqs:us-east-1:000000000000:"
TOPIC = "arn:aws:sns:us-east-1:000000000000:"


@pytest.fixture(autouse=True, scope="module")
def _wired() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


class Desk(Run):
    """A run with SNS and a few queues."""

    def __init__(self, latency_us: Callable[[], int] = lambda: 20_000) -> None:
        super().__init__()
        self.sns = SnsService(KernelTimebase(self.kernel), random.Random(7), self.sqs, latency_us)
        self.world.services["sns"] = self.sns
        for name in ("orders", "audit", "dead", "orders.fifo", "dead.fifo"):
            self.sqs.create_queue(name, {"FifoQueue": "true"} if name.endswith(".fifo") else {})


def drained(name: str, wait: int = 2) -> list[dict[str, Any]]:
    """Everything in a queue, within a run."""
    found: list[dict[str, Any]] = []
    sqs = client()
    while got := sqs.receive_message(
        QueueUrl=name,
        WaitTimeSeconds=wait,
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    ).get("Messages"):
        found += got
        for message in got:
            sqs.delete_message(QueueUrl=name, ReceiptHandle=message["ReceiptHandle"])
    return found


def topic_with(
    sns: Any, queue: str = "orders", name: str = "news", region: str = "us-east-1", **attributes: str
) -> str:
    fifo = {"FifoTopic": "true"} if name.endswith(".fifo") else {}
    arn: str = sns.create_topic(Name=name, Attributes=fifo)["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + queue, Attributes=attributes)
    return arn


def test_a_message_arrives_in_its_envelope_a_while_later() -> None:
    """The JSON document that AWS documents, with the attributes as Type and Value."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns)
        attributes = {
            "kind": {"DataType": "String", "StringValue": "new"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
        }
        answer = sns.publish(TopicArn=arn, Message='{"id": 1}', Subject="Order", MessageAttributes=attributes)
        assert "Messages" not in client().receive_message(QueueUrl="orders")
        return answer["MessageId"], drained("orders")

    message_id, (message,) = Desk().go(main)
    document = json.loads(message["Body"])
    assert document.pop("UnsubscribeURL").startswith("https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&")
    assert document.pop("SigningCertURL").startswith("https://sns.us-east-1.amazonaws.com/")
    assert len(document.pop("Signature")) > 300
    assert document == {
        "Type": "Notification",
        "MessageId": message_id,
        "TopicArn": TOPIC + "news",
        "Subject": "Order",
        "Message": '{"id": 1}',
        "Timestamp": document["Timestamp"],
        "SignatureVersion": "1",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "new"}, "raw": {"Type": "Binary", "Value": "AAE="}},
    }
    assert document["Timestamp"].startswith("2030-01-01T00:00:00.")
    assert "MessageAttributes" not in message


def test_raw_delivery_hands_on_body_and_attributes() -> None:
    """No envelope; SNS's message attributes are SQS's."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns, RawMessageDelivery="true")
        attributes = {"kind": {"DataType": "String", "StringValue": "new"}}
        sns.publish(TopicArn=arn, Message="plain", MessageAttributes=attributes)
        return drained("orders")

    (message,) = Desk().go(main)
    assert message["Body"] == "plain"
    assert message["MessageAttributes"] == {"kind": {"DataType": "String", "StringValue": "new"}}


def test_each_subscription_gets_what_its_policy_lets_pass() -> None:
    """By attributes, by the body, and everything; a policy that is set later holds from then on."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns, RawMessageDelivery="true", FilterPolicy='{"kind": ["new"]}')
        policy = {"FilterPolicy": '{"paid": [true]}', "FilterPolicyScope": "MessageBody", "RawMessageDelivery": "true"}
        audit = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + "audit", Attributes=policy)
        new = {"kind": {"DataType": "String", "StringValue": "new"}}
        sns.publish(TopicArn=arn, Message='{"n": 1, "paid": true}')
        sns.publish(TopicArn=arn, Message='{"n": 2}', MessageAttributes=new)
        first = [message["Body"] for name in ("orders", "audit") for message in drained(name)]
        sns.set_subscription_attributes(
            SubscriptionArn=audit["SubscriptionArn"], AttributeName="FilterPolicy", AttributeValue='{"n": [3]}'
        )
        sns.publish(TopicArn=arn, Message='{"n": 3}')
        return first, [message["Body"] for message in drained("audit")]

    assert Desk().go(main) == (['{"n": 2}', '{"n": 1, "paid": true}'], ['{"n": 3}'])


def test_a_text_for_each_protocol() -> None:
    """MessageStructure json: queues get the text for sqs, else the default."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns, RawMessageDelivery="true")
        for texts in ({"default": "a", "sqs": "b"}, {"default": "c", "email": "d"}):
            sns.publish(TopicArn=arn, Message=json.dumps(texts), MessageStructure="json")
        return sorted(message["Body"] for message in drained("orders"))

    assert Desk().go(main) == ["b", "c"]


def test_a_fifo_topic_keeps_order_and_drops_duplicates() -> None:
    """In order whatever each delivery takes; a deduplication id counts for five minutes, then anew."""
    latencies = iter([90_000, 50_000, 10_000, 5_000, 5_000, 5_000])

    def main() -> Any:
        import time

        sns = client(service="sns")
        arn = topic_with(sns, queue="orders.fifo", name="news.fifo", RawMessageDelivery="true")
        answers = [
            sns.publish(TopicArn=arn, Message=text, MessageGroupId="g", MessageDeduplicationId=text)
            for text in ("a", "b", "c", "a")
        ]
        first = drained("orders.fifo")
        time.sleep(301)
        sns.publish(TopicArn=arn, Message="a", MessageGroupId="g", MessageDeduplicationId="a")
        return answers, first, drained("orders.fifo")

    answers, first, second = Desk(lambda: next(latencies)).go(main)
    assert [message["Body"] for message in first] == ["a", "b", "c"]
    assert [message["Attributes"]["MessageGroupId"] for message in first] == ["g"] * 3
    assert [message["Attributes"]["MessageDeduplicationId"] for message in first] == ["a", "b", "c"]
    assert [message["Body"] for message in second] == ["a"]
    numbers = [answer["SequenceNumber"] for answer in answers]
    assert numbers[:3] == sorted(numbers[:3])
    assert len(set(numbers[:3])) == 3
    assert answers[3]["MessageId"] == answers[0]["MessageId"]


def test_messages_of_a_fifo_topic_carry_a_sequence_number_for_a_signature() -> None:
    """And with content-based deduplication the id is the body's digest."""

    def main() -> Any:
        sns = client(service="sns")
        attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
        arn = sns.create_topic(Name="news.fifo", Attributes=attributes)["TopicArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + "orders.fifo")
        for _ in range(2):
            sns.publish(TopicArn=arn, Message="same", MessageGroupId="g")
        return drained("orders.fifo")

    (message,) = Desk().go(main)
    document = json.loads(message["Body"])
    assert document["SequenceNumber"].isdecimal()
    assert len(document["SequenceNumber"]) == 20
    assert "Signature" not in document
    assert len(message["Attributes"]["MessageDeduplicationId"]) == 64


def test_what_a_queue_does_not_take_goes_to_the_subscriptions_dead_letter_queue() -> None:
    """A queue that is gone, and a message with more attributes than SQS takes: at once, with the reason."""
    desk = Desk()

    def main() -> Any:
        sns = client(service="sns")
        redrive = json.dumps({"deadLetterTargetArn": ARN + "dead"})
        arn = topic_with(sns, RawMessageDelivery="true", RedrivePolicy=redrive)
        many = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(11)}
        sns.publish(TopicArn=arn, Message="eleven", MessageAttributes=many)
        first = drained("dead")
        client().delete_queue(QueueUrl="orders")
        sns.publish(TopicArn=arn, Message="gone")
        return first + drained("dead")

    found = desk.go(main)
    assert [message["Body"] for message in found] == ["eleven", "gone"]
    codes = [message["MessageAttributes"]["ErrorCode"]["StringValue"] for message in found]
    assert codes == ["InvalidParameterValue", "AWS.SimpleQueueService.NonExistentQueue"]
    assert desk.sns.notes == []


def test_without_a_dead_letter_queue_it_is_lost_and_noted() -> None:
    """Nobody is told on AWS; whoever reads the verdict here is."""
    desk = Desk()

    def main() -> None:
        sns = client(service="sns")
        arn = topic_with(sns, queue="nowhere")
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:111111111111:theirs")
        sns.publish(TopicArn=arn, Message="x")

    desk.go(main)
    assert ["nowhere" in note for note in desk.sns.notes] == [True, False]
    assert "AccessDenied" in desk.sns.notes[1]


def test_a_batch_is_published_whole_or_not_at_all() -> None:
    """Successful entries by id; one that does not fit fails all."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns, RawMessageDelivery="true")
        entries = [{"Id": str(n), "Message": f"m{n}"} for n in range(3)]
        answer = sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=entries)
        with pytest.raises(ClientError, match="Empty message"):
            sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=[*entries, {"Id": "3", "Message": ""}])
        return answer, sorted(message["Body"] for message in drained("orders"))

    answer, bodies = Desk().go(main)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1", "2"]
    assert len({entry["MessageId"] for entry in answer["Successful"]}) == 3
    assert answer["Failed"] == []
    assert bodies == ["m0", "m1", "m2"]


def test_faults_strike_before_and_after() -> None:
    """Throttled: nothing was published; an answer that is lost: it was, and the retry publishes again."""

    def main() -> Any:
        sns = client(service="sns", read_timeout=5, retries={"mode": "legacy", "max_attempts": 0})
        arn = topic_with(sns, RawMessageDelivery="true")
        with pytest.raises(ClientError, match="Throttled"):
            sns.publish(TopicArn=arn, Message="x")
        with pytest.raises(ReadTimeoutError):
            sns.publish(TopicArn=arn, Message="x")
        sns.publish(TopicArn=arn, Message="x")
        return len(drained("orders"))

    desk = Desk()
    desk.faults.plan["aws.sns.Publish", "before"] = [Answer(429, "Throttled", "Rate exceeded")]
    desk.faults.plan["aws.sns.Publish", "after"] = [Lost()]
    assert desk.go(main) == 2
    assert [event["error"] for event in desk.of("call.failed")] == ["Throttled", "ReadTimeoutError"]


def test_a_topic_may_deliver_to_another_region_and_is_called_in_its_own_only() -> None:
    """A queue's ARN names its region; a client of another region does not reach the topic."""
    desk = Desk()
    desk.sqs.create_queue("there", region="eu-west-1")

    def main() -> Any:
        sns, other = client(service="sns"), client(service="sns", region="eu-west-1")
        arn = sns.create_topic(Name="news")["TopicArn"]
        endpoint = "arn:aws:sqs:eu-west-1:000000000000:there"
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"})
        with pytest.raises(ClientError, match="Invalid parameter: TopicArn"):
            other.publish(TopicArn=arn, Message="x")
        assert other.list_topics()["Topics"] == []
        sns.publish(TopicArn=arn, Message="x")
        sqs = client(region="eu-west-1")
        return sqs.receive_message(QueueUrl="there", WaitTimeSeconds=5)["Messages"][0]["Body"]

    assert desk.go(main) == "x"


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("publish", {"Message": "x"}, "InvalidParameter", "no value for required parameter"),
    ("publish", {"TopicArn": "news", "Message": "x"}, "InvalidParameter", "at least 6 elements, not 1"),
    ("publish", {"TopicArn": TOPIC + "none", "Message": "x"}, "NotFound", "Topic does not exist"),
    ("publish", {"TopicArn": TOPIC + "news", "Message": ""}, "InvalidParameter", "Empty message"),
    ("publish", {"TopicArn": TOPIC + "news", "Message": "x" * 262_145}, "InvalidParameter", "Message too long"),
    ("publish", {"TopicArn": TOPIC + "news", "Message": "x", "Subject": ""}, "InvalidParameter", "Subject"),
    (
        "publish",
        {"TopicArn": TOPIC + "news", "Message": "x", "MessageDeduplicationId": "d"},
        "InvalidParameter",
        "not valid for this topic type",
    ),
    (
        "publish",
        {"TopicArn": TOPIC + "f.fifo", "Message": "x"},
        "InvalidParameter",
        "MessageGroupId parameter is required",
    ),
    (
        "publish",
        {"TopicArn": TOPIC + "f.fifo", "Message": "x", "MessageGroupId": "g"},
        "InvalidParameter",
        "ContentBasedDeduplication enabled or MessageDeduplicationId",
    ),
    (
        "publish",
        {"TopicArn": TOPIC + "news", "Message": "x", "MessageStructure": "json"},
        "InvalidParameter",
        "failed to parse",
    ),
    (
        "publish",
        {"TopicArn": TOPIC + "news", "Message": "{}", "MessageStructure": "json"},
        "InvalidParameter",
        "No default entry",
    ),
    (
        "publish",
        {
            "TopicArn": TOPIC + "news",
            "Message": "x",
            "MessageAttributes": {"a": {"DataType": "Text", "StringValue": "v"}},
        },
        "ParameterValueInvalid",
        "invalid message attribute type",
    ),
    (
        "publish",
        {
            "TopicArn": TOPIC + "news",
            "Message": "x",
            "MessageAttributes": {"a": {"DataType": "String", "StringValue": ""}},
        },
        "ParameterValueInvalid",
        "must contain non-empty",
    ),
    (
        "publish",
        {
            "TopicArn": TOPIC + "news",
            "Message": "x",
            "MessageAttributes": {"a": {"DataType": "String", "BinaryValue": b"v"}},
        },
        "ParameterValueInvalid",
        "must use field 'String'",
    ),
    *(
        (
            "publish",
            {
                "TopicArn": TOPIC + "news",
                "Message": "x",
                "MessageAttributes": {name: {"DataType": "String", "StringValue": "v"}},
            },
            "ParameterValueInvalid",
            text,
        )
        for name, text in (
            (".a", "starting with character '.'"),
            ("a.", "ending with character '.'"),
            ("a..b", "successive '.' character"),
            ("a b", "'#x20' was found"),
            ("a" * 257, "less than 256 bytes"),
        )
    ),
    ("publish", {"PhoneNumber": "+491234567", "Message": "x"}, "NotSimulated", "sends no text messages"),
    ("publish_batch", {"TopicArn": TOPIC + "news", "PublishBatchRequestEntries": []}, "EmptyBatchRequest", ""),
    (
        "publish_batch",
        {"TopicArn": TOPIC + "news", "PublishBatchRequestEntries": [{"Id": str(n), "Message": "x"} for n in range(11)]},
        "TooManyEntriesInBatchRequest",
        "more entries than permissible",
    ),
    (
        "publish_batch",
        {"TopicArn": TOPIC + "news", "PublishBatchRequestEntries": [{"Id": "1", "Message": "x"}] * 2},
        "BatchEntryIdsNotDistinct",
        "the same Id",
    ),
    (
        "publish_batch",
        {"TopicArn": TOPIC + "news", "PublishBatchRequestEntries": [{"Id": "a b", "Message": "x"}]},
        "InvalidBatchEntryId",
        "",
    ),
    (
        "publish_batch",
        {
            "TopicArn": TOPIC + "news",
            "PublishBatchRequestEntries": [{"Id": str(n), "Message": "x" * 200_000} for n in range(2)],
        },
        "BatchRequestTooLong",
        "more than the limit",
    ),
    ("create_topic", {"Name": "a b"}, "InvalidParameter", "Topic Name"),
    ("create_topic", {"Name": "a", "Attributes": {"FifoTopic": "true"}}, "InvalidParameter", "must end with .fifo"),
    ("create_topic", {"Name": "a", "Attributes": {"Colour": "red"}}, "InvalidParameter", "Colour"),
    ("create_topic", {"Name": "news", "Attributes": {"DisplayName": "x"}}, "InvalidParameter", "different attributes"),
    ("create_topic", {"Name": "news", "Tags": [{"Key": "k", "Value": "v"}]}, "InvalidParameter", "different tags"),
    (
        "set_topic_attributes",
        {"TopicArn": TOPIC + "news", "AttributeName": "Colour"},
        "InvalidParameter",
        "AttributeName",
    ),
    ("get_topic_attributes", {"TopicArn": TOPIC + "none"}, "NotFound", "Topic does not exist"),
    ("subscribe", {"TopicArn": TOPIC + "none", "Protocol": "sqs", "Endpoint": ARN + "orders"}, "NotFound", "Topic"),
    (
        "subscribe",
        {"TopicArn": TOPIC + "news", "Protocol": "sqs", "Endpoint": "orders"},
        "InvalidParameter",
        "SQS endpoint",
    ),
    ("subscribe", {"TopicArn": TOPIC + "news", "Protocol": "email", "Endpoint": "a@b.c"}, "NotSimulated", "'email'"),
    (
        "subscribe",
        {"TopicArn": TOPIC + "news", "Protocol": "sqs", "Endpoint": ARN + "orders.fifo"},
        "InvalidParameter",
        "can not be subscribed to standard SNS topics",
    ),
    *(
        (
            "subscribe",
            {"TopicArn": TOPIC + "news", "Protocol": "sqs", "Endpoint": ARN + "orders", "Attributes": {name: value}},
            "InvalidParameter",
            text,
        )
        for name, value, text in (
            ("Colour", "red", "Attributes Reason: AttributeName"),
            ("RawMessageDelivery", "maybe", "Invalid value [maybe]. Must be true or false."),
            ("FilterPolicyScope", "Body", "Invalid value [Body]"),
            ("FilterPolicy", "{", "failed to parse JSON"),
            ("FilterPolicy", '{"a": []}', "Attributes Reason: FilterPolicy: Empty arrays"),
            ("RedrivePolicy", "{", "failed to parse JSON"),
            ("RedrivePolicy", "{}", "deadLetterTargetArn is an invalid arn"),
        )
    ),
    (
        "subscribe",
        {
            "TopicArn": TOPIC + "f.fifo",
            "Protocol": "sqs",
            "Endpoint": ARN + "orders.fifo",
            "Attributes": {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN + "dead"})},
        },
        "InvalidParameter",
        "must use a FIFO queue as DLQ",
    ),
    ("unsubscribe", {"SubscriptionArn": "x"}, "InvalidParameter", "at least 6 elements, not 1"),
    (
        "get_subscription_attributes",
        {"SubscriptionArn": TOPIC + "news:none"},
        "NotFound",
        "Subscription does not exist",
    ),
    (
        "set_subscription_attributes",
        {"SubscriptionArn": TOPIC + "news:none", "AttributeName": "FilterPolicy"},
        "NotFound",
        "Subscription does not exist",
    ),
    ("list_tags_for_resource", {"ResourceArn": TOPIC + "none"}, "ResourceNotFound", ""),
    (
        "tag_resource",
        {"ResourceArn": TOPIC + "news", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "w"}]},
        "InvalidParameter",
        "Duplicated keys",
    ),
]


def test_what_is_refused_is_refused_as_documented() -> None:
    """Code and text of each refusal, as boto3 shows them."""

    def main() -> None:
        sns = client(service="sns")
        sns.create_topic(Name="news")
        sns.create_topic(Name="f.fifo", Attributes={"FifoTopic": "true"})
        for operation, parameters, code, text in REFUSED:
            with pytest.raises(ClientError) as caught:
                getattr(sns, operation)(**parameters)
            error = caught.value.response["Error"]
            assert error["Code"] == code, (operation, parameters, error)
            assert text in error["Message"], (operation, parameters, error)

    Desk().go(main)


def test_topics_subscriptions_and_tags_are_listed_as_they_are() -> None:
    """Create, look at, change and delete: each call shows the one before."""

    def main() -> None:
        sns = client(service="sns")
        arn = sns.create_topic(Name="news", Tags=[{"Key": "team", "Value": "shop"}])["TopicArn"]
        assert sns.create_topic(Name="news")["TopicArn"] == arn
        sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="News")
        one = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + "orders")["SubscriptionArn"]
        assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + "orders")["SubscriptionArn"] == one
        raw = {"RawMessageDelivery": "true"}
        with pytest.raises(ClientError, match="already exists with different attributes"):
            sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=ARN + "orders", Attributes=raw)
        found = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
        assert (found["DisplayName"], found["SubscriptionsConfirmed"]) == ("News", "1")
        assert [each["SubscriptionArn"] for each in sns.list_subscriptions()["Subscriptions"]] == [one]
        assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"][0]["Endpoint"] == ARN + "orders"
        attributes = sns.get_subscription_attributes(SubscriptionArn=one)["Attributes"]
        assert (attributes["RawMessageDelivery"], attributes["PendingConfirmation"]) == ("false", "false")
        assert "FilterPolicy" not in attributes
        sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "cost", "Value": "1"}])
        sns.untag_resource(ResourceArn=arn, TagKeys=["team"])
        assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
        sns.unsubscribe(SubscriptionArn=one)
        sns.unsubscribe(SubscriptionArn=one)
        assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SubscriptionsDeleted"] == "1"
        sns.delete_topic(TopicArn=arn)
        sns.delete_topic(TopicArn=arn)
        assert sns.list_topics()["Topics"] == []
        for number in range(101):
            sns.create_topic(Name=f"t{number}")
        pages = list(sns.get_paginator("list_topics").paginate())
        assert [len(page["Topics"]) for page in pages] == [100, 1]

    Desk().go(main)


def test_a_message_on_its_way_to_a_subscription_that_ends_does_not_arrive() -> None:
    """Unsubscribed between publish and delivery."""

    def main() -> Any:
        sns = client(service="sns")
        arn = topic_with(sns)
        (one,) = sns.list_subscriptions()["Subscriptions"]
        sns.publish(TopicArn=arn, Message="x")
        sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])
        return drained("orders")

    assert Desk(lambda: 1_000_000).go(main) == []
