"""Publishing: what SNS checks of a message, and its delivery to queues.

A delivery happens a while after the publish has been answered, to each queue
by itself: copies for different queues, and messages of a standard topic,
overtake each other. A FIFO topic keeps each subscription's order. What a
queue does not take (it is gone, or refuses the message) is a client-side
error, which SNS does not try again: the message goes to the subscription's
dead-letter queue, or is lost where there is none ("Amazon SNS message
delivery retries", "Amazon SNS dead-letter queues", developer guide).
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness.sim.services.errors import ServiceError
from harness.sim.services.sns_core import Core, Parameters
from harness.sim.services.sns_errors import (
    batch_ids_not_distinct,
    batch_too_long,
    empty_batch,
    invalid,
    invalid_batch_id,
    invalid_value,
    too_many_entries,
)
from harness.sim.services.sns_filter import wants
from harness.sim.services.sns_topic import Subscription, Topic
from harness.sim.services.sqs_attributes import parse_arn
from harness.sim.services.sqs_content import attributes_size, body_size

__all__ = ["BYTES_MAX", "Publishing"]

#: "Amazon SNS endpoints and quotas": a message with its attributes, and a batch as a whole.
BYTES_MAX = 262_144
#: How long a FIFO topic remembers what was published.
DEDUPLICATION_US = 300_000_000
_ENTRIES_MAX = 10
_NOTES_MAX = 20

_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?")
_TOKEN = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")


class _Message(NamedTuple):
    """A message as it was published."""

    id: str
    text: str
    subject: str | None
    attributes: Mapping[str, Mapping[str, Any]]
    published_us: int
    group: str | None
    dedup: str | None
    sequence: str | None


class Publishing(Core):
    """Publish and PublishBatch."""

    def publish(self, parameters: Parameters, region: str) -> dict[str, Any]:
        arn = parameters.get("TopicArn") or parameters.get("TargetArn")
        if arn is None and parameters.get("PhoneNumber"):
            raise ServiceError(
                "NotSimulated",
                "NotSimulated",
                "harness: SNS sends no text messages in this run; publish to a topic",
                501,
                sender_fault=False,
            )
        if parameters.get("Subject") == "":
            raise invalid("Subject")
        if not parameters["Message"]:
            raise invalid("Empty message")
        _check_attributes(parameters.get("MessageAttributes") or {})
        if _size(parameters) > BYTES_MAX:
            raise invalid("Message too long")
        topic = self._topic(arn, region)
        _check_fifo(topic, parameters)
        return self._accept(topic, parameters)

    def publish_batch(self, parameters: Parameters, region: str) -> dict[str, Any]:
        entries: list[Parameters] = parameters.get("PublishBatchRequestEntries") or []
        if not entries:
            raise empty_batch()
        if len(entries) > _ENTRIES_MAX:
            raise too_many_entries()
        topic = self._topic(parameters["TopicArn"], region)
        ids = [entry["Id"] for entry in entries]
        if len(set(ids)) < len(ids):
            raise batch_ids_not_distinct()
        if not all(_ENTRY_ID.fullmatch(one) for one in ids):
            raise invalid_batch_id()
        for entry in entries:
            if not entry["Message"]:
                raise invalid("Empty message")
            _check_attributes(entry.get("MessageAttributes") or {})
            _check_fifo(topic, entry)
            _text_for_sqs(entry)
        if sum(map(_size, entries)) > BYTES_MAX:
            raise batch_too_long()
        # What a message lacks fails the whole batch: nothing is left that could fail one entry alone.
        return {"Successful": [{"Id": entry["Id"], **self._accept(topic, entry)} for entry in entries], "Failed": []}

    def _accept(self, topic: Topic, entry: Parameters) -> dict[str, Any]:
        """Give the message its ids and send it on its way; a FIFO duplicate gets those of the first, and goes nowhere.

        Which ids a duplicate is answered with is not recorded.
        """
        text = _text_for_sqs(entry)
        now_us = self._timebase.now_us()
        group, dedup = entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
        message_id, sequence = self._new_id(), None
        if topic.fifo:
            if dedup is None:
                dedup = hashlib.sha256(entry["Message"].encode("utf-8")).hexdigest()
            by_group = topic.attributes.get("FifoThroughputScope") == "MessageGroup"
            scope = (group or "" if by_group else "", dedup)
            known = topic.originals.get(scope)
            if known is not None and known[0] > now_us:
                return {"MessageId": known[1], "SequenceNumber": known[2]}
            topic.sequence += 1_000
            sequence = str(topic.sequence)
            topic.originals[scope] = (now_us + DEDUPLICATION_US, message_id, sequence)
        message = _Message(
            message_id, text, entry.get("Subject"), entry.get("MessageAttributes") or {}, now_us, group, dedup, sequence
        )
        for subscription in topic.subscriptions:
            self._schedule(subscription, message)
        answer = {"MessageId": message_id}
        if sequence is not None:
            answer["SequenceNumber"] = sequence
        return answer

    # -- deliveries -------------------------------------------------------------------

    def _schedule(self, subscription: Subscription, message: _Message) -> None:
        if subscription.policy and not wants(subscription.policy, subscription.scope, message.text, message.attributes):
            return
        due_us = self._timebase.now_us() + self._delivery_us()
        if subscription.topic.fifo:
            due_us = subscription.due_us = max(due_us, subscription.due_us + 1)
        self._timebase.call_at(due_us, lambda: self._deliver(subscription, message))

    def _deliver(self, subscription: Subscription, message: _Message) -> None:
        if not subscription.active:
            return
        body = message.text if subscription.raw else _envelope(subscription, message)
        attributes = _for_sqs(message.attributes) if subscription.raw and message.attributes else None
        try:
            self._put(subscription.endpoint, body, attributes, message)
        except ServiceError as error:
            self._give_up(subscription, body, message, error)

    def _put(self, arn: str, body: str, attributes: Mapping[str, Mapping[str, Any]] | None, message: _Message) -> None:
        parts = parse_arn(arn)
        assert parts is not None, "checked when it was given"
        region, account, name = parts
        if account != self.account:
            raise ServiceError("AccessDenied", "AccessDenied", "The queue is of another account.", 403)
        key, _ = self._queues.key_of(name, message.text, message.attributes)
        self._queues.put(
            name,
            body,
            attributes=attributes,
            group=message.group,
            dedup=message.dedup if name.endswith(".fifo") else None,
            key=key,
            origin="process",
            region=region,
        )

    def _give_up(self, subscription: Subscription, body: str, message: _Message, error: ServiceError) -> None:
        """A queue did not take a message: SNS tells its dead-letter queue why, if it has one."""
        target = subscription.dead_letter
        if target is not None:
            told = {"RequestID": message.id, "ErrorCode": error.code, "ErrorMessage": error.message}
            attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
            try:
                self._put(target, body, attributes, message)
                return
            except ServiceError as second:
                error = second
        if len(self.notes) < _NOTES_MAX:
            self.notes.append(
                f"SNS lost message {message.id}: {target or subscription.endpoint} did not take it ({error.code})"
            )


# -- what is checked ------------------------------------------------------------------------


def _size(entry: Parameters) -> int:
    attributes = entry.get("MessageAttributes")
    return body_size(entry["Message"]) + (attributes_size(attributes) if attributes else 0)


def _check_attributes(attributes: Mapping[str, Mapping[str, Any]]) -> None:
    for name, attribute in attributes.items():
        _check_name(name)
        kind = attribute.get("DataType") or ""
        if not _TYPE.fullmatch(kind):
            raise invalid_value(
                f"The message attribute '{name}' has an invalid message attribute type, the set of supported type "
                "prefixes is Binary, Number, and String."
            )
        field = "Binary" if kind.startswith("Binary") else "String"
        values = {key: value for key, value in attribute.items() if key.endswith("Value")}
        if values and f"{field}Value" not in values:
            raise invalid_value(f"The message attribute '{name}' with type '{kind}' must use field '{field}'.")
        if not values.get(f"{field}Value"):
            raise invalid_value(
                f"The message attribute '{name}' must contain non-empty message attribute value for message attribute "
                f"type '{kind}'."
            )


def _check_name(name: str) -> None:
    if len(name) > 256:
        raise invalid_value("Length of message attribute name must be less than 256 bytes.")
    if _NAME.fullmatch(name):
        return
    for place, test in (("starting", name.startswith), ("ending", name.endswith)):
        if test("."):
            raise invalid_value(f"Invalid message attribute name {place} with character '.' was found.")
    if ".." in name:
        raise invalid_value("Message attribute name can not have successive '.' character.")
    strange = next((char for char in name if not re.fullmatch(r"[A-Za-z0-9_.-]", char)), "")
    raise invalid_value(
        f"Invalid non-alphanumeric character '#x{ord(strange or ' '):X}' was found in the message attribute name. "
        "Can only include alphanumeric characters, hyphens, underscores, or dots."
    )


def _check_fifo(topic: Topic, entry: Parameters) -> None:
    group, dedup = entry.get("MessageGroupId"), entry.get("MessageDeduplicationId")
    if topic.fifo:
        if not group:
            raise invalid("The MessageGroupId parameter is required for FIFO topics")
        if not dedup and not topic.by_content:
            raise invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly"
            )
    elif dedup:
        raise invalid(
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid "
            "for this topic type"
        )
    for name, value in (("MessageGroupId", group), ("MessageDeduplicationId", dedup)):
        if value is not None and not _TOKEN.fullmatch(value):
            # The text is not recorded.
            raise invalid(f"{name} Reason: must be 1 to 128 alphanumeric or punctuation characters")


def _text_for_sqs(entry: Parameters) -> str:
    """What queues get: the message, or of one with a text for each protocol that for SQS.

    Raises:
        SnsError: the texts are no JSON object, or lack a default.
    """
    text: str = entry["Message"]
    if entry.get("MessageStructure") != "json":
        return text
    try:
        texts = json.loads(text)
    except ValueError:
        texts = None
    if not isinstance(texts, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    texts = {protocol: one for protocol, one in texts.items() if isinstance(one, str)}
    if "default" not in texts:
        raise invalid("Message Structure - No default entry in JSON message body")
    return str(texts.get("sqs", texts["default"]))


# -- what a queue gets ----------------------------------------------------------------------------


def _for_sqs(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(attribute) for name, attribute in attributes.items()}


def _envelope(subscription: Subscription, message: _Message) -> str:
    """The JSON document that stands for a message where it is not delivered raw.

    Source: "Parsing Amazon SNS message formats", developer guide. Messages of
    FIFO topics carry a sequence number instead of a signature. The signature is no real one.
    """
    topic = subscription.topic
    moment = datetime.fromtimestamp(message.published_us // 1_000_000, UTC)
    front = f"https://sns.{topic.region}.amazonaws.com/"
    document: dict[str, Any] = {"Type": "Notification", "MessageId": message.id}
    if message.sequence is not None:
        document["SequenceNumber"] = message.sequence
    document["TopicArn"] = topic.arn
    if message.subject is not None:
        document["Subject"] = message.subject
    document["Message"] = message.text
    document["Timestamp"] = f"{moment:%Y-%m-%dT%H:%M:%S}.{message.published_us // 1_000 % 1_000:03}Z"
    if message.sequence is None:
        document["SignatureVersion"] = topic.attributes.get("SignatureVersion", "1")
        document["Signature"] = b64encode(hashlib.sha256(message.id.encode()).digest() * 8).decode("ascii")
        document["SigningCertURL"] = f"{front}SimpleNotificationService-{'0' * 32}.pem"
    document["UnsubscribeURL"] = f"{front}?Action=Unsubscribe&SubscriptionArn={subscription.arn}"
    if message.attributes:
        document["MessageAttributes"] = {
            name: {"Type": attribute["DataType"], "Value": _plain(attribute)}
            for name, attribute in message.attributes.items()
        }
    return json.dumps(document, ensure_ascii=False)


def _plain(attribute: Mapping[str, Any]) -> str:
    if attribute["DataType"].startswith("Binary"):
        return b64encode(bytes(attribute["BinaryValue"])).decode("ascii")
    return str(attribute["StringValue"])
