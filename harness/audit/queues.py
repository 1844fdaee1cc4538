"""The queues of a template as those of a scenario: what is simulated is what is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.audit.cloudformation import read_template
from harness.audit.estate import DEFAULTS, Estate, QueueSettings, Unknown
from harness.audit.terraform import is_terraform, read_terraform
from harness.errors import UsageError
from harness.scenario import Queue

__all__ = ["from_template", "read_file"]


def read_file(path: str | Path, parameters: Mapping[str, str] | None = None) -> Estate:
    """The estate of a CloudFormation or SAM template, or of an output of ``terraform show -json``.

    Raises:
        UsageError: the file cannot be read, is neither, or has no queue.
    """
    path = Path(path)
    if path.suffix == ".json":
        try:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"cannot be read ({getattr(error, 'strerror', None) or 'it is no UTF-8 text'})", file=str(path)
            ) from None
        except ValueError as error:
            raise UsageError(f"is no JSON ({error})", file=str(path)) from None
        if is_terraform(document):
            if parameters:
                raise UsageError("a plan has no parameters", file=str(path), field="--parameter")
            return read_terraform(path, document)
    return read_template(path, parameters)


def from_template(path: str | Path, parameters: Mapping[str, str] | None = None) -> list[Queue]:
    """The queues that a template makes, with their settings and redrive policies, for ``Scenario(queues=...)``.

    Args:
        path: a CloudFormation or SAM template, or ``terraform show -json`` of a plan or state. A relative path is
            looked for where the run is started.
        parameters: values of the template's parameters, in place of their defaults.

    A queue is called what the template names it (``QueueName``), or by its
    logical id where it has no name.

    Raises:
        UsageError: the file cannot be read, or a queue's setting cannot be told from it; names file and field.
    """
    estate = read_file(path, parameters)
    return [_queue(queue, estate) for queue in estate.queues]


def _queue(queue: QueueSettings, estate: Estate) -> Queue:
    def told(field: str, value: int | str | bool | Unknown | None) -> int | str | bool | None:
        if isinstance(value, Unknown):
            raise UsageError(f"cannot be told: {value.why}", file=estate.source, field=f"{queue.id}.{field}")
        return value

    def number(field: str, value: int | Unknown) -> int:
        found = told(field, value)
        assert isinstance(found, int)
        return found

    dead_letter, name = told("RedrivePolicy", queue.dead_letter), None
    if dead_letter is not None:
        target = estate.queue(str(dead_letter))
        name = target.name if target is not None else str(dead_letter).rsplit(":", 1)[-1]
    max_receives = told("RedrivePolicy.maxReceiveCount", queue.max_receives)
    size = number("MaximumMessageSize", queue.max_message_size)
    return Queue(
        queue.name,
        visibility_timeout=number("VisibilityTimeout", queue.visibility_timeout),
        dead_letter=name,
        max_receives=max_receives if isinstance(max_receives, int) else None,
        delay=number("DelaySeconds", queue.delay),
        retention=number("MessageRetentionPeriod", queue.retention),
        wait=number("ReceiveMessageWaitTimeSeconds", queue.wait),
        content_based_deduplication=told("ContentBasedDeduplication", queue.content_based_deduplication) is True,
        attributes={} if size == DEFAULTS["MaximumMessageSize"] else {"MaximumMessageSize": str(size)},
    )
