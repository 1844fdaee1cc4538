"""What a rule works with: what it looks at one by one, values that may not be told, and what it has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from harness.audit.changes import Change
from harness.audit.estate import Estate, Function, Mapping, QueueSettings, Unknown

__all__ = [
    "DAY_S",
    "Check",
    "NotTold",
    "Seen",
    "in_time",
    "on_dead_letter_queues",
    "on_functions",
    "on_mappings",
    "on_queues",
    "on_redrives",
    "told",
]

T = TypeVar("T")
DAY_S: Final = 86_400


class NotTold(Exception):
    """A value that a rule needs is not told by the source."""


@dataclass(frozen=True)
class Seen:
    """What is against a rule: on which resource, what stands there, why it does damage, the change."""

    resource: str
    where: str
    seen: str
    why: str
    change: Change


#: Gives each thing that a rule looks at, by its id, with what judges it. Judging raises :class:`NotTold`.
Check = Callable[[Estate], Iterator[tuple[str, Callable[[], Seen | None]]]]


def told(value: T | Unknown, name: str) -> T:
    """The value. Raises :class:`NotTold` with *name* and the reason."""
    if isinstance(value, Unknown):
        raise NotTold(f"{name}: {value.why}")
    return value


def in_time(seconds: int) -> str:
    """Seconds as people say them: 345600 is 4 days."""
    for size, unit in ((DAY_S, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            number = seconds // size
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{seconds} s"


def on_queues(judge: Callable[[Estate, QueueSettings], Seen | None]) -> Check:
    """A rule on every queue."""
    return lambda estate: ((queue.id, partial(judge, estate, queue)) for queue in estate.queues)


def on_dead_letter_queues(judge: Callable[[Estate, QueueSettings], Seen | None]) -> Check:
    """A rule on every queue that is another one's dead-letter queue."""
    return lambda estate: ((queue.id, partial(judge, estate, queue)) for queue in estate.dead_letter_queues())


def on_redrives(judge: Callable[[QueueSettings, QueueSettings], Seen | None]) -> Check:
    """A rule on every dead-letter queue with each of its sources."""
    return lambda estate: (
        (queue.id, partial(judge, queue, source))
        for queue in estate.dead_letter_queues()
        for source in estate.sources_of(queue)
    )


def on_mappings(judge: Callable[[Mapping, QueueSettings], Seen | None]) -> Check:
    """A rule on every event source mapping with its queue. None is judged where the source could not tell of any."""
    return lambda estate: (
        (mapping.id, partial(judge, mapping, queue)) for queue in estate.queues for mapping in estate.mappings_of(queue)
    )


def on_functions(judge: Callable[[Mapping, QueueSettings, Function], Seen | None]) -> Check:
    """A rule on every event source mapping with its queue and its function."""

    def each(estate: Estate, mapping: Mapping, queue: QueueSettings) -> Seen | None:
        return judge(mapping, queue, _function(estate, mapping))

    return lambda estate: (
        (mapping.id, partial(each, estate, mapping, queue))
        for queue in estate.queues
        for mapping in estate.mappings_of(queue)
    )


def _function(estate: Estate, mapping: Mapping) -> Function:
    found = estate.function(told(mapping.function, "FunctionName"))
    if found is None:
        raise NotTold(f"its function {mapping.function} is not in the source")
    return found
