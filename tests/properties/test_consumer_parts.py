"""Whatever fails: the dead-letter queue handler and the composed consumer lose nothing and keep order."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.resilience.consumer import ConsumerOptions, ResilientConsumer
from harness.resilience.dlq import DeadLetterQueueHandler
from harness.resilience.envelope import read_envelope
from harness.resilience.errors import PermanentError
from harness.resilience.idempotency import Idempotency, MemoryIdempotencyStore
from tests.budget import examples
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

OPERATIONS = (
    "receive_message",
    "send_message",
    "send_message_batch",
    "delete_message",
    "delete_message_batch",
    "change_message_visibility",
    "change_message_visibility_batch",
    "get_queue_attributes",
)


class Crash(BaseException):
    """The process dies here: nothing of it runs on."""


ERRORS = {
    "unavailable": aws_error("ServiceUnavailable", status=503),
    "lost": ConnectionError("answer lost"),
    "denied": aws_error("AccessDenied", status=403),
    "crash": Crash(),
}

failures = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.sampled_from(["before", "after"]),
        st.integers(0, 6),
        st.sampled_from(sorted(ERRORS)),
    ),
    max_size=6,
)
#: What the handler does with a message at each try: fine, an error that may pass, one that never does, a crash.
behaviours = st.lists(st.sampled_from(["ok", "ok", "error", "permanent", "crash", "slow"]), min_size=1, max_size=4)


class World:
    def __init__(self, fifo: bool, plans: list[list[str]], faults: list[tuple[str, str, int, str]]) -> None:
        ending = ".fifo" if fifo else ""
        self.main, self.dlq = f"https://sqs/1/main{ending}", f"https://sqs/1/dlq{ending}"
        self.clock = Clock()
        self.sqs = FakeSqs(self.clock)
        self.plans = plans
        self.tries: dict[str, int] = defaultdict(int)
        self.effects: list[str] = []
        for number in range(len(plans)):
            self.sqs.put(self.main, str(number), group=f"g{number % 2}" if fifo else None)
        for operation, side, position, name in faults:
            schedule = (self.sqs.errors if side == "before" else self.sqs.after)[operation]
            schedule.extend([None] * (position + 1 - len(schedule)))
            schedule[position] = ERRORS[name]

    def handle(self, message: dict[str, Any]) -> None:
        number = message["Body"]
        plan = self.plans[int(number)]
        behaviour = plan[min(self.tries[number], len(plan) - 1)]
        self.tries[number] += 1
        if behaviour == "error":
            raise RuntimeError("may pass")
        if behaviour == "permanent":
            raise PermanentError("never passes")
        if behaviour == "crash":
            raise Crash
        if behaviour == "slow":
            self.clock.advance(35)
        self.effects.append(number)

    def run(self, make: Any) -> None:
        """Run processes until the queue is empty; one that crashed is followed by another one."""
        for _ in range(200):
            runs, stop = make(self)
            self.sqs.on_idle = stop
            try:
                runs()
            except Crash:
                self.clock.advance(31)
            if not self.sqs.queues[self.main]:
                return
        raise AssertionError("the queue is never empty")

    def dead(self) -> list[str]:
        return [read_envelope(message).body for message in self.sqs.messages(self.dlq)]


def handler(together: int) -> Any:
    def make(world: World) -> Any:
        made = DeadLetterQueueHandler(
            world.main,
            world.dlq,
            sqs=world.sqs,
            clock=world.clock,
            sleep=world.clock.sleep,
            random=random.Random(0),
            options=ConsumerOptions(heartbeat=False, acknowledge_together=together),
        )
        return lambda: made.process_with_dlq(world.handle), made.stop

    return make


def consumer(together: int, store: MemoryIdempotencyStore) -> Any:
    def make(world: World) -> Any:
        made = ResilientConsumer(
            world.main,
            world.handle,
            sqs=world.sqs,
            dlq_url=world.dlq,
            clock=world.clock,
            sleep=world.clock.sleep,
            random=random.Random(0),
            idempotency=Idempotency(store, key=lambda message: message["Body"]),
            options=ConsumerOptions(heartbeat=False, acknowledge_together=together),
        )
        return made.run, made.stop

    return make


def nothing_lost(world: World) -> None:
    """Each message had its effect, or is in the dead-letter queue, whole."""
    for number in range(len(world.plans)):
        assert str(number) in world.effects or str(number) in world.dead(), f"message {number} is lost"


def order_kept(world: World) -> None:
    """In each group first effects happen in the order of the messages."""
    first = list(dict.fromkeys(world.effects))
    for group in (0, 1):
        mine = [int(number) for number in first if int(number) % 2 == group]
        assert mine == sorted(mine)


plans = st.lists(behaviours, min_size=1, max_size=12)


@settings(max_examples=examples(150), deadline=None)
@given(plans=plans, faults=failures, fifo=st.booleans(), together=st.sampled_from([1, 10]))
def test_handler_loses_nothing_and_keeps_order(
    plans: list[list[str]], faults: list[tuple[str, str, int, str]], fifo: bool, together: int
) -> None:
    """With any failures of calls, handlers and processes, each message is handled or dead-lettered, groups in order."""
    world = World(fifo, plans, faults)
    world.run(handler(together))
    nothing_lost(world)
    if fifo:
        order_kept(world)


@settings(max_examples=examples(150), deadline=None)
@given(plans=plans, faults=failures, fifo=st.booleans(), together=st.sampled_from([1, 10]))
def test_consumer_has_each_effect_once(
    plans: list[list[str]], faults: list[tuple[str, str, int, str]], fifo: bool, together: int
) -> None:
    """With a store that keeps its writes, the same failures make no effect twice, whoever crashed where."""
    world = World(fifo, plans, faults)
    world.run(consumer(together, MemoryIdempotencyStore(clock=world.clock)))
    nothing_lost(world)
    assert len(world.effects) == len(set(world.effects))
    if not any(operation.startswith("send") for operation, *_ in faults):
        # Else a dead letter can be sent without its sender knowing, and the next try may succeed.
        assert not set(world.effects) & set(world.dead())
    if fifo:
        order_kept(world)


@settings(max_examples=examples(80), deadline=None)
@given(plans=plans, together=st.sampled_from([1, 10]))
def test_without_lost_answers_each_dead_letter_is_single(plans: list[list[str]], together: int) -> None:
    """Where no answer is lost, a message is dead-lettered once at most, whatever its handler does."""
    world = World(False, plans, [])
    world.run(handler(together))
    nothing_lost(world)
    dead = world.dead()
    assert len(dead) == len(set(dead))
