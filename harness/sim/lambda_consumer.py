"""A Lambda function behind a queue, as a value: what an event source mapping and a function are configured with.

::

    Process("orders-fn", LambdaConsumer("myshop.fn:lambda_handler", batch_size=10, timeout=30), queue="orders")

What is checked here is what AWS checks when a mapping is created; the pages
meant are those of the AWS Lambda Developer Guide:

* [parameters] "Lambda parameters for Amazon SQS event source mappings": batch size 1 to 10,000, 10 at most on a FIFO
  queue, which has no batching window either;
* [batch-size] CreateEventSourceMapping, BatchSize: above 10 a batching window of a second or more is required;
  MaximumBatchingWindowInSeconds is 0 to 300;
* [configure] "Creating and configuring an Amazon SQS event source mapping": a mapping is refused if the function's
  timeout exceeds the queue's visibility timeout;
* [scaling] "Configuring scaling behavior for SQS event source mappings": maximum concurrency is 2 to 1,000;
* [quotas] "Lambda quotas": a function's timeout is at most 900 seconds, its memory 128 to 10,240 MB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.errors import ScenarioError
from harness.sim.lambda_filters import Filters, Pattern

__all__ = ["BATCH_SIZE_MAX", "FIFO_BATCH_SIZE_MAX", "WINDOW_S_MAX", "Handler", "LambdaConsumer"]

Handler: TypeAlias = str | Callable[..., object]

BATCH_SIZE_MAX = 10_000
FIFO_BATCH_SIZE_MAX = 10
WINDOW_S_MAX = 300
_TIMEOUT_S_MAX = 900
_CONCURRENCY_MIN, _CONCURRENCY_MAX = 2, 1_000
_ACCOUNT_CONCURRENCY = 1_000

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _require(condition: bool, name: str, message: str, remedy: str) -> None:
    if not condition:
        raise ScenarioError(message, field=f"LambdaConsumer.{name}" if name else "LambdaConsumer", remedy=remedy)


@dataclass(frozen=True)
class LambdaConsumer:
    """A Lambda function that SQS invokes: the function's own settings and those of its event source mapping.

    Args:
        handler: ``"module:function"``, imported afresh at each cold start, or a function without module state.
        batch_size: messages of one invocation at most.
        window: whole seconds in which a batch is gathered, from its first message on (standard queues only).
        report_batch_item_failures: whether the response says which messages failed.
        maximum_concurrency: how many invocations the mapping makes at once at most.
        reserved_concurrency: how many invocations of the function may run at once; the others are throttled.
        timeout: whole seconds after which an invocation is killed with its sandbox.
        filters: patterns of which a message must match one; others are deleted unread.
        memory: MB; only told to the function, nothing is slower for less of it.
        init_time: seconds that a cold start takes beside what the module itself waits for, or a (low, high) pair.

    Raises:
        ScenarioError: AWS would refuse it.
    """

    handler: Handler
    batch_size: int = 10
    window: int = 0
    report_batch_item_failures: bool = False
    maximum_concurrency: int | None = None
    reserved_concurrency: int | None = None
    timeout: int = 3
    filters: Sequence[Pattern] = ()
    memory: int = 128
    #: "Understanding the Lambda execution environment lifecycle": from under 100 ms to over 1 second.
    init_time: float | tuple[float, float] = (0.1, 1.0)

    def __post_init__(self) -> None:
        _require(
            callable(self.handler) or (isinstance(self.handler, str) and bool(_TARGET.match(self.handler))),
            "handler",
            f"is {self.handler!r}",
            'Name it "package.module:function", or hand in a function',
        )
        self._check_mapping()
        self._check_function()
        object.__setattr__(self, "filters", tuple(self.filters))
        Filters(self.filters)  # says what is wrong with one

    def _check_mapping(self) -> None:
        _require(
            _whole(self.batch_size, 1, BATCH_SIZE_MAX),
            "batch_size",
            f"is {self.batch_size!r}",
            f"Give a whole number from 1 to {BATCH_SIZE_MAX}",
        )
        _require(
            _whole(self.window, 0, WINDOW_S_MAX),
            "window",
            f"is {self.window!r}",
            f"Give whole seconds from 0 to {WINDOW_S_MAX}",
        )
        _require(
            self.batch_size <= 10 or self.window >= 1,
            "window",
            f"is 0 with a batch size of {self.batch_size}",
            "A batch of more than 10 messages needs a window of a second or more",
        )
        _require(
            self.maximum_concurrency is None or _whole(self.maximum_concurrency, _CONCURRENCY_MIN, _CONCURRENCY_MAX),
            "maximum_concurrency",
            f"is {self.maximum_concurrency!r}",
            f"Give a whole number from {_CONCURRENCY_MIN} to {_CONCURRENCY_MAX}, or None",
        )

    def _check_function(self) -> None:
        _require(
            self.reserved_concurrency is None or _whole(self.reserved_concurrency, 0, _ACCOUNT_CONCURRENCY),
            "reserved_concurrency",
            f"is {self.reserved_concurrency!r}",
            f"Give a whole number from 0 to {_ACCOUNT_CONCURRENCY}, or None",
        )
        _require(
            _whole(self.timeout, 1, _TIMEOUT_S_MAX),
            "timeout",
            f"is {self.timeout!r}",
            f"Give whole seconds from 1 to {_TIMEOUT_S_MAX}",
        )
        _require(_whole(self.memory, 128, 10_240), "memory", f"is {self.memory!r}", "Give whole MB from 128 to 10240")
        low, high = self.init_times
        _require(
            all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (low, high))
            and 0 <= low <= high,
            "init_time",
            f"is {self.init_time!r}",
            "Give seconds, or a pair (low, high) of seconds",
        )

    @property
    def init_times(self) -> tuple[float, float]:
        """The shortest and the longest cold start, in seconds."""
        times = self.init_time
        return times if isinstance(times, tuple) and len(times) == 2 else (times, times)

    @property
    def concurrency_limit(self) -> int:
        """How many invocations may run at once before more are throttled: what is reserved, else the account's."""
        return _ACCOUNT_CONCURRENCY if self.reserved_concurrency is None else self.reserved_concurrency

    def check_queue(self, queue: str, *, fifo: bool, visibility_timeout: float, field: str) -> None:
        """Hold the mapping against its queue, as AWS does when it is created.

        Raises:
            ScenarioError: AWS refuses it.
        """
        if self.timeout > visibility_timeout:
            raise ScenarioError(
                f"Queue visibility timeout: {visibility_timeout:g} seconds is less than Function timeout: "
                f"{self.timeout} seconds",
                field=field,
                remedy=f"AWS refuses such a mapping: raise the visibility timeout of {queue} (AWS advises six times "
                "the function's timeout, plus the window), or let a process of the scenario lower it with "
                "SetQueueAttributes later, which AWS does not check",
            )
        if fifo and self.window:
            raise ScenarioError(
                f"has a window of {self.window} s on a FIFO queue",
                field=field,
                remedy="FIFO queues have none: window=0",
            )
        if fifo and self.batch_size > FIFO_BATCH_SIZE_MAX:
            raise ScenarioError(
                f"has a batch size of {self.batch_size} on a FIFO queue",
                field=field,
                remedy=f"It is {FIFO_BATCH_SIZE_MAX} there at most",
            )

    def to_json(self) -> dict[str, Any]:
        """The settings that say how messages are treated, for a history's header."""
        return {
            "batch_size": self.batch_size,
            "window": self.window,
            "report_batch_item_failures": self.report_batch_item_failures,
            "maximum_concurrency": self.maximum_concurrency,
            "reserved_concurrency": self.reserved_concurrency,
            "timeout": self.timeout,
            "filters": [dict(one) if isinstance(one, Mapping) else one for one in self.filters],
        }
