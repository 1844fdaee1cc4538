"""moto's own patch as it stands in somebody's test: each call a fault point, struck as AWS would be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from harness import Fault, runner
from harness.environments import guest
from tests.guests import visit


@pytest.fixture(autouse=True, scope="module")
def warmed() -> None:
    """What all clients read is read once."""
    runner.install()
    guest.warm(["sqs"])


def with_queue(function: Callable[[Any, str], object], *, name: str = "orders", **attributes: str) -> Any:
    """What *function* makes of a client of SQS and a queue's URL, under moto's decorator."""

    @mock_aws
    def test() -> object:
        options = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
        sqs = boto3.client("sqs", config=Config(retries={"total_max_attempts": 1, "mode": "standard"}), **options)
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": n, "MessageBody": n} for n in "ab"])
        return function(sqs, url)

    return test


def bodies(sqs: Any, url: str, **options: Any) -> list[str]:
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **options)
    return [message["Body"] for message in found.get("Messages", [])]


def fault(operation: str, kind: str, **fields: Any) -> Fault:
    return Fault(f"aws.sqs.{operation}", kind, nth=1, **fields)


def test_calls_pass_their_points_and_what_happened_is_told() -> None:
    """moto answers as ever, in virtual time; messages and effects are noted in order."""

    def work(sqs: Any, url: str) -> object:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return time.time() > 1_893_456_000

    answer, stay = visit(with_queue(work))
    assert answer is True
    assert stay["ended"] == "done"
    assert stay["called"][:4] == [f"aws.sqs.{name}" for name in
        ("CreateQueue.before", "CreateQueue.after", "SendMessageBatch.before", "SendMessageBatch.after")]  # fmt: skip
    effects = ["effect aws.sqs.SendMessageBatch"] * 2
    assert stay["handled"] == [*effects, "receive a", "receive b", "delete a", "delete b"]


def test_refused_and_without_an_effect() -> None:
    """Before: moto is not asked; the client sees the service's error."""
    for kind, seen in (("access-denied", "ClientError"), ("throttled", "ClientError"), ("timeout", "ReadTimeoutError")):
        answer, stay = visit(with_queue(bodies), fault("ReceiveMessage", kind))
        assert answer in (seen, "RequestThrottled")
        assert not any(one.startswith("receive") for one in stay["handled"])
        assert stay["struck"] == [1]


def test_the_answer_is_lost_and_the_effect_is_not() -> None:
    """After: moto has done it; the client waits for its timeout in virtual time."""

    def send(sqs: Any, url: str) -> object:
        began = time.monotonic()
        try:
            sqs.send_message(QueueUrl=url, MessageBody="c")
        except Exception as error:
            return [type(error).__name__, round(time.monotonic() - began), bodies(sqs, url)]
        return None

    answer, _ = visit(with_queue(send), fault("SendMessage", "timeout", side="after"))
    assert answer == ["ReadTimeoutError", 60, ["a", "b", "c"]]


def test_oddities_of_sqs() -> None:
    """Reordered, delivered twice, empty though something is there, and a batch that fails in part."""
    assert visit(with_queue(bodies), fault("ReceiveMessage", "reorder"))[0] == ["b", "a"]
    assert visit(with_queue(bodies), fault("ReceiveMessage", "empty-receive"))[0] == []

    def twice(sqs: Any, url: str) -> object:
        return bodies(sqs, url), bodies(sqs, url)

    assert visit(with_queue(twice), fault("ReceiveMessage", "duplicate"))[0] == [["a", "b"], ["a"]]

    def partly(sqs: Any, url: str) -> object:
        entries = [{"Id": n, "MessageBody": n} for n in "cd"]
        answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        return [one["Id"] for one in answer["Successful"]], [one["Id"] for one in answer["Failed"]], bodies(sqs, url)

    struck = Fault("aws.sqs.SendMessageBatch", "partial-failure", nth=2, share=0.5)
    assert visit(with_queue(partly), struck)[0] == [["c"], ["d"], ["a", "b", "c"]]

    def send(sqs: Any, url: str) -> object:
        sqs.send_message(QueueUrl=url, MessageBody="c")
        return bodies(sqs, url)

    assert visit(with_queue(send), fault("SendMessage", "duplicate"))[0] == ["a", "b", "c", "c"]


def test_motos_own_errors_stay_as_they_are() -> None:
    """A refusal of moto's reaches the client, and nothing of it counts as an effect."""

    def ask(sqs: Any, url: str) -> object:
        sqs.send_message(QueueUrl=f"{url}-other", MessageBody="c")
        return None

    answer, stay = visit(with_queue(ask))
    assert answer == "QueueDoesNotExist"
    assert stay["handled"] == ["effect aws.sqs.SendMessageBatch"] * 2


def test_outside_the_kernel_the_same_faults_strike_without_waiting() -> None:
    """No kernel: the timeout is told at once; real time goes on."""

    def ask(sqs: Any, url: str) -> object:
        began = time.monotonic()
        try:
            bodies(sqs, url)
        except Exception as error:
            return type(error).__name__, time.monotonic() - began < 50
        return None

    answer, stay = visit(with_queue(ask), fault("ReceiveMessage", "timeout"), inside=False)
    assert answer == ["ReadTimeoutError", True]
    assert stay["seconds"] >= 60
