"""Queues, functions, mappings and alarms as the rules see them, whatever they were read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["ATTRIBUTES", "DEFAULTS", "Alarm", "Estate", "Function", "Mapping", "QueueSettings", "Syntax", "Unknown"]

Syntax = Literal["cloudformation", "terraform", "aws"]

#: What AWS takes for a queue's attribute that is not given, as CreateQueue documents it.
DEFAULTS: Final = {
    "VisibilityTimeout": 30,
    "MessageRetentionPeriod": 345_600,
    "DelaySeconds": 0,
    "ReceiveMessageWaitTimeSeconds": 0,
    "MaximumMessageSize": 1_048_576,
}

#: Field of :class:`QueueSettings` -> the queue's attribute.
ATTRIBUTES: Final = {
    "visibility_timeout": "VisibilityTimeout",
    "retention": "MessageRetentionPeriod",
    "delay": "DelaySeconds",
    "wait": "ReceiveMessageWaitTimeSeconds",
    "max_message_size": "MaximumMessageSize",
}


@dataclass(frozen=True)
class Unknown:
    """A value that the source does not tell: *why*, in words, and what would tell it."""

    why: str


@dataclass(frozen=True)
class QueueSettings:
    """One queue. *id* is how the source calls it, *name* its name on AWS; times in seconds, sizes in bytes.

    *dead_letter* is the id of a queue of the same estate, or the ARN of one that is not in it. *allows* are the ids
    (or ARNs) of the queues that its RedriveAllowPolicy lets use it as their dead-letter queue: ``None`` for all.
    """

    id: str
    name: str
    fifo: bool
    where: str = ""
    visibility_timeout: int | Unknown = DEFAULTS["VisibilityTimeout"]
    retention: int | Unknown = DEFAULTS["MessageRetentionPeriod"]
    delay: int | Unknown = DEFAULTS["DelaySeconds"]
    wait: int | Unknown = DEFAULTS["ReceiveMessageWaitTimeSeconds"]
    max_message_size: int | Unknown = DEFAULTS["MaximumMessageSize"]
    dead_letter: str | Unknown | None = None
    max_receives: int | Unknown | None = None
    content_based_deduplication: bool | Unknown = False
    allows: tuple[str, ...] | Unknown | None = None


@dataclass(frozen=True)
class Function:
    """A Lambda function: its timeout in seconds, and the concurrency that is reserved for it."""

    id: str
    where: str = ""
    timeout: int | Unknown = 3
    reserved_concurrency: int | Unknown | None = None


@dataclass(frozen=True)
class Mapping:
    """An event source mapping from a queue to a function, both by id."""

    id: str
    queue: str
    function: str | Unknown
    where: str = ""
    batch_size: int | Unknown = 10
    window: int | Unknown = 0
    report_batch_item_failures: bool | Unknown = False
    maximum_concurrency: int | Unknown | None = None


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm on a metric of a queue; *queue* is its id, or the name that the alarm's dimension has."""

    id: str
    queue: str | Unknown
    metric: str
    where: str = ""


@dataclass(frozen=True)
class Estate:
    """All that was read from one source. *alarms* or *mappings* of ``None``: the source could not tell of any.

    *remarks* say what was there and could not be read.
    """

    source: str
    syntax: Syntax
    queues: tuple[QueueSettings, ...]
    functions: tuple[Function, ...] = ()
    mappings: tuple[Mapping, ...] | None = ()
    alarms: tuple[Alarm, ...] | None = ()
    remarks: tuple[str, ...] = field(default=())

    def queue(self, id: str | Unknown | None) -> QueueSettings | None:
        """The queue of that id, ARN or name, if it is in this estate."""
        if not isinstance(id, str):
            return None
        name = id.rsplit(":", 1)[-1] if id.startswith("arn:") else id
        for queue in self.queues:
            if queue.id == id:
                return queue
        return next((queue for queue in self.queues if queue.name == name), None)

    def function(self, id: str | Unknown) -> Function | None:
        """The function of that id, if it is in this estate."""
        return next((function for function in self.functions if function.id == id), None)

    def sources_of(self, queue: QueueSettings) -> list[QueueSettings]:
        """The queues whose dead-letter queue this is."""
        return [other for other in self.queues if self.queue(other.dead_letter) is queue]

    def mappings_of(self, queue: QueueSettings) -> list[Mapping]:
        """The mappings that read from this queue."""
        return [mapping for mapping in self.mappings or () if self.queue(mapping.queue) is queue]

    def alarms_of(self, queue: QueueSettings) -> list[Alarm]:
        """The alarms on a metric of this queue."""
        return [alarm for alarm in self.alarms or () if self.queue(alarm.queue) is queue]

    def dead_letter_queues(self) -> Iterable[QueueSettings]:
        """The queues that are another one's dead-letter queue."""
        return [queue for queue in self.queues if self.sources_of(queue)]
