"""Topics, subscriptions, tags and pages: everything of SNS but publishing."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from harness.sim.services.errors import ServiceError
from harness.sim.services.sns_errors import invalid, no_subscription, no_topic
from harness.sim.services.sns_filter import ATTRIBUTES
from harness.sim.services.sns_topic import (
    Subscription,
    Topic,
    check_subscription_attribute,
    check_topic_attribute,
    check_topic_name,
    parse_topic_arn,
)
from harness.sim.services.sqs_attributes import parse_arn
from harness.sim.services.sqs_core import KeyOf, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.sim.services.timebase import Timebase

__all__ = ["Core", "Parameters", "Queues"]

Parameters: TypeAlias = dict[str, Any]
_PAGE = 100


class Queues(Protocol):
    """What SNS asks of SQS: to take a message as if it were sent."""

    key_of: KeyOf

    def put(
        self,
        queue_name: str,
        body: str,
        *,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group: str | None = None,
        dedup: str | None = None,
        delay: int | None = None,
        key: str | None = None,
        origin: Origin = "workload",
        region: str | None = None,
    ) -> str:
        """Send a message from outside the wire; returns its id."""
        ...


class Core:
    """State and common parts of the service; publishing is in its subclass.

    Args:
        timebase: the service's clock.
        ids: the random stream that ids come from.
        queues: where deliveries go.
        delivery_us: how long one delivery takes, above zero, from a stream of its own.
        account: of the topics, and the only one whose queues are reached.
    """

    def __init__(
        self,
        timebase: Timebase,
        ids: random.Random,
        queues: Queues,
        delivery_us: Callable[[], int],
        account: str = "000000000000",
    ) -> None:
        self.account = account
        #: What was given up: deliveries that no dead-letter queue took. For whoever reads the verdict.
        self.notes: list[str] = []
        self._timebase = timebase
        self._ids = ids
        self._queues = queues
        self._delivery_us = delivery_us
        self._topics: dict[tuple[str, str], Topic] = {}  # by region and name
        self._subscriptions: dict[str, Subscription] = {}  # by ARN

    def _new_id(self) -> str:
        text = self._ids.getrandbits(128).to_bytes(16, "big").hex()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def _topic(self, arn: str | None, region: str) -> Topic:
        if arn is None:
            raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
        topic = self._topics.get((region, parse_topic_arn(arn, region)))
        if topic is None or topic.arn != arn:
            raise no_topic()
        return topic

    def _subscription(self, arn: str) -> Subscription:
        found = self._subscriptions.get(arn)
        if found is None:
            raise no_subscription()
        return found

    @staticmethod
    def _page(items: Sequence[dict[str, str]], name: str, parameters: Parameters) -> dict[str, Any]:
        token = parameters.get("NextToken")
        if token is not None and not token.isdecimal():
            raise invalid("NextToken")
        start = int(token or 0)
        answer: dict[str, Any] = {name: list(items[start : start + _PAGE])}
        if start + _PAGE < len(items):
            answer["NextToken"] = str(start + _PAGE)
        return answer

    # -- topics ----------------------------------------------------------------------

    def create_topic(self, parameters: Parameters, region: str) -> dict[str, Any]:
        name: str = parameters["Name"]
        attributes: dict[str, str] = parameters.get("Attributes") or {}
        check_topic_name(name, attributes)
        tags = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags") or ()}
        topic = self._topics.get((region, name))
        if topic is None:
            topic = self._topics[region, name] = Topic(name, region, self.account, attributes)
            topic.tags = tags
        elif any(topic.attributes.get(key) != value for key, value in attributes.items()):
            raise invalid("Attributes Reason: Topic already exists with different attributes")
        elif tags and tags != topic.tags:
            raise invalid("Tags Reason: Topic already exists with different tags")
        return {"TopicArn": topic.arn}

    def delete_topic(self, parameters: Parameters, region: str) -> dict[str, Any]:
        """Delete a topic and its subscriptions; one that is not there is no error."""
        name = parse_topic_arn(parameters["TopicArn"], region)
        topic = self._topics.pop((region, name), None)
        for subscription in list(topic.subscriptions) if topic is not None else ():
            self._drop(subscription)
        return {}

    def get_topic_attributes(self, parameters: Parameters, region: str) -> dict[str, Any]:
        return {"Attributes": self._topic(parameters["TopicArn"], region).describe()}

    def set_topic_attributes(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._topic(parameters["TopicArn"], region)
        name: str = parameters["AttributeName"]
        check_topic_attribute(name)
        if name == "FifoTopic":
            raise invalid("AttributeName")
        topic.attributes[name] = parameters.get("AttributeValue", "")
        return {}

    def list_topics(self, parameters: Parameters, region: str) -> dict[str, Any]:
        found = [{"TopicArn": topic.arn} for (where, _), topic in self._topics.items() if where == region]
        return self._page(found, "Topics", parameters)

    # -- subscriptions -----------------------------------------------------------------

    def subscribe(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._topic(parameters["TopicArn"], region)
        protocol: str = parameters["Protocol"]
        endpoint: str = parameters.get("Endpoint") or ""
        if protocol != "sqs":
            raise ServiceError(
                "NotSimulated",
                "NotSimulated",
                f"harness: SNS delivers to SQS queues only in this run, not by {protocol!r}",
                501,
                sender_fault=False,
            )
        if parse_arn(endpoint) is None:
            raise invalid("SQS endpoint ARN")
        if endpoint.endswith(".fifo") and not topic.fifo:
            raise invalid(
                "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"
            )
        attributes: dict[str, str] = parameters.get("Attributes") or {}
        scope = attributes.get("FilterPolicyScope", ATTRIBUTES)
        for name, value in attributes.items():
            check_subscription_attribute(name, value, topic, endpoint, scope, "Attributes Reason: ")
        known = next((one for one in topic.subscriptions if one.endpoint == endpoint), None)
        if known is not None:
            if any(known.describe().get(name) != value for name, value in attributes.items() if value):
                raise invalid("Attributes Reason: Subscription already exists with different attributes")
            return {"SubscriptionArn": known.arn}
        made = Subscription(f"{topic.arn}:{self._new_id()}", topic, endpoint, attributes)
        topic.subscriptions.append(made)
        self._subscriptions[made.arn] = made
        return {"SubscriptionArn": made.arn}

    def unsubscribe(self, parameters: Parameters, region: str) -> dict[str, Any]:
        """End a subscription; one that is gone is no error."""
        arn: str = parameters["SubscriptionArn"]
        count = len(arn.split(":"))
        if count < 6:
            raise invalid(f"SubscriptionArn Reason: An ARN must have at least 6 elements, not {count}")
        if count == 6:
            raise invalid("SubscriptionId")
        found = self._subscriptions.get(arn)
        if found is not None:
            self._drop(found)
        return {}

    def _drop(self, subscription: Subscription) -> None:
        subscription.active = False
        del self._subscriptions[subscription.arn]
        subscription.topic.subscriptions.remove(subscription)
        subscription.topic.deleted_subscriptions += 1

    def get_subscription_attributes(self, parameters: Parameters, region: str) -> dict[str, Any]:
        return {"Attributes": self._subscription(parameters["SubscriptionArn"]).describe()}

    def set_subscription_attributes(self, parameters: Parameters, region: str) -> dict[str, Any]:
        found = self._subscription(parameters["SubscriptionArn"])
        name, value = parameters["AttributeName"], parameters.get("AttributeValue") or ""
        check_subscription_attribute(name, value, found.topic, found.endpoint, found.scope)
        found.attributes[name] = value
        found.refresh()
        return {}

    def list_subscriptions(self, parameters: Parameters, region: str) -> dict[str, Any]:
        found = [one.brief() for one in self._subscriptions.values() if one.topic.region == region]
        return self._page(found, "Subscriptions", parameters)

    def list_subscriptions_by_topic(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._topic(parameters["TopicArn"], region)
        return self._page([one.brief() for one in topic.subscriptions], "Subscriptions", parameters)

    # -- tags --------------------------------------------------------------------------

    def _tagged(self, parameters: Parameters, region: str) -> Topic:
        try:
            return self._topic(parameters["ResourceArn"], region)
        except ServiceError as error:
            if error.code != "NotFound":
                raise
            raise ServiceError(
                "ResourceNotFound", "ResourceNotFoundException", "Resource does not exist", 404
            ) from None

    def tag_resource(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._tagged(parameters, region)
        names = [tag["Key"] for tag in parameters["Tags"]]
        if len(set(names)) < len(names):
            raise invalid("Duplicated keys are not allowed.")
        topic.tags.update({tag["Key"]: tag["Value"] for tag in parameters["Tags"]})
        return {}

    def untag_resource(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._tagged(parameters, region)
        for name in parameters["TagKeys"]:
            topic.tags.pop(name, None)
        return {}

    def list_tags_for_resource(self, parameters: Parameters, region: str) -> dict[str, Any]:
        topic = self._tagged(parameters, region)
        return {"Tags": [{"Key": name, "Value": value} for name, value in topic.tags.items()]}
