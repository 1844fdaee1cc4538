"""The environment "moto": moto's SQS on virtual time, every call recorded, nothing left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from harness import Fault, Process, Queue, Scenario, Workload, effects, runner
from harness.errors import PlanError
from harness.history import Event
from harness.points import effect
from harness.result import Result

Found = list[Any]


def ran(
    main: Callable[[Any, Any, str], object],
    *,
    queues: list[Queue] | None = None,
    faults: tuple[Fault, ...] = (),
    messages: int = 0,
    backend: str = "moto",
    **work: Any,
) -> Result:
    """A run of one process that calls *main* with boto3's client, the environment and the first queue's URL."""
    queues = queues or [Queue("orders", visibility_timeout=30)]

    def worker(env: Any) -> None:
        main(boto3.client("sqs"), env, env.queue_url(queues[0].name))

    scenario = Scenario(
        name="moto",
        queues=queues,
        processes=[Process("worker", worker)],
        workload=Workload(to=queues[0].name, messages=messages, body=lambda n: {"n": n}, key="$.n", **work),
        backends=("memory", "moto"),
        invariants=[],
        duration=120,
    )
    result = runner.run(scenario, faults=list(faults), backend=backend)
    assert result.verdict != "error", result.reason
    assert result.notes == []
    return result


def of(result: Result, *kinds: str) -> list[Event]:
    return [event for event in result.history if event["kind"] in kinds]


def test_a_long_poll_waits_in_virtual_time_and_wakes_when_a_message_comes() -> None:
    """The poll ends the moment the message is there, not at its end, and no real time passes."""
    found: Found = []

    def main(sqs: Any, env: Any, url: str) -> None:
        found.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages"))
        found.append(time.time() - 1_893_456_000)

    began = time.monotonic()
    ran(main, messages=1, start=7)
    assert found[0][0]["Body"] == '{"n":0}'
    assert 7 < found[1] < 7.05
    assert time.monotonic() - began < 10


def test_a_long_poll_that_finds_nothing_takes_its_whole_time_and_so_does_the_queues_own() -> None:
    """By the call's WaitTimeSeconds, else by the queue's."""
    found: Found = []

    def main(sqs: Any, env: Any, url: str) -> None:
        for options in ({"WaitTimeSeconds": 12}, {}):
            began = time.monotonic()
            assert "Messages" not in sqs.receive_message(QueueUrl=url, **options)
            found.append(round(time.monotonic() - began))

    ran(main, queues=[Queue("orders", wait=5)])
    assert found == [12, 5]


def test_a_client_that_hangs_up_before_its_long_poll_ends_gets_a_timeout() -> None:
    """A read timeout shorter than the poll: the client gives up, the service takes nothing out of the queue."""
    found: Found = []

    def main(sqs: Any, env: Any, url: str) -> None:
        hasty = boto3.client("sqs", config=Config(read_timeout=5, retries={"max_attempts": 0, "mode": "legacy"}))
        try:
            hasty.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        except Exception as error:
            found.append(type(error).__name__)
        found.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"])

    ran(main, messages=1, start=9)
    assert found == ["ReadTimeoutError", '{"n":0}']


def test_a_message_appears_again_when_its_visibility_is_over_and_not_before() -> None:
    """Visibility by the queue, and as changed by the consumer, to the microsecond of the service's clock."""

    def main(sqs: Any, env: Any, url: str) -> None:
        first = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=11)
        second = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]
        assert second["MessageId"] == first["MessageId"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])

    result = ran(main, messages=1)
    received = of(result, "receive")
    assert [event["receive_count"] for event in received] == [1, 2]
    assert received[0]["visible_at"] == pytest.approx(received[0]["t"] + 30)
    (changed,) = of(result, "visibility")
    assert received[1]["t"] == changed["visible_at"]
    assert [event["found"] for event in of(result, "delete")] == [True, False]


def test_delays_dead_letters_and_batches_are_recorded_as_in_memory() -> None:
    """One program on both backends: the same events, ids apart."""

    def main(sqs: Any, env: Any, url: str) -> None:
        entries = [{"Id": str(n), "MessageBody": f'{{"n": {n}}}', "DelaySeconds": 3 * n} for n in range(3)]
        entries[1]["MessageAttributes"] = {"a": {"DataType": "String", "StringValue": "b"}}
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
        for _ in range(4):
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=2, WaitTimeSeconds=5)
            keep = [message for message in got.get("Messages", []) if '"n": 2' not in message["Body"]]
            if keep:
                sqs.delete_message_batch(
                    QueueUrl=url,
                    Entries=[{"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in keep],
                )
        for _ in range(3):
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=10)
        sqs.purge_queue(QueueUrl=env.queue_url("orders-dlq"))
        sqs.create_queue(QueueName="more")
        sqs.delete_queue(QueueUrl=env.queue_url("more"))

    queues = [Queue("orders", dead_letter="orders-dlq", max_receives=2), Queue("orders-dlq")]
    told = []
    for backend in ("memory", "moto"):
        names: dict[str, str] = {}
        result = ran(main, queues=queues, backend=backend)
        kinds = ("send", "receive", "delete", "move", "purge", "queue.create", "queue.delete", "run.end")
        told.append([])
        for event in of(result, *kinds):
            plain = {name: value for name, value in event.items() if name not in ("handle", "steps", "points", "cause")}
            if "message" in plain:
                plain["message"] = names.setdefault(plain["message"], f"message {len(names)}")
            if "messages" in plain:
                plain["messages"] = [names[one] for one in plain["messages"]]
            told[-1].append(plain)
    assert told[1] == told[0]
    assert "move" in {event["kind"] for event in told[1]}


def test_a_fifo_duplicate_is_taken_once_and_a_group_is_not_overtaken() -> None:
    """Deduplication within five minutes, and one group in flight at a time."""
    found: Found = []

    def main(sqs: Any, env: Any, url: str) -> None:
        for dedup in ("a", "a", "b"):
            sqs.send_message(QueueUrl=url, MessageBody=dedup, MessageGroupId="g", MessageDeduplicationId=dedup)
        while got := sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"):
            found.append(got[0]["Body"])
            assert "Messages" not in sqs.receive_message(QueueUrl=url)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"])

    result = ran(main, queues=[Queue("orders.fifo")])
    assert found == ["a", "b"]
    assert [event["group"] for event in of(result, "send")] == ["g", "g"]


def test_consumers_in_parallel_lose_and_repeat_nothing() -> None:
    """One call is over before the next begins: moto without a lock loses a third of what four workers send."""

    def worker(env: Any) -> None:
        sqs, url = boto3.client("sqs"), env.queue_url("orders")
        while True:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
                effect("done", json.loads(message["Body"])["n"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    scenario = Scenario(
        name="parallel",
        processes=[Process("worker", worker, count=4)],
        workload=Workload(to="orders", messages=60, per_second=200, body=lambda n: {"n": n}, key="$.n"),
        effects=effects.point("done"),
        backends=("moto",),
    )
    result = runner.run(scenario, backend="moto")
    assert result.verdict == "passed"
    assert (result.messages.processed, result.messages.lost, result.messages.duplicated) == (60, 0, 0)


def test_a_late_message_and_an_empty_receive_can_be_given() -> None:
    """The two oddities of SQS that moto can be made to show."""

    def main(sqs: Any, env: Any, url: str) -> None:
        sqs.send_message(QueueUrl=url, MessageBody="late")
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]["Body"] == "late"

    result = ran(
        main,
        faults=(
            Fault("aws.sqs.SendMessage", "delay", seconds=10),
            Fault("aws.sqs.ReceiveMessage", "empty-receive", nth=2),
        ),
    )
    assert result.unstruck == []
    assert of(result, "process.exit")[0]["outcome"] == "returned"


@pytest.mark.parametrize("kind", ["duplicate", "reorder", "partial-failure", "stale-attributes"])
def test_an_oddity_that_moto_cannot_show_is_refused(kind: str) -> None:
    """The message says what moto does instead and what to do, before anything runs."""
    target = {"partial-failure": "aws.sqs.SendMessageBatch", "stale-attributes": "aws.sqs.GetQueueAttributes"}
    fault = Fault(target.get(kind, "aws.sqs.ReceiveMessage"), kind)
    with pytest.raises(PlanError, match=r"faults\[0\].kind: .* cannot be given on moto") as caught:
        ran(lambda sqs, env, url: None, faults=(fault,))
    assert "leave" in str(caught.value)
    ran(lambda sqs, env, url: None, faults=(fault,), backend="memory")


def test_the_query_protocol_is_refused_by_name() -> None:
    """Only JSON is watched; a hand-made query request is not half served."""
    found: Found = []

    def main(sqs: Any, env: Any, url: str) -> None:
        request = AWSRequest(
            "POST",
            "https://sqs.us-east-1.amazonaws.com/",
            data="Action=ListQueues&Version=2012-11-05",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        SigV4Auth(sqs._request_signer._credentials, "sqs", "us-east-1").add_auth(request)
        found.append(URLLib3Session().send(request.prepare()).status_code)

    ran(main)
    assert found == [501]


def test_errors_are_motos_own_and_stand_in_the_history() -> None:
    """A queue that is not there: moto's answer, parsed by botocore as ever."""

    def main(sqs: Any, env: Any, url: str) -> None:
        with pytest.raises(ClientError, match="NonExistentQueue"):
            sqs.receive_message(QueueUrl=url + "x")
        with pytest.raises(ClientError, match="NonExistentQueue"):
            sqs.delete_message(QueueUrl=url + "x", ReceiptHandle="h")

    result = ran(main)
    assert {event["error"] for event in of(result, "call.failed")} == {"AWS.SimpleQueueService.NonExistentQueue"}


def test_other_services_of_moto_reach_the_queues_and_are_recorded() -> None:
    """A message that SNS delivers to a queue is sent by nobody's SendMessage, and is seen all the same."""

    def main(sqs: Any, env: Any, url: str) -> None:
        sns = boto3.client("sns")
        topic = sns.create_topic(Name="orders")["TopicArn"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        attributes = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)
        sns.publish(TopicArn=topic, Message='{"n": 5}')
        assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"] == '{"n": 5}'

    result = ran(main)
    assert [(event["key"], event["origin"]) for event in of(result, "send")] == [("5", "process")]


def test_moto_is_itself_again_after_a_run() -> None:
    """Clocks, queues and backends of moto are what they were, also after a run that failed."""
    from moto.sqs import models

    before = (models.unix_time, models.unix_time_millis, models.Queue.add_message, models.camelcase_to_underscores)

    def broken(sqs: Any, env: Any, url: str) -> None:
        sqs.send_message(QueueUrl=url, MessageBody="x")
        raise RuntimeError("the worker dies")

    assert of(ran(lambda sqs, env, url: None), "process.exit")
    queues = [Queue("orders")]
    scenario = Scenario(
        name="dies",
        queues=queues,
        processes=[Process("worker", lambda env: broken(boto3.client("sqs"), env, env.queue_url("orders")))],
        workload=Workload(to="orders", messages=1),
        backends=("moto",),
    )
    runner.run(scenario, backend="moto")
    after = (models.unix_time, models.unix_time_millis, models.Queue.add_message, models.camelcase_to_underscores)
    assert after == before
    assert list(models.sqs_backends) == []


def test_without_moto_its_scenarios_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is missing is named with the command that installs it; nothing fails."""
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "moto" else real(name, *more))
    scenario = Scenario(
        name="left-out",
        processes=[Process("worker", lambda: None)],
        workload=Workload(to="orders", messages=1),
        backends=("memory", "moto"),
    )
    result = runner.run(scenario, backend="moto")
    assert result.verdict == "left out"
    assert "pip install moto" in result.reason
