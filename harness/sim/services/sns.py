"""The in-memory SNS: topics that deliver to SQS queues, in the same or another region.

==================  ==============================================================
``sns.py``          the service: one call of an operation by its name
``sns_core.py``     topics, subscriptions, tags
``sns_topic.py``    their state and attributes
``sns_publish.py``  Publish, PublishBatch, deliveries, dead letters
``sns_filter.py``   filter policies
``sns_errors.py``   the errors
==================  ==============================================================

Not simulated: other protocols than SQS (refused by name), access policies (a
queue takes what any topic sends it), encryption, archiving and replay, real
signatures. Source of the rules: Amazon SNS developer guide and API reference;
what neither says is marked in the code as not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.sim.services.errors import unknown_operation
from harness.sim.services.sns_core import Parameters
from harness.sim.services.sns_errors import SnsError
from harness.sim.services.sns_publish import Publishing
from harness.sim.verdicts import Verdict

__all__ = ["SnsError", "SnsService"]

_Operation: TypeAlias = Callable[["SnsService", Parameters, str], dict[str, Any]]


class SnsService(Publishing):
    """Every topic of one account, in every region. ``call`` takes and returns what boto3 takes and returns."""

    def call(
        self, operation: str, parameters: dict[str, Any], *, region: str, twist: Verdict | None = None
    ) -> dict[str, Any]:
        """Carry out an operation.

        Raises:
            SnsError: SNS refuses the call.
            ServiceError: there is no such operation, or it is not simulated.
        """
        method = _OPERATIONS.get(operation)
        if method is None:
            raise unknown_operation(operation)
        return method(self, parameters, region)


_OPERATIONS: dict[str, _Operation] = {
    "CreateTopic": SnsService.create_topic,
    "DeleteTopic": SnsService.delete_topic,
    "GetSubscriptionAttributes": SnsService.get_subscription_attributes,
    "GetTopicAttributes": SnsService.get_topic_attributes,
    "ListSubscriptions": SnsService.list_subscriptions,
    "ListSubscriptionsByTopic": SnsService.list_subscriptions_by_topic,
    "ListTagsForResource": SnsService.list_tags_for_resource,
    "ListTopics": SnsService.list_topics,
    "Publish": SnsService.publish,
    "PublishBatch": SnsService.publish_batch,
    "SetSubscriptionAttributes": SnsService.set_subscription_attributes,
    "SetTopicAttributes": SnsService.set_topic_attributes,
    "Subscribe": SnsService.subscribe,
    "TagResource": SnsService.tag_resource,
    "Unsubscribe": SnsService.unsubscribe,
    "UntagResource": SnsService.untag_resource,
}
