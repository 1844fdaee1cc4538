"""Queues themselves: create, list, attributes, tags, permissions, purge, delete."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from harness.sim.services.sqs_attributes import READABLE, check_queue_name, normalise
from harness.sim.services.sqs_core import Core, Parameters
from harness.sim.services.sqs_errors import (
    invalid_parameter,
    missing_parameter,
    parameter_reason,
    purge_in_progress,
    queue_deleted_recently,
    queue_exists,
    unknown_attribute,
    unknown_queue,
)
from harness.sim.services.sqs_fifo import FifoQueue
from harness.sim.services.sqs_queue import SECOND, Queue, StandardQueue
from harness.sim.verdicts import Twist

__all__ = ["Administration"]

_WAIT_US = 60 * SECOND


class Administration(Core):
    """The operations on queues."""

    # -- from Python --------------------------------------------------------------

    def create_queue(
        self,
        name: str,
        attributes: Mapping[str, str] | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        region: str | None = None,
    ) -> str:
        """Make a queue as CreateQueue does; returns its URL.

        Raises:
            SqsError: name or attributes are refused.
        """
        parameters: Parameters = {"QueueName": name, "Attributes": dict(attributes or {}), "tags": dict(tags or {})}
        url: str = self._create_queue(parameters, region or self.region, None)["QueueUrl"]
        return url

    def queue_url(self, name: str, *, region: str | None = None) -> str:
        """The URL of the queue called *name*. Raises SqsError if there is none.

        Without a *region* it is that of the service's own, else of the one where a queue of this name is.
        """
        if region is None and (self.region, name) not in self._queues:
            region = next((where for where, known in self._queues if known == name), None)
        url: str = self._get_queue_url({"QueueName": name}, region or self.region, None)["QueueUrl"]
        return url

    def inventory(self) -> dict[str, dict[str, int]]:
        """Exact counts of every queue now, by name (``region/name`` where a name was met before)."""
        now_us = self._timebase.now_us()
        result: dict[str, dict[str, int]] = {}
        places = sorted(self._queues, key=lambda place: (place[0] != self.region, place))
        for region, name in places:
            queue = self._queues[region, name]
            queue.advance(now_us)
            result[f"{region}/{name}" if name in result else name] = queue.counts()
        return result

    # -- queues ---------------------------------------------------------------------

    def _create_queue(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        name: str = parameters["QueueName"]
        given: dict[str, str] = parameters.get("Attributes") or {}
        fifo = given.get("FifoQueue", "false").lower() == "true"
        check_queue_name(name, fifo=fifo)
        attributes = normalise(given, fifo=fifo, creating=True)
        now_us = self._timebase.now_us()
        known = self._queues.get((region, name))
        if known is not None:
            for attribute, value in attributes.items():
                if known.attributes.get(attribute) != value:
                    raise queue_exists(attribute)
            return {"QueueUrl": self.url_of(known)}
        deleted_us = self._deleted_us.get((region, name))
        if deleted_us is not None and self.wait_rules and now_us < deleted_us + _WAIT_US:
            raise queue_deleted_recently()
        kind = FifoQueue if fifo else StandardQueue
        queue = kind(name, region, self.account, self._tags + 1, now_us, self)
        self._check_redrive(queue, attributes)
        queue.apply(attributes, now_us)
        queue.tags = dict(parameters.get("tags") or {})
        if isinstance(queue, FifoQueue):
            queue.dedup_by_group = queue.attributes["DeduplicationScope"] == "messageGroup"
        self._tags += 1
        self._queues[(region, name)] = queue
        self._record("queue.create", queue=name)
        return {"QueueUrl": self.url_of(queue)}

    def _get_queue_url(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queues.get((region, parameters["QueueName"]))
        owner = parameters.get("QueueOwnerAWSAccountId")
        if queue is None or (owner is not None and owner != self.account):
            raise unknown_queue()
        return {"QueueUrl": self.url_of(queue)}

    def _list_queues(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        prefix = parameters.get("QueueNamePrefix") or ""
        queues = [
            queue
            for (place, name), queue in sorted(self._queues.items())
            if place == region and name.startswith(prefix)
        ]
        return self._page(queues, parameters, "QueueUrls", always=False)

    def _list_dead_letter_source_queues(
        self, parameters: Parameters, region: str, twist: Twist | None
    ) -> dict[str, Any]:
        target = self._queue(parameters, region)
        queues = [
            queue
            for _, queue in sorted(self._queues.items())
            if queue.redrive is not None and queue.redrive[0] == target.arn
        ]
        return self._page(queues, parameters, "queueUrls", always=True)

    def _page(self, queues: list[Queue], parameters: Parameters, key: str, *, always: bool) -> dict[str, Any]:
        """One page of URLs. A token is given only when MaxResults was, and more is left."""
        size = parameters.get("MaxResults")
        if size is not None and not 1 <= size <= 1_000:
            raise parameter_reason(size, "MaxResults", "MaxResults must be an integer between 1 and 1000")
        token = parameters.get("NextToken")
        if token:
            try:
                last = b64decode(token, validate=True).decode("utf-8")
            except ValueError:  # no base64, or no text in it
                raise invalid_parameter("Invalid or expired next token.") from None
            queues = [queue for queue in queues if queue.name > last]
        page = queues[: size or 1_000]
        result: dict[str, Any] = {}
        if page or always:
            result[key] = [self.url_of(queue) for queue in page]
        if size is not None and len(queues) > len(page):
            result["NextToken"] = b64encode(page[-1].name.encode("utf-8")).decode("ascii")
        return result

    def _purge_queue(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        now_us = self._timebase.now_us()
        if self.wait_rules and now_us < queue.purged_us + _WAIT_US:
            raise purge_in_progress(queue.name)
        queue.purged_us = now_us
        self._record("purge", queue=queue.name, messages=queue.purge())
        return {}

    def _delete_queue(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        del self._queues[(region, queue.name)]
        for route in [route for route, known in self._routes.items() if known is queue]:
            del self._routes[route]
        self._deleted_us[(region, queue.name)] = self._timebase.now_us()
        queue.deleted = True
        self._record("queue.delete", queue=queue.name, messages=queue.purge())
        while queue.waiters:
            self._timebase.notify(queue.waiters)
        return {}

    # -- attributes ---------------------------------------------------------------------

    def _get_queue_attributes(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        names: list[str] = parameters.get("AttributeNames") or []
        for name in names:
            if name not in READABLE:
                raise unknown_attribute(name)
        if not names:
            return {}
        visible, in_flight, delayed = queue.visible, queue.in_flight, queue.delayed
        if twist is not None and twist.kind == "stale-attributes" and queue.samples:
            _, visible, in_flight, delayed = self._chance.choice(queue.samples)
        every: dict[str, str] = {
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesDelayed": str(delayed),
            "ApproximateNumberOfMessagesNotVisible": str(in_flight),
            "CreatedTimestamp": str(queue.created_us // SECOND),
            "LastModifiedTimestamp": str(queue.modified_us // SECOND),
            "QueueArn": queue.arn,
            **queue.attributes,
        }
        if "All" not in names:
            every = {name: every[name] for name in names if name in every}
        return {"Attributes": every} if every else {}

    def _set_queue_attributes(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        attributes = normalise(parameters.get("Attributes") or {}, fifo=queue.fifo, creating=False)
        self._check_redrive(queue, attributes)
        now_us = self._timebase.now_us()
        queue.apply(attributes, now_us)
        if isinstance(queue, FifoQueue) and "DelaySeconds" in attributes:
            queue.redelay(now_us)
            self._wake(queue)
        return {}

    def _check_redrive(self, queue: Queue, attributes: Mapping[str, str | None]) -> None:
        """The dead-letter queue must exist, be of the same type, region and account, and allow it.

        That these are refused is documented; the texts are not recorded.
        """
        policy = attributes.get("RedrivePolicy")
        if policy is None:
            return
        arn: str = json.loads(policy)["deadLetterTargetArn"]
        target = self._by_arn(arn)
        if target is None or target.region != queue.region:
            raise parameter_reason(policy, "RedrivePolicy", "Dead letter target does not exist.")
        if target.fifo != queue.fifo:
            raise parameter_reason(
                policy, "RedrivePolicy", "Dead-letter queue must be same type of queue as the source."
            )
        if target.arn == queue.arn:
            raise parameter_reason(policy, "RedrivePolicy", "Dead-letter queue must be another queue.")
        allow = json.loads(target.attributes.get("RedriveAllowPolicy", "{}"))
        permission = allow.get("redrivePermission", "allowAll")
        if permission == "denyAll" or (permission == "byQueue" and queue.arn not in allow.get("sourceQueueArns", ())):
            raise parameter_reason(policy, "RedrivePolicy", "Dead-letter queue does not allow this queue as a source.")

    # -- tags ------------------------------------------------------------------------------

    def _tag_queue(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        tags: dict[str, str] = parameters.get("Tags") or {}
        if not tags:
            raise missing_parameter("Tags")
        self._queue(parameters, region).tags.update(tags)
        return {}

    def _untag_queue(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        for key in parameters.get("TagKeys") or ():
            queue.tags.pop(key, None)
        return {}

    def _list_queue_tags(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        return {"Tags": dict(queue.tags)} if queue.tags else {}

    # -- permissions --------------------------------------------------------------------------

    def _add_permission(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        label: str = parameters["Label"]
        policy = json.loads(
            queue.attributes.get("Policy")
            or json.dumps({"Version": "2008-10-17", "Id": f"{queue.arn}/SQSDefaultPolicy", "Statement": []})
        )
        if any(statement.get("Sid") == label for statement in policy["Statement"]):
            raise parameter_reason(label, "Label", "Already exists.")
        principals = [f"arn:aws:iam::{account}:root" for account in parameters["AWSAccountIds"]]
        actions = [f"SQS:{action}" for action in parameters["Actions"]]
        policy["Statement"].append(
            {
                "Sid": label,
                "Effect": "Allow",
                "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
                "Action": actions[0] if len(actions) == 1 else actions,
                "Resource": queue.arn,
            }
        )
        queue.apply({"Policy": json.dumps(policy, separators=(",", ":"))}, self._timebase.now_us())
        return {}

    def _remove_permission(self, parameters: Parameters, region: str, twist: Twist | None) -> dict[str, Any]:
        queue = self._queue(parameters, region)
        label: str = parameters["Label"]
        policy = json.loads(queue.attributes.get("Policy") or '{"Statement":[]}')
        left = [statement for statement in policy["Statement"] if statement.get("Sid") != label]
        if len(left) == len(policy["Statement"]):
            raise parameter_reason(label, "Label", "can't find label.")
        policy["Statement"] = left
        text = json.dumps(policy, separators=(",", ":")) if left else None
        queue.apply({"Policy": text}, self._timebase.now_us())
        return {}
