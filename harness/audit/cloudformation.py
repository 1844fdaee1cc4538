"""Queues, functions, mappings and alarms of a CloudFormation or SAM template (YAML or JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

import yaml

from harness.audit.estate import ATTRIBUTES, DEFAULTS, Alarm, Estate, Function, Mapping, QueueSettings, Unknown
from harness.audit.intrinsics import Reference, Values
from harness.errors import UsageError

__all__ = ["read_template"]

_EMPTY: AnyMapping[str, Any] = {}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it has no types
    """YAML with CloudFormation's short forms: ``!Ref X`` is ``{"Ref": "X"}``, ``!GetAtt X.Arn`` an ``Fn::GetAtt``."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
# A date is a text: a policy's Version, say, which JSON could not hold otherwise.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def read_template(path: Path, parameters: AnyMapping[str, str] | None = None) -> Estate:
    """What a template makes, with *parameters* in place of the defaults of its parameters.

    Raises:
        UsageError: it cannot be read, is no template, or has no queue; a parameter is not declared in it.
    """
    template, lines = _load(path)
    declared = template.get("Parameters") or {}
    for name in parameters or ():
        if name not in declared:
            raise UsageError(f"the template has no parameter {name!r}", file=str(path), field="--parameter")
    return _Reader(path, template, lines, parameters or {}).estate()


def _load(path: Path) -> tuple[AnyMapping[str, Any], dict[str, int]]:
    """The template, and the line of each resource."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read ({_reason(error)})", file=str(path)) from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        template = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
        raise UsageError(f"{where}is neither YAML nor JSON ({problem})", file=str(path)) from None
    finally:
        loader.dispose()
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise UsageError(
            "is no CloudFormation template: it has no Resources",
            file=str(path),
            remedy="Give a CloudFormation or SAM template, or the output of terraform show -json",
        )
    lines: dict[str, int] = {}
    for key, value in node.value:
        if key.value == "Resources" and isinstance(value, yaml.MappingNode):
            lines = {each.value: each.start_mark.line + 1 for each, _ in value.value}
    return template, lines


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is no UTF-8 text"


class _Reader:
    def __init__(
        self,
        path: Path,
        template: AnyMapping[str, Any],
        lines: AnyMapping[str, int],
        parameters: AnyMapping[str, str],
    ) -> None:
        self._path = path
        self._lines = lines
        self._values = Values(template, parameters)
        self._globals = _dict(_dict(template.get("Globals")).get("Function"))
        self._remarks: list[str] = []
        self._resources: dict[str, tuple[str, AnyMapping[str, Any]]] = {}
        for name, resource in template["Resources"].items():
            kind = _dict(resource).get("Type")
            if not isinstance(kind, str):
                if str(name).startswith("Fn::ForEach"):
                    self._remarks.append(f"{name}: resources made by a loop were not looked at")
                    continue
                raise UsageError("has no Type", file=str(path), field=f"Resources.{name}")
            condition = _dict(resource).get("Condition")
            if condition is not None and self._values.condition(str(condition)) is False:
                continue
            self._resources[str(name)] = (kind, _dict(_dict(resource).get("Properties")))

    def estate(self) -> Estate:
        queues = tuple(self._queue(name, body) for name, body in self._of("AWS::SQS::Queue"))
        if not queues:
            raise UsageError("has no AWS::SQS::Queue", file=str(self._path), field="Resources")
        functions = (
            *(self._function(name, body, _EMPTY) for name, body in self._of("AWS::Lambda::Function")),
            *(self._function(name, body, self._globals) for name, body in self._of("AWS::Serverless::Function")),
        )
        return Estate(
            str(self._path),
            "cloudformation",
            queues,
            functions,
            (*self._mappings(), *self._events()),
            tuple(self._alarms()),
            tuple(self._remarks),
        )

    def _of(self, kind: str) -> Iterator[tuple[str, AnyMapping[str, Any]]]:
        return ((name, body) for name, (found, body) in self._resources.items() if found == kind)

    def _where(self, name: str) -> str:
        line = self._lines.get(name)
        return f"{self._path}:{line}" if line else str(self._path)

    # -- values ------------------------------------------------------------------------------------

    def _number(self, name: str, body: AnyMapping[str, Any], key: str, default: int | None) -> Any:
        value = self._values(body.get(key))
        if value is None:
            return default
        if isinstance(value, Unknown):
            return value
        if isinstance(value, Reference):
            return Unknown(f"{value.resource}.{value.attribute} is only known to AWS")
        try:
            return int(str(value))
        except ValueError:
            raise UsageError(
                f"is {value!r}", file=self._where(name), field=f"{name}.{key}", remedy="Give a whole number"
            ) from None

    def _truth(self, body: AnyMapping[str, Any], key: str) -> bool | Unknown:
        value = self._values(body.get(key))
        return value if isinstance(value, Unknown) else str(value).lower() == "true"

    def _to(self, value: Any, kinds: tuple[str, ...]) -> str | Unknown:
        """The logical id that a reference names, or the text (an ARN, a name) that stands there."""
        if isinstance(value, Reference):
            kind = self._resources.get(value.resource, ("",))[0]
            if kind in kinds:
                return value.resource
            if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
                return self._to(self._values(self._resources[value.resource][1].get("FunctionName")), kinds)
            return Unknown(f"{value.resource} is no {' or '.join(kinds)} of this template")
        return value if isinstance(value, Unknown) else str(value)

    # -- resources ------------------------------------------------------------------------------------

    def _queue(self, name: str, body: AnyMapping[str, Any]) -> QueueSettings:
        called = self._values(body.get("QueueName"))
        fifo = self._truth(body, "FifoQueue") is True or str(called).endswith(".fifo")
        dead_letter, max_receives = self._redrive(name, body)
        return QueueSettings(
            name,
            called if isinstance(called, str) else f"{name}{'.fifo' if fifo else ''}",
            fifo,
            self._where(name),
            **{field: self._number(name, body, key, DEFAULTS[key]) for field, key in ATTRIBUTES.items()},
            dead_letter=dead_letter,
            max_receives=max_receives,
            content_based_deduplication=self._truth(body, "ContentBasedDeduplication"),
            allows=self._allows(name, body),
        )

    def _policy(self, name: str, body: AnyMapping[str, Any], key: str) -> AnyMapping[str, Any] | Unknown | None:
        value = self._values(body.get(key))
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise UsageError("is no JSON", file=self._where(name), field=f"{name}.{key}") from None
        if value is None or isinstance(value, dict | Unknown):
            return value
        raise UsageError("is no policy", file=self._where(name), field=f"{name}.{key}", remedy="Give a mapping")

    def _redrive(self, name: str, body: AnyMapping[str, Any]) -> tuple[Any, Any]:
        policy = self._policy(name, body, "RedrivePolicy")
        if policy is None or isinstance(policy, Unknown):
            return policy, policy
        target = policy.get("deadLetterTargetArn")
        if target is None:
            raise UsageError("has no deadLetterTargetArn", file=self._where(name), field=f"{name}.RedrivePolicy")
        return self._to(target, ("AWS::SQS::Queue",)), self._number(name, policy, "maxReceiveCount", None)

    def _allows(self, name: str, body: AnyMapping[str, Any]) -> tuple[str, ...] | Unknown | None:
        policy = self._policy(name, body, "RedriveAllowPolicy")
        if policy is None or isinstance(policy, Unknown):
            return policy
        permission = policy.get("redrivePermission", "allowAll")
        if permission != "byQueue":
            return None if permission == "allowAll" else ()
        arns = [self._to(arn, ("AWS::SQS::Queue",)) for arn in policy.get("sourceQueueArns") or []]
        unknown = next((arn for arn in arns if isinstance(arn, Unknown)), None)
        return unknown if unknown is not None else tuple(str(arn) for arn in arns)

    def _function(self, name: str, body: AnyMapping[str, Any], defaults: AnyMapping[str, Any]) -> Function:
        body = {**defaults, **body}
        return Function(
            name,
            self._where(name),
            self._number(name, body, "Timeout", 3),
            self._number(name, body, "ReservedConcurrentExecutions", None),
        )

    def _mapping(
        self, id: str, name: str, queue: Any, function: str | Unknown, body: AnyMapping[str, Any]
    ) -> Iterator[Mapping]:
        source = self._to(queue, ("AWS::SQS::Queue",))
        if isinstance(source, Unknown):
            return  # a stream, or a queue of another template
        types = self._values(body.get("FunctionResponseTypes"))
        scaling = self._values(body.get("ScalingConfig"))
        yield Mapping(
            id,
            source,
            function,
            self._where(name),
            self._number(name, body, "BatchSize", 10),
            self._number(name, body, "MaximumBatchingWindowInSeconds", 0),
            types if isinstance(types, Unknown) else "ReportBatchItemFailures" in (types or ()),
            scaling if isinstance(scaling, Unknown) else self._number(name, scaling or {}, "MaximumConcurrency", None),
        )

    def _mappings(self) -> Iterator[Mapping]:
        for name, body in self._of("AWS::Lambda::EventSourceMapping"):
            function = self._to(
                self._values(body.get("FunctionName")), ("AWS::Lambda::Function", "AWS::Serverless::Function")
            )
            yield from self._mapping(name, name, self._values(body.get("EventSourceArn")), function, body)

    def _events(self) -> Iterator[Mapping]:
        """SAM's events of type SQS."""
        for name, body in self._of("AWS::Serverless::Function"):
            for event, description in _dict(body.get("Events")).items():
                if _dict(description).get("Type") == "SQS":
                    settings = _dict(_dict(description).get("Properties"))
                    queue = self._values(settings.get("Queue"))
                    yield from self._mapping(f"{name}.Events.{event}", name, queue, name, settings)

    def _alarms(self) -> Iterator[Alarm]:
        for name, body in self._of("AWS::CloudWatch::Alarm"):
            if self._values(body.get("Namespace")) not in ("AWS/SQS", None):
                continue
            for metric, dimensions in self._metrics(body):
                for dimension in dimensions if isinstance(dimensions, list) else []:
                    if _dict(dimension).get("Name") == "QueueName":
                        queue = self._to(_dict(dimension).get("Value"), ("AWS::SQS::Queue",))
                        yield Alarm(name, queue, str(metric), self._where(name))

    def _metrics(self, body: AnyMapping[str, Any]) -> Iterator[tuple[Any, Any]]:
        """The metrics that an alarm is made of, one or several with an expression."""
        if "MetricName" in body:
            yield self._values(body["MetricName"]), self._values(body.get("Dimensions"))
        for query in self._values(body.get("Metrics")) or ():
            metric = _dict(_dict(_dict(query).get("MetricStat")).get("Metric"))
            if metric.get("Namespace") == "AWS/SQS":
                yield metric.get("MetricName"), metric.get("Dimensions")


def _dict(value: Any) -> AnyMapping[str, Any]:
    return value if isinstance(value, dict) else _EMPTY
