"""Queues: create, list, find, delete, purge."""

from __future__ import annotations

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, documented, recorded

__all__: list[str] = []

_UNKNOWN = "AWS.SimpleQueueService.NonExistentQueue"


@case(
    101,
    "create-answers-url",
    "CreateQueue answers a URL whose last part is the queue's name.",
    recorded("create_queue_and_get_attributes"),
)
def _answers_url(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.equal("the URL's last part", url.rpartition("/")[2], name)


@case(
    102,
    "create-again-without-attributes",
    "Creating a queue again without attributes answers the same URL.",
    recorded("create_queue_after_modified_attributes"),
)
def _again_without(bench: Bench) -> None:
    name = bench.name()
    first = bench.create(name, {"VisibilityTimeout": "69"})
    bench.equal("the second URL", bench.create(name), first)


@case(
    103,
    "create-again-with-a-subset",
    "Creating a queue again with some of its attributes, of equal values, answers the same URL.",
    recorded("create_queue_with_same_attributes_is_idempotent"),
)
def _again_subset(bench: Bench) -> None:
    name = bench.name()
    first = bench.create(name, {"VisibilityTimeout": "69", "DelaySeconds": "1"})
    bench.equal("the second URL", bench.create(name, {"DelaySeconds": "1"}), first)


@case(
    104,
    "create-again-with-another-value",
    "Creating a queue again with another value of an attribute is refused and names the attribute.",
    recorded("create_queue_with_different_attributes_raises_exception"),
)
def _again_different(bench: Bench) -> None:
    name = bench.name()
    bench.create(name, {"DelaySeconds": "1"})
    bench.refused(
        "CreateQueue",
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
        shape="QueueNameExists",
        status=400,
        QueueName=name,
        Attributes={"DelaySeconds": "2"},
    )


@case(
    105,
    "create-fifo-again-with-another-value",
    "The same holds for a FIFO queue and an attribute that only it has.",
    recorded("create_fifo_queue_with_different_attributes_raises_error"),
)
def _again_different_fifo(bench: Bench) -> None:
    name = bench.name(".fifo")
    bench.create(name, {"FifoQueue": "true", "ContentBasedDeduplication": "true"})
    bench.refused(
        "CreateQueue",
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute ContentBasedDeduplication",
        shape="QueueNameExists",
        QueueName=name,
        Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "false"},
    )


@case(
    106,
    "create-again-after-a-change",
    "CreateQueue compares with the present attributes: after SetQueueAttributes the first request is refused.",
    recorded("create_queue_after_modified_attributes"),
)
def _again_after_change(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name, {"VisibilityTimeout": "1"})
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    bench.equal("the URL with the new value", bench.create(name, {"VisibilityTimeout": "2"}), url)
    bench.refused("CreateQueue", "QueueAlreadyExists", QueueName=name, Attributes={"VisibilityTimeout": "1"})


@case(
    107,
    "create-again-with-messages",
    "Messages in a queue do not matter to creating it again.",
    recorded("create_queue_after_send"),
)
def _again_with_messages(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name, {"VisibilityTimeout": "69"})
    bench.send(url)
    bench.receive(url)
    bench.equal("the second URL", bench.create(name, {"VisibilityTimeout": "69"}), url)


@case(
    108,
    "create-within-60-seconds",
    "A name cannot be used again within 60 seconds of its queue's deletion.",
    recorded("create_queue_recently_deleted"),
)
def _recently_deleted(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.call("DeleteQueue", QueueUrl=url)
    bench.refused(
        "CreateQueue",
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        shape="QueueDeletedRecently",
        QueueName=name,
    )


@case(
    109,
    "create-after-60-seconds",
    "60 seconds after a queue's deletion its name can be used again.",
    recorded("create_queue_recently_deleted"),
    seconds=61,
)
def _deleted_long_ago(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.send(url)
    bench.call("DeleteQueue", QueueUrl=url)
    bench.wait(61)
    again = bench.create(name)
    bench.nothing(again, "of the queue that was deleted")


@case(
    110,
    "name-fifo-without-attribute",
    "A name that ends in .fifo needs FifoQueue=true.",
    recorded("standard_queue_cannot_have_fifo_suffix"),
)
def _fifo_name_only(bench: Bench) -> None:
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=bench.name(".fifo"))


@case(
    111,
    "fifo-attribute-without-name",
    "FifoQueue=true needs a name that ends in .fifo.",
    recorded("fifo_queue_requires_suffix"),
)
def _fifo_attribute_only(bench: Bench) -> None:
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=bench.name(), Attributes={"FifoQueue": "true"})


@case(112, "name-with-a-slash", "A queue's name has no slash.", recorded("disallow_queue_name_with_slashes"))
def _slash(bench: Bench) -> None:
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=bench.name("/x"))


@case(113, "name-of-80", "A queue's name may have 80 letters.", documented("CreateQueue, QueueName"))
def _eighty(bench: Bench) -> None:
    name = bench.name("-").ljust(80, "x")
    bench.equal("the URL's last part", bench.create(name).rpartition("/")[2], name)


@case(114, "name-of-81", "A queue's name has at most 80 letters.", documented("CreateQueue, QueueName"))
def _eighty_one(bench: Bench) -> None:
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=bench.name("-").ljust(81, "x"))


@case(
    115,
    "name-of-80-with-fifo",
    "The ending .fifo counts towards the 80 letters.",
    documented("CreateQueue, QueueName"),
)
def _eighty_fifo(bench: Bench) -> None:
    stem = bench.name("-").ljust(75, "x")
    bench.create(stem + ".fifo", {"FifoQueue": "true"})
    bench.refused("CreateQueue", "InvalidParameterValue", QueueName=stem + "x.fifo", Attributes={"FifoQueue": "true"})


@case(
    116,
    "get-queue-url",
    "GetQueueUrl answers the URL that CreateQueue gave.",
    recorded("get_queue_url_works_for_same_queue"),
)
def _get_url(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.equal("GetQueueUrl's answer", bench.call("GetQueueUrl", QueueName=name), {"QueueUrl": url})


@case(
    117,
    "unknown-queue",
    "A queue that is not there: code, shape, status and text.",
    recorded("_verify_unknown_queue_error", by="moto"),
)
def _unknown_queue(bench: Bench) -> None:
    bench.refused(
        "GetQueueUrl",
        _UNKNOWN,
        "The specified queue does not exist.",
        shape="QueueDoesNotExist",
        status=400,
        QueueName=bench.name(),
    )


@case(
    118,
    "unknown-queue-in-every-operation",
    "Every operation refuses a queue that is not there in the same way.",
    recorded("_verify_unknown_queue_error", by="moto"),
)
def _unknown_everywhere(bench: Bench) -> None:
    url = bench.queue()
    gone = url + "-not-there"
    entry = {"Id": "a", "ReceiptHandle": "x"}
    for operation, parameters in (
        ("SendMessage", {"MessageBody": "x"}),
        ("SendMessageBatch", {"Entries": [{"Id": "a", "MessageBody": "x"}]}),
        ("ReceiveMessage", {}),
        ("DeleteMessage", {"ReceiptHandle": "x"}),
        ("DeleteMessageBatch", {"Entries": [entry]}),
        ("ChangeMessageVisibility", {"ReceiptHandle": "x", "VisibilityTimeout": 1}),
        ("ChangeMessageVisibilityBatch", {"Entries": [{**entry, "VisibilityTimeout": 1}]}),
        ("GetQueueAttributes", {"AttributeNames": ["All"]}),
        ("SetQueueAttributes", {"Attributes": {"DelaySeconds": "1"}}),
        ("PurgeQueue", {}),
        ("ListQueueTags", {}),
        ("TagQueue", {"Tags": {"a": "b"}}),
        ("UntagQueue", {"TagKeys": ["a"]}),
        ("ListDeadLetterSourceQueues", {}),
        ("RemovePermission", {"Label": "x"}),
    ):
        bench.refused(operation, _UNKNOWN, shape="QueueDoesNotExist", status=400, QueueUrl=gone, **parameters)


@case(
    119,
    "bare-name-as-url",
    "QueueUrl may be the bare name of the queue.",
    recorded("posting_to_queue_via_queue_name"),
)
def _bare_name(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.send(name, "by name")
    bench.equal("the message", bench.one(url)["Body"], "by name")


@case(120, "list-by-prefix", "ListQueues with a prefix lists the queues whose names start so.", recorded("list_queues"))
def _list_prefix(bench: Bench) -> None:
    stem = bench.name("-p")
    urls = [bench.create(stem + letter) for letter in "ab"]
    other = bench.queue()
    bench.eventually(
        "the URLs", lambda: sorted(bench.call("ListQueues", QueueNamePrefix=stem).get("QueueUrls", [])), sorted(urls)
    )
    bench.true(other not in urls, "two queues have one URL")


@case(121, "list-none", "ListQueues without a match has no QueueUrls key.", recorded("list_queues"))
def _list_none(bench: Bench) -> None:
    bench.keys("ListQueues' answer", bench.call("ListQueues", QueueNamePrefix=bench.name("-none")))


@case(
    122,
    "list-pages",
    "With MaxResults there is a NextToken while more is left, and none on the last page.",
    recorded("list_queues_pagination"),
)
def _list_pages(bench: Bench) -> None:
    stem = bench.name("-p")
    urls = sorted(bench.create(stem + letter) for letter in "abc")
    bench.eventually("the URLs", lambda: len(bench.call("ListQueues", QueueNamePrefix=stem).get("QueueUrls", [])), 3)
    first = bench.call("ListQueues", QueueNamePrefix=stem, MaxResults=2)
    bench.keys("the first page", first, "QueueUrls", "NextToken")
    last = bench.call("ListQueues", QueueNamePrefix=stem, MaxResults=2, NextToken=first["NextToken"])
    bench.keys("the last page", last, "QueueUrls")
    bench.equal("both pages", sorted(first["QueueUrls"] + last["QueueUrls"]), urls)


@case(
    123,
    "list-without-max-results",
    "Without MaxResults ListQueues gives no NextToken.",
    documented("ListQueues, NextToken"),
)
def _list_without_max(bench: Bench) -> None:
    stem = bench.name("-p")
    bench.create(stem)
    bench.eventually("NextToken", lambda: sorted(bench.call("ListQueues", QueueNamePrefix=stem)), ["QueueUrls"])


@case(124, "deleted-queue-is-gone", "A deleted queue is unknown.", recorded("get_on_deleted_queue_fails"))
def _deleted(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.call("DeleteQueue", QueueUrl=url)
    if bench.remote:
        bench.wait(60)
    bench.refused("GetQueueUrl", _UNKNOWN, QueueName=name)
    bench.refused("SendMessage", _UNKNOWN, QueueUrl=url, MessageBody="x")


@case(
    125,
    "purge-takes-everything",
    "PurgeQueue takes visible, delayed and received messages.",
    recorded("purge_queue_deletes_inflight_messages"),
)
def _purge(bench: Bench) -> None:
    url = bench.queue()
    for delay in (0, 0, 900):
        bench.send(url, DelaySeconds=delay)
    bench.receive(url, 1)
    bench.call("PurgeQueue", QueueUrl=url)
    bench.eventually("the counts", lambda: bench.counts(url), (0, 0, 0))


@case(
    126,
    "purge-within-60-seconds",
    "A second purge within 60 seconds is refused with status 403.",
    recorded("successive_purge_calls_fail"),
)
def _purge_twice(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    bench.call("PurgeQueue", QueueUrl=url)
    bench.refused(
        "PurgeQueue",
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
        shape="PurgeQueueInProgress",
        status=403,
        QueueUrl=url,
    )


@case(
    127,
    "purge-after-60-seconds",
    "60 seconds after a purge another one is accepted.",
    recorded("successive_purge_calls_fail"),
    seconds=61,
)
def _purge_later(bench: Bench) -> None:
    url = bench.queue()
    bench.call("PurgeQueue", QueueUrl=url)
    bench.wait(61)
    bench.call("PurgeQueue", QueueUrl=url)
