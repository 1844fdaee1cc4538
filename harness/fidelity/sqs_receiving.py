"""ReceiveMessage: what it gives, what it must be asked for, long polls, retention."""

from __future__ import annotations

import threading
import time

from harness.fidelity.bench import Bench, text
from harness.fidelity.rows import case, documented, recorded

__all__: list[str] = []


@case(401, "empty-receive", "An empty receive has no Messages key.", recorded("receive_empty_queue"))
def _empty(bench: Bench) -> None:
    bench.keys("the answer", bench.call("ReceiveMessage", QueueUrl=bench.queue()))


@case(
    402,
    "receive-fields",
    "A message has MessageId, ReceiptHandle, MD5OfBody and Body, and nothing else unless asked.",
    recorded("send_receive_message"),
)
def _fields(bench: Bench) -> None:
    url = bench.queue()
    sent = bench.send(url, "message", MessageAttributes={"k": text("x")})
    message = bench.one(url)
    bench.keys("the message", message, "MessageId", "ReceiptHandle", "MD5OfBody", "Body")
    bench.equal("the id", message["MessageId"], sent["MessageId"])
    bench.equal("MD5OfBody", message["MD5OfBody"], "78e731027d8fd50ed642340b7c9a63b3")


@case(
    403,
    "system-attributes",
    "All gives SenderId, SentTimestamp, ApproximateReceiveCount and ApproximateFirstReceiveTimestamp.",
    recorded("receive_message_attribute_names_filters"),
)
def _system(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    bench.keys(
        "Attributes",
        bench.one(url, AttributeNames=["All"]).get("Attributes", {}),
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
    )


@case(
    404,
    "timestamps-in-milliseconds",
    "The timestamps of a message are strings of milliseconds.",
    recorded("receive_message_attributes_timestamp_types"),
)
def _timestamps(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    found = bench.one(url, AttributeNames=["All"])["Attributes"]
    for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
        bench.true(found[name].isdigit() and len(found[name]) == 13, f"{name} is {found[name]!r}")


@case(
    405,
    "first-receive-stays",
    "ApproximateFirstReceiveTimestamp is that of the first receive, the count that of this one.",
    documented("ReceiveMessage"),
    seconds=0.1,
)
def _first_receive(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    first = bench.one(url, AttributeNames=["All"], VisibilityTimeout=0)["Attributes"]
    bench.wait(0.1)
    second = bench.one(url, AttributeNames=["All"])["Attributes"]
    name = "ApproximateFirstReceiveTimestamp"
    bench.equal(name, second[name], first[name])
    counts = (first["ApproximateReceiveCount"], second["ApproximateReceiveCount"])
    bench.equal("the counts", counts, ("1", "2"))


@case(
    406,
    "sender-id",
    "SenderId is the caller's IAM id, not the account's number.",
    documented("ReceiveMessage, SenderId"),
)
def _sender(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    sender = bench.one(url, AttributeNames=["SenderId"])["Attributes"]["SenderId"]
    bench.true(sender.startswith(("AIDA", "AROA")), f"SenderId is {sender!r}")


@case(
    407,
    "asked-system-attributes-only",
    "A message has the system attributes that were asked for; a name that does not apply is left out.",
    recorded("receive_message_attribute_names_filters"),
)
def _asked_only(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    message = bench.one(url, AttributeNames=["ApproximateReceiveCount", "SequenceNumber"])
    bench.equal("Attributes", message.get("Attributes"), {"ApproximateReceiveCount": "1"})


@case(
    408,
    "newer-name-wins-in-json",
    "With AttributeNames and MessageSystemAttributeNames given, JSON answers what the newer one asks.",
    recorded("message_system_attribute_names_with_attribute_names"),
)
def _newer_name(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    message = bench.one(url, AttributeNames=["SenderId"], MessageSystemAttributeNames=["All"])
    bench.equal("the number of attributes", len(message.get("Attributes", {})), 4)


@case(
    409,
    "max-number-out-of-range",
    "MaxNumberOfMessages is 1 to 10.",
    recorded("send_receive_max_number_of_messages"),
)
def _max_number(bench: Bench) -> None:
    url = bench.queue()
    for number in (0, 11):
        bench.refused(
            "ReceiveMessage",
            "InvalidParameterValue",
            f"Value {number} for parameter MaxNumberOfMessages is invalid. "
            "Reason: Must be between 1 and 10, if provided.",
            shape="InvalidParameterValueException",
            status=400,
            QueueUrl=url,
            MaxNumberOfMessages=number,
        )


@case(410, "wait-out-of-range", "WaitTimeSeconds is 0 to 20.", recorded("send_receive_wait_time_seconds"))
def _wait_range(bench: Bench) -> None:
    url = bench.queue()
    for seconds in (-1, 21):
        bench.refused(
            "ReceiveMessage",
            "InvalidParameterValue",
            f"Value {seconds} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
            shape="InvalidParameterValueException",
            status=400,
            QueueUrl=url,
            WaitTimeSeconds=seconds,
        )


@case(
    411,
    "receive-visibility-out-of-range",
    "A receive's VisibilityTimeout is 0 to 43,200.",
    documented("ReceiveMessage, VisibilityTimeout"),
)
def _visibility_range(bench: Bench) -> None:
    url = bench.queue()
    for seconds in (-1, 43_201):
        bench.refused("ReceiveMessage", "InvalidParameterValue", QueueUrl=url, VisibilityTimeout=seconds)


@case(412, "one-message-by-default", "Without MaxNumberOfMessages a receive gives one.", documented("ReceiveMessage"))
def _one_by_default(bench: Bench) -> None:
    url = bench.queue()
    for body in "ab":
        bench.send(url, body)
    bench.equal("the messages", len(bench.call("ReceiveMessage", QueueUrl=url).get("Messages", [])), 1)


_SENT = {"Hello": text("there"), "Help": text("me"), "General": text("Kenobi")}


def _received(bench: Bench, *names: str) -> dict[str, object]:
    url = bench.queue()
    bench.send(url, MessageAttributes=_SENT)
    return bench.one(url, MessageAttributeNames=list(names))


@case(
    413,
    "message-attributes-all",
    "All and .* give every message attribute.",
    recorded("receive_message_message_attribute_names_filters"),
)
def _attributes_all(bench: Bench) -> None:
    for name in ("All", ".*"):
        bench.equal(f"MessageAttributes by {name}", _received(bench, name).get("MessageAttributes"), _SENT)


@case(
    414,
    "message-attributes-prefix",
    "A name with .* at its end is a prefix.",
    recorded("receive_message_message_attribute_names_filters"),
)
def _attributes_prefix(bench: Bench) -> None:
    found = _received(bench, "Hel.*").get("MessageAttributes")
    bench.equal("MessageAttributes", found, {name: _SENT[name] for name in ("Hello", "Help")})


@case(
    415,
    "message-attributes-unknown",
    "Names that are unknown or illegal give nothing and no error.",
    recorded("receive_message_message_attribute_names_filters"),
)
def _attributes_unknown(bench: Bench) -> None:
    for name in ("Foo", "AWS.Foo", "Hel"):
        message = _received(bench, name)
        bench.true("MessageAttributes" not in message, f"{name} gives {message.get('MessageAttributes')}")


@case(
    416,
    "digest-of-what-is-returned",
    "MD5OfMessageAttributes covers the attributes that are returned, and is absent when none is.",
    recorded("receive_message_message_attribute_names_filters"),
)
def _digest(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="0")
    bench.send(url, MessageAttributes={"k": text("x"), "other": text("y")})
    message = bench.one(url, MessageAttributeNames=["k"])
    bench.equal("MD5OfMessageAttributes", message.get("MD5OfMessageAttributes"), "a45daa70926828a2f0a1db3418e6feb4")
    without = bench.one(url, MessageAttributeNames=["none"])
    bench.true("MD5OfMessageAttributes" not in without, "MD5OfMessageAttributes is there without attributes")


@case(
    417,
    "binary-attributes",
    "Binary attributes come back as they were sent.",
    recorded("send_message_with_binary_attributes"),
)
def _binary(bench: Bench) -> None:
    url = bench.queue()
    sent = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x01traceparent"}}
    bench.send(url, MessageAttributes=sent)
    bench.equal("MessageAttributes", bench.one(url, MessageAttributeNames=["All"]).get("MessageAttributes"), sent)


@case(
    418,
    "attributes-after-second-receive",
    "Message attributes are the same at a second receive.",
    recorded("sent_message_retains_attributes_after_receive"),
)
def _retained(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="0")
    bench.send(url, MessageAttributes={"k": text("x")})
    for _ in range(2):
        found = bench.one(url, MessageAttributeNames=["All"]).get("MessageAttributes")
        bench.equal("MessageAttributes", found, {"k": text("x")})


@case(
    420,
    "long-poll-returns-at-once",
    "A long poll returns as soon as one message is there; it does not fill up to the maximum.",
    recorded("receive_message_wait_time_seconds_and_max_number_of_messages_does_not_block"),
)
def _poll_returns(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    began = time.monotonic()
    bench.equal("the messages", len(bench.receive(url, 10, WaitTimeSeconds=10)), 1)
    took = time.monotonic() - began
    bench.true(took < 5, f"the poll took {took:.1f} s although a message was there")


@case(
    421,
    "long-poll-wakes",
    "A long poll returns when a message is sent meanwhile.",
    recorded("wait_time_seconds_waits_correctly"),
    seconds=1,
)
def _poll_wakes(bench: Bench) -> None:
    url = bench.queue()
    _send_during_poll(bench, url, WaitTimeSeconds=10)


def _send_during_poll(bench: Bench, url: str, **more: int) -> None:
    sender = threading.Thread(target=_send_later, args=(bench, url))
    began = time.monotonic()
    sender.start()
    try:
        answer = bench.call("ReceiveMessage", QueueUrl=url, **more)
    finally:
        sender.join()
    took = time.monotonic() - began
    bodies = [message["Body"] for message in answer.get("Messages", [])]
    bench.equal("the messages of the poll", bodies, ["late"])
    bench.true(0.9 < took < 6, f"the poll took {took:.1f} s, the message was sent after 1 s")


def _send_later(bench: Bench, url: str) -> None:
    time.sleep(1)
    bench.site.client.send_message(QueueUrl=url, MessageBody="late")


@case(
    422,
    "long-poll-by-attribute",
    "ReceiveMessageWaitTimeSeconds of the queue makes a receive without a wait time a long poll.",
    recorded("wait_time_seconds_queue_attribute_waits_correctly"),
    seconds=1,
)
def _poll_by_attribute(bench: Bench) -> None:
    _send_during_poll(bench, bench.queue(ReceiveMessageWaitTimeSeconds="10"))


@case(
    423,
    "long-poll-empty",
    "A long poll of an empty queue takes its whole time.",
    documented("ReceiveMessage, WaitTimeSeconds"),
    seconds=1,
)
def _poll_empty(bench: Bench) -> None:
    url = bench.queue()
    began = time.monotonic()
    bench.keys("the answer", bench.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=1))
    took = time.monotonic() - began
    bench.true(took >= 0.9, f"the poll took {took:.2f} s of 1 s")


@case(
    424,
    "wait-of-zero-overrides",
    "WaitTimeSeconds=0 makes a short poll of a queue that has a wait time.",
    documented("ReceiveMessage, WaitTimeSeconds"),
)
def _zero_overrides(bench: Bench) -> None:
    url = bench.queue(ReceiveMessageWaitTimeSeconds="5")
    began = time.monotonic()
    bench.call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=0)
    took = time.monotonic() - began
    bench.true(took < 3, f"the poll took {took:.1f} s")


@case(
    425,
    "long-poll-delayed-message",
    "A long poll returns when the delay of a message ends.",
    recorded("send_delay_and_wait_time"),
    seconds=1,
)
def _poll_delayed(bench: Bench) -> None:
    url = bench.queue(DelaySeconds="1")
    bench.send(url, "delayed")
    bodies = [message["Body"] for message in bench.receive(url, 1, WaitTimeSeconds=5)]
    bench.equal("the messages of the poll", bodies, ["delayed"])


@case(
    430,
    "retention",
    "A message is gone when its queue's retention has passed.",
    recorded("message_retention"),
    seconds=62,
)
def _retention(bench: Bench) -> None:
    url = bench.queue(MessageRetentionPeriod="60")
    bench.send(url)
    bench.wait(62)
    bench.nothing(url, "after its retention")


@case(
    431,
    "retention-in-flight",
    "Retention takes a message in flight, too; deleting it then is no error.",
    recorded("message_retention_with_inflight"),
    seconds=65,
)
def _retention_in_flight(bench: Bench) -> None:
    url = bench.queue(MessageRetentionPeriod="60", VisibilityTimeout="60")
    bench.send(url)
    bench.wait(3)
    message = bench.one(url)
    bench.wait(62)
    bench.nothing(url, "after its retention")
    bench.delete(url, message)


@case(
    432,
    "retention-changed",
    "A shorter retention holds for messages that are there.",
    documented("SetQueueAttributes, MessageRetentionPeriod"),
    seconds=62,
)
def _retention_changed(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"MessageRetentionPeriod": "60"})
    bench.wait(62)
    # The documentation gives the change 15 minutes to take hold: on AWS only the count is looked at, late.
    if not bench.remote:
        bench.nothing(url, "after the new retention")


@case(
    433,
    "retention-gives-the-others",
    "A message whose retention has passed does not keep a receive from giving younger ones.",
    documented("SetQueueAttributes, MessageRetentionPeriod"),
    seconds=66,
)
def _retention_others(bench: Bench) -> None:
    url = bench.queue(MessageRetentionPeriod="60")
    bench.send(url, "old")
    bench.wait(33)
    bench.send(url, "young")
    bench.wait(33)
    bench.equal("the messages", bench.bodies(url), ["young"])
