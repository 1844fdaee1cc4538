"""Queues, functions, mappings and alarms of ``terraform show -json``, of a plan or of a state.

The format is that of Terraform's "JSON Output Format" page (OpenTofu's is the
same). A plan does not tell what AWS gives only when it is applied, an ARN
above all: what refers to it is found in the plan's configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

from harness.audit.changes import TERRAFORM
from harness.audit.estate import ATTRIBUTES, DEFAULTS, Alarm, Estate, Function, Mapping, QueueSettings, Unknown
from harness.errors import UsageError

__all__ = ["is_terraform", "read_terraform"]

_AFTER_APPLY = "only known after apply; give terraform show -json of the state"
_INDEX = re.compile(r"\[[^]]*\]")
_EMPTY: AnyMapping[str, Any] = {}


def is_terraform(document: Any) -> bool:
    """Whether a JSON document is an output of ``terraform show -json``."""
    return isinstance(document, dict) and ("planned_values" in document or "terraform_version" in document)


def read_terraform(path: Path, document: AnyMapping[str, Any]) -> Estate:
    """What a plan makes, or a state has.

    Raises:
        UsageError: it has no queue, or is not of the form that Terraform writes.
    """
    root = _dict(_dict(document.get("planned_values") or document.get("values")).get("root_module"))
    if not root:
        raise UsageError(
            "has neither planned_values nor values",
            file=str(path),
            remedy="Write it with: terraform show -json plan.out > plan.json",
        )
    references: dict[str, AnyMapping[str, Any]] = {}
    _configured(_dict(_dict(document.get("configuration")).get("root_module")), "", references)
    return _Reader(path, list(_resources(root)), references).estate()


def _resources(module: AnyMapping[str, Any]) -> Iterator[AnyMapping[str, Any]]:
    yield from (each for each in module.get("resources") or () if each.get("mode", "managed") == "managed")
    for child in module.get("child_modules") or ():
        yield from _resources(child)


def _configured(module: AnyMapping[str, Any], prefix: str, found: dict[str, AnyMapping[str, Any]]) -> None:
    """The expressions of every resource of the configuration, by address without indices."""
    for resource in module.get("resources") or ():
        found[prefix + str(resource.get("address"))] = _dict(resource.get("expressions"))
    for name, call in _dict(module.get("module_calls")).items():
        _configured(_dict(call.get("module")), f"{prefix}module.{name}.", found)


class _Reader:
    def __init__(
        self, path: Path, resources: list[AnyMapping[str, Any]], references: AnyMapping[str, AnyMapping[str, Any]]
    ) -> None:
        self._path = path
        self._resources = resources
        self._references = references
        self._by_arn = {
            str(value): str(each["address"])
            for each in resources
            for value in (_dict(each.get("values")).get(key) for key in ("arn", "id", "url", "function_name", "name"))
            if value
        }
        self._bare: dict[str, list[str]] = {}
        for each in resources:
            self._bare.setdefault(_INDEX.sub("", str(each["address"])), []).append(str(each["address"]))

    def estate(self) -> Estate:
        policies = {**self._separate("aws_sqs_queue_redrive_policy", "redrive_policy")}
        allows = {**self._separate("aws_sqs_queue_redrive_allow_policy", "redrive_allow_policy")}
        queues = tuple(self._queue(each, policies, allows) for each in self._of("aws_sqs_queue"))
        if not queues:
            raise UsageError("has no aws_sqs_queue", file=str(self._path))
        return Estate(
            str(self._path),
            "terraform",
            queues,
            tuple(self._function(each) for each in self._of("aws_lambda_function")),
            tuple(self._mappings()),
            tuple(self._alarms()),
        )

    def _of(self, kind: str) -> Iterator[AnyMapping[str, Any]]:
        return (each for each in self._resources if each.get("type") == kind)

    def _separate(self, kind: str, key: str) -> dict[str, tuple[AnyMapping[str, Any], str]]:
        """Policies that are resources of their own: queue -> (the resource, its key)."""
        found = {}
        for each in self._of(kind):
            queue = self._named(each, "queue_url", "aws_sqs_queue")
            if isinstance(queue, str):
                found[queue] = (each, key)
        return found

    # -- values ---------------------------------------------------------------------------------------

    def _value(self, resource: AnyMapping[str, Any], key: str) -> Any:
        """A value, ``None`` for one that is not given, or :class:`Unknown` for one that AWS gives."""
        value = _dict(resource.get("values")).get(key)
        if value is None and self._expression(resource, key):
            return Unknown(_AFTER_APPLY)
        return value

    def _expression(self, resource: AnyMapping[str, Any], key: str) -> list[str]:
        """The references in what the configuration says of *key*."""
        expressions = self._references.get(_INDEX.sub("", str(resource["address"])), _EMPTY)
        return list(_dict(expressions.get(key)).get("references") or ())

    def _named(self, resource: AnyMapping[str, Any], key: str, kind: str) -> str | Unknown | None:
        """The address of the resource of that kind to which *key* refers, or the text that stands there."""
        value = _dict(resource.get("values")).get(key)
        if isinstance(value, str) and value:
            return self._by_arn.get(value) or self._by_arn.get(value.rsplit(":", 1)[-1]) or value
        return self._referred(resource, self._expression(resource, key), kind)

    def _referred(self, resource: AnyMapping[str, Any], references: list[str], kind: str) -> str | Unknown | None:
        address = str(resource["address"])
        module = address[: address.rindex(str(resource.get("type")))] if str(resource.get("type")) in address else ""
        for reference in references:
            parts = _INDEX.sub("", reference).split(".")
            if parts[0] == kind and len(parts) > 1:
                candidates = self._bare.get(_INDEX.sub("", module) + ".".join(parts[:2]), [])
                same = [each for each in candidates if each.startswith(module)] or candidates
                index = re.search(r"\[[^]]*\]$", address)
                if index is not None:
                    same = [each for each in same if each.endswith(index[0])] or same
                if len(same) == 1:
                    return same[0]
        return Unknown(_AFTER_APPLY) if references else None

    def _number(self, resource: AnyMapping[str, Any], key: str, default: int | None) -> Any:
        value = self._value(resource, key)
        if value is None or isinstance(value, Unknown):
            return default if value is None else value
        try:
            return int(value)
        except (TypeError, ValueError):
            raise UsageError(
                f"is {value!r}",
                file=str(self._path),
                field=f"{resource['address']}.{key}",
                remedy="Give a whole number",
            ) from None

    # -- resources ---------------------------------------------------------------------------------------

    def _queue(
        self,
        resource: AnyMapping[str, Any],
        policies: AnyMapping[str, tuple[AnyMapping[str, Any], str]],
        allows: AnyMapping[str, tuple[AnyMapping[str, Any], str]],
    ) -> QueueSettings:
        address, values = str(resource["address"]), _dict(resource.get("values"))
        name = values.get("name") or _INDEX.sub("", address).rsplit(".", 1)[-1]
        dead_letter, max_receives = self._redrive(*policies.get(address, (resource, "redrive_policy")))
        return QueueSettings(
            address,
            str(name),
            bool(values.get("fifo_queue")) or str(name).endswith(".fifo"),
            f"{self._path}: {address}",
            **{field: self._number(resource, TERRAFORM[key], DEFAULTS[key]) for field, key in ATTRIBUTES.items()},
            dead_letter=dead_letter,
            max_receives=max_receives,
            content_based_deduplication=bool(values.get("content_based_deduplication")),
            allows=self._allows(*allows.get(address, (resource, "redrive_allow_policy"))),
        )

    def _policy(self, resource: AnyMapping[str, Any], key: str) -> AnyMapping[str, Any] | Unknown | None:
        text = self._value(resource, key)
        if text is None or isinstance(text, Unknown) or text == "":
            return text or None
        try:
            found = json.loads(text)
        except (TypeError, ValueError):
            raise UsageError("is no JSON", file=str(self._path), field=f"{resource['address']}.{key}") from None
        return _dict(found)

    def _redrive(self, resource: AnyMapping[str, Any], key: str) -> tuple[Any, Any]:
        policy = self._policy(resource, key)
        if isinstance(policy, Unknown):
            return self._referred(resource, self._expression(resource, key), "aws_sqs_queue"), policy
        if policy is None:
            return None, None
        arn, count = str(policy.get("deadLetterTargetArn")), policy.get("maxReceiveCount")
        return self._by_arn.get(arn, arn), None if count is None else int(count)

    def _allows(self, resource: AnyMapping[str, Any], key: str) -> tuple[str, ...] | Unknown | None:
        policy = self._policy(resource, key)
        if policy is None or isinstance(policy, Unknown):
            return policy
        permission = policy.get("redrivePermission", "allowAll")
        if permission != "byQueue":
            return None if permission == "allowAll" else ()
        return tuple(self._by_arn.get(str(arn), str(arn)) for arn in policy.get("sourceQueueArns") or ())

    def _function(self, resource: AnyMapping[str, Any]) -> Function:
        address = str(resource["address"])
        reserved = self._number(resource, "reserved_concurrent_executions", None)
        return Function(
            address,
            f"{self._path}: {address}",
            self._number(resource, "timeout", 3),
            None if reserved == -1 else reserved,  # the provider's word for none
        )

    def _mappings(self) -> Iterator[Mapping]:
        for resource in self._of("aws_lambda_event_source_mapping"):
            address = str(resource["address"])
            queue = self._named(resource, "event_source_arn", "aws_sqs_queue")
            function = self._named(resource, "function_name", "aws_lambda_function")
            if not isinstance(queue, str):
                continue  # a stream
            types = self._value(resource, "function_response_types")
            scaling = _dict(_first(_dict(resource.get("values")).get("scaling_config")))
            yield Mapping(
                address,
                queue,
                function if function is not None else Unknown(_AFTER_APPLY),
                f"{self._path}: {address}",
                self._number(resource, "batch_size", 10),
                self._number(resource, "maximum_batching_window_in_seconds", 0),
                types if isinstance(types, Unknown) else "ReportBatchItemFailures" in (types or ()),
                scaling.get("maximum_concurrency"),
            )

    def _alarms(self) -> Iterator[Alarm]:
        for resource in self._of("aws_cloudwatch_metric_alarm"):
            address, values = str(resource["address"]), _dict(resource.get("values"))
            if values.get("namespace") not in ("AWS/SQS", None):
                continue
            queue = _dict(values.get("dimensions")).get("QueueName")
            metric = values.get("metric_name")
            if metric is None:
                continue
            named = (
                self._by_arn.get(str(queue), str(queue))
                if queue
                else self._referred(resource, self._expression(resource, "dimensions"), "aws_sqs_queue")
            )
            if named is not None:
                yield Alarm(address, named, str(metric), f"{self._path}: {address}")


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _dict(value: Any) -> AnyMapping[str, Any]:
    return value if isinstance(value, dict) else _EMPTY
