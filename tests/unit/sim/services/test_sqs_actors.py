"""The in-memory SQS under the kernel: long polls of several processes, crashes and pauses among them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from harness.sim.kernel import Kernel
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Twist
from tests.unit.sim.simulate import kernel


class Bench:
    """Consumers without a wire: who got what, and when."""

    def __init__(self, run: Kernel) -> None:
        self.run = run
        self.got: list[tuple[float, str, list[str]]] = []
        self.sqs = SqsService(KernelTimebase(run), random.Random(1), lambda kind, message=None, **fields: 0)

    def receive(self, queue: str = "q", wait: int = 20, limit: int = 10, **more: Any) -> list[dict[str, Any]]:
        parameters = {"QueueUrl": queue, "WaitTimeSeconds": wait, "MaxNumberOfMessages": limit, **more}
        messages: list[dict[str, Any]] = self.sqs.call("ReceiveMessage", parameters, region="us-east-1").get(
            "Messages", []
        )
        actor = self.run.current
        assert actor is not None
        self.got.append((self.run.now, actor.name, [message["Body"] for message in messages]))
        return messages

    def delete(self, message: dict[str, Any], queue: str = "q") -> None:
        self.sqs.call(
            "DeleteMessage", {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}, region="us-east-1"
        )

    def consumers(self, number: int, main: Callable[[], object]) -> None:
        """Start consumers one after the other, a microsecond apart."""
        for n in range(number):
            self.run.start_process(f"c{n}", main, at_us=n)


@pytest.mark.parametrize("seed", range(5))
def test_each_message_wakes_one_poll_at_once(seed: int) -> None:
    """Three long polls, three messages: each goes to one consumer at the moment of its sending, in order of arrival."""
    with kernel(seed) as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        bench.consumers(3, bench.receive)
        for n in range(3):
            run.call_at((n + 1) * 1_000_000, lambda n=n: bench.sqs.put("q", f"m{n}"))
        run.run()
    assert bench.got == [(1.0, "c0", ["m0"]), (2.0, "c1", ["m1"]), (3.0, "c2", ["m2"])]


@pytest.mark.parametrize("seed", range(5))
def test_a_burst_reaches_every_waiting_poll(seed: int) -> None:
    """What one poll leaves goes to the next one at the same instant."""
    with kernel(seed) as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        bench.consumers(3, lambda: bench.receive(limit=2))

        def burst() -> None:
            for n in range(5):
                bench.sqs.put("q", f"m{n}")

        run.call_at(1_000_000, burst)
        run.run()
    assert {at for at, _, _ in bench.got} == {1.0}
    assert sorted(len(bodies) for _, _, bodies in bench.got) == [1, 2, 2]
    assert sorted(body for _, _, bodies in bench.got for body in bodies) == [f"m{n}" for n in range(5)]


@pytest.mark.parametrize("seed", range(5))
def test_a_poll_that_gives_up_leaves_nobody_asleep(seed: int) -> None:
    """A message that appears by time wakes a poll even if the one that knew of it has given up meanwhile."""
    with kernel(seed) as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        run.start_process("short", lambda: bench.receive(wait=5))
        run.start_process("long", lambda: bench.receive(wait=20), at_us=1)
        run.call_at(1_000_000, lambda: bench.sqs.put("q", "late", delay=9))
        run.run()
    assert bench.got == [(5.0, "short", []), (10.0, "long", ["late"])]


@pytest.mark.parametrize("seed", range(5))
def test_redelivery_wakes_a_poll_that_waits_already(seed: int) -> None:
    """A poll that waits sees a message come back whose receive began after its own waiting."""
    with kernel(seed) as run:
        bench = Bench(run)
        bench.sqs.create_queue("q", {"VisibilityTimeout": "3"})
        bench.consumers(2, bench.receive)
        run.call_at(1_000_000, lambda: bench.sqs.put("q", "m"))
        run.run()
    assert bench.got == [(1.0, "c0", ["m"]), (4.0, "c1", ["m"])]


def test_crash_of_the_woken() -> None:
    """A consumer killed at the instant of its waking loses nothing: the message goes to the next receive."""
    with kernel() as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        bench.consumers(2, bench.receive)

        def send_and_kill() -> None:
            bench.sqs.put("q", "m")
            run.crash(run.processes[0])

        run.call_at(1_000_000, send_and_kill)
        run.run()
    assert [(name, bodies) for _, name, bodies in bench.got] == [("c1", ["m"])]
    assert bench.got[0][0] <= 20.000001


def test_paused_poll_does_not_hold_a_message() -> None:
    """While one consumer is paused in its poll, another one gets the message at once."""
    with kernel() as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        bench.consumers(2, bench.receive)
        run.call_at(1_000_000, lambda: run.pause(run.processes[0], 10_000_000))
        run.call_at(2_000_000, lambda: bench.sqs.put("q", "m"))
        run.run()
    assert bench.got == [(2.0, "c1", ["m"]), (20.0, "c0", [])]


def test_paused_poll_looks_again_when_it_runs_on() -> None:
    """The only consumer, paused in its poll, gets the message as soon as it runs on."""
    with kernel() as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")
        bench.consumers(1, bench.receive)
        run.call_at(1_000_000, lambda: run.pause(run.processes[0], 10_000_000))
        run.call_at(2_000_000, lambda: bench.sqs.put("q", "m"))
        run.run()
    assert bench.got == [(11.0, "c0", ["m"])]


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_or_given_twice(seed: int, fifo: bool) -> None:
    """Four consumers that work within their timeout handle each message once; a FIFO group stays in order."""
    name = "q.fifo" if fifo else "q"
    with kernel(seed) as run:
        bench = Bench(run)
        bench.sqs.create_queue(name, {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if fifo else {})
        handled: list[str] = []
        chance = random.Random(seed)

        def consume() -> None:
            while run.now < 60:
                for message in bench.receive(name, wait=5, limit=3):
                    handled.append(message["Body"])
                    run.sleep_us(chance.randint(1, 300_000))
                    bench.delete(message, name)

        bench.consumers(4, consume)
        for n in range(60):
            group = f"g{n % 3}" if fifo else None
            at_us = chance.randint(0, 20_000_000)
            run.call_at(at_us, lambda n=n, group=group: bench.sqs.put(name, f"{n:02}", group=group))
        run.run()
        assert bench.sqs.inventory()[name] == {"visible": 0, "in_flight": 0, "delayed": 0}
    assert sorted(handled) == [f"{n:02}" for n in range(60)]


def test_duplicate_wakes_a_poll_that_waits() -> None:
    """A second delivery of the same message goes to the poll that waits, at once."""
    with kernel() as run:
        bench = Bench(run)
        bench.sqs.create_queue("q")

        def twisted() -> None:
            parameters = {"QueueUrl": "q", "WaitTimeSeconds": 20}
            bench.sqs.call("ReceiveMessage", parameters, region="us-east-1", twist=Twist("duplicate"))

        run.start_process("first", twisted)
        run.start_process("second", bench.receive, at_us=1)
        run.call_at(1_000_000, lambda: bench.sqs.put("q", "m"))
        run.run()
    assert bench.got == [(1.0, "second", ["m"])]


def test_same_seed_same_story() -> None:
    """The same seed gives the same deliveries to the same consumers at the same times."""

    def story() -> list[tuple[float, str, list[str]]]:
        with kernel(3) as run:
            bench = Bench(run)
            bench.sqs.create_queue("q", {"VisibilityTimeout": "2"})

            def consume() -> None:
                while run.now < 30:
                    bench.receive(wait=2, limit=2)

            bench.consumers(3, consume)
            for n in range(20):
                run.call_at(n * 700_000, lambda n=n: bench.sqs.put("q", str(n)))
            run.run()
            return bench.got

    assert story() == story()
