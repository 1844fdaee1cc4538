"""Queues: create, list, attributes, tags, permissions, purge, delete."""

from __future__ import annotations

import json

import pytest

from tests.unit.sim.services.sqs_desk import EPOCH_US, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


# -- names and URLs ---------------------------------------------------------------------


def test_unknown_queue(desk: Desk) -> None:
    """An unknown queue is refused by every operation, with another text in the query protocol.

    [non_existent_queue; moto _verify_unknown_queue_error]
    """
    parameters = {
        "SendMessage": {"MessageBody": "a"},
        "ReceiveMessage": {},
        "DeleteMessage": {"ReceiptHandle": "h"},
        "GetQueueAttributes": {"AttributeNames": ["All"]},
        "PurgeQueue": {},
        "DeleteQueue": {},
        "ListQueueTags": {},
        "ListDeadLetterSourceQueues": {},
    }
    for operation, more in parameters.items():
        error = desk.refused(operation, QueueUrl="https://sqs.us-east-1.amazonaws.com/000000000000/nope", **more)
        assert (error.code, error.shape, error.status) == (
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            400,
        )
        assert error.message == "The specified queue does not exist."
        assert error.query_message == "The specified queue does not exist for this wsdl version."
    assert desk.refused("GetQueueUrl", QueueName="nope").shape == "QueueDoesNotExist"


@pytest.mark.parametrize(
    "url",
    ["q", "https://sqs.us-east-1.amazonaws.com/000000000000/q", "http://127.0.0.1:9/000000000000/q"],
)
def test_queue_url_forms(desk: Desk, url: str) -> None:
    """QueueUrl may be a URL of any host or the bare name [posting_to_queue_via_queue_name]."""
    desk.queue()
    desk.call("SendMessage", QueueUrl=url, MessageBody="a")
    assert desk.bodies("q") == ["a"]


def test_queue_of_another_account_or_region(desk: Desk) -> None:
    """A queue is known in its own account and region only."""
    desk.queue()
    url = "https://sqs.us-east-1.amazonaws.com/111111111111/q"
    assert desk.refused("SendMessage", QueueUrl=url, MessageBody="a").shape == "QueueDoesNotExist"
    assert desk.refused("GetQueueUrl", QueueName="q", QueueOwnerAWSAccountId="111111111111").status == 400
    desk.sqs.create_queue("q", region="eu-west-1")
    desk.call("SendMessage", QueueUrl="q", MessageBody="europe", region="eu-west-1")
    assert desk.bodies("q") == []
    assert sorted(desk.sqs.inventory()) == ["eu-west-1/q", "q"]
    assert desk.sqs.queue_url("q", region="eu-west-1") == "https://sqs.eu-west-1.amazonaws.com/000000000000/q"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("a.fifo", {}),
        ("a.fifo", {"FifoQueue": "false"}),
        ("a", {"FifoQueue": "true"}),
        ("a/b", {}),
        ("", {}),
        ("a" * 81, {}),
        ("a" * 76 + ".fifo", {"FifoQueue": "true"}),
        ("ä", {}),
    ],
)
def test_bad_queue_names(desk: Desk, name: str, attributes: dict[str, str]) -> None:
    """Names: letters, digits, hyphens, underscores, 80 at most, .fifo on FIFO queues only."""
    assert desk.refused("CreateQueue", QueueName=name, Attributes=attributes).status == 400
    assert desk.sqs.inventory() == {}


def test_longest_names(desk: Desk) -> None:
    """80 letters are accepted, with .fifo counted."""
    desk.queue("a" * 80)
    desk.queue("a" * 75 + ".fifo")
    assert len(desk.sqs.inventory()) == 2


# -- create again -------------------------------------------------------------------------


def test_create_again(desk: Desk) -> None:
    """No attributes, or a subset with equal values, answer the same URL; messages do not matter."""
    url = desk.sqs.create_queue("q", {"DelaySeconds": "1", "VisibilityTimeout": "5"})
    desk.send("q", "a")
    assert desk.sqs.create_queue("q") == url
    assert desk.sqs.create_queue("q", {"VisibilityTimeout": "5"}) == url
    assert len(desk.of("queue.create")) == 1


def test_create_again_with_another_value(desk: Desk) -> None:
    """A differing attribute is named, also on a FIFO queue.

    [create_queue_with_different_attributes, create_fifo_queue_with_different_attributes]
    """
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    desk.sqs.create_queue("q.fifo", fifo)
    changed = {**fifo, "ContentBasedDeduplication": "false"}
    error = desk.refused("CreateQueue", QueueName="q.fifo", Attributes=changed)
    assert error.message.endswith("a different value for attribute ContentBasedDeduplication")
    desk.sqs.create_queue("q", {"DelaySeconds": "1"})
    error = desk.refused("CreateQueue", QueueName="q", Attributes={"DelaySeconds": "2"})
    assert (error.code, error.shape, error.status) == ("QueueAlreadyExists", "QueueNameExists", 400)
    assert error.message == (
        "A queue already exists with the same name and a different value for attribute DelaySeconds"
    )


def test_create_again_compares_with_current_values(desk: Desk) -> None:
    """After SetQueueAttributes the original request fails."""
    desk.sqs.create_queue("q", {"DelaySeconds": "1"})
    desk.call("SetQueueAttributes", QueueUrl="q", Attributes={"DelaySeconds": "2"})
    assert desk.refused("CreateQueue", QueueName="q", Attributes={"DelaySeconds": "1"}).shape == "QueueNameExists"


def test_create_after_delete(desk: Desk) -> None:
    """A name can be used again 60 seconds after its queue was deleted [create_queue_recently_deleted]."""
    queue = desk.queue()
    desk.call("DeleteQueue", QueueUrl=queue)
    desk.later(59.999999)
    error = desk.refused("CreateQueue", QueueName=queue)
    assert error.code == "AWS.SimpleQueueService.QueueDeletedRecently"
    assert error.message == (
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    )
    desk.later(0.000001)
    desk.queue()
    desk.sqs.wait_rules = False
    desk.call("DeleteQueue", QueueUrl=queue)
    desk.queue()


# -- attributes ---------------------------------------------------------------------------


def test_default_attributes(desk: Desk) -> None:
    """All of a new standard queue [set_queue_attributes_default_values, 10 Dec 2025]."""
    desk.queue()
    now = str(EPOCH_US // 1_000_000)
    assert desk.attributes("q") == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "CreatedTimestamp": now,
        "DelaySeconds": "0",
        "LastModifiedTimestamp": now,
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }


def test_default_attributes_of_fifo(desk: Desk) -> None:
    """FIFO has four more [set_queue_attributes_default_values]."""
    standard, fifo = desk.attributes(desk.queue()), desk.attributes(desk.queue("q.fifo"))
    assert {name: fifo[name] for name in set(fifo) - set(standard)} == {
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "queue",
        "FifoQueue": "true",
        "FifoThroughputLimit": "perQueue",
    }


def test_attributes_only_if_asked(desk: Desk) -> None:
    """Without names there is no Attributes key; an attribute that is not set is left out."""
    queue = desk.queue()
    assert desk.call("GetQueueAttributes", QueueUrl=queue) == {}
    assert desk.call("GetQueueAttributes", QueueUrl=queue, AttributeNames=["Policy"]) == {}
    assert desk.attributes(queue, "Policy", "DelaySeconds") == {"DelaySeconds": "0"}


def test_counts(desk: Desk) -> None:
    """The three counts follow sends, delays and receives."""
    queue = desk.queue()
    for delay in (0, 0, 9):
        desk.send(queue, "a", DelaySeconds=delay)
    desk.receive(queue, 1)
    found = desk.attributes(queue)
    assert (
        found["ApproximateNumberOfMessages"],
        found["ApproximateNumberOfMessagesNotVisible"],
        found["ApproximateNumberOfMessagesDelayed"],
    ) == ("1", "1", "1")


def test_unknown_attribute(desk: Desk) -> None:
    """An unknown name is refused on get, set and create.

    [get_queue_attributes_with_invalid_arg, set_unsupported_attribute_standard]
    """
    queue = desk.queue()
    errors = [
        desk.refused("GetQueueAttributes", QueueUrl=queue, AttributeNames=["Foobar"]),
        desk.refused("SetQueueAttributes", QueueUrl=queue, Attributes={"Foobar": "1"}),
        desk.refused("CreateQueue", QueueName="other", Attributes={"Foobar": "1"}),
    ]
    assert {(error.code, error.shape, error.message) for error in errors} == {
        ("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute Foobar.")
    }


@pytest.mark.parametrize("name", ["FifoQueue", "ContentBasedDeduplication"])
def test_fifo_attributes_on_a_standard_queue(desk: Desk, name: str) -> None:
    """FifoQueue and ContentBasedDeduplication, even "false", are unknown there.

    [create_standard_queue_with_fifo_attribute]
    """
    error = desk.refused("CreateQueue", QueueName="q", Attributes={name: "false"})
    assert (error.code, error.message) == ("InvalidAttributeName", f"Unknown Attribute {name}.")


@pytest.mark.parametrize(
    ("name", "value"), [("DeduplicationScope", "queue"), ("FifoThroughputLimit", "perMessageGroupId")]
)
def test_throughput_attributes_on_a_standard_queue(desk: Desk, name: str, value: str) -> None:
    """DeduplicationScope and FifoThroughputLimit need a FIFO queue [create_standard_queue_with_fifo_attribute]."""
    error = desk.refused("CreateQueue", QueueName="q", Attributes={name: value})
    assert error.message == f"You can specify the {name} only when FifoQueue is set to true."


def test_queue_type_cannot_change(desk: Desk) -> None:
    """Setting FifoQueue=false on a FIFO queue is refused, true is accepted [set_unsupported_attribute_fifo]."""
    queue = desk.queue("q.fifo")
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"FifoQueue": "true"})
    error = desk.refused("SetQueueAttributes", QueueUrl=queue, Attributes={"FifoQueue": "false"})
    assert (error.code, error.message) == (
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DelaySeconds", "901"),
        ("DelaySeconds", "-1"),
        ("DelaySeconds", "x"),
        ("MaximumMessageSize", "1023"),
        ("MaximumMessageSize", "1048577"),
        ("MessageRetentionPeriod", "59"),
        ("MessageRetentionPeriod", "1209601"),
        ("ReceiveMessageWaitTimeSeconds", "21"),
        ("VisibilityTimeout", "43201"),
        ("SqsManagedSseEnabled", "perhaps"),
    ],
)
def test_attribute_out_of_range(desk: Desk, name: str, value: str) -> None:
    """A value out of range is refused with its name, and nothing changes."""
    queue = desk.queue()
    before = desk.attributes(queue)
    error = desk.refused("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "1", name: value})
    assert (error.code, error.message) == ("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    assert desk.attributes(queue) == before


def test_values_are_case_free(desk: Desk) -> None:
    """ "FifoQueue": "True" is accepted on create, and reads back in lower case."""
    desk.sqs.create_queue("q.fifo", {"FifoQueue": "True", "ContentBasedDeduplication": "TRUE"})
    assert desk.attributes("q.fifo", "FifoQueue", "ContentBasedDeduplication") == {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "true",
    }


def test_encryption(desk: Desk) -> None:
    """One kind of encryption at a time; a KMS key turns SSE off, and it stays so.

    [sse_kms_and_sqs_are_mutually_exclusive]
    """
    queue = desk.queue()
    both = {"KmsMasterKeyId": "key", "SqsManagedSseEnabled": "true"}
    error = desk.refused("SetQueueAttributes", QueueUrl=queue, Attributes=both)
    assert error.message == (
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
    )
    kms = {"KmsMasterKeyId": "key", "KmsDataKeyReusePeriodSeconds": "600"}
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes=kms)
    assert desk.attributes(queue, *kms, "SqsManagedSseEnabled") == {**kms, "SqsManagedSseEnabled": "false"}
    removed = {"KmsMasterKeyId": "", "KmsDataKeyReusePeriodSeconds": "300"}
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes=removed)
    assert desk.attributes(queue, *kms, "SqsManagedSseEnabled") == {"SqsManagedSseEnabled": "false"}


def test_modified_timestamp(desk: Desk) -> None:
    """LastModifiedTimestamp follows SetQueueAttributes, CreatedTimestamp does not."""
    queue = desk.queue()
    desk.later(5)
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "0"})
    found = desk.attributes(queue)
    assert int(found["LastModifiedTimestamp"]) - int(found["CreatedTimestamp"]) == 5


# -- redrive ------------------------------------------------------------------------------


def test_redrive_policy_reads_back_a_number(desk: Desk) -> None:
    """maxReceiveCount may be a number or a numeric string, and reads back as a number.

    [get_specific_queue_attribute_response]
    """
    dead = desk.queue("dead")
    for count in (5, "5"):
        desk.queue("q")
        policy = {"deadLetterTargetArn": desk.arn(dead), "maxReceiveCount": count}
        desk.call("SetQueueAttributes", QueueUrl="q", Attributes={"RedrivePolicy": json.dumps(policy)})
        assert json.loads(desk.attributes("q")["RedrivePolicy"]) == {
            "deadLetterTargetArn": desk.arn(dead),
            "maxReceiveCount": 5,
        }


def test_redrive_policy_is_removed_by_an_empty_value(desk: Desk) -> None:
    """Setting Policy or RedrivePolicy to an empty string removes it [set_empty_redrive_policy]."""
    queue, _ = desk.with_dead_letters(Policy="{}")
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"RedrivePolicy": "", "Policy": ""})
    assert not {"RedrivePolicy", "Policy"} & set(desk.attributes(queue))


@pytest.mark.parametrize(
    "policy",
    [
        "no json",
        "[]",
        '{"maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead"}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": "many"}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 0}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 1001}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": true}',
        '{"deadLetterTargetArn": "dead", "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:none", "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:000000000000:dead", "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead.fifo", "maxReceiveCount": 1}',
        '{"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:q", "maxReceiveCount": 1}',
    ],
)
def test_bad_redrive_policies(desk: Desk, policy: str) -> None:
    """Bad redrive policies are refused.

    [redrive_policy_attribute_validity, invalid_dead_letter_arn_rejected_before_lookup]
    """
    desk.queue("dead")
    desk.queue("dead.fifo")
    desk.queue("q")
    error = desk.refused("SetQueueAttributes", QueueUrl="q", Attributes={"RedrivePolicy": policy})
    assert error.code == "InvalidParameterValue"
    assert "RedrivePolicy" not in desk.attributes("q")


@pytest.mark.parametrize(
    ("allow", "accepted"),
    [
        ('{"redrivePermission": "allowAll"}', True),
        ('{"redrivePermission": "denyAll"}', False),
        ('{"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:q"]}', True),
        ('{"redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:x"]}', False),
    ],
)
def test_redrive_allow_policy(desk: Desk, allow: str, accepted: bool) -> None:
    """A dead-letter queue may allow all sources, none, or named ones."""
    dead = desk.queue("dead", RedriveAllowPolicy=allow)
    policy = json.dumps({"deadLetterTargetArn": desk.arn(dead), "maxReceiveCount": 1})
    if accepted:
        desk.queue("q", RedrivePolicy=policy)
    else:
        assert desk.refused("CreateQueue", QueueName="q", Attributes={"RedrivePolicy": policy}).status == 400


@pytest.mark.parametrize(
    "allow",
    [
        "no json",
        "{}",
        '{"redrivePermission": "perhaps"}',
        '{"redrivePermission": "byQueue"}',
        '{"redrivePermission": "byQueue", "sourceQueueArns": ["q"]}',
        '{"redrivePermission": "denyAll", "sourceQueueArns": ["arn:aws:sqs:us-east-1:000000000000:q"]}',
    ],
)
def test_bad_redrive_allow_policies(desk: Desk, allow: str) -> None:
    """Bad redrive-allow policies are refused."""
    error = desk.refused("CreateQueue", QueueName="dead", Attributes={"RedriveAllowPolicy": allow})
    assert error.code == "InvalidParameterValue"


def test_dead_letter_source_queues(desk: Desk) -> None:
    """ListDeadLetterSourceQueues answers under queueUrls, in lower case, also when there are none."""
    queue, dead = desk.with_dead_letters()
    assert desk.call("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": [desk.sqs.queue_url(queue)]}
    assert desk.call("ListDeadLetterSourceQueues", QueueUrl=queue) == {"queueUrls": []}


# -- list, tags, permissions -----------------------------------------------------------------


def test_list_queues(desk: Desk) -> None:
    """A prefix filters; no match has no QueueUrls key."""
    for name in ("b", "a1", "a2"):
        desk.queue(name)
    assert desk.call("ListQueues", QueueNamePrefix="a") == {
        "QueueUrls": [desk.sqs.queue_url("a1"), desk.sqs.queue_url("a2")]
    }
    assert len(desk.call("ListQueues")["QueueUrls"]) == 3
    assert desk.call("ListQueues", QueueNamePrefix="x") == {}


def test_list_queues_in_pages(desk: Desk) -> None:
    """A token is given only when MaxResults was, and more is left [list_queues_pagination]."""
    for number in range(5):
        desk.queue(f"q{number}")
    assert "NextToken" not in desk.call("ListQueues")
    assert "NextToken" not in desk.call("ListQueues", MaxResults=5)
    pages = [desk.call("ListQueues", MaxResults=2)]
    while "NextToken" in pages[-1]:
        pages.append(desk.call("ListQueues", MaxResults=2, NextToken=pages[-1]["NextToken"]))
    assert [len(page["QueueUrls"]) for page in pages] == [2, 2, 1]
    assert len({url for page in pages for url in page["QueueUrls"]}) == 5
    assert desk.refused("ListQueues", MaxResults=1001).status == 400
    assert desk.refused("ListQueues", MaxResults=1, NextToken="!").status == 400


def test_tags(desk: Desk) -> None:
    """Tags: no key when there are none, unknown keys untag without error, case matters, empty values are allowed."""
    queue = desk.queue()
    assert desk.call("ListQueueTags", QueueUrl=queue) == {}
    desk.call("TagQueue", QueueUrl=queue, Tags={"a": "1", "A": ""})
    desk.call("UntagQueue", QueueUrl=queue, TagKeys=["a", "nope"])
    assert desk.call("ListQueueTags", QueueUrl=queue) == {"Tags": {"A": ""}}
    desk.sqs.create_queue("tagged", tags={"k": "v"})
    assert desk.call("ListQueueTags", QueueUrl="tagged") == {"Tags": {"k": "v"}}


def test_permissions(desk: Desk) -> None:
    """Permissions are statements of a policy; the last one removed removes it [sqs_permission_lifecycle]."""
    queue = desk.queue()
    first = {"QueueUrl": queue, "Label": "one", "AWSAccountIds": ["111111111111"], "Actions": ["ReceiveMessage"]}
    desk.call("AddPermission", **first)
    both = ["111111111111", "222222222222"]
    desk.call("AddPermission", QueueUrl=queue, Label="two", AWSAccountIds=both, Actions=["*"])
    policy = json.loads(desk.attributes(queue)["Policy"])
    assert policy["Version"] == "2008-10-17"
    assert policy["Id"].startswith(f"{desk.arn(queue)}/")
    one, two = policy["Statement"]
    assert (one["Sid"], one["Action"]) == ("one", "SQS:ReceiveMessage")
    assert one["Principal"] == {"AWS": "arn:aws:iam::111111111111:root"}
    assert len(two["Principal"]["AWS"]) == 2
    assert desk.refused("AddPermission", **first).message == (
        "Value one for parameter Label is invalid. Reason: Already exists."
    )
    assert desk.refused("RemovePermission", QueueUrl=queue, Label="nope").message == (
        "Value nope for parameter Label is invalid. Reason: can't find label."
    )
    for label in ("one", "two"):
        desk.call("RemovePermission", QueueUrl=queue, Label=label)
    assert "Policy" not in desk.attributes(queue)


# -- purge and delete --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q", "q.fifo"])
def test_purge(desk: Desk, name: str) -> None:
    """A purge takes visible, delayed and in-flight messages; their handles still delete without an error."""
    queue = desk.queue(name)
    ids = [desk.send(queue, body, group=body)["MessageId"] for body in "abc"]
    message = desk.receive(queue, 1)[0]
    desk.call("PurgeQueue", QueueUrl=queue)
    assert desk.sqs.inventory()[queue] == {"visible": 0, "in_flight": 0, "delayed": 0}
    assert desk.of("purge")[0]["messages"] == ids
    desk.delete(queue, message)
    desk.later(40)
    assert desk.bodies(queue) == []
    desk.send(queue, "d")
    assert desk.bodies(queue) == ["d"]


def test_second_purge_within_a_minute(desk: Desk) -> None:
    """One purge in 60 seconds, else 403 [successive_purge_calls_fail]."""
    queue = desk.queue()
    desk.call("PurgeQueue", QueueUrl=queue)
    desk.later(59.9)
    error = desk.refused("PurgeQueue", QueueUrl=queue)
    assert (error.code, error.status) == ("AWS.SimpleQueueService.PurgeQueueInProgress", 403)
    assert error.message == "Only one PurgeQueue operation on q is allowed every 60 seconds."
    desk.later(0.1)
    desk.call("PurgeQueue", QueueUrl=queue)


def test_delete_queue(desk: Desk) -> None:
    """A deleted queue is gone with its messages, under all of its names, and the history says so."""
    queue = desk.queue()
    url = desk.sqs.queue_url(queue)
    sent = desk.send(url, "a")
    desk.call("DeleteQueue", QueueUrl=queue)
    for name in (queue, url):
        assert desk.refused("SendMessage", QueueUrl=name, MessageBody="a").shape == "QueueDoesNotExist"
    assert desk.of("queue.delete") == [
        {"kind": "queue.delete", "message": None, "queue": queue, "messages": [sent["MessageId"]]}
    ]


def test_unknown_operation(desk: Desk) -> None:
    """An operation that SQS does not have is an invalid action."""
    error = desk.refused("FooBar")
    assert (error.code, error.message) == ("InvalidAction", "The action FooBar is not valid for this endpoint.")
