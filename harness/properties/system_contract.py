"""What a component that works on queues promises, as values: the input of the probes of whole consumers."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness import effects as effect_kinds
from harness.effects import Effect
from harness.errors import ScenarioError, UsageError
from harness.properties.contract import Function
from harness.sim.lambda_consumer import LambdaConsumer

__all__ = [
    "Body",
    "ConsumerContract",
    "Counting",
    "DeadLetterContract",
    "IdempotencyContract",
    "LambdaContract",
    "SystemContract",
]

#: What shows that a message was handled: a function that counts for a key, or values of ``harness.effects``.
Counting: TypeAlias = Callable[[str], int] | Effect | Iterable[Effect]
#: The body of message 1, 2, ...: text as it is, anything else as JSON.
Body: TypeAlias = Callable[[int], object]

_NO_ENVIRON: Mapping[str, str] = {}


def _refuse(contract: str, name: str, message: str, remedy: str) -> UsageError:
    return UsageError(message, field=f"{contract}.{name}", remedy=remedy)


def _check_function(contract: str, name: str, value: object) -> None:
    if not callable(value):
        raise _refuse(contract, name, f"is {value!r}, which cannot be called", "Give a function, sync or async")


def _check_effects(contract: str, value: object) -> tuple[Effect, ...] | Callable[[str], int]:
    if callable(value) and not isinstance(value, Effect):
        if inspect.iscoroutinefunction(value):
            raise _refuse(contract, "effects", "is a coroutine function", "Give a plain function of the key")
        return value
    try:
        found = effect_kinds.all_of(value)  # type: ignore[arg-type]
    except ScenarioError as error:
        raise _refuse(contract, "effects", error.message, f"{error.remedy}, or a function of the key") from None
    if not found:
        raise _refuse(
            contract,
            "effects",
            "names nothing, so that nothing shows that a message was handled",
            'Give effects.point("charged"), another of harness.effects, or a function that counts for a key',
        )
    return found


def _check_limit(contract: str, name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1000:
        raise _refuse(contract, name, f"is {value!r}", "Give a whole number from 1 to 1000, as SQS allows")


def _check_common(contract: str, body: object, environ: object) -> None:
    if body is not None and not callable(body):
        raise _refuse(contract, "body", f"is {body!r}", "Give a function of the message's number, from 1")
    if not isinstance(environ, Mapping) or not all(isinstance(one, str) for pair in environ.items() for one in pair):
        raise _refuse(contract, "environ", f"is {environ!r}", "Give names and texts of environment variables")


@dataclass(frozen=True)
class DeadLetterContract:
    """What a consumer with dead letters of its own promises: what it cannot handle goes aside, whole, and soon.

    Args:
        run: ``run(sqs, main_queue_url, dlq_url, handler)`` receives from the
            main queue until it is stopped: *sqs* is a client of boto3,
            *handler* takes a message as boto3 gives it and raises where the
            message cannot be handled. A coroutine function is given a
            coroutine function.
        max_receives: deliveries after which a message that cannot be handled
            is in the dead-letter queue; one more, to notice it, is allowed.
        body: bodies of the messages; by default JSON objects with ``id`` and ``order_id``.
        environ: environment variables, with the templates of a scenario (``{queue:main}``, ``{redis}``).
        name: for people.

    Raises:
        UsageError: a value is impossible.
    """

    run: Function
    max_receives: int
    name: str = ""
    body: Body | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: _NO_ENVIRON)

    def __post_init__(self) -> None:
        _check_function("DeadLetterContract", "run", self.run)
        _check_limit("DeadLetterContract", "max_receives", self.max_receives)
        _check_common("DeadLetterContract", self.body, self.environ)


@dataclass(frozen=True)
class IdempotencyContract:
    """What code that handles a message once promises, however often the message comes.

    Args:
        process: ``process(message)``, or ``process(message, store)`` with
            *store*, handles one message as boto3 gives it, and raises where
            it is to come again.
        key: ``key(message)`` names what happens once.
        effects: ``effects(key)`` counts what happened, without a call of a
            service; or values of ``harness.effects``.
        store: makes the store that all workers share, once a run; of a
            SQLite file each worker gets a connection of its own.
        remembers: seconds for which a key must be known after it was handled:
            the probe delivers a message again up to so much later.
        body, environ: as of :class:`DeadLetterContract`.
        name: for people.

    Raises:
        UsageError: a value is impossible.
    """

    process: Function
    key: Callable[[Mapping[str, Any]], str]
    effects: Counting
    store: Callable[[], Any] | None = None
    name: str = ""
    remembers: float = 900
    body: Body | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: _NO_ENVIRON)

    def __post_init__(self) -> None:
        name = "IdempotencyContract"
        for one in ("process", "key"):
            _check_function(name, one, getattr(self, one))
        if self.store is not None:
            _check_function(name, "store", self.store)
        object.__setattr__(self, "effects", _check_effects(name, self.effects))
        value = self.remembers
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 40_000:
            raise _refuse(name, "remembers", f"is {value!r}", "Give seconds above 0 and up to 40000")
        _check_common(name, self.body, self.environ)


@dataclass(frozen=True, init=False)
class LambdaContract:
    """What a Lambda function behind a queue promises.

    Args:
        handler: ``"module:function"``, imported afresh at each cold start, or the function.
        effects: as of :class:`IdempotencyContract`.
        max_receives: after so many deliveries SQS moves a message to the dead-letter queue.
        visibility_timeout: of the queue; by default six times the function's timeout, as AWS advises.
        body, environ: as of :class:`DeadLetterContract`.
        options: the other settings of :class:`harness.LambdaConsumer`.
        name: for people.

    Raises:
        UsageError: a value is impossible, or AWS would refuse it.
    """

    handler: Any
    effects: Any
    name: str
    consumer: LambdaConsumer
    max_receives: int
    visibility_timeout: float
    body: Body | None
    environ: Mapping[str, str]

    def __init__(
        self,
        handler: str | Function,
        effects: Counting,
        name: str = "",
        *,
        max_receives: int = 3,
        visibility_timeout: float | None = None,
        body: Body | None = None,
        environ: Mapping[str, str] = _NO_ENVIRON,
        **options: Any,
    ) -> None:
        known = [one.name for one in dataclasses.fields(LambdaConsumer) if one.name != "handler"]
        for option in options:
            if option not in known:
                remedy = f"LambdaConsumer has {', '.join(known)}"
                raise _refuse("LambdaContract", option, "is no setting of a Lambda function", remedy)
        consumer = LambdaConsumer(handler, **options)
        usual = max(30.0, 6.0 * consumer.timeout + consumer.window)
        hidden = usual if visibility_timeout is None else visibility_timeout
        consumer.check_queue("main", fifo=False, visibility_timeout=hidden, field="LambdaContract")
        _check_limit("LambdaContract", "max_receives", max_receives)
        _check_common("LambdaContract", body, environ)
        put = object.__setattr__
        put(self, "handler", handler)
        put(self, "effects", _check_effects("LambdaContract", effects))
        put(self, "name", name)
        put(self, "consumer", consumer)
        put(self, "max_receives", max_receives)
        put(self, "visibility_timeout", hidden)
        put(self, "body", body)
        put(self, "environ", environ)


@dataclass(frozen=True)
class ConsumerContract:
    """What a consumer of a queue promises: each message is handled, and none is lost.

    Args:
        start: ``start(sqs, main_queue_url, dlq_url)`` receives from the main
            queue until it is stopped; *sqs* is a client of boto3.
        effects: as of :class:`IdempotencyContract`.
        redrive: the main queue's max receives, after which SQS moves a
            message to the dead-letter queue; ``None``: it never does, and a
            message that cannot be handled may come for ever.
        body, environ: as of :class:`DeadLetterContract`.
        visibility_timeout: the main queue's, in seconds.
        name: for people.

    Raises:
        UsageError: a value is impossible.
    """

    start: Function
    effects: Counting
    redrive: int | None = None
    name: str = ""
    visibility_timeout: float = 30
    body: Body | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: _NO_ENVIRON)

    def __post_init__(self) -> None:
        _check_function("ConsumerContract", "start", self.start)
        object.__setattr__(self, "effects", _check_effects("ConsumerContract", self.effects))
        if self.redrive is not None:
            _check_limit("ConsumerContract", "redrive", self.redrive)
        hidden = self.visibility_timeout
        if not isinstance(hidden, (int, float)) or not math.isfinite(hidden) or not 1 <= hidden <= 43_200:
            remedy = "Give seconds from 1 to 43200, as SQS allows"
            raise _refuse("ConsumerContract", "visibility_timeout", f"is {hidden!r}", remedy)
        _check_common("ConsumerContract", self.body, self.environ)


SystemContract: TypeAlias = DeadLetterContract | IdempotencyContract | LambdaContract | ConsumerContract
