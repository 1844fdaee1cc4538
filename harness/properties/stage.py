"""What a probe of a whole consumer puts under a run: who is who, what counts as an effect, where things give way.

A component brings keys of its own (a message's id, a field of its body, what
the contract's ``key`` makes of it); here they are led back to the message. An
effect takes time and is a fault point, ``point.effect`` before it and
``point.effected`` after it; so is each statement of SQLite,
``point.sqlite``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness import points
from harness.effects import Bench, Effect, PointEffect, Undo
from harness.errors import UsageError
from harness.properties.contract import Function, is_async
from harness.properties.letters import Original, problem_of, told_in
from harness.properties.settling import Settling
from harness.properties.watching import LookingHook, StagedEffect, StagedSink
from harness.sim import real, world
from harness.sim.wire import sqlite as sqlite_wire

__all__ = ["DEAD", "MAIN", "SQLITE", "Stage", "call", "handle", "handle_async", "work"]

MAIN, DEAD = "main", "main-dlq"
#: The fault point of a statement of SQLite.
SQLITE = "point.sqlite"
#: The name of an effect that is only counted.
COUNTED = "effect"

_STATEMENT_US = 1_000
_RESTART_S = 1.0
_IDLE_S = (0.2, 20.0)

_on: Stage | None = None  # the stage of the run that is going on
_fresh_names = itertools.count(real.time_ns() // 1_000_000_000 * 1_000, 1_000)  # for what outlives a run, or a process


def work(env: Any) -> None:
    """A process of a probe."""
    assert _on is not None
    _on.work(env)


def handle(message: Mapping[str, Any]) -> None:
    """The handler that a probe of dead letters gives to the component: the message takes effect."""
    assert _on is not None
    points.effect(_on.names[0], message["MessageId"])


async def handle_async(message: Mapping[str, Any]) -> None:
    """The same as a coroutine function."""
    assert _on is not None
    await asyncio.sleep(_on.effect_s)
    points.effect(_on.names[0], message["MessageId"])


class Stage:
    """One setting of a probe, for any number of runs, one at a time.

    Args:
        effects: what shows that a message was handled, or a function that counts for a key.
        main: what each process does: ``main(env, stage)``.
        body: the body of message 1, 2, ...
        key: the key that the component knows a message by; ``None``: whatever it uses.
        effect_s: how long an effect takes, in seconds.
        store: makes what the workers share, once a run.
        expected: how many messages there are.
    """

    def __init__(
        self,
        effects: tuple[Effect, ...] | Callable[[str], int],
        main: Callable[[Any, Stage], object],
        *,
        body: Callable[[int], object] | None = None,
        key: Callable[[Mapping[str, Any]], str] | None = None,
        effect_s: float = 0.05,
        store: Callable[[], Any] | None = None,
        expected: int = 0,
    ) -> None:
        self.effect_s = effect_s
        self.expected = expected
        self._main = main
        self._own_body = body
        self._key = key
        self._make_store = store
        counting = callable(effects) and not isinstance(effects, Effect)
        self._count: Callable[[str], int] | None = effects if counting else None  # type: ignore[assignment]
        inner = (PointEffect(COUNTED),) if counting else effects
        self.effects = tuple(StagedEffect(one, self, first=not place) for place, one in enumerate(inner))  # type: ignore[arg-type]
        self.names = tuple(one.name for one in self.effects)
        #: Whether the component remembers from run to run: each run then has bodies of its own.
        self.fresh = False
        #: What is wrong with the contract itself, if a run has shown something.
        self.usage: UsageError | None = None
        self._first_name = 0
        self._begin()

    def _begin(self) -> None:
        self._aliases: dict[str, str | None] = {}  # None: of several messages
        self._originals: dict[str, Original] = {}  # by message id
        self.sent = 0
        self._base: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._spellings: dict[str, list[str]] = {}  # by message: what it may be called
        self._looking = False
        self._store: list[Any] = []
        self.failures: list[str] = []

    @property
    def refusable(self) -> bool:
        """Whether a fault can make an effect fail: the component tells of it through ``harness.points``."""
        return not self.counted and all(one.source == "point" for one in self.effects)

    @property
    def counted(self) -> bool:
        """Whether effects are counted by a function of the contract."""
        return self._count is not None

    # -- messages

    @property
    def path(self) -> str | None:
        """Where the key stands in a body; ``None``: the key is the message's number, from 0."""
        if self._own_body is not None:
            return None
        return "$.number" if self.fresh else "$.id"

    def body(self, number: int) -> object:
        """The body of message *number*, from 0, as a workload asks for it."""
        name = self._first_name + number + 1
        if self._own_body is not None:
            return self._own_body(name)
        return {"id": name, "order_id": name, **({"number": number + 1} if self.fresh else {})}

    def message(self, number: int) -> str:
        """The key of message *number*, from 1, in plans and reports."""
        return str(number) if self.path else str(number - 1)

    def _on_send(self, queue: str, body: str, message_id: str, origin: str) -> None:
        if origin != "workload":
            return
        self.sent += 1
        key = self.message(self.sent)
        spellings = [message_id, body, *_scalars(body)]
        if self._key is not None:
            try:
                spellings.insert(0, str(self._key(_as_received(message_id, body))))
            except Exception as error:  # a body that a fault has spoilt may have none
                self.failures.append(f"key: {type(error).__name__}: {error}")
        for one in dict.fromkeys(spellings):
            self._aliases[one] = key if self._aliases.get(one, key) == key else None
        self._originals[message_id] = Original(message_id, key, body)
        self._spellings[key] = list(dict.fromkeys(spellings))
        if self._count is not None:
            self._base[key] = self._counted(key)

    def canonical(self, key: object) -> str:
        """The message that the component calls *key*; *key* itself where that is none."""
        text = key if isinstance(key, str) else str(key)
        return self._aliases.get(text) or text

    # -- a run

    def enter(self, bench: Bench) -> Undo:
        """A run begins: its messages, keys and points lead here."""
        global _on
        run = world.current()
        assert run is not None
        before, _on = _on, self
        self._first_name = next(_fresh_names) if self.fresh else 0
        self._begin()
        undo = bench.on_send(self._on_send)
        service: Any = run.services["sqs"]
        if self.fresh:  # ids of messages are names of theirs, too
            service.new_names(self._first_name)
        key_of = service.key_of
        service.key_of = lambda queue, body, attributes: self._told(service, key_of, queue, body, attributes)
        run.wires[sqlite_wire.BEFORE] = self._before_statement
        record: Any = run.record
        record.tap("process.start", lambda event: self._take_points())
        Settling(run, record, lambda: sum(service.inventory()[MAIN].values()), self._all_sent, DEAD)
        if self._count is not None:
            run.hook = LookingHook(run.hook, self)
            sleeping = run.kernel.on_sleep
            run.kernel.on_sleep = self.look if sleeping is None else _one_after_the_other(self.look, sleeping)

        def leave() -> None:
            global _on
            _on = before
            undo()

        return leave

    def _all_sent(self) -> bool:
        return self.sent >= self.expected

    def _take_points(self) -> None:
        """The run's own sink is there by now: what the component reports comes here first."""
        sink = points._sink
        if sink is not None and not isinstance(sink, StagedSink):
            points.set_sink(StagedSink(sink, self))

    def _told(
        self, service: Any, key_of: Callable[..., Any], queue: str, body: str, attributes: Mapping[str, Any]
    ) -> tuple[str | None, str | None]:
        """Key and original id of what a process sends; of a dead letter it is seen whether it is whole."""
        key, original_id = key_of(queue, body, attributes)
        original = self._originals.get(original_id or "") or told_in(body, attributes, self._originals.values())
        if original is None:
            same = [one for one in self._originals.values() if key is not None and one.key == key]
            original = same[0] if same else None
        if original is None:
            return key, original_id
        if queue == DEAD:
            sent = _attributes_of(service, original.message)
            problem = None if sent is None else problem_of(original, sent, body, attributes)
            run = world.current()
            if problem and run is not None:
                name = f'envelope: the dead letter of message "{original.key}" {problem}'
                run.record("assert.always", name=name, held=False)
        return original.key, original.message

    def _before_statement(self) -> None:
        run = world.current()
        if run is None or self._looking:
            return
        run.hook.passing(SQLITE, "before")
        run.kernel.sleep_us(_STATEMENT_US)

    # -- effects that are counted

    def look(self) -> None:
        """Take down what has happened since the last look."""
        run = world.current()
        if self._count is None or self._looking or run is None:
            return
        self._looking = True
        try:
            for key in self._spellings:
                now = self._counted(key) - self._base[key]
                before = self._counts.get(key, 0)
                for _ in range(now - before):
                    run.record("effect", name=COUNTED, key=key, source="point")
                self._counts[key] = max(now, before)
        finally:
            self._looking = False

    def _counted(self, key: str) -> int:
        """How often the component says it has happened; by the contract's key where it has one."""
        assert self._count is not None
        spellings = self._spellings[key]
        for one in spellings[:1] if self._key is not None else spellings:
            try:
                found = self._count(one)
            except LookupError:
                continue
            except sqlite3.OperationalError:  # somebody writes: it will be seen later
                return self._base.get(key, 0) + self._counts.get(key, 0)
            if not isinstance(found, int):
                remedy = "Return a whole number: how often it has happened"
                self.usage = UsageError(f"gave {found!r}", field="effects", remedy=remedy)
                return 0
            if found:
                return found
        return 0

    # -- what the processes do

    def work(self, env: Any) -> None:
        """The main function of a worker: what the component does; it is started again if that ends."""
        while True:
            try:
                self._main(env, self)
            except Exception as error:
                self.failed(error)
            self.look()
            if _told_to_stop():
                return
            time.sleep(_RESTART_S)

    def failed(self, error: BaseException) -> None:
        """Keep what the component raised, for the report."""
        if len(self.failures) < 20:
            self.failures.append(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)

    def keep_store(self) -> None:
        """A process of its own makes what the workers share, and lives on: no fault strikes it."""
        assert self._make_store is not None
        self._store.append(self._make_store())
        while True:
            time.sleep(86_400)

    def store(self) -> Any:
        """What the workers share; of a SQLite file a connection of one's own."""
        while not self._store:
            time.sleep(0.001)
        shared = self._store[0]
        if isinstance(shared, sqlite3.Connection) and _is_file(shared):
            assert self._make_store is not None
            return self._make_store()
        return shared

    def consume(self, process: Function, arguments: tuple[Any, ...]) -> None:
        """Receive, have each message handled, delete it: what stands round a function that handles one."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=MAIN)["QueueUrl"]
        low, high = _IDLE_S
        idle = low
        while True:
            try:
                messages = sqs.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=10,
                    WaitTimeSeconds=0,
                    AttributeNames=["All"],
                    MessageAttributeNames=["All"],
                ).get("Messages", [])
            except (BotoCoreError, ClientError):
                messages = []
            idle = low if messages else min(high, idle * 2)
            for message in messages:
                try:
                    call(process, message, *arguments)
                except Exception as error:
                    self.failed(error)
                    continue
                finally:
                    self.look()
                try:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                except (BotoCoreError, ClientError):
                    continue  # it comes again
            time.sleep(idle)


def call(function: Function, *arguments: Any) -> Any:
    """Call *function*; one that is a coroutine function runs to its end."""
    return asyncio.run(function(*arguments)) if is_async(function) else function(*arguments)


def _one_after_the_other(first: Callable[[], object], second: Callable[[], object]) -> Callable[[], object]:
    def both() -> object:
        first()
        return second()

    return both


def _told_to_stop() -> bool:
    """Whether this process has been sent SIGTERM."""
    run = world.current()
    assert run is not None
    assert run.kernel.current is not None
    process = run.kernel.current.process
    events = run.record.events  # type: ignore[attr-defined]
    for event in reversed(events):
        if event["kind"] == "process.start" and event["process"] == process.name:
            return False
        if event["kind"] == "process.sigterm" and event["process"] == process.name:
            return True
    return False


def _is_file(connection: sqlite3.Connection) -> bool:
    """Whether the database is a file, so that another connection sees the same."""
    return any(row[1] == "main" and row[2] for row in sqlite3.Connection.execute(connection, "PRAGMA database_list"))


def _scalars(body: str) -> Iterator[str]:
    """The values of a body's fields by which somebody may call it."""
    try:
        document = json.loads(body)
    except ValueError:
        return
    if isinstance(document, Mapping):
        for value in document.values():
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                yield str(value)


def _as_received(message_id: str, body: str) -> dict[str, Any]:
    """A message as boto3 gives it, for the contract's key."""
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": "0"}
    return {
        "MessageId": message_id,
        "ReceiptHandle": "",
        "Body": body,
        "Attributes": attributes,
        "messageId": message_id,
        "body": body,
        "attributes": attributes,
    }


def _attributes_of(service: Any, message_id: str) -> Mapping[str, Any] | None:
    """The attributes of a message that is still in its queue; ``None`` where it is not."""
    for queue in service.queues():
        if queue.name == MAIN:
            for message in queue.messages.values():
                if message.id == message_id:
                    return message.attributes or {}
    return None
