"""The components under real clients of boto3 (over moto) and redis-py (over fakeredis): what a fake cannot refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import fakeredis
import pytest
from moto import mock_aws

from harness.resilience import (
    ConsumerOptions,
    DeadLetterQueueHandler,
    Idempotency,
    Message,
    PermanentError,
    PoisonMessageDetector,
    RedisIdempotencyStore,
    ResilientConsumer,
    ResilientProducer,
    json_body,
    read_envelope,
)
from harness.resilience.envelope import MAX_MESSAGE_BYTES

OPTIONS = ConsumerOptions(wait_seconds=0, acknowledge_together=10)


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sqs", region_name="us-east-1")


def receive_all(sqs: Any, url: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
            VisibilityTimeout=600,
        )
        if not answer.get("Messages"):
            return messages
        messages += answer["Messages"]


class StopWhenEmpty:
    """A sleep that takes no time, and stops the loop at the first idle pause: the queue is empty then."""

    def __init__(self) -> None:
        self.stop: Any = None

    def __call__(self, seconds: float) -> None:
        self.stop()


def test_dead_letter_through_real_clients(sqs: Any) -> None:
    """Received, failed three times, dead-lettered with binary attributes, and deleted: every request is accepted."""
    main = sqs.create_queue(QueueName="main")["QueueUrl"]
    dlq = sqs.create_queue(QueueName="dlq")["QueueUrl"]
    attributes = {
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        "n": {"DataType": "Number", "StringValue": "7"},
    }
    sqs.send_message(QueueUrl=main, MessageBody="bad", MessageAttributes=attributes)
    sqs.send_message(QueueUrl=main, MessageBody="good")
    tries: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        tries.append(message["Body"])
        if message["Body"] == "bad":
            raise RuntimeError("no\x00pe")

    sleep = StopWhenEmpty()
    handler = DeadLetterQueueHandler(main, dlq, sqs=sqs, options=OPTIONS, sleep=sleep, retry_delay=lambda receives: 0)
    sleep.stop = handler.stop
    handler.process_with_dlq(handle)
    assert sorted(tries) == ["bad", "bad", "bad", "good"]
    (message,) = receive_all(sqs, dlq)
    envelope = read_envelope(message)
    assert envelope.attributes == attributes
    assert (envelope.body, envelope.receive_count, envelope.queue) == ("bad", 4, main)
    assert receive_all(sqs, main) == []


def test_largest_message_is_dead_lettered(sqs: Any) -> None:
    """A body of the largest size, which no envelope holds, is accepted by the dead-letter queue."""
    main = sqs.create_queue(QueueName="main", Attributes={"MaximumMessageSize": str(MAX_MESSAGE_BYTES)})["QueueUrl"]
    dlq = sqs.create_queue(QueueName="dlq", Attributes={"MaximumMessageSize": str(MAX_MESSAGE_BYTES)})["QueueUrl"]
    body = '"' * (MAX_MESSAGE_BYTES - 10)
    sqs.send_message(QueueUrl=main, MessageBody=body)

    def handle(message: dict[str, Any]) -> None:
        raise PermanentError("too much")

    sleep = StopWhenEmpty()
    handler = DeadLetterQueueHandler(main, dlq, sqs=sqs, options=OPTIONS, sleep=sleep)
    sleep.stop = handler.stop
    handler.process_with_dlq(handle)
    (message,) = receive_all(sqs, dlq)
    assert read_envelope(message).body == body


def test_fifo_through_real_clients(sqs: Any) -> None:
    """Producer, consumer and dead letters on FIFO queues: ids and groups are what SQS asks for, order is kept."""
    fifo = {"FifoQueue": "true"}
    main = sqs.create_queue(QueueName="main.fifo", Attributes=fifo)["QueueUrl"]
    dlq = sqs.create_queue(QueueName="dlq.fifo", Attributes=fifo)["QueueUrl"]
    producer = ResilientProducer(main, sqs=sqs)
    result = producer.send_batch(Message(f"{group}{n}", group_id=group) for n in range(4) for group in "ab")
    assert len(result.sent) == 8
    done: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        if message["Body"] == "a1":
            raise PermanentError("no")
        done.append(message["Body"])

    sleep = StopWhenEmpty()
    consumer = ResilientConsumer(main, handle, sqs=sqs, dlq_url=dlq, options=OPTIONS, sleep=sleep)
    sleep.stop = consumer.stop
    consumer.run()
    assert [body for body in done if body[0] == "a"] == ["a0", "a2", "a3"]
    assert [body for body in done if body[0] == "b"] == ["b0", "b1", "b2", "b3"]
    (message,) = receive_all(sqs, dlq)
    assert message["Attributes"]["MessageGroupId"] == "a"
    assert read_envelope(message).body == "a1"


@pytest.mark.parametrize("decode", [False, True])
def test_everything_composed_through_real_clients(sqs: Any, decode: bool) -> None:
    """Poison to quarantine, duplicates by key, release back to the queue, with threads."""
    main = sqs.create_queue(QueueName="main")["QueueUrl"]
    client = fakeredis.FakeRedis(decode_responses=decode)
    poison = PoisonMessageDetector(client, poison_threshold=2)
    once = Idempotency(RedisIdempotencyStore(client), key=lambda message: json_body(message)["id"])
    producer = ResilientProducer(main, sqs=sqs)
    producer.send_batch(['{"id": 1}', '{"id": 2}', '{"id": 1}', '{"id": 3, "bad": true}'])
    done: list[int] = []

    def handle(message: dict[str, Any]) -> None:
        body = json_body(message)
        if body.get("bad"):
            raise RuntimeError("no")
        done.append(body["id"])

    sleep = StopWhenEmpty()
    consumer = ResilientConsumer(
        main,
        handle,
        sqs=sqs,
        poison=poison,
        idempotency=once,
        max_receives=10,
        retry_delay=lambda receives: 0,
        options=ConsumerOptions(wait_seconds=0, concurrency=2),
        sleep=sleep,
    )
    sleep.stop = lambda: consumer.stop() if poison.quarantined() else None
    consumer.run()
    assert sorted(done) == [1, 2]
    (entry,) = poison.quarantined()
    poison.release(entry.message_id, sqs=sqs)
    (message,) = receive_all(sqs, main)
    assert message["Body"] == '{"id": 3, "bad": true}'
