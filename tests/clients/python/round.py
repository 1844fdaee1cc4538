"""boto3 against an SQS server: ``python round.py URL PREFIX``. A line for each check; exit 1 if one fails."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL, PREFIX = sys.argv[1:3]
KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
CONFIG = Config(read_timeout=30, retries={"total_max_attempts": 3})
sqs, sns, cloudwatch = (
    boto3.client(name, endpoint_url=URL, region_name="us-east-1", config=CONFIG, **KEYS)
    for name in ("sqs", "sns", "cloudwatch")
)


def equal(got: Any, wanted: Any) -> None:
    if got != wanted:
        raise AssertionError(f"{got!r}, not {wanted!r}")


def refused(code: str, call: Callable[..., Any], **parameters: Any) -> None:
    try:
        call(**parameters)
    except ClientError as error:
        found = error.response["Error"]
        if not found["Code"].endswith(code):
            raise AssertionError(f"{found}, not {code}") from None
        return
    raise AssertionError(f"accepted, not {code}")


def queue(name: str, **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=PREFIX + name, Attributes=attributes)["QueueUrl"])


def attribute(url: str, name: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def arn(url: str) -> str:
    return attribute(url, "QueueArn")


def counts(url: str) -> list[str]:
    front = "ApproximateNumberOfMessages"
    return [attribute(url, front), attribute(url, front + "NotVisible")]


def receive(url: str, **more: Any) -> list[dict[str, Any]]:
    everything = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    return list(sqs.receive_message(QueueUrl=url, **{**everything, **more}).get("Messages", ()))


def send(url: str, body: str, **more: Any) -> dict[str, Any]:
    return dict(sqs.send_message(QueueUrl=url, MessageBody=body, **more))


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(message["Body"] for message in messages)


def delete(url: str, message: dict[str, Any]) -> None:
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def control(method: str, path: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/_harness/{path}", data, method=method)) as answer:
        return json.loads(answer.read() or b"null")


def queue_urls() -> None:
    url, name = queue("urls"), PREFIX + "urls"
    equal(queue("urls"), url)
    equal(sqs.get_queue_url(QueueName=name)["QueueUrl"], url)
    equal(sqs.list_queues(QueueNamePrefix=name)["QueueUrls"], [url])
    sqs.delete_queue(QueueUrl=url)
    refused("NonExistentQueue", sqs.get_queue_url, QueueName=name)


def send_receive_delete() -> None:
    url, body = queue("round"), '{"id": "ключ 日本 \U0001f600", "tab": "\t"}'
    sent = send(url, body)
    [got] = receive(url)
    equal([got["MessageId"], got["Body"]], [sent["MessageId"], body])
    equal(counts(url), ["0", "1"])
    delete(url, got)
    equal(counts(url), ["0", "0"])
    equal(receive(url), [])


def message_attributes() -> None:
    url = queue("attributes")
    given: dict[str, Any] = {
        "text": {"DataType": "String", "StringValue": "ключ"},
        "number": {"DataType": "Number.float", "StringValue": "1.5"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    send(url, "x", MessageAttributes=given)
    [got] = receive(url)
    equal(got["MessageAttributes"], given)


def system_attributes() -> None:
    url, trace = queue("system"), "Root=1-5759e988-bd862e3fe1be46a994272793"
    send(url, "x", MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}})
    got = receive(url)[0]["Attributes"]
    equal([got["ApproximateReceiveCount"], got["AWSTraceHeader"], bool(got["SenderId"])], ["1", trace, True])
    equal(abs(time.time() * 1000 - int(got["SentTimestamp"])) < 600_000, True)


def batches() -> None:
    url = queue("batches")
    entries: list[dict[str, Any]] = [{"Id": name, "MessageBody": name} for name in "abc"]
    entries[1]["DelaySeconds"] = 901
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    equal([one["Id"] for one in sent["Successful"]], ["a", "c"])
    equal(
        [(one["Id"], one["SenderFault"], one["Code"]) for one in sent["Failed"]], [("b", True, "InvalidParameterValue")]
    )
    got = receive(url)
    equal(bodies(got), ["a", "c"])
    handles = [{"Id": f"d{at}", "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(got)]
    changes = [{**one, "VisibilityTimeout": 60} for one in handles]
    equal(len(sqs.change_message_visibility_batch(QueueUrl=url, Entries=changes)["Successful"]), 2)
    gone = sqs.delete_message_batch(QueueUrl=url, Entries=[*handles, {"Id": "bad", "ReceiptHandle": "none"}])
    equal(len(gone["Successful"]), 2)
    equal([(one["Id"], one["Code"]) for one in gone["Failed"]], [("bad", "ReceiptHandleIsInvalid")])
    equal(counts(url), ["0", "0"])


def visibility() -> None:
    url = queue("visibility")
    send(url, "x")
    [first] = receive(url)
    equal(receive(url), [])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    [again] = receive(url)
    equal([again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]], [first["MessageId"], "2"])
    equal(again["ReceiptHandle"] != first["ReceiptHandle"], True)


def long_poll() -> None:
    url = queue("poll")
    began = time.monotonic()
    later = threading.Timer(0.3, send, (url, "late"))
    later.start()
    equal(bodies(receive(url, WaitTimeSeconds=20)), ["late"])
    later.join()
    equal(time.monotonic() - began < 15, True)


def queue_attributes_and_tags() -> None:
    url = queue("tags")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})
    equal([attribute(url, "VisibilityTimeout"), attribute(url, "DelaySeconds")], ["7", "0"])
    sqs.tag_queue(QueueUrl=url, Tags={"team": "a&b", "empty": ""})
    sqs.untag_queue(QueueUrl=url, TagKeys=["empty"])
    equal(sqs.list_queue_tags(QueueUrl=url)["Tags"], {"team": "a&b"})


def pages() -> None:
    for number in (1, 2, 3):
        queue(f"page-{number}")
    asked = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=f"{PREFIX}page-", PaginationConfig={"PageSize": 2}
    )
    equal([len(page["QueueUrls"]) for page in asked], [2, 1])


def fifo() -> None:
    url = queue("order.fifo", FifoQueue="true")
    first, second = (
        int(send(url, body, MessageGroupId="g", MessageDeduplicationId=body)["SequenceNumber"]) for body in ("1", "2")
    )
    equal(first < second, True)
    send(url, "again", MessageGroupId="g", MessageDeduplicationId="1")
    [got] = receive(url, MaxNumberOfMessages=1)
    equal(
        [got["Body"], got["Attributes"]["MessageGroupId"], got["Attributes"]["MessageDeduplicationId"]], ["1", "g", "1"]
    )
    equal(receive(url), [])
    delete(url, got)
    equal(bodies(receive(url)), ["2"])
    refused("MissingParameter", sqs.send_message, QueueUrl=url, MessageBody="x")


def with_dead_letters(name: str) -> tuple[str, str]:
    dead = queue(f"{name}-dead")
    return queue(name, RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": 1})), dead


def dead_letters() -> None:
    source, dead = with_dead_letters("source")
    sent = send(source, "poison")
    equal(len(receive(source, VisibilityTimeout=0)), 1)
    equal(receive(source), [])
    [got] = receive(dead)
    equal([got["MessageId"], got["Attributes"]["DeadLetterQueueSourceArn"]], [sent["MessageId"], arn(source)])
    equal(sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [source])


def redrive() -> None:
    source, dead = with_dead_letters("redrive")
    send(source, "back")
    receive(source, VisibilityTimeout=0)
    receive(source)
    equal(bool(sqs.start_message_move_task(SourceArn=arn(dead))["TaskHandle"]), True)
    task: dict[str, Any] = {}
    for _ in range(100):
        [task] = sqs.list_message_move_tasks(SourceArn=arn(dead))["Results"]
        if task["Status"] == "COMPLETED":
            break
        time.sleep(0.1)
    equal([task["Status"], task["ApproximateNumberOfMessagesMoved"]], ["COMPLETED", 1])
    equal(bodies(receive(source)), ["back"])
    refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn(source))


def errors() -> None:
    url = queue("errors")
    none = f"{url.rpartition('/')[0]}/{PREFIX}none"
    refused("NonExistentQueue", sqs.send_message, QueueUrl=none, MessageBody="x")
    refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=url, ReceiptHandle="none")
    refused("EmptyBatchRequest", sqs.send_message_batch, QueueUrl=url, Entries=[])
    many = [{"Id": str(at), "MessageBody": "x"} for at in range(11)]
    refused("TooManyEntriesInBatchRequest", sqs.send_message_batch, QueueUrl=url, Entries=many)
    refused("InvalidAttributeName", sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["None"])
    refused("InvalidParameterValue", sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=11)
    refused("QueueAlreadyExists", queue, name="errors", DelaySeconds="9")


def purge() -> None:
    url = queue("purge")
    send(url, "x")
    sqs.purge_queue(QueueUrl=url)
    equal(counts(url), ["0", "0"])
    refused("PurgeQueueInProgress", sqs.purge_queue, QueueUrl=url)


def largest_message() -> None:
    url, body = queue("large"), "x" * 1_048_576
    send(url, body)
    equal(len(receive(url)[0]["Body"]), 1_048_576)
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody=body + "x")


def subscribe(topic: str, url: str, **attributes: str) -> None:
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn(url), Attributes=attributes)


def sns_to_sqs() -> None:
    raw, wrapped, topic = queue("raw"), queue("wrapped"), sns.create_topic(Name=f"{PREFIX}topic")["TopicArn"]
    subscribe(topic, raw, RawMessageDelivery="true", FilterPolicy='{"kind": ["paid"]}')
    subscribe(topic, wrapped)
    for kind in ("paid", "open"):
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        sns.publish(TopicArn=topic, Message=f"{kind} é", Subject="s", MessageAttributes=attributes)
    [got] = receive(raw, WaitTimeSeconds=5)
    equal([got["Body"], got["MessageAttributes"]["kind"]["StringValue"]], ["paid é", "paid"])
    envelopes = [json.loads(one["Body"]) for one in receive(wrapped, WaitTimeSeconds=5)]
    equal({(one["Type"], one["TopicArn"], one["Subject"]) for one in envelopes}, {("Notification", topic, "s")})
    equal(sorted(one["Message"] for one in envelopes), ["open é", "paid é"])
    refused("NotFound", sns.publish, TopicArn=f"{topic}-none", Message="x")


def sns_batch() -> None:
    url, topic = queue("fan"), sns.create_topic(Name=f"{PREFIX}fan")["TopicArn"]
    subscribe(topic, url, RawMessageDelivery="true")
    entries = [{"Id": "a", "Message": "1"}, {"Id": "b", "Message": "2"}]
    sent = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    equal([one["Id"] for one in sent["Successful"]], ["a", "b"])
    equal(bodies(receive(url, WaitTimeSeconds=5)), ["1", "2"])
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    equal([one["Protocol"] for one in listed], ["sqs"])


def metrics() -> None:
    space, now = f"{PREFIX}metrics", datetime.now(UTC)
    age: dict[str, Any] = {"MetricName": "Age", "Dimensions": [{"Name": "Queue", "Value": "orders"}]}
    moment = {**age, "Timestamp": now - timedelta(minutes=1)}
    several = {"SampleCount": 2, "Sum": 4.5, "Minimum": 1, "Maximum": 3.5}
    cloudwatch.put_metric_data(
        Namespace=space, MetricData=[{**moment, "Value": 1.5}, {**moment, "StatisticValues": several}]
    )
    equal(cloudwatch.list_metrics(Namespace=space)["Metrics"], [{"Namespace": space, **age}])
    window = {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=1)}
    [point] = cloudwatch.get_metric_statistics(
        Namespace=space, **age, **window, Period=60, Statistics=["Sum", "Maximum", "SampleCount"]
    )["Datapoints"]
    equal([point["Sum"], point["Maximum"], point["SampleCount"]], [6, 3.5, 3])
    stat = {"Metric": {"Namespace": space, **age}, "Period": 60, "Stat": "Sum"}
    queries = [{"Id": "m", "ReturnData": False, "MetricStat": stat}, {"Id": "twice", "Expression": "m * 2"}]
    found = cloudwatch.get_metric_data(**window, MetricDataQueries=queries)["MetricDataResults"]
    equal([(one["Id"], one["Values"]) for one in found], [("twice", [12])])
    both = {**age, "Value": 1, "Values": [1]}
    refused("InvalidParameterCombination", cloudwatch.put_metric_data, Namespace=space, MetricData=[both])


def metrics_compressed() -> None:
    space = f"{PREFIX}many"
    data = [{"MetricName": f"metric-with-a-long-name-{at}", "Value": at, "Unit": "Count"} for at in range(200)]
    cloudwatch.put_metric_data(Namespace=space, MetricData=data)
    equal(len(cloudwatch.list_metrics(Namespace=space)["Metrics"]), 200)


def alarms() -> None:
    name = f"{PREFIX}alarm"

    def states() -> list[tuple[str, float]]:
        found = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return [(one["StateValue"], one["Threshold"]) for one in found]

    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/SQS", MetricName="ApproximateAgeOfOldestMessage", Statistic="Maximum",
        Dimensions=[{"Name": "QueueName", "Value": f"{PREFIX}age"}], Period=60, EvaluationPeriods=1, Threshold=300,
        ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    equal(states(), [("INSUFFICIENT_DATA", 300)])
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="tried")
    equal(states(), [("ALARM", 300)])
    refused("ResourceNotFound", cloudwatch.set_alarm_state, AlarmName=f"{name}-none", StateValue="OK", StateReason="x")
    cloudwatch.delete_alarms(AlarmNames=[name])
    equal(states(), [])


def faults_are_retried() -> None:
    url = queue("faults")
    kinds = ("throttled", "unavailable")
    faults = [{"target": "aws.sqs.SendMessage", "kind": kind, "nth": at} for at, kind in enumerate(kinds, 1)]
    control("PUT", "faults", {"version": 1, "faults": faults})
    send(url, "x")
    equal(control("GET", "faults")["struck"], [1, 1])
    control("DELETE", "faults")
    equal(counts(url), ["1", "0"])


def a_consumer_is_judged() -> None:
    control("POST", "reset")
    control("PUT", "settings", {"key": "$.id"})
    url = queue("judged")
    for number in (1, 2, 3):
        send(url, json.dumps({"id": number}))
    while got := receive(url):
        for message in got:
            control("POST", "effects", {"name": "charged", "key": json.loads(message["Body"])["id"]})
            delete(url, message)
    equal(control("POST", "check", {"final": True})["verdict"], "passed")
    send(url, '{"id": 4}')
    delete(url, receive(url)[0])
    equal(control("POST", "check", {"final": True})["verdict"], "failed")


CHECKS = (
    queue_urls, send_receive_delete, message_attributes, system_attributes, batches, visibility, long_poll,
    queue_attributes_and_tags, pages, fifo, dead_letters, redrive, errors, purge, largest_message, sns_to_sqs,
    sns_batch, metrics, metrics_compressed, alarms, faults_are_retried, a_consumer_is_judged,
)  # fmt: skip


def main() -> int:
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", "-")
        try:
            check()
        except Exception as error:
            failed += 1
            print(f"not ok {name}: {' '.join(str(error).split())[:300]}", flush=True)
        else:
            print(f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
