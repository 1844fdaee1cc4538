"""boto3 clients on the wire: what a caller sees of faults, clocks, services and regions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import httpsession
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from harness.errors import RealWorld
from harness.sim import patches, real
from harness.sim import world as world_module
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow
from harness.sim.wire import botocore as wire
from harness.sim.wire import botocore_privates
from tests.unit.sim.wire.aws import Run, client, short_cut

THROTTLED = Answer(403, "RequestThrottled", "Request is throttled.")
DOWN = Answer(503, "ServiceUnavailable", "down")
#: botocore 1.43 retries in the older way: no x-amz-retry-after, no sleep of a receive without quota.
rules_of_2026 = pytest.mark.skipif(
    not getattr(botocore_privates.standard, "NEW_RETRIES_ENABLED", True),
    reason="this botocore has the older retry rules",
)
ONCE = {"retries": {"total_max_attempts": 1}}


@pytest.fixture(scope="module", autouse=True)
def cut() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


@pytest.fixture
def run() -> Run:
    made = Run()
    made.sqs.create_queue("q")
    return made


def failing(error: type[BaseException], call: Any, *args: Any, **kwargs: Any) -> Any:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return caught.value


# -- the plain case -------------------------------------------------------------------


def test_a_message_goes_round(run: Run) -> None:
    """boto3 without any setting of the user's sends, receives and deletes, each call in virtual time."""

    def main() -> None:
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        sent = sqs.send_message(QueueUrl=url, MessageBody="grüße")
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "grüße")
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)

    run.go(main)
    assert [event["kind"] for event in run.events] == ["queue.create", "send", "receive", "delete"]
    assert 5 < run.kernel.now < 5.1


def test_resources_and_paginators(run: Run) -> None:
    """Resources and paginators go the same way."""

    def main() -> None:
        queue = boto3.resource("sqs").get_queue_by_name(QueueName="q")
        queue.send_message(MessageBody="a")
        (message,) = queue.receive_messages(MaxNumberOfMessages=10)
        assert message.body == "a"
        message.delete()
        assert queue.attributes["ApproximateNumberOfMessages"] == "0"
        pages = boto3.client("sqs").get_paginator("list_queues").paginate()
        assert [url for page in pages for url in page["QueueUrls"]] == [queue.url]

    run.go(main)


def test_modelled_exceptions(run: Run) -> None:
    """An unknown queue is the client's own exception class, with both codes as boto3 has them from AWS."""

    def main() -> None:
        sqs = client()
        error = failing(sqs.exceptions.QueueDoesNotExist, sqs.send_message, QueueUrl="nope", MessageBody="a")
        assert error.response["Error"] == {
            "Message": "The specified queue does not exist.",
            "Code": "AWS.SimpleQueueService.NonExistentQueue",
            "QueryErrorCode": "QueueDoesNotExist",
            "Type": "Sender",
        }
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    run.go(main)
    (event,) = run.of("call.failed")
    assert (event["point"], event["error"], event["fault"]) == (
        "aws.sqs.SendMessage",
        "AWS.SimpleQueueService.NonExistentQueue",
        None,
    )
    assert event["took"] > 0


@pytest.mark.parametrize("cut_on", [True, False])
def test_latency_half_before_half_after(run: Run, cut_on: bool) -> None:
    """Half of a call's latency lies before the effect, half after."""
    run.faults.latency = 10_000

    def main() -> float:
        client().send_message(QueueUrl="q", MessageBody="a")
        return time.monotonic()

    started = 100_000.0
    with short_cut(cut_on):
        assert run.go(main) == pytest.approx(started + 0.010)
    assert run.of("send")[0]["t"] == 0.005


def test_region_is_the_clients(run: Run) -> None:
    """Queues of another region are not seen, whatever host the request names."""

    def main() -> None:
        west = client(region="eu-west-1")
        assert west.list_queues().get("QueueUrls") is None
        url = west.create_queue(QueueName="q")["QueueUrl"]
        assert url == "https://sqs.eu-west-1.amazonaws.com/000000000000/q"
        client().send_message(QueueUrl="q", MessageBody="east")
        assert "Messages" not in west.receive_message(QueueUrl=url)

    run.go(main)


def test_any_endpoint_leads_to_the_run(run: Run) -> None:
    """An endpoint_url of the user's own leads to the run's services as well."""

    def main() -> None:
        sqs = boto3.client("sqs", endpoint_url="https://localstack.example:4566")
        assert len(sqs.list_queues()["QueueUrls"]) == 1

    run.go(main)


def test_binary_attributes(run: Run) -> None:
    """Binary attributes survive the JSON protocol."""

    def main() -> None:
        sqs = client()
        attributes = {"b": {"DataType": "Binary", "BinaryValue": bytes(range(256))}}
        sqs.send_message(QueueUrl="q", MessageBody="a", MessageAttributes=attributes)
        (message,) = sqs.receive_message(QueueUrl="q", MessageAttributeNames=["All"])["Messages"]
        assert message["MessageAttributes"] == attributes

    for enabled in (True, False):
        again = Run()
        again.sqs.create_queue("q")
        with short_cut(enabled):
            again.go(main)


# -- answers that faults make ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_botocore_retries_what_it_parses(run: Run, mode: str) -> None:
    """A 503 of a fault is parsed and retried by botocore itself, in each of its modes, in virtual time."""
    run.faults.strike("SendMessage", DOWN, DOWN)

    def main() -> Any:
        return client(mode).send_message(QueueUrl="q", MessageBody="a")

    answer = run.go(main)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    assert run.passings("SendMessage") == 3
    assert [event["error"] for event in run.of("call.failed")] == ["ServiceUnavailable"] * 2
    assert len(run.of("send")) == 1


def test_throttling_code(run: Run) -> None:
    """A throttled call is retried as such: standard mode backs off from one second."""
    run.faults.strike("SendMessage", *[THROTTLED] * 3)

    def main() -> None:
        error = failing(ClientError, client().send_message, QueueUrl="q", MessageBody="a")
        assert error.response["Error"]["Code"] == "RequestThrottled"
        assert error.response["ResponseMetadata"]["MaxAttemptsReached"] is True

    run.go(main)
    assert run.kernel.now > 0.2
    assert run.of("send") == []


def test_answer_after_the_effect(run: Run) -> None:
    """An error answer after the effect: the message was sent, and is sent again by the retry."""
    run.faults.strike("SendMessage", Answer(500, "InternalFailure", "oops"), side="after")
    run.go(lambda: client().send_message(QueueUrl="q", MessageBody="a"))
    assert len(run.of("send")) == 2


def test_errors_of_access(run: Run) -> None:
    """AccessDenied is not retried and reaches the caller with its status."""
    run.faults.strike("SendMessage", Answer(403, "AccessDenied", "no"))

    def main() -> None:
        error = failing(ClientError, client().send_message, QueueUrl="q", MessageBody="a")
        assert error.response["Error"]["Code"] == "AccessDenied"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    run.go(main)
    assert run.passings("SendMessage") == 1


@rules_of_2026
def test_answer_with_headers(run: Run) -> None:
    """Headers of an answer arrive: x-amz-retry-after stretches botocore's backoff."""
    run.faults.strike("SendMessage", Answer(503, "ServiceUnavailable", "", {"x-amz-retry-after": "4000"}))
    run.go(lambda: client().send_message(QueueUrl="q", MessageBody="a"))
    assert run.kernel.now > 4


# -- broken connections ---------------------------------------------------------------------


def test_lost_request(run: Run) -> None:
    """A lost request: the caller waits its read timeout in virtual time; nothing happened."""
    run.faults.strike("SendMessage", Lost())

    def main() -> None:
        failing(ReadTimeoutError, client(read_timeout=7, **ONCE).send_message, QueueUrl="q", MessageBody="a")

    run.go(main)
    assert run.kernel.now == 7.0
    assert run.of("send") == []
    assert [(event["error"], event["took"]) for event in run.of("call.failed")] == [("ReadTimeoutError", 7.0)]


def test_lost_answer(run: Run) -> None:
    """A lost answer: the effect happened, the timeout counts from the request."""
    run.faults.strike("SendMessage", Lost(), side="after")

    def main() -> None:
        failing(ReadTimeoutError, client(read_timeout=7, **ONCE).send_message, QueueUrl="q", MessageBody="a")

    run.go(main)
    assert run.kernel.now == 7.0
    assert len(run.of("send")) == 1


def test_lost_answer_is_retried(run: Run) -> None:
    """botocore retries a timeout by itself: the message is there twice."""
    run.faults.strike("SendMessage", Lost(), side="after")
    run.go(lambda: client(read_timeout=3).send_message(QueueUrl="q", MessageBody="a"))
    assert len(run.of("send")) == 2


def test_default_read_timeout(run: Run) -> None:
    """Without a setting the read timeout is botocore's 60 seconds."""
    run.faults.strike("SendMessage", Lost())
    run.go(lambda: failing(ReadTimeoutError, client(**ONCE).send_message, QueueUrl="q", MessageBody="a"))
    assert run.kernel.now == 60.0


def test_no_read_timeout(run: Run) -> None:
    """A client without a read timeout waits until the connection is given up, not for ever."""
    run.faults.strike("SendMessage", Lost())
    sending = lambda: failing(  # noqa: E731  # one call, two lines
        ConnectionClosedError, client(read_timeout=None, **ONCE).send_message, QueueUrl="q", MessageBody="a"
    )
    run.go(sending)
    assert 7_200 <= run.kernel.now < 7_201


@pytest.mark.parametrize(("verdict", "error"), [(Refused(), EndpointConnectionError), (Reset(), ConnectionClosedError)])
def test_refused_and_reset(run: Run, verdict: Any, error: type[Exception]) -> None:
    """A refused or reset connection is botocore's own error, and took time."""
    run.faults.strike("SendMessage", verdict)
    run.go(lambda: failing(error, client(**ONCE).send_message, QueueUrl="q", MessageBody="a"))
    assert 0 < run.kernel.now < 1
    assert run.of("send") == []
    assert run.of("call.failed")[0]["error"] == error.__name__


def test_reset_after_the_effect(run: Run) -> None:
    """A connection reset after the effect: the message was sent."""
    run.faults.strike("SendMessage", Reset(), side="after")
    run.go(lambda: failing(ConnectionClosedError, client(**ONCE).send_message, QueueUrl="q", MessageBody="a"))
    assert len(run.of("send")) == 1


@pytest.mark.parametrize("side", ["before", "after"])
def test_slow(run: Run, side: str) -> None:
    """A slow call takes that much longer and succeeds."""
    run.faults.strike("SendMessage", Slow(5), side=side)
    run.go(lambda: client().send_message(QueueUrl="q", MessageBody="a"))
    assert 5 < run.kernel.now < 5.1
    assert (run.of("send")[0]["t"] > 5) is (side == "before")


@pytest.mark.parametrize("side", ["before", "after"])
def test_slower_than_the_timeout(run: Run, side: str) -> None:
    """A call slower than the caller's patience times out for the caller and takes effect all the same."""
    run.faults.strike("SendMessage", Slow(50), side=side)
    sqs_error = ReadTimeoutError
    run.go(lambda: failing(sqs_error, client(read_timeout=7, **ONCE).send_message, QueueUrl="q", MessageBody="a"))
    assert run.kernel.now == 7.0
    assert len(run.of("send")) == 1


@pytest.mark.parametrize("wait", [{"WaitTimeSeconds": 20}, {}])
def test_read_timeout_shorter_than_the_long_poll(run: Run, wait: dict[str, int]) -> None:
    """A client that gives up before its long poll ends sees a timeout, as with AWS."""
    run.sqs.create_queue("slow", {"ReceiveMessageWaitTimeSeconds": "20"})
    receive = client(read_timeout=4.5, **ONCE).receive_message
    run.go(lambda: failing(ReadTimeoutError, receive, QueueUrl="slow", **wait))
    assert run.kernel.now == 4.5


def test_message_for_an_impatient_client(run: Run) -> None:
    """What comes before the client gives up is delivered."""
    run.sqs.put("q", "a", delay=3)

    def main() -> None:
        answer = client(read_timeout=10, **ONCE).receive_message(QueueUrl="q", WaitTimeSeconds=20)
        assert answer["Messages"][0]["Body"] == "a"

    run.go(main)
    assert 3 < run.kernel.now < 3.1


# -- clocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False], ids=["short cut", "full path"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize(("seconds", "refused"), [(240, False), (-240, False), (3600, True), (-3600, True)])
def test_clock_skew(run: Run, enabled: bool, signed: bool, seconds: int, refused: bool) -> None:
    """A clock four minutes off is accepted, an hour off is refused, with or without a signature, on both paths."""

    def main() -> str:
        sqs = client()
        if signed:
            sqs.meta.events.register("before-send.sqs", lambda **_: None)
        actor = run.kernel.current
        assert actor is not None
        actor.process.clock_offset_us = seconds * 1_000_000
        if not refused:
            sqs.send_message(QueueUrl="q", MessageBody="a")
            return ""
        answer = failing(ClientError, sqs.send_message, QueueUrl="q", MessageBody="a").response
        assert answer["Error"]["Code"] == "SignatureDoesNotMatch"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
        return str(answer["Error"]["Message"])

    with short_cut(enabled):
        text = run.go(main)
    assert len(run.of("send")) == (0 if refused else 1)
    if not refused:
        assert text == ""
    elif seconds > 0:
        assert text == (
            "Signature not yet current: 20300101T010000Z is still later than 20300101T001500Z "
            "(20300101T000000Z + 15 min.)"
        )
    else:
        assert text == (
            "Signature expired: 20291231T230000Z is now earlier than 20291231T234500Z (20300101T000000Z - 15 min.)"
        )


# -- other services ------------------------------------------------------------------------------


def test_sts(run: Run) -> None:
    """STS knows who calls: the run's account."""
    run.go(lambda: None)
    again = Run()
    answer = again.go(lambda: boto3.client("sts").get_caller_identity())
    assert answer["Account"] == "000000000000"
    assert ("aws.sts.GetCallerIdentity", "before") in again.faults.passed


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("s3", "list_buckets", {}),
        ("lambda", "list_functions", {}),
        ("ec2", "describe_regions", {}),
        ("sns", "list_topics", {}),
        ("cloudwatch", "list_metrics", {}),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}),
    ],
)
def test_unknown_services(run: Run, service: str, operation: str, arguments: dict[str, str]) -> None:
    """A service that is not simulated answers so, in its own protocol, and is not retried."""

    def main() -> None:
        error = failing(ClientError, getattr(client(service=service), operation), **arguments)
        assert error.response["Error"]["Code"] == "NotSimulated"
        assert f"the service '{service}' is not simulated" in error.response["Error"]["Message"]

    run.go(main)
    assert len([point for point, side in run.faults.passed if side == "before"]) == 1


def test_no_metadata_service(run: Run) -> None:
    """A plain HTTP request through botocore's session leads nowhere."""

    def main() -> None:
        request = AWSRequest("GET", "http://169.254.169.254/latest/meta-data/").prepare()
        failing(EndpointConnectionError, httpsession.URLLib3Session().send, request)

    run.go(main)


# -- the query protocol ----------------------------------------------------------------------------


def by_hand(body: str, url: str = "https://sqs.us-east-1.amazonaws.com/", **headers: str) -> Any:
    """Send a signed request to SQS without a client."""
    request = AWSRequest("POST", url, data=body)
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    for name, value in headers.items():
        request.headers[name.replace("_", "-")] = value
    SigV4Auth(Credentials("key", "secret"), "sqs", "us-east-1").add_auth(request)
    return httpsession.URLLib3Session().send(request.prepare())


def query(body: str) -> tuple[int, str]:
    response = by_hand(body)
    return response.status_code, response.text


def test_query_protocol(run: Run) -> None:
    """A request by hand in the query protocol is answered in XML."""

    def main() -> None:
        status, text = query("Action=SendMessage&QueueUrl=q&MessageBody=a%26b&Version=2012-11-05")
        assert status == 200
        assert '<SendMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">' in text
        status, text = query("Action=ReceiveMessage&QueueUrl=q&AttributeName.1=All")
        assert "<Body>a&amp;b</Body>" in text
        assert "<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>" in text
        status, text = query("Action=ReceiveMessage&QueueUrl=q")
        assert "<ReceiveMessageResult/>" in text

    run.go(main)


def test_query_errors(run: Run) -> None:
    """Errors in the query protocol have its own text and an empty Detail [non_existent_queue]."""

    def main() -> None:
        status, text = query("Action=SendMessage&QueueUrl=nope&MessageBody=a")
        assert status == 400
        assert "<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in text
        assert "<Message>The specified queue does not exist for this wsdl version.</Message><Detail/>" in text
        status, text = query("Action=SendMessage&QueueUrl=q&MessageBody=a&DelaySeconds=x")
        assert status == 400
        status, text = query("Action=FooBar")
        assert status == 400
        assert "<Code>InvalidAction</Code><Message>The action FooBar is not valid for this endpoint.</Message>" in text

    run.go(main)
    assert run.kernel.now > 0


def test_older_name_wins_in_query(run: Run) -> None:
    """With both names of attributes given the query protocol answers what the older asks.

    [message_system_attribute_names_with_attribute_names]
    """

    def main() -> None:
        query("Action=SendMessage&QueueUrl=q&MessageBody=a")
        _, text = query("Action=ReceiveMessage&QueueUrl=q&AttributeName.1=SenderId&MessageSystemAttributeName.1=All")
        assert text.count("<Attribute>") == 1

    run.go(main)


@pytest.mark.parametrize("url", ["https://sqs.us-east-1.amazonaws.com/", "https://x.example/000000000000/q"])
def test_json_by_hand(run: Run, url: str) -> None:
    """JSON answers and errors byte by byte, also to the queue's own URL.

    [send_message_via_queue_url_with_json_protocol]
    """

    def main() -> None:
        good = by_hand('{"QueueUrl": "q", "MessageBody": "a"}', url, X_Amz_Target="AmazonSQS.SendMessage")
        assert (good.status_code, good.headers["content-type"]) == (200, "application/x-amz-json-1.0")
        assert set(json.loads(good.content)) == {"MessageId", "MD5OfMessageBody"}
        bad = by_hand('{"QueueUrl": "nope", "MessageBody": "a"}', url, X_Amz_Target="AmazonSQS.SendMessage")
        assert bad.status_code == 400
        assert bad.headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
        assert json.loads(bad.content) == {
            "__type": "com.amazonaws.sqs#QueueDoesNotExist",
            "message": "The specified queue does not exist.",
        }
        for body, aim in (
            ("{", "AmazonSQS.SendMessage"),
            ("{}", "AmazonSQS.FooBar"),
            ('{"QueueUrl": 5, "MessageBody": "a"}', "AmazonSQS.SendMessage"),
            ('{"QueueUrl": "q", "Entries": [{}]}', "AmazonSQS.SendMessageBatch"),
        ):
            assert by_hand(body, url, X_Amz_Target=aim).status_code == 400
        missing = by_hand('{"QueueUrl": "q"}', url, X_Amz_Target="AmazonSQS.SendMessage")
        assert json.loads(missing.content)["message"] == "The request must contain the parameter MessageBody."

    run.go(main)


# -- where it applies --------------------------------------------------------------------------------


def test_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a run the original is called: here a session that was told to answer itself."""
    sqs = client(**ONCE)
    sqs.meta.events.register("before-send.sqs", lambda **_: (_ for _ in ()).throw(KeyError("asked")))
    failing(KeyError, sqs.list_queues)


def test_code_in_no_process(run: Run) -> None:
    """A call from code that runs in no process of the run is refused with the remedy."""
    sqs = client(**ONCE)
    world_module.enter(run.world)
    try:
        error = failing(RealWorld, sqs.list_queues)
        assert "in a process or handler" in str(error)
    finally:
        world_module.leave()
        run.kernel.close()


def test_user_hooks_are_called(run: Run) -> None:
    """Handlers of the user's see their events, and may answer themselves."""
    seen: list[str] = []
    names = ("provide-client-params", "before-parameter-build", "before-call", "request-created", "choose-signer")
    names += ("before-sign", "before-send", "response-received", "before-parse", "needs-retry", "after-call")

    def main() -> None:
        sqs = client()
        for name in names:
            sqs.meta.events.register(f"{name}.sqs.SendMessage", lambda _name=name, **_: seen.append(_name))
        sqs.send_message(QueueUrl="q", MessageBody="a")

    run.go(main)
    assert sorted(seen) == sorted(names)


def test_user_hook_that_changes_the_request(run: Run) -> None:
    """What a handler of the user's changes on the way is what the service gets."""

    def main() -> None:
        sqs = client()

        def shout(params: dict[str, Any], **_: Any) -> None:
            params["MessageBody"] = params["MessageBody"].upper()

        sqs.meta.events.register("before-parameter-build.sqs.SendMessage", shout)
        sqs.send_message(QueueUrl="q", MessageBody="quiet")
        assert sqs.receive_message(QueueUrl="q")["Messages"][0]["Body"] == "QUIET"

    run.go(main)


def test_uninstall_restores_every_name() -> None:
    """install and uninstall are idempotent and leave botocore as it was."""
    wire.uninstall()
    touched = [(owner, name) for owner, name, _ in _touched()]
    before = [vars(owner)[name] for owner, name in touched]
    wire.install()
    wire.install()
    assert all(vars(owner)[name] is not value for (owner, name), value in zip(touched, before, strict=True))
    wire.uninstall()
    wire.uninstall()
    assert [vars(owner)[name] for owner, name in touched] == before
    wire.install()


def _touched() -> list[tuple[Any, str, Any]]:
    from harness.sim.wire import botocore_clients, botocore_privates, botocore_shortcut

    privates: Any = botocore_privates
    return [
        *botocore_shortcut.replacements(),
        *botocore_clients.replacements(),
        (privates.httpsession.URLLib3Session, "send", None),
        (privates.endpoint.Endpoint, "make_request", None),
        (privates.client.BaseClient, "_make_api_call", None),
    ]


# -- botocore's own waiting ------------------------------------------------------------------------


@rules_of_2026
@pytest.mark.parametrize("early", [False, True], ids=["made inside", "made before"])
def test_long_poll_without_quota_sleeps_in_virtual_time(run: Run, early: bool) -> None:
    """Standard mode's sleep of a receive whose retry quota is spent, bound at import, takes virtual time."""
    run.faults.strike("ReceiveMessage", *[THROTTLED] * 20)
    made = client() if early else None

    def main() -> None:
        sqs = made or client()
        sqs.list_queues()
        quota = botocore_privates.quota_of(sqs)
        assert quota is not None
        quota._available_capacity = 0
        for _ in range(10):
            failing(ClientError, sqs.receive_message, QueueUrl="q")

    started = real.monotonic()
    run.go(main)
    assert run.kernel.now > 1
    assert real.monotonic() - started < 1
    assert run.passings("ReceiveMessage") == 10


def test_trace_header(run: Run) -> None:
    """A trace id of Lambda's environment goes along as X-Amzn-Trace-Id and becomes AWSTraceHeader.

    [aws_trace_header_propagation, 27 Jun 2025]
    """
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

    def main() -> None:
        sqs = client()
        answer = sqs.send_message(QueueUrl="q", MessageBody="a")
        assert "MD5OfMessageSystemAttributes" not in answer
        (message,) = sqs.receive_message(QueueUrl="q", AttributeNames=["AWSTraceHeader"])["Messages"]
        assert message["Attributes"] == {"AWSTraceHeader": trace}

    run.go(main, environ={"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": trace})


def test_calls_after_the_end(run: Run) -> None:
    """When the run is over, what still unwinds reaches no service."""

    def main() -> None:
        sqs = client()
        try:
            run.kernel.stop("enough")
            run.kernel.sleep_us(1)
        finally:
            sqs.send_message(QueueUrl="q", MessageBody="too late")

    run.go(main)
    assert run.of("send") == []
    assert run.passings("SendMessage") == 0


def test_client_without_validation(run: Run) -> None:
    """A client that does not validate its parameters is refused by the service, not by a crash."""

    def main() -> None:
        sqs = client(parameter_validation=False)
        error = failing(ClientError, sqs.send_message, QueueUrl="q")
        assert error.response["Error"]["Code"] == "MissingParameter"
        failing(ClientError, sqs.send_message, QueueUrl="q", MessageBody=5)
        sqs.send_message(QueueUrl="q", MessageBody="good")

    run.go(main)
    assert len(run.of("send")) == 1
