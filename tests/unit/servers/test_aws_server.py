"""The server under a real boto3 client: calls, long polls, faults, its clock, and what it judges."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.servers.aws_server import AwsServer


class Served:
    """A server and what talks to it."""

    def __init__(self, server: AwsServer) -> None:
        self.server = server
        self.sqs = self.client("sqs")

    def client(self, service: str, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.server.url,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=2, **config),
        )

    def control(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def queue(self, name: str = "orders", **attributes: str) -> str:
        return str(self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


@pytest.fixture
def served() -> Iterator[Served]:
    with AwsServer(seed=1, key="$.id") as server:
        yield Served(server)


def plan(*faults: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "faults": list(faults)}


def test_a_message_goes_round(served: Served) -> None:
    """Send, receive and delete; the queue's URL leads back to where the client found the server."""
    url = served.queue()
    assert url == f"{served.server.url}/000000000000/orders"
    sent = served.sqs.send_message(QueueUrl=url, MessageBody='{"id": 1}')
    [message] = served.sqs.receive_message(QueueUrl=url)["Messages"]
    assert (message["MessageId"], message["Body"]) == (sent["MessageId"], '{"id": 1}')
    served.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert served.server.call(served.server.sqs.inventory) == {"orders": {"visible": 0, "in_flight": 0, "delayed": 0}}


def test_errors_in_both_vocabularies(served: Served) -> None:
    """A client learns the query protocol's code from the JSON answer, as from AWS."""
    with pytest.raises(ClientError) as refused:
        served.sqs.get_queue_url(QueueName="none")
    error = refused.value.response["Error"]
    assert (error["Code"], error["QueryErrorCode"]) == ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


def test_visibility_follows_the_clock(served: Served) -> None:
    """A clock that is moved forward lets a visibility timeout run out; a frozen one does not."""
    url = served.queue(VisibilityTimeout="30")
    served.sqs.send_message(QueueUrl=url, MessageBody='{"id": 1}')
    assert served.sqs.receive_message(QueueUrl=url)["Messages"]
    assert served.control("PUT", "/_harness/clock", {"mode": "frozen", "advance": 29})[1]["speed"] == 0
    assert "Messages" not in served.sqs.receive_message(QueueUrl=url)
    served.control("PUT", "/_harness/clock", {"advance": 2})
    assert served.sqs.receive_message(QueueUrl=url)["Messages"]


def test_a_long_poll_ends_with_a_message_or_its_time(served: Served) -> None:
    """A waiting receive holds nobody up: a send from another connection ends it; so does its time, on a fast clock."""
    import threading

    url = served.queue()
    got: list[Any] = []
    receiver = threading.Thread(target=lambda: got.append(served.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)))
    receiver.start()
    queue = served.server.sqs._by_arn("arn:aws:sqs:eu-west-1:000000000000:orders")
    assert queue is not None
    while not queue.waiters:
        continue
    served.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    receiver.join(5)
    assert [message["Body"] for message in got[0]["Messages"]] == ["x"]
    served.control("PUT", "/_harness/clock", {"speed": 1000})
    assert "Messages" not in served.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, VisibilityTimeout=40_000)


def test_a_client_that_hangs_up_gets_no_message(served: Served) -> None:
    """A long poll whose client is gone waits no more: the message is for somebody who is there."""
    import socket

    url = served.queue()
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode()
    head = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nContent-Length: {len(body)}\r\n"
    scope = "Authorization: AWS4-HMAC-SHA256 Credential=test/20300101/eu-west-1/sqs/aws4_request\r\n\r\n"
    queue = served.server.sqs._by_arn("arn:aws:sqs:eu-west-1:000000000000:orders")
    assert queue is not None
    with socket.create_connection(("127.0.0.1", served.server.port)) as client:
        client.sendall((head + scope).encode() + body)
        while not queue.waiters:
            continue
    while queue.waiters:
        continue
    served.sqs.send_message(QueueUrl=url, MessageBody="x")
    assert served.sqs.receive_message(QueueUrl=url)["Messages"]


def test_faults(served: Served) -> None:
    """A plan in JSON strikes real clients, says what it struck, and can be taken away."""
    url = served.queue()
    throttled = {"target": "aws.sqs.SendMessage", "kind": "throttled", "nth": 1}
    status, told = served.control("PUT", "/_harness/faults", plan(throttled))
    assert (status, told["struck"]) == (200, [0])
    with pytest.raises(ClientError, match="RequestThrottled"):
        served.sqs.send_message(QueueUrl=url, MessageBody="x")
    served.sqs.send_message(QueueUrl=url, MessageBody="x")
    assert served.control("GET", "/_harness/faults")[1]["struck"] == [1]
    lost = {"target": "aws.sqs.DeleteMessage", "kind": "timeout", "side": "after"}
    assert len(served.control("PATCH", "/_harness/faults", plan(lost))[1]["faults"]) == 2
    served.control("DELETE", "/_harness/faults")
    assert served.control("GET", "/_harness/faults")[1]["faults"] == []


@pytest.mark.parametrize(
    ("method", "path", "document", "named"),
    [
        ("PUT", "/_harness/faults", plan({"target": "process.worker", "kind": "crash", "nth": 1}), "a server cannot"),
        ("PUT", "/_harness/faults", plan({"target": "aws.sqs.Send", "kind": "throttled"}), "names no operation"),
        ("PUT", "/_harness/clock", {"speed": -1}, "speed"),
        ("PUT", "/_harness/clock", {"advance": -1}, "advance"),
        ("PUT", "/_harness/clock", {"advance": 32 * 86_400}, "2678400 in one call"),
        ("PUT", "/_harness/clock", {"sped": 1}, "sped"),
        ("POST", "/_harness/effects", {"name": "charged"}, "key"),
        ("POST", "/_harness/check", {"invariants": ["no-mesage-loss"]}, "no-message-loss"),
        ("PUT", "/_harness/settings", {"key": "$["}, "key"),
        ("POST", "/_localstack/chaos/faults", [{"servce": "sqs"}], "servce"),
        ("POST", "/_localstack/chaos/faults", [{"error": {"code": "\ud800"}}], "rule 1.error"),
        ("GET", "/_harness/history?after=x", None, "after"),
    ],
)
def test_bad_input(served: Served, method: str, path: str, document: Any, named: str) -> None:
    """Each mistake is one answer with 400 that names the field or the remedy, and changes nothing."""
    status, told = served.control(method, path, document)
    assert status == 400
    assert named in told["error"]
    assert served.control("GET", "/_harness/faults")[1]["faults"] == []


def test_localstack_rules(served: Served) -> None:
    """Rules in LocalStack's shape: what they name fails with their status and code, and can be removed one by one."""
    rule = {"service": "sqs", "operation": "ListQueues", "error": {"statusCode": 500, "code": "Boom"}}
    other = {"service": "sqs", "region": "us-west-2"}
    assert served.control("POST", "/_localstack/chaos/faults", [rule])[0] == 200
    assert len(served.control("PATCH", "/_localstack/chaos/faults", [other])[1]) == 2
    with pytest.raises(ClientError, match="Boom"):
        served.sqs.list_queues()
    served.queue()
    assert len(served.control("DELETE", "/_localstack/chaos/faults", [rule])[1]) == 1
    served.sqs.list_queues()


def test_a_lost_message_is_found(served: Served) -> None:
    """Deleted without an effect: the check fails and names the events; with its effect it passes."""
    url = served.queue()
    for number in (1, 2):
        served.sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"id": number}))
    served.control("POST", "/_harness/effects", {"name": "charged", "key": 1})
    for message in served.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
        served.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    verdict = served.control("POST", "/_harness/check", {"invariants": ["no-message-loss"]})[1]
    assert verdict["verdict"] == "failed"
    [found] = verdict["invariants"]
    lines = served.server.call(served.server.history.lines)
    assert "delete" in {json.loads(lines[n - 1])["kind"] for n in found["evidence"]}
    served.control("POST", "/_harness/effects", [{"name": "charged", "key": "2"}])
    assert served.control("POST", "/_harness/check")[1]["verdict"] == "passed"


def test_nothing_declared_is_nothing_judged(served: Served) -> None:
    """Without an effect loss cannot be judged; with messages in queues it is too early for what the end shows."""
    url = served.queue()
    served.sqs.send_message(QueueUrl=url, MessageBody='{"id": 1}')
    assert served.control("POST", "/_harness/check")[1]["verdict"] == "inconclusive"
    served.control("POST", "/_harness/effects", {"key": 2})
    early = {one["name"]: one for one in served.control("POST", "/_harness/check")[1]["invariants"]}
    assert early["not-stuck"]["verdict"] == "inconclusive"
    late = {one["name"]: one for one in served.control("POST", "/_harness/check", {"final": True})[1]["invariants"]}
    assert late["not-stuck"]["verdict"] == "violated"


def test_reset_and_history(served: Served) -> None:
    """The history is read in part and with its header; after a reset everything is empty."""
    served.queue()
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=5)
    connection.request("GET", "/_harness/history?header=1")
    header, *events = connection.getresponse().read().splitlines()
    assert json.loads(header)["schema"] == "harness-history"
    assert [json.loads(event)["kind"] for event in events] == ["queue.create"]
    connection.request("GET", "/_harness/history?after=1")
    assert connection.getresponse().read() == b""
    connection.close()
    assert served.control("POST", "/_harness/reset")[1]["monotonic"] > 0
    health = served.control("GET", "/_harness/health")[1]
    assert (health["queues"], health["events"]) == ({}, 0)


def test_cbor_and_query(served: Served) -> None:
    """A CloudWatch request in CBOR and an SQS one as a form to the queue's own address, as SDKs send them."""
    import cbor2

    served.queue()
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=5)
    data = {"Namespace": "Shop", "MetricData": [{"MetricName": "errors", "Value": 3.0}]}
    path = "/service/GraniteServiceVersion20100801/operation/"
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    connection.request("POST", f"{path}PutMetricData", cbor2.dumps(data), headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()[:1]) == (200, b"\xa0")
    connection.request("POST", f"{path}ListMetrics", cbor2.dumps({"Namespace": "Shop"}), headers)
    assert cbor2.loads(connection.getresponse().read())["Metrics"][0]["MetricName"] == "errors"
    connection.request("POST", f"{path}PutMetricData", b"\xff", headers)
    answer = connection.getresponse()
    assert answer.status == 400
    assert "SerializationException" in cbor2.loads(answer.read())["__type"]
    form = "Action=SendMessage&MessageBody=x&Version=2012-11-05"
    scope = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20300101/eu-west-1/sqs/aws4_request"}
    connection.request("POST", "/000000000000/orders", form, scope)
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"<SendMessageResult><MD5OfMessageBody>" in answer.read()
    connection.close()


def test_browsers_may_only_read(served: Served) -> None:
    """A page of somebody's cannot change a test's server."""
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=5)
    connection.request("POST", "/_harness/reset", headers={"User-Agent": "Mozilla/5.0"})
    answer = connection.getresponse()
    assert answer.status == 403
    connection.close()


@pytest.mark.parametrize(
    ("target", "body", "text"),
    [
        ("AmazonSQS.ListQueues", '{"NextToken": "\u00e9"}', "next token"),
        ("AmazonSQS.ReceiveMessage", "[" * 100_000, "not JSON"),
        (
            "AmazonSQS.SetQueueAttributes",
            json.dumps({"QueueUrl": "orders", "Attributes": {"RedrivePolicy": "[" * 5_000}}),
            "nested too deeply",
        ),
        (
            "GraniteServiceVersion20100801.GetMetricData",
            '{"MetricDataQueries": [], "StartTime": 0, "EndTime": 67768036191676800}',
            "does not fit",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(served: Served, target: str, body: str, text: str) -> None:
    """A token that is none, brackets without end, a time that no calendar has: 400 that says so, never 500."""
    served.queue()
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=5)
    scope = "AWS4-HMAC-SHA256 Credential=test/20300101/eu-west-1/sqs/aws4_request"
    connection.request("POST", "/", body.encode(), {"X-Amz-Target": target, "Authorization": scope})
    answer = connection.getresponse()
    assert answer.status == 400
    assert text in json.loads(answer.read())["message"]
    connection.close()


def test_half_a_surrogate_pair(served: Served) -> None:
    """JSON can write one, UTF-8 cannot: as a message's key, and as an effect's, it is kept as a question mark."""
    url = served.queue()
    served.sqs.send_message(QueueUrl=url, MessageBody='{"id": "\\ud800"}')
    assert served.control("POST", "/_harness/effects", {"name": "charged", "key": "\ud800"})[0] == 201
    events = [json.loads(line) for line in served.server.call(served.server.history.lines)]
    assert [(event["kind"], event["key"]) for event in events[1:]] == [("send", "?"), ("effect", "?")]
