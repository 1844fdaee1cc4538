"""Topics and subscriptions of SNS: their state and attributes, and what SNS refuses of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.sim.services.sns_errors import SnsError, invalid
from harness.sim.services.sns_filter import ATTRIBUTES, BODY, check_policy
from harness.sim.services.sqs_attributes import parse_arn

__all__ = ["Subscription", "Topic", "check_subscription_attribute", "check_topic_name", "parse_topic_arn"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_TOPIC_ATTRIBUTES = {
    "ArchivePolicy",
    "ContentBasedDeduplication",
    "DeliveryPolicy",
    "DisplayName",
    "FifoThroughputScope",
    "FifoTopic",
    "KmsMasterKeyId",
    "Policy",
    "SignatureVersion",
    "TracingConfig",
}
#: Whether deliveries are logged: accepted and kept, nothing is logged.
_FEEDBACK = re.compile(r"(Application|Firehose|HTTP|Lambda|SQS)(Success|Failure)Feedback(RoleArn|SampleRate)")
_SUBSCRIPTION_ATTRIBUTES = {
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
}
_FIFO_RULE = (
    "Topic Name Reason: Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase "
    "ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
)


class Topic:
    """One topic. ``originals`` remembers what was published: (scope, deduplication id) -> (until, ids)."""

    def __init__(self, name: str, region: str, account: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.region = region
        self.account = account
        self.arn = f"arn:aws:sns:{region}:{account}:{name}"
        self.fifo = name.endswith(".fifo")
        self.attributes = {"DisplayName": "", **attributes}
        self.tags: dict[str, str] = {}
        self.subscriptions: list[Subscription] = []
        self.deleted_subscriptions = 0
        self.sequence = 10_000_000_000_000_000_000
        self.originals: dict[tuple[str, str], tuple[int, str, str]] = {}

    @property
    def by_content(self) -> bool:
        """Whether a message's body is its deduplication id, where none is given."""
        return self.attributes.get("ContentBasedDeduplication", "false").lower() == "true"

    def describe(self) -> dict[str, str]:
        """What GetTopicAttributes answers."""
        found = {
            "TopicArn": self.arn,
            "Owner": self.account,
            "SubscriptionsConfirmed": str(len(self.subscriptions)),
            "SubscriptionsPending": "0",
            "SubscriptionsDeleted": str(self.deleted_subscriptions),
            **self.attributes,
        }
        if self.fifo:
            found.setdefault("ContentBasedDeduplication", "false")
        return found


class Subscription:
    """A queue's subscription to a topic; ``due_us`` is when its last delivery is due."""

    def __init__(self, arn: str, topic: Topic, endpoint: str, attributes: Mapping[str, str]) -> None:
        self.arn = arn
        self.topic = topic
        self.endpoint = endpoint
        self.attributes = dict(attributes)
        self.due_us = 0
        self.active = True
        self.refresh()

    def refresh(self) -> None:
        """Read the attributes anew."""
        own = self.attributes
        self.raw = own.get("RawMessageDelivery", "false").lower() == "true"
        self.scope = own.get("FilterPolicyScope", ATTRIBUTES)
        self.policy: dict[str, Any] = json.loads(own.get("FilterPolicy") or "{}")
        redrive = json.loads(own.get("RedrivePolicy") or "{}")
        self.dead_letter: str | None = redrive.get("deadLetterTargetArn")

    def describe(self) -> dict[str, str]:
        """What GetSubscriptionAttributes answers."""
        found = {
            "SubscriptionArn": self.arn,
            "TopicArn": self.topic.arn,
            "Protocol": "sqs",
            "Endpoint": self.endpoint,
            "Owner": self.topic.account,
            "PendingConfirmation": "false",
            "ConfirmationWasAuthenticated": "true",
            "RawMessageDelivery": "true" if self.raw else "false",
            "SubscriptionPrincipal": f"arn:aws:iam::{self.topic.account}:user/harness",
            **{name: value for name, value in self.attributes.items() if name != "RawMessageDelivery" and value},
        }
        if self.policy:
            found.setdefault("FilterPolicyScope", ATTRIBUTES)
        else:
            found.pop("FilterPolicyScope", None)
        return found

    def brief(self) -> dict[str, str]:
        """What the lists say of it."""
        return {
            "SubscriptionArn": self.arn,
            "Owner": self.topic.account,
            "Protocol": "sqs",
            "Endpoint": self.endpoint,
            "TopicArn": self.topic.arn,
        }


def check_topic_name(name: str, attributes: Mapping[str, str]) -> None:
    """Whether a topic may be made under this name with these attributes.

    Raises:
        SnsError: it may not.
    """
    fifo = attributes.get("FifoTopic", "false").lower() == "true"
    stem = name.removesuffix(".fifo") if fifo else name
    if not _NAME.fullmatch(stem) or len(name) > 256:
        raise invalid(_FIFO_RULE if fifo else "Topic Name")
    if fifo and stem == name:
        raise invalid(_FIFO_RULE)
    for attribute in attributes:
        check_topic_attribute(attribute, "Attributes Reason: Unknown attribute ")  # the text is not recorded


def check_topic_attribute(name: str, text: str = "AttributeName") -> None:
    """Whether topics have an attribute of this name. Raises SnsError."""
    if name not in _TOPIC_ATTRIBUTES and not _FEEDBACK.fullmatch(name):
        raise invalid(text if text == "AttributeName" else f"{text}{name}")


def parse_topic_arn(arn: str, region: str) -> str:
    """The name in a topic's ARN, which must be of the caller's own region.

    Raises:
        SnsError: it is no ARN, of another service, or of another region.
    """
    parts = arn.split(":")
    if len(parts) < 6:
        raise invalid(f"TopicArn Reason: An ARN must have at least 6 elements, not {len(parts)}")
    if len(parts) != 6 or parts[:3] != ["arn", "aws", "sns"] or parts[3] != region:
        raise invalid("TopicArn")
    return parts[5]


def check_subscription_attribute(
    name: str, value: str, topic: Topic, endpoint: str, scope: str, prefix: str = ""
) -> None:
    """Whether a subscription takes this value of an attribute; *prefix* stands before the texts in Subscribe.

    Raises:
        SnsError: it does not.
    """
    if name not in _SUBSCRIPTION_ATTRIBUTES:
        raise invalid(f"{prefix}AttributeName")
    if name == "FilterPolicyScope":
        if value not in (ATTRIBUTES, BODY):
            raise invalid(
                f"{prefix}FilterPolicyScope: Invalid value [{value}]. "
                "Please use either MessageBody or MessageAttributes"
            )
    elif name == "RawMessageDelivery":
        if value.lower() not in ("true", "false"):
            raise invalid(f"{prefix}RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
    elif name == "FilterPolicy":
        policy = _parsed(value or "{}", f"{prefix}FilterPolicy")
        check_policy(policy, scope, prefix)
    elif name == "RedrivePolicy" and value:
        _check_redrive(_parsed(value, f"{prefix}RedrivePolicy"), topic, endpoint, prefix)


def _parsed(value: str, what: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise _no_json(what) from None


def _no_json(what: str) -> SnsError:
    return invalid(f"{what}: failed to parse JSON.")


def _check_redrive(policy: Any, topic: Topic, endpoint: str, prefix: str) -> None:
    target = policy.get("deadLetterTargetArn", "") if isinstance(policy, dict) else ""
    if not isinstance(target, str) or parse_arn(target) is None:
        raise invalid(f"{prefix}RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if topic.fifo and endpoint.endswith(".fifo") and not target.endswith(".fifo"):
        raise invalid(f"{prefix}RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
