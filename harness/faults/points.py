"""Targets and points: which names there are, which points a target matches, and what was probably meant.

A *target* is a point without its side, or a pattern (``*`` stands for any
run of characters), or a whole layer::

    workload  workload.QUEUE          messages that the outside world sends
    handler                           the declared handler
    lambda.NAME                       a call of the Lambda function of this name, in its sandbox
    aws.SERVICE.OPERATION             a botocore operation: aws.sqs.DeleteMessage, aws.sqs.*, aws.*.Put*, aws
    aws.SERVICE.OPERATION@REGION      the same in one region: aws.sqs.*@eu-west-1, aws.*@us-east-1
    redis.COMMAND                     redis.INCR, redis.CONNECT, redis.*, redis
    dependency.NAME                   a stub HTTP service
    point.NAME                        points.point(NAME) in the code under test
    network.NAME                      what stands behind a proxy: sqs, redis, a dependency
    process.NAME  clock.NAME          a process of the scenario
    *                                 any passing of a point

The name of a *point* in reports is target and side
(``aws.sqs.DeleteMessage.after``, ``handler.middle``); points that have one
side only are named without it (``point.after-charge``, ``process.worker``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import PlanError
from harness.faults import regions
from harness.faults.aws import SQS_OPERATIONS
from harness.faults.kinds import LAYERS, SIDES, Kind
from harness.faults.names import did_you_mean, listed
from harness.faults.redis import COMMANDS

if TYPE_CHECKING:
    from harness.faults.plan import FaultPlan

__all__ = ["Known", "Target", "check_known", "matcher", "parse", "point_name", "split_point", "validate"]

_SIDED = ("handler", "lambda", "aws", "redis", "dependency")
_PATTERN = re.compile(r"[\w*.:/+@-]+\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """A target taken apart. *name* is what follows the layer (``*`` for the whole layer), without the region."""

    text: str
    layer: str
    name: str
    region: str = ""

    @property
    def pattern(self) -> bool:
        """Whether it stands for more than one name."""
        return "*" in self.name


@dataclass(frozen=True)
class Known:
    """The names that a scenario has: what targets are held against.

    ``None`` means that the names are not known beforehand: each is accepted.
    """

    queues: tuple[str, ...] | None = None
    processes: tuple[str, ...] | None = None
    dependencies: tuple[str, ...] | None = None
    points: tuple[str, ...] | None = None
    lambdas: tuple[str, ...] | None = None
    handler: bool = True
    backend: str = "memory"
    aws_services: tuple[str, ...] = field(default=("sqs",))  # with a proxy of their own (network.NAME)


class _Process(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def environ(self) -> Mapping[str, str]: ...
    @property
    def queue(self) -> str | None: ...
    def instances(self) -> Iterable[str]: ...


class ScenarioNames(Protocol):
    """What of a scenario is looked at (``harness.scenario.Scenario`` fits)."""

    @property
    def sources(self) -> tuple[str, ...]: ...
    @property
    def processes(self) -> Sequence[_Process]: ...
    @property
    def http(self) -> Mapping[str, Any]: ...
    @property
    def handler(self) -> Any: ...


_HTTP_TEMPLATE = re.compile(r"\{http:([^{}]+)\}")


def known_names(scenario: ScenarioNames, backend: str = "memory") -> Known:
    """The names that *scenario* has.

    Stub dependencies are those that it defines or hands to a process; where
    it does neither, code may still ask for any, so any name is accepted.
    """
    stubs = list(scenario.http)
    for process in scenario.processes:
        for value in process.environ.values():
            stubs += _HTTP_TEMPLATE.findall(value)
    return Known(
        queues=scenario.sources,
        processes=tuple(dict.fromkeys(_process_names(scenario))),
        dependencies=tuple(dict.fromkeys(stubs)) or None,
        lambdas=tuple(process.name for process in scenario.processes if process.queue is not None),
        handler=scenario.handler is not None,
        backend=backend,
    )


def _process_names(scenario: ScenarioNames) -> Iterator[str]:
    """The names of the processes and of each instance of them."""
    for process in scenario.processes:
        yield process.name
        if process.queue is not None:  # a Lambda function: the process of its mapping
            yield f"{process.name}:poller"
        yield from process.instances()


def validate(plan: FaultPlan, scenario: ScenarioNames, backend: str = "memory") -> None:
    """Hold every target of *plan* against what *scenario* has.

    Raises:
        PlanError: the first that names nothing, as ``faults[2].target``.
    """
    plan.check(known_names(scenario, backend))


def point_name(point: str, side: str) -> str:
    """The name of a point in reports: with its side where the layer has sides."""
    return f"{point}.{side}" if point.partition(".")[0] in _SIDED else point


def split_point(name: str) -> tuple[str, str]:
    """A point's name in reports as target and side."""
    target, _, side = name.rpartition(".")
    if side in SIDES and target.partition(".")[0] in _SIDED:
        return target, side
    return name, "before"


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Target:
    """Take a target apart and check what can be checked without a scenario and without reading AWS's models.

    Raises:
        PlanError: no such layer, no such SQS operation or Redis command, or no target at all.
    """
    if text == "*":
        return Target(text, "*", "*")
    layer, dot, name = text.partition(".")
    if layer not in LAYERS:
        hint = did_you_mean(layer, LAYERS)
        if layer.startswith("aws@"):
            hint = f"Write aws.*{layer[3:]} for everything in a region."
        raise _unknown(
            f"{text!r} begins with no layer", f"{hint} A target begins with one of: {', '.join(LAYERS)}".strip()
        )
    if dot and (not name or not _PATTERN.match(name)):
        raise _unknown(f"{text!r} has no name after {layer}.", f"Name one, or give {layer}.*")
    target, side = split_point(text)
    if side != "before" or target != text:
        raise _unknown(f"{text!r} holds a side", f'Write Fault("{target}", ..., side="{side}")')
    if layer == "handler" and dot:
        raise _unknown(f"{text!r} is no target", 'The handler is "handler"; say where in it with side=')
    if layer == "point" and not dot:
        name = "*"
    region = ""
    if layer == "aws":
        name, region = regions.split(name)
        _check_sqs(text, name)
    elif layer == "redis":
        _check_redis(text, name)
    return Target(text, layer, name or "*", region)


def _unknown(message: str, remedy: str) -> PlanError:
    return PlanError(message, field="target", remedy=remedy)


def _check_sqs(text: str, name: str) -> None:
    service, dot, operation = name.partition(".")
    if not name or name == "*" or "*" in service:
        return
    if not dot:
        raise _unknown(f"{text!r} names a service and no operation", f"Give aws.{service}.* for all of them")
    if service == "sqs":
        check_operation(text, "sqs", operation, SQS_OPERATIONS)


def _check_redis(text: str, name: str) -> None:
    # Commands of modules (JSON.SET) have a dot and are not checked: a server may have any.
    if not name or "." in name:
        return
    if not _some(name, COMMANDS):
        hint = did_you_mean(name, COMMANDS, "redis.")
        raise _unknown(f"{text!r} names no Redis command", hint or "Write commands in capitals, as in redis.INCR")


def check_operation(text: str, service: str, operation: str, operations: Iterable[str]) -> None:
    """Whether *operation* (a name or pattern) is one of the service's.

    Raises:
        PlanError: it is none.
    """
    if not _some(operation, operations):
        hint = did_you_mean(operation, operations, f"aws.{service}.")
        raise _unknown(
            f"{text!r} names no operation of {service}",
            hint or f"{service} has {listed(sorted(operations))}",
        )


def _some(pattern: str, names: Iterable[str]) -> bool:
    if "*" not in pattern:
        return pattern in names
    matches = matcher(pattern)
    return any(matches(name) for name in names)


@functools.lru_cache(maxsize=4096)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name is matched by *pattern*, in which ``*`` stands for any run of characters."""
    if "*" not in pattern:
        return pattern.__eq__
    compiled = re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
    return lambda name: compiled.fullmatch(name) is not None


@functools.lru_cache(maxsize=4096)
def struck_points(target: Target, kind: Kind) -> Callable[[str], bool]:
    """Whether a fault of *kind* at *target* may strike a point (named without its side)."""
    if target.layer == "*":
        return lambda point: not point.startswith(("workload", "process.", "clock.", "network."))
    if target.layer == "network":
        return _behind_proxy(target, kind)
    if target.layer == "aws":
        return _of_aws(target, kind)
    text = target.text
    if target.name == "*" and target.layer != "handler":
        text = f"{target.layer}.*"
    matches = matcher(text)
    operations = kind.operations
    if operations is None:
        return matches
    known = operations
    return lambda point: point.partition(".")[2] in known and matches(point)


def _of_aws(target: Target, kind: Kind) -> Callable[[str], bool]:
    matches = matcher(f"aws.{target.name}")
    here = matcher(target.region or "*")
    operations = kind.operations  # of SQS: the only service with kinds of its own

    def struck(point: str) -> bool:
        point, region = regions.of_point(point)
        if operations is not None and not (point.startswith("aws.sqs.") and point[8:] in operations):
            return False
        return matches(point) and here(region)

    return struck


def _behind_proxy(target: Target, kind: Kind) -> Callable[[str], bool]:
    matches = matcher(target.name)

    def struck(point: str) -> bool:
        layer, _, name = point.partition(".")
        if layer == "aws":
            return matches(name.partition(".")[0])
        if layer == "redis":
            return matches("redis")
        return layer == "dependency" and matches(name)

    return struck


def check_reach(target: Target, kind: Kind) -> None:
    """Whether *kind* can strike any point of *target* at all.

    Raises:
        PlanError: the kind strikes certain operations, and the target names others.
    """
    operations = kind.operations
    if operations is None or target.layer == "network":
        return
    reaches = struck_points(target, kind)
    prefix = "aws.sqs." if kind.layer == "sqs" else "redis."
    where = f"@{target.region.replace('*', '-')}" if target.region else ""
    if not any(reaches(prefix + operation + where) for operation in operations):
        raise PlanError(
            f"{kind.name} does not strike {target.text}",
            field="kind",
            remedy=f"It strikes {listed(sorted(prefix + operation for operation in operations), 6)}",
        )


# against a scenario


def check_known(target: Target, known: Known) -> None:
    """Hold *target* against the names of a scenario and AWS's models.

    Raises:
        PlanError: there is nothing of that name; names the nearest.
    """
    layer, name = target.layer, target.name
    if layer == "aws":
        _check_aws(target)
    elif layer == "handler":
        if not known.handler:
            raise _unknown(
                "'handler' needs a declared handler",
                'Add handler="package.module:function" to the scenario, or choose a point that the process passes',
            )
    elif layer == "network":
        if known.dependencies is not None:
            _check_name(target, ("sqs", "redis", *known.aws_services, *known.dependencies), "proxy")
    elif layer in ("process", "clock"):
        _check_name(target, known.processes, "process")
    elif layer == "workload":
        if name != "*":
            _check_name(target, known.queues, "queue that the workload sends to")
    elif layer == "dependency":
        _check_name(target, known.dependencies, "stub dependency")
    elif layer == "point":
        _check_name(target, known.points, "point")
    elif layer == "lambda":
        _check_name(target, known.lambdas, "Lambda function")


def _check_name(target: Target, names: tuple[str, ...] | None, what: str) -> None:
    if names is None or target.name == "*" or _some(target.name, names):
        return
    hint = did_you_mean(target.name, names, f"{target.layer}.")
    raise _unknown(
        f"{target.text!r} names no {what} of the scenario",
        hint or f"It has {listed(dict.fromkeys(names))}",
    )


def _check_aws(target: Target) -> None:
    regions.check(target.text, target.region)
    service, _, operation = target.name.partition(".")
    if target.name == "*" or "*" in service or service == "sqs":
        return
    services = _services()
    if service not in services:
        hint = did_you_mean(service, services, "aws.")
        raise _unknown(
            f"{target.text!r} names no service of AWS",
            hint or "Write the service as boto3.client() takes it, such as aws.dynamodb.PutItem",
        )
    check_operation(target.text, service, operation, _operations(service))


@functools.cache
def _loader() -> object:
    from botocore.loaders import create_loader

    return create_loader()


@functools.cache
def _services() -> frozenset[str]:
    """The services that botocore knows. Its own data files are read, once."""
    return frozenset(_loader().list_available_services("service-2"))  # type: ignore[attr-defined]


@functools.cache
def _operations(service: str) -> frozenset[str]:
    return frozenset(_loader().load_service_model(service, "service-2")["operations"])  # type: ignore[attr-defined]
