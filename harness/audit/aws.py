"""Queues as they are: read through an SQS client, with their mappings and alarms where those may be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping as AnyMapping
from typing import Any

from harness.audit.estate import ATTRIBUTES, DEFAULTS, Alarm, Estate, Function, Mapping, QueueSettings, Unknown

__all__ = ["read_queues"]


def read_queues(urls: list[str], client: Callable[[str], Any]) -> Estate:
    """The queues of *urls* and their dead-letter queues; ``client(service)`` gives a boto3 client.

    Only reads. What the caller may not read (mappings, functions, alarms) is
    a remark, and the rules that need it are not judged. Raises what boto3
    raises where a queue that was asked for cannot be read.
    """
    return _Reader(client).estate(urls)


class _Reader:
    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        self._sqs = client("sqs")
        self._remarks: list[str] = []
        self._queues: dict[str, QueueSettings] = {}  # by ARN
        self._functions: dict[str, Function] = {}

    def estate(self, urls: list[str]) -> Estate:
        for url in urls:
            self._add(url)
        mappings = self._read_mappings()
        return Estate(
            ", ".join(urls),
            "aws",
            tuple(self._queues.values()),
            tuple(self._functions.values()),
            mappings,
            self._read_alarms(),
            tuple(self._remarks),
        )

    def _add(self, url: str) -> None:
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        arn = str(attributes["QueueArn"])
        if arn in self._queues:
            return
        policy = _json(attributes.get("RedrivePolicy"))
        allow = _json(attributes.get("RedriveAllowPolicy"))
        target = policy.get("deadLetterTargetArn")
        name = arn.rsplit(":", 1)[-1]
        self._queues[arn] = QueueSettings(
            url,
            name,
            attributes.get("FifoQueue") == "true",
            url,
            **{field: int(attributes.get(key, DEFAULTS[key])) for field, key in ATTRIBUTES.items()},
            dead_letter=target,
            max_receives=int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None,
            content_based_deduplication=attributes.get("ContentBasedDeduplication") == "true",
            allows=_allows(allow),
        )
        if target is not None and target not in self._queues:
            self._follow(str(target), name)

    def _follow(self, arn: str, source: str) -> None:
        """Read a dead-letter queue, too; one that cannot be read is a remark."""
        from botocore.exceptions import ClientError

        parts = arn.split(":")
        try:
            self._add(self._sqs.get_queue_url(QueueName=parts[-1], QueueOwnerAWSAccountId=parts[4])["QueueUrl"])
        except ClientError as error:
            self._remarks.append(f"{arn}, the dead-letter queue of {source}, could not be read: {_code(error)}")

    def _read_mappings(self) -> tuple[Mapping, ...] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        found: list[Mapping] = []
        try:
            awslambda = self._client("lambda")
            for arn, queue in self._queues.items():
                for page in awslambda.get_paginator("list_event_source_mappings").paginate(EventSourceArn=arn):
                    for each in page["EventSourceMappings"]:
                        found.append(self._mapping(each, queue, awslambda))
        except (BotoCoreError, ClientError) as error:
            self._remarks.append(f"event source mappings were not looked at: {_code(error)}")
            return None
        return tuple(found)

    def _mapping(self, each: AnyMapping[str, Any], queue: QueueSettings, awslambda: Any) -> Mapping:
        name = str(each["FunctionArn"])
        if name not in self._functions:
            self._functions[name] = self._function(name, awslambda)
        return Mapping(
            str(each["UUID"]),
            queue.id,
            name,
            str(each["UUID"]),
            int(each.get("BatchSize", 10)),
            int(each.get("MaximumBatchingWindowInSeconds") or 0),
            "ReportBatchItemFailures" in (each.get("FunctionResponseTypes") or ()),
            (each.get("ScalingConfig") or {}).get("MaximumConcurrency"),
        )

    def _function(self, name: str, awslambda: Any) -> Function:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            timeout: int | Unknown = int(awslambda.get_function_configuration(FunctionName=name)["Timeout"])
        except (BotoCoreError, ClientError) as error:
            timeout = Unknown(f"{name} could not be read: {_code(error)}")
        try:
            concurrency = awslambda.get_function_concurrency(FunctionName=name)
            reserved: int | Unknown | None = concurrency.get("ReservedConcurrentExecutions")
        except (BotoCoreError, ClientError) as error:
            reserved = Unknown(f"the concurrency of {name} could not be read: {_code(error)}")
        return Function(name, name, timeout, reserved)

    def _read_alarms(self) -> tuple[Alarm, ...] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        found: list[Alarm] = []
        try:
            pages = self._client("cloudwatch").get_paginator("describe_alarms").paginate()
            for alarm in (each for page in pages for each in page.get("MetricAlarms", ())):
                for dimension in alarm.get("Dimensions", ()):
                    if alarm.get("Namespace") == "AWS/SQS" and dimension["Name"] == "QueueName":
                        name = str(alarm["AlarmName"])
                        found.append(Alarm(name, str(dimension["Value"]), str(alarm["MetricName"]), name))
        except (BotoCoreError, ClientError) as error:
            self._remarks.append(f"alarms were not looked at: {_code(error)}")
            return None
        return tuple(found)


def _allows(policy: AnyMapping[str, Any]) -> tuple[str, ...] | None:
    permission = policy.get("redrivePermission", "allowAll")
    if permission != "byQueue":
        return None if permission == "allowAll" else ()
    return tuple(str(arn) for arn in policy.get("sourceQueueArns") or ())


def _json(text: str | None) -> AnyMapping[str, Any]:
    found: AnyMapping[str, Any] = json.loads(text) if text else {}
    return found


def _code(error: Any) -> str:
    """What a refusal is called, without account numbers."""
    response = getattr(error, "response", None)
    return str(response["Error"]["Code"]) if response else type(error).__name__
