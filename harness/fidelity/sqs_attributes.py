"""A queue's attributes: defaults, ranges, what may be set and what reads back."""

from __future__ import annotations

import json

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, documented, peer, recorded

__all__: list[str] = []

_DEFAULTS = {
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_FIFO_DEFAULTS = {
    "ContentBasedDeduplication": "false",
    "DeduplicationScope": "queue",
    "FifoQueue": "true",
    "FifoThroughputLimit": "perQueue",
}
_COMPUTED = ("CreatedTimestamp", "LastModifiedTimestamp", "QueueArn")


def _plain(bench: Bench, url: str) -> dict[str, str]:
    return {name: value for name, value in bench.attributes(url).items() if name not in _COMPUTED}


@case(
    150,
    "defaults-standard",
    "What a new standard queue's attributes are.",
    recorded("set_queue_attributes_default_values"),
)
def _defaults(bench: Bench) -> None:
    bench.equal("the attributes", _plain(bench, bench.queue()), _DEFAULTS)


@case(
    151,
    "defaults-fifo",
    "What a new FIFO queue has besides.",
    recorded("set_queue_attributes_default_values"),
)
def _defaults_fifo(bench: Bench) -> None:
    bench.equal("the attributes", _plain(bench, bench.fifo()), {**_DEFAULTS, **_FIFO_DEFAULTS})


@case(
    152,
    "timestamps-in-seconds",
    "CreatedTimestamp and LastModifiedTimestamp are strings of whole seconds.",
    recorded("set_queue_attributes_default_values"),
)
def _timestamps(bench: Bench) -> None:
    found = bench.attributes(bench.queue(), "CreatedTimestamp", "LastModifiedTimestamp")
    for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
        bench.true(found[name].isdigit() and len(found[name]) == 10, f"{name} is {found[name]!r}")


@case(
    153,
    "queue-arn",
    "QueueArn is arn:aws:sqs, region, account and name.",
    recorded("get_specific_queue_attribute_response"),
)
def _arn(bench: Bench) -> None:
    name = bench.name()
    parts = bench.arn(bench.create(name)).split(":")
    bench.equal("the ARN without its account", parts[:4] + parts[5:], ["arn", "aws", "sqs", bench.site.region, name])


@case(
    154,
    "asked-attributes-only",
    "GetQueueAttributes gives the attributes that it is asked for, and leaves out one that is not set.",
    recorded("get_specific_queue_attribute_response"),
)
def _asked_only(bench: Bench) -> None:
    found = bench.attributes(bench.queue(), "DelaySeconds", "RedrivePolicy")
    bench.equal("the attributes", found, {"DelaySeconds": "0"})


@case(155, "no-attribute-names", "GetQueueAttributes without names has no Attributes key.", peer("LocalStack"))
def _no_names(bench: Bench) -> None:
    bench.keys("the answer", bench.call("GetQueueAttributes", QueueUrl=bench.queue()))


@case(
    156,
    "get-unknown-attribute",
    "An unknown attribute name is refused on get.",
    recorded("get_queue_attributes_with_invalid_arg_returns_error"),
)
def _get_unknown(bench: Bench) -> None:
    bench.refused(
        "GetQueueAttributes",
        "InvalidAttributeName",
        "Unknown Attribute Foobar.",
        shape="InvalidAttributeName",
        status=400,
        QueueUrl=bench.queue(),
        AttributeNames=["Foobar"],
    )


@case(
    157,
    "set-unknown-attribute",
    "An unknown attribute name is refused on set.",
    recorded("set_unsupported_attribute_standard"),
)
def _set_unknown(bench: Bench) -> None:
    bench.refused(
        "SetQueueAttributes",
        "InvalidAttributeName",
        "Unknown Attribute Foobar.",
        QueueUrl=bench.queue(),
        Attributes={"Foobar": "1"},
    )


@case(
    158,
    "create-unknown-attribute",
    "An unknown attribute name is refused on create.",
    peer("LocalStack; recorded for get and set"),
)
def _create_unknown(bench: Bench) -> None:
    bench.refused(
        "CreateQueue",
        "InvalidAttributeName",
        "Unknown Attribute Foobar.",
        QueueName=bench.name(),
        Attributes={"Foobar": "1"},
    )


@case(
    159,
    "fifo-attribute-on-standard",
    'FifoQueue and ContentBasedDeduplication, even "false", are unknown to a standard queue.',
    recorded("create_standard_queue_with_fifo_attribute_raises_error"),
)
def _fifo_attribute(bench: Bench) -> None:
    for name in ("FifoQueue", "ContentBasedDeduplication"):
        bench.refused(
            "CreateQueue",
            "InvalidAttributeName",
            f"Unknown Attribute {name}.",
            QueueName=bench.name(),
            Attributes={name: "false"},
        )


@case(
    160,
    "throughput-attribute-on-standard",
    "DeduplicationScope and FifoThroughputLimit can be given for FIFO queues only.",
    recorded("create_standard_queue_with_fifo_attribute_raises_error"),
)
def _throughput_attribute(bench: Bench) -> None:
    for name, value in (("DeduplicationScope", "queue"), ("FifoThroughputLimit", "perQueue")):
        bench.refused(
            "CreateQueue",
            "InvalidAttributeName",
            f"You can specify the {name} only when FifoQueue is set to true.",
            QueueName=bench.name(),
            Attributes={name: value},
        )


@case(
    161,
    "fifo-stays-fifo",
    "Setting FifoQueue to false on a FIFO queue is refused, true is accepted.",
    recorded("set_unsupported_attribute_fifo"),
)
def _fifo_stays(bench: Bench) -> None:
    url = bench.fifo()
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"FifoQueue": "true"})
    bench.refused(
        "SetQueueAttributes",
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        shape="InvalidAttributeValue",
        QueueUrl=url,
        Attributes={"FifoQueue": "false"},
    )


@case(
    162,
    "values-case-free",
    '"FifoQueue": "True" is accepted on create.',
    recorded("fifo_change_to_high_throughput_after_creation"),
)
def _case_free(bench: Bench) -> None:
    url = bench.create(bench.name(".fifo"), {"FifoQueue": "True"})
    bench.equal("FifoQueue", bench.attribute(url, "FifoQueue"), "true")


def _out_of_range(bench: Bench, name: str, *values: str) -> None:
    for value in values:
        bench.refused(
            "CreateQueue",
            "InvalidAttributeValue",
            f"Invalid value for the parameter {name}.",
            QueueName=bench.name(),
            Attributes={name: value},
        )


def _in_range(bench: Bench, name: str, *values: str) -> None:
    for value in values:
        bench.equal(name, bench.attribute(bench.queue(**{name: value}), name), value)


@case(163, "range-message-size", "MaximumMessageSize is 1,024 to 1,048,576.", documented("SetQueueAttributes"))
def _range_size(bench: Bench) -> None:
    _in_range(bench, "MaximumMessageSize", "1024", "1048576")
    _out_of_range(bench, "MaximumMessageSize", "1023", "1048577")


@case(164, "range-visibility", "VisibilityTimeout is 0 to 43,200.", documented("SetQueueAttributes"))
def _range_visibility(bench: Bench) -> None:
    _in_range(bench, "VisibilityTimeout", "0", "43200")
    _out_of_range(bench, "VisibilityTimeout", "-1", "43201")


@case(165, "range-delay", "DelaySeconds is 0 to 900.", documented("SetQueueAttributes"))
def _range_delay(bench: Bench) -> None:
    _in_range(bench, "DelaySeconds", "0", "900")
    _out_of_range(bench, "DelaySeconds", "-1", "901")


@case(166, "range-retention", "MessageRetentionPeriod is 60 to 1,209,600.", documented("SetQueueAttributes"))
def _range_retention(bench: Bench) -> None:
    _in_range(bench, "MessageRetentionPeriod", "60", "1209600")
    _out_of_range(bench, "MessageRetentionPeriod", "59", "1209601")


@case(167, "range-wait", "ReceiveMessageWaitTimeSeconds is 0 to 20.", documented("SetQueueAttributes"))
def _range_wait(bench: Bench) -> None:
    _in_range(bench, "ReceiveMessageWaitTimeSeconds", "0", "20")
    _out_of_range(bench, "ReceiveMessageWaitTimeSeconds", "-1", "21")


@case(168, "value-no-number", "A number that is none is refused.", peer("LocalStack"))
def _no_number(bench: Bench) -> None:
    _out_of_range(bench, "VisibilityTimeout", "soon")


@case(
    170,
    "redrive-count-as-text",
    "maxReceiveCount may be a number or a numeric string; it reads back as a number.",
    recorded("get_specific_queue_attribute_response"),
)
def _redrive_count(bench: Bench) -> None:
    dead = bench.arn(bench.queue())
    for count in (3, "3"):
        policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": count})
        found = json.loads(bench.attribute(bench.queue(RedrivePolicy=policy), "RedrivePolicy") or "{}")
        bench.equal("the policy", found, {"deadLetterTargetArn": dead, "maxReceiveCount": 3})


@case(
    171,
    "redrive-removed",
    "Setting RedrivePolicy to an empty string removes it.",
    recorded("set_empty_redrive_policy"),
)
def _redrive_removed(bench: Bench) -> None:
    url, _ = bench.dead_letters()
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
    bench.true("RedrivePolicy" not in bench.attributes(url), "RedrivePolicy is still there")


@case(172, "policy-removed", "Setting Policy to an empty string removes it.", recorded("set_empty_queue_policy"))
def _policy_removed(bench: Bench) -> None:
    url = bench.queue()
    account = bench.arn(url).split(":")[4]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "SQS:SendMessage",
        "Resource": bench.arn(url),
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": policy})
    bench.true(bench.attribute(url, "Policy"), "Policy does not read back")
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})
    bench.true("Policy" not in bench.attributes(url), "Policy is still there")


_KEY = "alias/aws/sqs"


@case(
    173,
    "kms-turns-sse-off",
    "Setting a KMS key turns SqsManagedSseEnabled off, and it stays off once the key is removed.",
    recorded("sse_queue_attributes"),
)
def _kms(bench: Bench) -> None:
    url = bench.queue()
    given = {"KmsMasterKeyId": _KEY, "KmsDataKeyReusePeriodSeconds": "6000"}
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes=given)
    names = ("KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled")
    bench.equal("the attributes", bench.attributes(url, *names), {**given, "SqsManagedSseEnabled": "false"})
    removed = {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"}
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes=removed)
    bench.equal("the attributes afterwards", bench.attributes(url, *names), {"SqsManagedSseEnabled": "false"})


@case(
    174,
    "one-encryption-only",
    "A KMS key together with SqsManagedSseEnabled=true is refused.",
    recorded("sse_kms_and_sqs_are_mutually_exclusive"),
)
def _one_encryption(bench: Bench) -> None:
    bench.refused(
        "SetQueueAttributes",
        "InvalidAttributeName",
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
        QueueUrl=bench.queue(),
        Attributes={"KmsMasterKeyId": _KEY, "SqsManagedSseEnabled": "true"},
    )


@case(
    175,
    "last-modified",
    "SetQueueAttributes moves LastModifiedTimestamp and leaves CreatedTimestamp.",
    documented("GetQueueAttributes, LastModifiedTimestamp"),
    seconds=1.1,
)
def _last_modified(bench: Bench) -> None:
    url = bench.queue()
    before = bench.attributes(url, "CreatedTimestamp", "LastModifiedTimestamp")
    bench.wait(1.1)
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "1"})
    after = bench.attributes(url, "CreatedTimestamp", "LastModifiedTimestamp")
    bench.equal("CreatedTimestamp", after["CreatedTimestamp"], before["CreatedTimestamp"])
    bench.true(
        int(after["LastModifiedTimestamp"]) > int(before["LastModifiedTimestamp"]),
        "LastModifiedTimestamp stays as it was",
    )


@case(
    176,
    "counts",
    "The three counts follow sends, delays, receives and deletes.",
    recorded("approximate_number_of_messages_not_visible"),
)
def _counts(bench: Bench) -> None:
    url = bench.queue()
    for delay in (0, 0, 0, 600):
        bench.send(url, DelaySeconds=delay)
    bench.eventually("the counts", lambda: bench.counts(url), (3, 0, 1))
    first, _ = bench.take(url, 2)
    bench.eventually("the counts after a receive", lambda: bench.counts(url), (1, 2, 1))
    bench.delete(url, first)
    bench.eventually("the counts after a delete", lambda: bench.counts(url), (1, 1, 1))


@case(
    177,
    "wrong-value-changes-nothing",
    "A request with a wrong value beside a right one changes nothing.",
    documented("SetQueueAttributes"),
)
def _changes_nothing(bench: Bench) -> None:
    url = bench.queue()
    bench.refused(
        "SetQueueAttributes",
        "InvalidAttributeValue",
        QueueUrl=url,
        Attributes={"DelaySeconds": "5", "VisibilityTimeout": "43201"},
    )
    bench.equal("DelaySeconds", bench.attribute(url, "DelaySeconds"), "0")
