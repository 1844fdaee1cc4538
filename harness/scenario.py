"""A scenario: a system, a workload, a fault plan, invariants and objectives, as one value.

A scenario file is Python that defines one or more :class:`Scenario` values::

    from harness import Fault, Process, Queue, Scenario, Workload, effects

    scenario = Scenario(
        name="delete-answer-lost",
        queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=3)],
        processes=[Process("worker", "myshop.worker:main", environ={"QUEUE_URL": "{queue:orders}"})],
        workload=Workload(to="orders", messages=20, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        faults=[Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70)],
    )

Everything but name, processes and workload has a default. A scenario is a
frozen value: ``dataclasses.replace`` makes a twin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from harness.errors import ScenarioError
from harness.faults.plan import Fault, FaultPlan
from harness.objectives import Objectives
from harness.redact import redact_text
from harness.redis_queues import RedisList, RedisStream
from harness.sim.lambda_consumer import LambdaConsumer
from harness.sim.world import HOME_REGION

__all__ = ["Process", "Queue", "Scenario", "Target", "Workload"]

Target: TypeAlias = str | Callable[..., object]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,75}(\.fifo)?\Z")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+\Z")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*\Z")
_TEMPLATE = re.compile(r"\{(queue|http):([^{}]+)\}|\{(redis|aws)\}")
_BACKENDS = ("memory", "moto", "live")
_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _require(condition: bool, scenario: str, where: str, message: str, remedy: str) -> None:
    if not condition:
        raise ScenarioError(message, field=f"{scenario}.{where}" if scenario else where, remedy=remedy)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


@dataclass(frozen=True)
class Queue:
    """A queue of the scenario; times in seconds. A name that ends in ``.fifo`` makes a FIFO queue.

    *dead_letter* names the queue's dead-letter queue (made too where it is
    not declared). With *max_receives* SQS itself moves a message there when
    it would be received more often (native redrive); without it the consumer
    is expected to do so. *attributes* are further attributes as AWS names
    them. *region* is where the queue is: clients of another region do not
    reach it.
    """

    name: str
    visibility_timeout: float = 30
    dead_letter: str | None = None
    max_receives: int | None = None
    delay: int = 0
    retention: int = 345_600
    wait: int = 0
    content_based_deduplication: bool = False
    attributes: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    region: str = HOME_REGION

    def __post_init__(self) -> None:
        name = self.name
        _require(
            isinstance(name, str) and bool(_QUEUE_NAME.match(name)),
            "",
            f"Queue({name!r})",
            "is no queue name",
            "Use 1 to 80 letters, digits, hyphens and underscores, and .fifo at the end for a FIFO queue",
        )
        for value, where, low, high in (
            (self.visibility_timeout, "visibility_timeout", 0, 43_200),
            (self.delay, "delay", 0, 900),
            (self.retention, "retention", 60, 1_209_600),
            (self.wait, "wait", 0, 20),
        ):
            _require(
                _number(value) and low <= value <= high,
                "",
                f"Queue({name!r}).{where}",
                f"is {value!r}",
                f"Give seconds from {low} to {high}, as SQS allows",
            )
        _require(
            isinstance(self.region, str) and bool(_REGION.match(self.region)),
            "",
            f"Queue({name!r}).region",
            f"is {self.region!r}",
            f"Name a region of AWS, such as {HOME_REGION}",
        )
        if self.max_receives is not None:
            _require(
                isinstance(self.max_receives, int) and 1 <= self.max_receives <= 1000,
                "",
                f"Queue({name!r}).max_receives",
                f"is {self.max_receives!r}",
                "Give a whole number from 1 to 1000, as SQS allows",
            )
            _require(
                self.dead_letter is not None,
                "",
                f"Queue({name!r}).max_receives",
                "needs a dead-letter queue",
                'Add dead_letter="NAME"',
            )

        _require(
            self.dead_letter is None or self.dead_letter.endswith(".fifo") == self.fifo,
            "",
            f"Queue({name!r}).dead_letter",
            f"is {self.dead_letter!r}, of the other type",
            "The dead-letter queue of a FIFO queue is a FIFO queue, that of a standard queue a standard queue",
        )

    @property
    def fifo(self) -> bool:
        """Whether this is a FIFO queue."""
        return self.name.endswith(".fifo")

    def aws_attributes(self) -> dict[str, str]:
        """The attributes of CreateQueue, without the redrive policy."""
        found = {
            "VisibilityTimeout": str(int(self.visibility_timeout)),
            "DelaySeconds": str(self.delay),
            "MessageRetentionPeriod": str(self.retention),
            "ReceiveMessageWaitTimeSeconds": str(self.wait),
        }
        if self.fifo:
            found["FifoQueue"] = "true"
            if self.content_based_deduplication:
                found["ContentBasedDeduplication"] = "true"
        found.update(self.attributes)
        return found


@dataclass(frozen=True)
class Process:
    """*count* processes that run *target*: ``"module:function"``, imported inside the run, or a function.

    The function takes nothing, or the environment (``env.queue_url(name)``,
    ``env.redis``, ``env.http_url(name)``, ``env.process``). *environ* is
    what ``os.environ`` holds there, with the templates ``{queue:NAME}``,
    ``{redis}``, ``{http:NAME}`` and ``{aws}``.

    A *target* that is a :class:`harness.LambdaConsumer` is a Lambda function
    that the queue called *queue* invokes; its processes are its sandboxes,
    ``<name>.1``, ``<name>.2``, ..., as many as Lambda starts.
    """

    name: str
    target: Target | LambdaConsumer
    count: int = 1
    environ: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    queue: str | None = None

    def __post_init__(self) -> None:
        where = f"Process({self.name!r})"
        _require(
            isinstance(self.name, str) and bool(_NAME.match(self.name)),
            "",
            where,
            "is no process name",
            "Use letters, digits, dots, hyphens and underscores",
        )
        _require(
            callable(self.target)
            or isinstance(self.target, LambdaConsumer)
            or (isinstance(self.target, str) and bool(_TARGET.match(self.target))),
            "",
            f"{where}.target",
            f"is {self.target!r}",
            'Name it "package.module:function", or hand in a function or a LambdaConsumer',
        )
        self._check_lambda(where)
        _require(
            isinstance(self.count, int) and not isinstance(self.count, bool) and 1 <= self.count <= 10_000,
            "",
            f"{where}.count",
            f"is {self.count!r}",
            "Give a whole number from 1 to 10000",
        )
        for name, value in self.environ.items():
            _require(
                isinstance(name, str) and isinstance(value, str),
                "",
                f"{where}.environ[{name!r}]",
                "is no text",
                "Environment variables are text; write str(...)",
            )

    def _check_lambda(self, where: str) -> None:
        of_lambda = isinstance(self.target, LambdaConsumer)
        _require(
            not of_lambda or isinstance(self.queue, str),
            "",
            f"{where}.queue",
            "is missing",
            'Name the queue that invokes the function: queue="orders"',
        )
        _require(
            of_lambda or self.queue is None,
            "",
            f"{where}.queue",
            f"is {self.queue!r}, but the target is no LambdaConsumer",
            "Leave it out, and hand the URL over with environ",
        )
        _require(
            not of_lambda or self.count == 1,
            "",
            f"{where}.count",
            f"is {self.count!r} for a Lambda function",
            "Leave it out: Lambda decides how many sandboxes there are; bound them with maximum_concurrency",
        )

    @property
    def code(self) -> Target:
        """What is run: the target, or the handler of a Lambda function."""
        return self.target.handler if isinstance(self.target, LambdaConsumer) else self.target

    def instances(self) -> list[str]:
        """The names of the single processes: ``worker``, or ``worker.1``, ``worker.2``, ..."""
        if self.count == 1:
            return [self.name]
        return [f"{self.name}.{number}" for number in range(1, self.count + 1)]


def _default_body(number: int) -> object:
    return {"n": number}


@dataclass(frozen=True)
class Workload:
    """*messages* messages to the queue *to*, *per_second* (``None``: all at *start*), from *start* seconds on.

    *body(n)* gives message n's body, n from 0: text as it is, anything else
    as JSON. *key* is a JSON path in the body that names the message to its
    effect; without it the key is the number. *group(n)* gives the message
    group (FIFO queues: by default one group), *attributes(n)* the message
    attributes as boto3 takes them. The workload is the outside world: no
    fault of the layers aws and network strikes its sends.
    """

    to: str
    messages: int
    per_second: float | None = 10
    body: Callable[[int], object] = _default_body
    key: str | None = None
    start: float = 0
    group: Callable[[int], str] | None = None
    attributes: Callable[[int], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        where = f"Workload(to={self.to!r})"
        _require(
            isinstance(self.messages, int) and not isinstance(self.messages, bool) and self.messages >= 0,
            "",
            f"{where}.messages",
            f"is {self.messages!r}",
            "Give a whole number, 0 or more",
        )
        _require(
            self.per_second is None or (_number(self.per_second) and self.per_second > 0),
            "",
            f"{where}.per_second",
            f"is {self.per_second!r}",
            "Give a number above 0, or None to send everything at once",
        )
        _require(
            _number(self.start) and self.start >= 0,
            "",
            f"{where}.start",
            f"is {self.start!r}",
            "Give seconds, 0 or more",
        )
        _require(callable(self.body), "", f"{where}.body", f"is {self.body!r}", "Give a function of the number")

    def due(self, number: int) -> float:
        """When message *number* is sent, in seconds since the start of the run."""
        return self.start if self.per_second is None else self.start + number / self.per_second

    @property
    def ends(self) -> float:
        """When the last message is sent, in seconds since the start of the run."""
        return self.due(max(0, self.messages - 1))


@dataclass(frozen=True)
class Scenario:
    """What is run, under which load and faults, and what must hold. See the module's text for an example.

    *duration* (seconds) is when the workload ends; by default when the last
    message is sent. A quiet period follows. *handler* says where handler
    faults strike and where *service_time* (seconds, or a (low, high) pair)
    is spent. *http* gives the responders of stub services by name; one that
    remembers something is a class, which is made anew for each run.
    *isolate* names modules that each process imports afresh.
    *backends* says where it can run, *needs* what must be installed.

    Raises:
        ScenarioError: a field does not fit; the message names it and the remedy.
    """

    name: str
    processes: Sequence[Process]
    workload: Workload | Sequence[Workload]
    queues: Sequence[Queue | RedisList | RedisStream] = ()
    effects: Any = ()
    faults: FaultPlan | Iterable[Fault] = ()
    invariants: Sequence[Any] | None = None
    objectives: Objectives = field(default_factory=Objectives)
    duration: float | None = None
    isolate: Sequence[str] = ()
    preempt: Sequence[str] = ()
    backends: Sequence[str] = ("memory",)
    needs: Sequence[str] = ()
    handler: Target | None = None
    service_time: float | tuple[float, float] = 0
    http: Mapping[str, Callable[..., Any]] = field(default_factory=lambda: _EMPTY)
    record_bodies: bool = False
    description: str = ""
    file: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _require(
            isinstance(self.name, str) and bool(_NAME.match(self.name)),
            "",
            f"Scenario({self.name!r}).name",
            "is no scenario name",
            "Use letters, digits, dots, hyphens and underscores",
        )
        put = object.__setattr__
        put(self, "processes", tuple(self.processes))
        work = (self.workload,) if isinstance(self.workload, Workload) else tuple(self.workload)
        put(self, "workload", work)
        put(self, "effects", _as_tuple(self.effects))
        put(self, "faults", self.faults if isinstance(self.faults, FaultPlan) else FaultPlan(self.faults))
        if self.invariants is None:
            from harness import invariants

            put(self, "invariants", tuple(invariants.defaults()))
        else:
            put(self, "invariants", tuple(self.invariants))
        put(self, "queues", _with_dead_letters(tuple(self.queues), work))
        for name in ("isolate", "preempt", "backends", "needs"):
            value = getattr(self, name)
            put(self, name, (value,) if isinstance(value, str) else tuple(value))
        self._check()

    def _check(self) -> None:
        name = self.name
        _require(bool(self.processes), name, "processes", "is empty", "Name at least one Process")
        for label, names in (
            ("processes", [process.name for process in self.processes]),
            ("queues", [queue.name for queue in self.queues]),
        ):
            twice = sorted({one for one in names if names.count(one) > 1})
            _require(not twice, name, label, f"has {', '.join(twice)} twice", "Give each a name of its own")
        for backend in self.backends:
            _require(backend in _BACKENDS, name, "backends", f"has {backend!r}", f"Choose from {', '.join(_BACKENDS)}")
        _require(
            self.duration is None or (_number(self.duration) and self.duration > 0),
            name,
            "duration",
            f"is {self.duration!r}",
            "Give seconds above 0",
        )
        regions = {queue.name: queue.region for queue in self.queues if isinstance(queue, Queue)}
        for queue in self.queues:
            there = regions.get(queue.dead_letter or "") if isinstance(queue, Queue) else None
            _require(
                there is None or there == regions[queue.name],
                name,
                f"queues.{queue.name}.dead_letter",
                f"is in another region, {there}",
                "Give both the same region: SQS moves messages within one",
            )
        self._check_targets()
        self._check_templates()
        self._check_lambdas()

    def _check_targets(self) -> None:
        functions = [process.name for process in self.processes if not isinstance(process.code, str)]
        for reason, needed in (("isolate", self.isolate), ("preempt", self.preempt)):
            _require(
                not (needed and functions),
                self.name,
                "processes",
                f"{', '.join(functions)} is a function object, which cannot be used with {reason}",
                'Name it "module:function", so that it can be imported inside the run',
            )
        handler = self.handler
        _require(
            handler is None or callable(handler) or (isinstance(handler, str) and bool(_TARGET.match(handler))),
            self.name,
            "handler",
            f"is {handler!r}",
            'Name it "package.module:function"',
        )
        times = self.service_time if isinstance(self.service_time, tuple) else (self.service_time,) * 2
        _require(
            len(times) == 2 and all(_number(one) and one >= 0 for one in times) and times[0] <= times[1],
            self.name,
            "service_time",
            f"is {self.service_time!r}",
            "Give seconds, or a pair (low, high) of seconds",
        )
        _require(
            handler is not None or times[1] == 0,
            self.name,
            "service_time",
            "needs a handler to be spent in",
            'Add handler="module:function"',
        )

    def _check_templates(self) -> None:
        queues = {queue.name for queue in self.queues}
        for process in self.processes:
            for variable, value in process.environ.items():
                for kind, target, _ in _TEMPLATE.findall(value):
                    _require(
                        kind != "queue" or target in queues,
                        self.name,
                        f"processes.{process.name}.environ[{variable!r}]",
                        f"names the queue {target!r}, which the scenario does not have",
                        f"Its queues are {', '.join(sorted(queues)) or 'none'}",
                    )

    def _check_lambdas(self) -> None:
        queues = {queue.name: queue for queue in self.queues if isinstance(queue, Queue)}
        for process in self.processes:
            if not isinstance(process.target, LambdaConsumer):
                continue
            where = f"{self.name}.processes.{process.name}"
            _require(
                process.queue in queues,
                "",
                f"{where}.queue",
                f"names the queue {process.queue!r}, which the scenario does not have",
                f"Its queues are {', '.join(sorted(queues)) or 'none'}",
            )
            queue = queues[process.queue or ""]
            process.target.check_queue(
                queue.name, fifo=queue.fifo, visibility_timeout=queue.visibility_timeout, field=where
            )
            _require(
                "live" not in self.backends,
                self.name,
                "backends",
                f"has live, but {process.name} is a Lambda function",
                "Event source mappings are simulated only",
            )

    @property
    def isolated(self) -> tuple[str, ...]:
        """The modules that each process imports afresh: those of ``isolate``, and the packages of Lambda handlers.

        Of a handler that is part of this harness or its tests only the module itself.
        """
        found = dict.fromkeys(self.isolate)
        for process in self.processes:
            if isinstance(process.target, LambdaConsumer) and isinstance(process.target.handler, str):
                module = process.target.handler.partition(":")[0]
                root = module.partition(".")[0]
                found[module if root in ("harness", "scenarios", "tests") else root] = None
        return tuple(found)

    @property
    def plan(self) -> FaultPlan:
        """The fault plan."""
        assert isinstance(self.faults, FaultPlan)
        return self.faults

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads, one or several."""
        assert isinstance(self.workload, tuple)
        return self.workload

    @property
    def sources(self) -> tuple[str, ...]:
        """The queues that the workload sends to, in order."""
        return tuple(dict.fromkeys(work.to for work in self.workloads))

    @property
    def dead_letter_queues(self) -> tuple[str, ...]:
        """The queues that are some queue's dead-letter queue, in order."""
        return tuple(dict.fromkeys(queue.dead_letter for queue in self.queues if queue.dead_letter))

    @property
    def ends(self) -> float:
        """When the workload ends, in seconds since the start of the run."""
        last = max((work.ends for work in self.workloads), default=0.0)
        return last if self.duration is None else self.duration

    @property
    def sentence(self) -> str:
        """The first sentence of the description: what real outage this stands for."""
        text = redact_text(" ".join(self.description.split()))
        return text.split(". ")[0].rstrip(".") + "." if text else ""


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _with_dead_letters(
    queues: tuple[Queue | RedisList | RedisStream, ...], work: tuple[Workload, ...]
) -> tuple[Queue | RedisList | RedisStream, ...]:
    """Declared queues, and those that are only named: dead-letter queues and the workload's."""
    known = {queue.name for queue in queues}
    made: list[Queue | RedisList | RedisStream] = []
    for queue in queues:
        if queue.dead_letter and queue.dead_letter not in known:
            known.add(queue.dead_letter)
            if isinstance(queue, Queue):
                made.append(Queue(queue.dead_letter, retention=1_209_600, region=queue.region))
            else:
                made.append(queue.dead_letters())
    for one in work:
        if one.to not in known:
            known.add(one.to)
            made.append(Queue(one.to))
    return (*queues, *made)
