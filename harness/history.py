"""The history of a run: one header and one event for everything that happened, in order.

A history is JSON Lines. The first line is the header; each line after it is
an event ``{"n", "t", "actor", "kind", ...}``:

* ``n``: the event's number, from 1, without gaps;
* ``t``: seconds since the start of the run (whole microseconds);
* ``actor``: who did it (``worker.1``, ``worker.1/Thread-2``, ``workload``, ``faults``, ``-`` for the run itself);
* ``kind``: one of :data:`KINDS`;
* ``message``: the message's id where the event is about one; ``key`` its key in the workload;
* ``cause``: the number of the event that woke the actor, on the first event after it was woken.

Delivery is transport-neutral: *message, delivery, acknowledgement, effect*.
Invariants and reports read histories and nothing else, so that a saved
history can be judged and drawn again years later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from harness.errors import HistoryError

__all__ = ["KINDS", "SCHEMA", "VERSION", "Event", "Header", "History", "Writer"]

Event: TypeAlias = Mapping[str, Any]
Header: TypeAlias = Mapping[str, Any]

SCHEMA = "harness-history"
VERSION = 1

#: Every kind of event, with its fields (``message``, ``key`` and ``cause`` apart) and what it says.
KINDS: dict[str, str] = {
    # the run
    "run.start": "the run began",
    "run.quiet": "the last send and the last fault are over: the quiet period begins; `until`",
    "run.end": "the run is over; `reason` (quiet, violation, deadlock, runaway, stalled, interrupted, error), "
    "`queues` {name: {visible, in_flight, delayed}}, `points` {point: {passed, struck}}, `steps`, and with pre-emption "
    "`preempt` {level, passed, and how often an actor was held up: calls, statements}",
    # delivery
    "send": "a message was accepted by a queue; `queue`, `bytes`, `origin` (workload or process), `body` or "
    "`length` and `digest`, `original` (id of the message that this one carries on, where known), `group`, `delay`",
    "receive": "a message was delivered; `queue`, `receive_count`, `handle`, `visible_at` (seconds; null: it is hidden "
    "from others until somebody takes it back, as in Redis)",
    "delete": "a message was acknowledged; `queue`, `handle`, `found` (false: nothing was there to delete)",
    "visibility": "the visibility timeout of a delivery was changed; `queue`, `handle`, `visible_at` (seconds)",
    "move": "native redrive took a message from `queue` to `to`; `receive_count` (a move task sends and deletes)",
    "message.lost": "the server that held a message lost it (a failover, a flush of Redis); `queue`",
    "expire": "retention ran out and the message is gone; `queue`",
    "purge": "the messages of a queue were purged; `queue`, `messages` (ids)",
    "queue.create": "a queue was made; `queue`",
    "queue.delete": "a queue was deleted; `queue`, `messages` (ids that went with it)",
    "effect": "the outside world changed for a message's key; `name`, `key`, `source` (point, http, redis, "
    "sqlite, queue, handler)",
    "effect.lost": "an effect was undone because its store lost it (a failover, a flush); `name`, `key`",
    "quarantine": "a message was put in quarantine; `key` where known, `reason`",
    "release": "a message left the quarantine; `key` where known",
    # calls
    "call.failed": "a service call failed for the caller; `point`, `error` (AWS code or class name), `fault` "
    "(index in the plan, or null when the service itself refused), `took` (seconds)",
    "handler.start": "the declared handler began; `key` where known",
    "handler.end": "the declared handler ended; `outcome` (ok, error), `error` (class name), `took` (seconds)",
    # faults
    "fault.start": "a fault's window opened; `fault` (index in the plan), `target`, `fault_kind`",
    "fault.end": "a fault's window closed; `fault`, `target`, `fault_kind`",
    "fault.strike": "a fault struck; `fault`, `point` (with its side), `fault_kind`, and what it did",
    # Lambda functions; `function` in each, `messages` are ids
    "lambda.invoke": "an event source mapping invoked a function; `request` (id), `sandbox` (its process), `cold` (it "
    "has to be started first), `messages`",
    "lambda.answer": "an invocation ended and its answer was looked at; `request`, `sandbox`, `outcome` (success, "
    "partial, malformed, error, timeout, crash), `messages`, `failed` (those that are not deleted), `took` (seconds), "
    "`error` (what is wrong)",
    "lambda.throttled": "an invocation was refused, or its answer was lost; `messages`, `attempt` (from 1), `again` "
    "(it is tried again; false: the batch is given back, its receive spent), `reason`",
    "lambda.filtered": "messages that no filter lets through are deleted unread; `messages`, `by_format` (true: no "
    "filter is for bodies of their format), `reason`",
    "lambda.scale": "the mapping changed how many batches it treats at a time; `pollers`, `reason`",
    # processes and clocks
    "process.start": "a process began; `process`, `incarnation` (from 1)",
    "process.exit": "a process ended; `process`, `outcome` (returned, error, exit), `error`",
    "process.crash": "a process was killed, as by SIGKILL; `process`",
    "process.sigterm": "SIGTERM was delivered; `process`, `handled`",
    "process.pause": "a process stopped running; `process`, `until` (seconds)",
    "process.resume": "a paused process runs again; `process`",
    "thread.error": "a thread ended by an exception; `error`",
    "preempt": "an actor was held up inside a block of rewritten code; `where` (module:line), `level` (calls, "
    "statements), `seconds`",
    "clock.jump": "a process's wall clock was moved; `process`, `seconds`, `offset`",
    "clock.drift": "a process's wall clock runs at another speed; `process`, `rate`",
    # components, as listeners saw them
    # (`owner` of a breaker.* event: the process that used it first, if that is not the actor's)
    "breaker.created": "a breaker was made, or first used; `breaker`, `library`, `failure_threshold`, "
    "`recovery_timeout` (seconds), `half_open_permits`, `success_threshold`, `mode` (consecutive, count, time), "
    "`recovery_timeout_max` (if the open time grows), of a window `failure_rate`, `minimum_calls`, `size` (calls) or "
    "`seconds`, `slow_call_rate`; `shared` (true: processes share its state in a store), `store` (its name), "
    "`permit_seconds` (how long a probe keeps its permit), `state` (in which it begins, if that is not closed)",
    "breaker.limits": "the limits of a breaker in use were changed; `breaker`, `failure_threshold`, "
    "`recovery_timeout` (seconds)",
    "breaker.store": "the store of a shared breaker failed for a process, which goes on alone, or answers it again; "
    "`breaker`, `available`, `error`",
    "breaker.transition": "a breaker changed its state; `breaker`, `from`, `to`, `generation`, `reason`, `at` (of a "
    "shared one: when, in seconds of its store's clock; a process may learn of it later)",
    "breaker.call": "a call went through a breaker or was refused; `breaker`, `outcome` (success, failure, ignored, "
    "rejected), `state`, `generation` (of the state in which the call began), `error`, `transient`, `call` (that "
    "began; null if rejected), `slow` (true, where it took longer than the window's limit)",
    "breaker.begin": "a call was let in; `breaker`, `state`, `generation`, `call`",
    "retry.policy": "a retry policy was made or first used; `policy`, `library`, `max_attempts`, `cap`, `deadline`",
    "retry.attempt": "an attempt ended; `policy`, `call`, `attempt` (from 1), `outcome` (success, error), `error`, "
    "`permanent` (true, false, null)",
    "retry.sleep": "a policy waits before the next attempt; `policy`, `call`, `attempt` (that failed), `delay`, "
    "`low`, `high` (the allowed band, null where unknown)",
    "retry.end": "a policy gave its answer; `policy`, `call`, `attempts`, `outcome` (success, error), `error`, "
    "`reason` (success, permanent, unknown, attempts, deadline, budget, hint, stopped; where known)",
    "degradation.created": "a degradation manager was first seen; `manager`, `library`, `levels` (names, from the "
    "best on), `thresholds` {metric: the number for each level from the second on}, `measures` {measure: the number of "
    "the level from which it is in force}, `features` (that can be off), `breakers` (how many it has a hand on), "
    "`queues` (that it watches)",
    "degradation.health": "the health was looked at; `manager`, `health` {metric: value, null where unknown}, "
    "`assessed` (the level that it asks for), `allows` (the level to which the one in force may fall, margin "
    "included), `level` (in force), `pinned` (a person keeps it there)",
    "degradation.level": "the level changed; `manager`, `level`, `before`, `health`, `reason`, `by_hand`",
    "degradation.measure": "a measure was applied, applied anew or lifted; `manager`, `measure`, `active`, `level`, "
    "and what is in force then: `rate` (messages a second, null: no limit), `off` (features), `breakers` (tightened or "
    "isolated), `intake` (open, by-priority, stopped), `error` (class name, where it failed)",
    "monitoring.count": "errors were counted; `metric`, `value`, `namespace`, `dimensions`, `source` (tracked: by the "
    "code under test; cloudwatch: accepted by CloudWatch, with `samples`)",
    "alarm.put": "an alarm was created or changed; `alarm`, `created`, `namespace`, `metric`, `dimensions`, "
    "`statistic`, `period` (seconds), `evaluation_periods`, `datapoints_to_alarm`, `threshold`, `comparison`, "
    "`missing_data`, `actions` (how many), `wall_clock` (true where its windows keep to the clock)",
    "alarm.delete": "an alarm was deleted; `alarm`",
    "alarm.state": "an alarm changed its state; `alarm`, `from`, `to`, `reason`",
    "alarm.action": "an alarm ran an action; `alarm`, `state`, `action` (its ARN)",
    # assertions of the code under test
    "assert.always": "a condition of points.always; `name`, `held`",
    "assert.sometimes": "a condition of points.sometimes; `name`, `held`",
    "assert.reachable": "points.reachable was passed; `name`",
}


class Writer:
    """Writes a history as it happens, in pieces of 64 KB.

    ``flush()`` is for moments after which nothing may follow (a crash, a
    signal); ``durable=True`` flushes after each event.
    """

    def __init__(self, path: Path, header: Header, *, durable: bool = False, buffer_bytes: int = 65_536) -> None:
        import orjson

        self._dumps = orjson.dumps
        self._option = orjson.OPT_APPEND_NEWLINE
        self.path = path
        self._file: IO[bytes] = path.open("wb", buffering=0)
        self._buffer = bytearray()
        self._limit = 1 if durable else buffer_bytes
        self._append(header)

    def write(self, event: Event) -> None:
        self._append(event)

    def _append(self, record: Mapping[str, Any]) -> None:
        self._buffer += self._dumps(record, option=self._option)
        if len(self._buffer) >= self._limit:
            self.flush()

    def flush(self) -> None:
        while self._buffer:  # a disk that is nearly full takes a part, and says so at the next
            del self._buffer[: self._file.write(self._buffer)]

    def close(self) -> None:
        if not self._file.closed:
            self.flush()
            self._file.close()

    def abandon(self) -> None:
        """Close without what is not yet written: the disk did not take it."""
        self._buffer.clear()
        self._file.close()


class History:
    """A header and its events. Iterating gives the events in order."""

    def __init__(self, header: Header, events: list[Event] | None = None) -> None:
        self.header = header
        self.events: list[Event] = events if events is not None else []

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"History({self.header.get('scenario')!r}, {len(self.events)} events)"

    def of(self, *kinds: str) -> list[Event]:
        """The events of the given kinds, in order."""
        return [event for event in self.events if event["kind"] in kinds]

    def lines(self) -> Iterator[bytes]:
        """The events as JSON Lines, without the header: what determinism compares."""
        import orjson

        for event in self.events:
            yield orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)

    def to_bytes(self) -> bytes:
        """The events as one piece of JSON Lines, without the header."""
        return b"".join(self.lines())

    def save(self, path: Path) -> None:
        writer = Writer(path, self.header)
        try:
            for event in self.events:
                writer.write(event)
        finally:
            writer.close()

    @classmethod
    def load(cls, path: Path | str) -> History:
        """Read a history file.

        Raises:
            HistoryError: it is not there, cut off, of another version, or not a history.
        """
        path = Path(path)
        name = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise HistoryError(
                f"cannot be read ({error.strerror})", file=name, remedy="Give the path of a history.jsonl"
            ) from None
        if not raw.strip():
            raise HistoryError("is empty", file=name, remedy="A history begins with a header line")
        header_line, _, rest = raw.partition(b"\n")
        header = _check_header(_parse(header_line, name, 1), name)
        lines = rest.split(b"\n")
        if lines and not lines[-1].strip():
            lines.pop()
        elif rest or not raw.endswith(b"\n"):
            raise HistoryError(
                "is cut off in the middle of its last line",
                file=name,
                field=f"line {len(lines) + 1}",
                remedy="Copy it again, or delete that last line to judge what is left",
            )
        events: list[Event] = []
        for number, line in enumerate(lines, start=2):
            event = _parse(line, name, number)
            _check_event(event, number - 1, name, number)
            events.append(event)
        return cls(header, events)


def _parse(line: bytes, name: str, number: int) -> dict[str, Any]:
    import orjson

    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise HistoryError(
            f"is not JSON ({error.msg})",
            file=name,
            field=f"line {number}",
            remedy="A history is JSON Lines; the file is cut off or was edited",
        ) from None
    if not isinstance(value, dict):
        raise HistoryError(
            "is no JSON object", file=name, field=f"line {number}", remedy="Each line of a history is an object"
        )
    return value


def _check_header(header: dict[str, Any], name: str) -> dict[str, Any]:
    if header.get("schema") != SCHEMA:
        raise HistoryError(
            f"is not a history of this tool (schema {header.get('schema')!r})",
            file=name,
            field="line 1, schema",
            remedy=f"The header of a history says {SCHEMA!r}; `harness run` writes such files",
        )
    if header.get("version") != VERSION:
        raise HistoryError(
            f"has version {header.get('version')!r}, this harness reads version {VERSION}",
            file=name,
            field="line 1, version",
            remedy="Read it with the harness that wrote it",
        )
    return header


def _check_event(event: dict[str, Any], expected: int, name: str, number: int) -> None:
    for field, types in (("n", int), ("t", (int, float)), ("actor", str), ("kind", str)):
        if not isinstance(event.get(field), types):
            raise HistoryError(
                f"has no valid {field!r}", file=name, field=f"line {number}", remedy="The file was edited or cut off"
            )
    if event["n"] != expected:
        raise HistoryError(
            f"has number {event['n']}, expected {expected}",
            file=name,
            field=f"line {number}, n",
            remedy="Events are missing or out of order: the file was edited or cut off",
        )
