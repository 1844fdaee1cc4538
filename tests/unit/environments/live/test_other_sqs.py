"""A history from what clients say of a server that cannot be asked for one."""

from __future__ import annotations

import dataclasses
from typing import Any

import boto3
import pytest

from harness import Fault, Queue
from harness.environments.live.options import LiveOptions
from harness.environments.live.other_sqs import OtherSqs
from harness.errors import EnvironmentFailed, PlanError
from harness.faults.plan import FaultPlan
from harness.loading import load
from tests.systems import live_consumers

URL = "http://127.0.0.1:9/000000000000/jobs"


class Client:
    """An SQS client whose server has *queues* already and *dead* in every dead-letter queue."""

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.dead: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.deleted: list[str] = []

    def list_queues(self) -> dict[str, Any]:
        return {"QueueUrls": self.queues}

    def create_queue(self, QueueName: str, Attributes: dict[str, str]) -> dict[str, str]:
        return {"QueueUrl": URL.replace("jobs", QueueName)}

    def delete_queue(self, QueueUrl: str) -> None:
        self.deleted.append(QueueUrl.rpartition("/")[2])

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        return {"Attributes": {"QueueArn": "arn", "ApproximateNumberOfMessages": "2"}}

    def send_message(self, **request: Any) -> dict[str, str]:
        self.sent.append(request)
        return {"MessageId": f"m{len(self.sent)}"}

    def receive_message(self, **request: Any) -> dict[str, Any]:
        found, self.dead = self.dead, []
        return {"Messages": [{"MessageId": one} for one in found]}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    found = Client()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: found)
    return found


def made(url: str = "http://127.0.0.1:9", **more: Any) -> OtherSqs:
    """A server with the queues of a scenario, and one message in them with the key 7."""
    scenario = dataclasses.replace(
        load(live_consumers.__file__)[0],
        queues=(Queue("jobs", visibility_timeout=30, dead_letter="jobs-dlq", max_receives=3), Queue("jobs-dlq")),
    )
    sqs = OtherSqs(scenario, LiveOptions(sqs=url, **more), 0)
    sqs.create(scenario)
    sqs.begin(100.0)
    return sqs


def told(sqs: OtherSqs, operation: str, at: float, asked: dict[str, Any], answer: Any = None) -> None:
    line = {"aws": operation, "asked": {"QueueUrl": URL, **asked}, "began": at - 0.5, "at": at}
    sqs.told("worker", line if answer is None else {**line, "answer": answer})


def seen(sqs: OtherSqs) -> list[tuple[Any, ...]]:
    return [(one["kind"], one["message"], one["key"], one["actor"]) for one in sqs.new_events()]


def received(sqs: OtherSqs, at: float = 102.0) -> None:
    sqs.send({"queue": "jobs", "body": '{"id": 7}', "key": "7"})
    told(sqs, "ReceiveMessage", at, {}, {"Messages": [{"MessageId": "m1", "ReceiptHandle": "h1"}]})


def test_a_message_is_followed_from_send_to_delete(client: Client) -> None:
    """Its key goes with it; a receive is visible again after its queue's timeout, or its own."""
    sqs = made()
    received(sqs)
    told(sqs, "ChangeMessageVisibility", 103.0, {"ReceiptHandle": "h1", "VisibilityTimeout": 5}, {})
    told(sqs, "DeleteMessage", 104.0, {"ReceiptHandle": "h1"}, {})
    events = sqs.new_events()
    assert [(one["kind"], one["key"]) for one in events] == [
        ("send", "7"),
        ("receive", "7"),
        ("visibility", "7"),
        ("delete", "7"),
    ]
    assert [one.get("visible_at") for one in events] == [None, 32.0, 8.0, None]
    assert (events[1]["t"], events[1]["receive_count"], events[1]["queue"]) == (2.0, 1, "jobs")
    assert "h1" not in str(events)


def test_of_a_batch_counts_what_succeeded(client: Client) -> None:
    """The entry that failed is still there."""
    sqs = made()
    for number in (1, 2):
        sqs.send({"queue": "jobs", "body": str(number), "key": str(number)})
        answer = {"Messages": [{"MessageId": f"m{number}", "ReceiptHandle": f"h{number}"}]}
        told(sqs, "ReceiveMessage", 101.0, {}, answer)
    sqs.new_events()
    entries = [{"Id": "a", "ReceiptHandle": "h1"}, {"Id": "b", "ReceiptHandle": "h2"}]
    told(sqs, "DeleteMessageBatch", 102.0, {"Entries": entries}, {"Successful": [{"Id": "b"}], "Failed": [{"Id": "a"}]})
    assert seen(sqs) == [("delete", "m2", "2", "worker")]


def test_a_process_that_sends_a_message_on_sends_it_under_its_key(client: Client) -> None:
    """By the key in its body; it was sent when the call began."""
    sqs = made()
    told(sqs, "SendMessage", 103.0, {"MessageBody": '{"id": 7}'}, {"MessageId": "x"})
    (event,) = sqs.new_events()
    assert (event["key"], event["origin"], event["t"]) == ("7", "process", 2.5)


@pytest.mark.parametrize(
    ("left", "again", "done"), [(0, False, True), (1, False, False), (0, True, False)], ids=["done", "left", "again"]
)
def test_a_delete_without_an_answer_counts_if_the_message_never_came_again(
    client: Client, left: int, again: bool, done: bool
) -> None:
    """A consumer was killed in it: the queue at the end says what became of it."""
    sqs = made()
    received(sqs)
    told(sqs, "DeleteMessage", 103.0, {"ReceiptHandle": "h1"})
    if again:
        told(sqs, "ReceiveMessage", 110.0, {}, {"Messages": [{"MessageId": "m1", "ReceiptHandle": "h2"}]})
    sqs.new_events()
    sqs.finish({"jobs": {"visible": left, "in_flight": 0, "delayed": 0}})
    assert seen(sqs) == ([("delete", "m1", "7", "-")] if done else [])


def test_what_the_server_moved_to_the_dead_letter_queue_is_found_there(client: Client) -> None:
    """A message of somebody else's in it is no concern of the run."""
    sqs = made()
    received(sqs)
    sqs.new_events()
    client.dead = ["m1", "stranger"]
    sqs.finish({})
    (event,) = sqs.new_events()
    assert (event["kind"], event["message"], event["queue"], event["to"]) == ("move", "m1", "jobs", "jobs-dlq")


def test_queues_of_somebody_else_are_left_alone(client: Client) -> None:
    """A queue of the same name ends the run before it begins; own queues are taken away."""
    client.queues = [URL]
    with pytest.raises(EnvironmentFailed, match="there is a queue jobs at"):
        made()
    client.queues = []
    sqs = made()
    sqs.stop()
    assert sorted(client.deleted) == ["jobs", "jobs-dlq"]


def test_a_server_outside_loopback_gets_names_of_the_runs_own(client: Client) -> None:
    """And no keys of ours; without --allow-remote it is refused."""
    sqs = made("https://192.0.2.1", allow_remote=True)
    assert sqs.prefix.startswith("harness-")
    assert sqs.environ is None
    assert not sqs.proxied


def test_faults_that_only_our_own_server_has_are_refused(client: Client) -> None:
    """With the remedy; those of the network and of processes are taken."""
    sqs = made()
    with pytest.raises(PlanError, match="Leave out --sqs"):
        sqs.check(FaultPlan([Fault("aws.sqs.*", "throttled", start=0, end=1)]))
    crash = Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1)
    sqs.check(FaultPlan([crash, Fault("network.sqs", "down", start=0, end=1)]))
    with pytest.raises(PlanError, match="TLS"):
        made("https://192.0.2.1", allow_remote=True).check(FaultPlan([Fault("network.sqs", "down", start=0, end=1)]))
