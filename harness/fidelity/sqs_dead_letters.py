"""Dead-letter queues: when a message goes there, what it keeps, which policies are refused."""

from __future__ import annotations

import json
from typing import Any

from harness.fidelity.bench import Bench, text
from harness.fidelity.rows import case, documented, peer, recorded

__all__: list[str] = []

_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def _bury(bench: Bench, url: str, receives: int = 1) -> None:
    """Receive until the message has gone: the last receive does not return it."""
    for _ in range(receives):
        bench.one(url, VisibilityTimeout=0)
    bench.nothing(url, "although the message went to the dead-letter queue")


@case(
    801,
    "moves-at-the-next-receive",
    "A message received maxReceiveCount times moves at the next receive, which does not return it.",
    recorded("dead_letter_queue_max_receive_count"),
)
def _moves(bench: Bench) -> None:
    url, dead = bench.dead_letters(2)
    bench.send(url, "poison")
    for _ in range(2):
        bench.one(url, VisibilityTimeout=0)
    if not bench.remote:
        bench.equal("the counts before the next receive", bench.counts(url), (1, 0, 0))
    bench.nothing(url)
    bench.equal("the dead letter", bench.one(dead)["Body"], "poison")


@case(
    802,
    "dead-letter-keeps-itself",
    "A dead letter keeps its MessageId, body and message attributes.",
    recorded("dead_letter_queue_message_attributes"),
)
def _keeps(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    sent = bench.send(url, "poison", MessageAttributes={"k": text("x")})
    _bury(bench, url)
    found = bench.one(dead, MessageAttributeNames=["All"])
    kept = (found["MessageId"], found["Body"], found.get("MessageAttributes"))
    bench.equal("id, body and attributes", kept, (sent["MessageId"], "poison", {"k": text("x")}))


@case(
    803,
    "receive-count-goes-on",
    "ApproximateReceiveCount goes on counting: 1 in the source, 2 at the first receive of the dead letter.",
    recorded("dead_letter_queue_message_attributes"),
)
def _count_goes_on(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    bench.send(url)
    _bury(bench, url)
    found = bench.one(dead, AttributeNames=["ApproximateReceiveCount"])["Attributes"]
    bench.equal("the count", found["ApproximateReceiveCount"], "2")


@case(
    804,
    "dead-letter-names-its-source",
    "A dead letter has DeadLetterQueueSourceArn.",
    recorded("dead_letter_queue_message_attributes"),
)
def _source_arn(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    bench.send(url)
    _bury(bench, url)
    found = bench.one(dead, AttributeNames=["All"])["Attributes"]
    bench.equal("DeadLetterQueueSourceArn", found.get("DeadLetterQueueSourceArn"), bench.arn(url))


@case(
    805,
    "dead-letter-keeps-trace-header",
    "A dead letter keeps its AWSTraceHeader.",
    recorded("dead_letter_queue_message_attributes"),
)
def _trace(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    bench.send(url, MessageSystemAttributes={"AWSTraceHeader": text(_TRACE)})
    _bury(bench, url)
    found = bench.one(dead, AttributeNames=["AWSTraceHeader"]).get("Attributes")
    bench.equal("Attributes", found, {"AWSTraceHeader": _TRACE})


@case(
    806,
    "fifo-dead-letter-keeps-group",
    "A FIFO dead letter keeps its MessageId and its group.",
    recorded("dead_letter_queue_with_fifo_and_content_based_deduplication"),
)
def _fifo_keeps(bench: Bench) -> None:
    url, dead = bench.dead_letters(fifo=True)
    sent = bench.send(url, "poison", "group")
    _bury(bench, url)
    found = bench.one(dead, AttributeNames=["MessageGroupId"])
    kept = (found["MessageId"], found.get("Attributes"))
    bench.equal("id and group", kept, (sent["MessageId"], {"MessageGroupId": "group"}))


@case(
    807,
    "fifo-group-free-after-move",
    "Once a message went to the dead-letter queue its group is free.",
    recorded("dead_letter_queue_with_fifo_and_content_based_deduplication"),
)
def _fifo_free(bench: Bench) -> None:
    url, _ = bench.dead_letters(fifo=True)
    bench.send(url, "poison", "g")
    _bury(bench, url)
    bench.send(url, "next", "g")
    bench.equal("the messages", bench.bodies(url), ["next"])


@case(
    808,
    "receive-gives-the-others",
    "The receive that moves a dead letter returns the other messages.",
    documented("Dead-letter queues"),
)
def _others(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    bench.send(url, "poison")
    bench.one(url, VisibilityTimeout=0)
    bench.send(url, "good")
    bench.equal("the messages", bench.bodies(url), ["good"])
    bench.equal("the dead letter", bench.one(dead)["Body"], "poison")


@case(
    809,
    "sources-of-a-dead-letter-queue",
    "ListDeadLetterSourceQueues answers under queueUrls, with a small q.",
    recorded("dead_letter_queue_list_sources"),
)
def _sources(bench: Bench) -> None:
    url, dead = bench.dead_letters()
    bench.eventually(
        "the answer", lambda: bench.call("ListDeadLetterSourceQueues", QueueUrl=dead), {"queueUrls": [url]}
    )


def _set_policy(bench: Bench, url: str, policy: Any, name: str = "RedrivePolicy") -> None:
    value = policy if isinstance(policy, str) else json.dumps(policy)
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={name: value})


def _refuse_policy(bench: Bench, url: str, policy: Any, name: str = "RedrivePolicy") -> None:
    value = policy if isinstance(policy, str) else json.dumps(policy)
    bench.refused("SetQueueAttributes", "InvalidParameterValue", QueueUrl=url, Attributes={name: value})


@case(
    810,
    "redrive-without-count",
    "A redrive policy without maxReceiveCount is refused.",
    recorded("redrive_policy_attribute_validity"),
)
def _without_count(bench: Bench) -> None:
    _refuse_policy(bench, bench.queue(), {"deadLetterTargetArn": bench.arn(bench.queue())})


@case(
    811,
    "redrive-without-arn",
    "A redrive policy without deadLetterTargetArn is refused.",
    recorded("redrive_policy_attribute_validity"),
)
def _without_arn(bench: Bench) -> None:
    _refuse_policy(bench, bench.queue(), {"maxReceiveCount": "42"})


@case(
    812,
    "redrive-count-no-number",
    "A maxReceiveCount that is no number is refused.",
    recorded("redrive_policy_attribute_validity"),
)
def _count_no_number(bench: Bench) -> None:
    arn = bench.arn(bench.queue())
    _refuse_policy(bench, bench.queue(), {"deadLetterTargetArn": arn, "maxReceiveCount": "invalid"})


@case(813, "redrive-count-range", "maxReceiveCount is 1 to 1,000.", peer("LocalStack"))
def _count_range(bench: Bench) -> None:
    arn, url = bench.arn(bench.queue()), bench.queue()
    for count in (0, 1_001):
        _refuse_policy(bench, url, {"deadLetterTargetArn": arn, "maxReceiveCount": count})
    _set_policy(bench, url, {"deadLetterTargetArn": arn, "maxReceiveCount": 1_000})


@case(
    814,
    "redrive-arn-is-none",
    "A deadLetterTargetArn that is no ARN is refused.",
    recorded("invalid_dead_letter_arn_rejected_before_lookup"),
)
def _no_arn(bench: Bench) -> None:
    policy = json.dumps({"deadLetterTargetArn": "dummy", "maxReceiveCount": 42})
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=bench.name(), Attributes={"RedrivePolicy": policy})


@case(815, "redrive-queue-must-exist", "The dead-letter queue must be there.", documented("Dead-letter queues"))
def _must_exist(bench: Bench) -> None:
    url = bench.queue()
    _refuse_policy(bench, url, {"deadLetterTargetArn": bench.arn(url) + "-not-there", "maxReceiveCount": 1})


@case(
    816,
    "redrive-same-type",
    "The dead-letter queue of a FIFO queue is a FIFO queue, that of a standard queue a standard queue.",
    documented("Dead-letter queues"),
)
def _same_type(bench: Bench) -> None:
    standard, fifo = bench.queue(), bench.fifo()
    _refuse_policy(bench, standard, {"deadLetterTargetArn": bench.arn(fifo), "maxReceiveCount": 1})
    _refuse_policy(bench, fifo, {"deadLetterTargetArn": bench.arn(standard), "maxReceiveCount": 1})


@case(817, "redrive-no-json", "A redrive policy that is no JSON is refused.", peer("LocalStack"))
def _no_json(bench: Bench) -> None:
    _refuse_policy(bench, bench.queue(), "no json")


def _allow(bench: Bench, policy: dict[str, Any]) -> str:
    """A queue with a redrive-allow policy: its ARN."""
    return bench.arn(bench.queue(RedriveAllowPolicy=json.dumps(policy)))


@case(
    820,
    "redrive-allow-all",
    "With redrivePermission allowAll any queue may name the dead-letter queue.",
    documented("RedriveAllowPolicy"),
)
def _allow_all(bench: Bench) -> None:
    arn = _allow(bench, {"redrivePermission": "allowAll"})
    _set_policy(bench, bench.queue(), {"deadLetterTargetArn": arn, "maxReceiveCount": 1})


@case(
    821,
    "redrive-deny-all",
    "With redrivePermission denyAll no queue may name it.",
    documented("RedriveAllowPolicy"),
)
def _deny_all(bench: Bench) -> None:
    arn = _allow(bench, {"redrivePermission": "denyAll"})
    _refuse_policy(bench, bench.queue(), {"deadLetterTargetArn": arn, "maxReceiveCount": 1})


@case(
    822,
    "redrive-by-queue",
    "With redrivePermission byQueue the named queues may, others may not.",
    documented("RedriveAllowPolicy"),
)
def _by_queue(bench: Bench) -> None:
    named, other = bench.queue(), bench.queue()
    arn = _allow(bench, {"redrivePermission": "byQueue", "sourceQueueArns": [bench.arn(named)]})
    policy = {"deadLetterTargetArn": arn, "maxReceiveCount": 1}
    _set_policy(bench, named, policy)
    _refuse_policy(bench, other, policy)


@case(
    823,
    "redrive-by-eleven-queues",
    "byQueue names ten queues at most.",
    documented("RedriveAllowPolicy"),
)
def _eleven(bench: Bench) -> None:
    url = bench.queue()
    arns = [f"{bench.arn(url)}-{n}" for n in range(11)]
    _refuse_policy(bench, url, {"redrivePermission": "byQueue", "sourceQueueArns": arns}, "RedriveAllowPolicy")
    _set_policy(bench, url, {"redrivePermission": "byQueue", "sourceQueueArns": arns[:10]}, "RedriveAllowPolicy")


@case(
    824,
    "redrive-allow-unknown",
    "A redrivePermission other than the three is refused.",
    documented("RedriveAllowPolicy"),
)
def _unknown_permission(bench: Bench) -> None:
    _refuse_policy(bench, bench.queue(), {"redrivePermission": "maybe"}, "RedriveAllowPolicy")


@case(
    825,
    "redrive-allow-removed",
    "Setting RedriveAllowPolicy to an empty string removes it.",
    documented("RedriveAllowPolicy"),
)
def _allow_removed(bench: Bench) -> None:
    url = bench.queue(RedriveAllowPolicy=json.dumps({"redrivePermission": "denyAll"}))
    _set_policy(bench, url, "", "RedriveAllowPolicy")
    bench.true("RedriveAllowPolicy" not in bench.attributes(url), "RedriveAllowPolicy is still there")


@case(
    830,
    "retention-runs-on-standard",
    "On standard queues a dead letter's retention runs on from its first enqueue.",
    documented("Dead-letter queue retention"),
    seconds=65,
)
def _runs_on(bench: Bench) -> None:
    bench.equal("the dead letters", _after_retention(bench, fifo=False), [])


@case(
    831,
    "retention-anew-fifo",
    "On FIFO queues a dead letter's retention starts anew with the move.",
    documented("Dead-letter queue retention"),
    seconds=65,
)
def _anew(bench: Bench) -> None:
    bench.equal("the dead letters", _after_retention(bench, fifo=True), ["poison"])


def _after_retention(bench: Bench, *, fifo: bool) -> list[str]:
    """The dead letters 62 seconds after the sending and 32 after the move, where retention is 60."""
    url, dead = bench.dead_letters(fifo=fifo)
    bench.call("SetQueueAttributes", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "60"})
    bench.send(url, "poison")
    bench.wait(30)
    _bury(bench, url)
    bench.wait(32)
    return bench.bodies(dead)
