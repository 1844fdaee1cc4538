"""Tests of asyncio inside a run: the standard library's own loop on virtual time, the same for the same seed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from harness import compat
from harness.errors import Deadlock, RealWorld, Runaway
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims


def seconds() -> float:
    """Virtual seconds since the start, to the millisecond."""
    return round(time.monotonic() - 100_000, 3)


def test_timers_run_on_virtual_time() -> None:
    """sleep, call_later, call_at and the loop's clock: an hour passes in no time, and no timer comes early."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        log: list[Any] = []
        loop.call_later(2, lambda: log.append(("later", seconds())))
        loop.call_at(loop.time() + 1, lambda: log.append(("at", seconds())))
        begin = loop.time()
        await asyncio.sleep(3600)
        assert loop.time() - begin >= 3600
        return [*log, ("slept", seconds())]

    real = time.perf_counter()
    assert answer(lambda: asyncio.run(main())) == [("at", 1.0), ("later", 2.0), ("slept", 3600.0)]
    assert time.perf_counter() - real < 5


def test_timeouts_cancel_in_virtual_time() -> None:
    """timeout, wait_for and wait give up at their time; what they cancel runs its finally."""

    async def main() -> list[Any]:
        log: list[Any] = []

        async def slow() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                log.append(("finally", seconds()))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await slow()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 2)
        task = asyncio.create_task(slow())
        done, pending = await asyncio.wait([task], timeout=3)
        log.append((len(done), len(pending), seconds()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return log

    assert answer(lambda: asyncio.run(main())) == [
        ("finally", 1.0),
        ("finally", 3.0),
        (0, 1, 6.0),
        ("finally", 6.0),
    ]


def test_a_task_group_ends_together() -> None:
    """One task's error cancels the others at their awaits and comes out of the group."""

    async def main() -> list[Any]:
        log: list[Any] = []

        async def worker(number: int) -> None:
            try:
                await asyncio.sleep(number)
                if number == 2:
                    raise ValueError("two")
            except asyncio.CancelledError:
                log.append((number, "cancelled", seconds()))
                raise

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(worker(number))

        with pytest.raises(ExceptionGroup) as caught:
            await run()
        assert [str(error) for error in caught.value.exceptions] == ["two"]
        return sorted(log)

    assert answer(lambda: asyncio.run(main())) == [(3, "cancelled", 2.0), (4, "cancelled", 2.0)]


def test_threads_and_executors_serve_a_loop() -> None:
    """to_thread, run_in_executor and a future of a pool: the loop goes on meanwhile, contexts go along."""
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        who.set("me")
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.5)
                ticks += 1

        ticker = asyncio.create_task(tick())

        def blocking(value: int) -> tuple[int, str]:
            time.sleep(2)
            return value, threading.current_thread().name

        found: list[Any] = [await asyncio.to_thread(lambda: (time.sleep(1), who.get())[1])]
        found.append(await loop.run_in_executor(None, blocking, 7))
        with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="pool") as pool:
            found += await asyncio.gather(*(loop.run_in_executor(pool, blocking, n) for n in (1, 2)))
            found.append(await asyncio.wrap_future(pool.submit(blocking, 3)))
        ticker.cancel()
        return [sorted(map(str, found)), ticks, seconds()]

    values, ticks, at = answer(lambda: asyncio.run(main()))
    assert "me" in values
    assert "(7, 'asyncio_0')" in values or "(7, 'asyncio_1')" in values
    assert (ticks, at) == (13, 7.0) or (ticks, at) == (14, 7.0)


def test_other_threads_wake_a_loop() -> None:
    """call_soon_threadsafe and run_coroutine_threadsafe reach a loop that waits without end."""

    def main() -> list[Any]:
        log: list[Any] = []

        async def forever() -> None:
            loop = asyncio.get_running_loop()
            ready.set_result(loop)
            await stop.wait()
            log.append(("stopped", seconds()))

        async def told(text: str) -> str:
            log.append((text, seconds()))
            return text.upper()

        stop = asyncio.Event()
        ready: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        thread = threading.Thread(target=lambda: asyncio.run(forever()))
        thread.start()
        loop = ready.result()
        time.sleep(1)
        log.append(asyncio.run_coroutine_threadsafe(told("hello"), loop).result(5))
        time.sleep(1)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        return log

    assert answer(main) == [("hello", 1.0), "HELLO", ("stopped", 2.0)]


def racing(seed: int, tape: list[int] | None = None) -> list[str]:
    """The order in which five tasks of a group come to run."""

    async def main() -> list[str]:
        log: list[str] = []

        async def worker(name: str) -> None:
            log.append(name)
            await asyncio.sleep(0)
            log.append(name.upper())

        async with asyncio.TaskGroup() as group:
            for name in "abcde":
                group.create_task(worker(name))
        return log

    found: list[str] = answer(lambda: asyncio.run(main()), seed=seed, tape=tape)
    return found


def test_the_order_of_tasks_is_a_choice_of_the_seed() -> None:
    """Seeds give different orders, the same seed the same one; a tape of zeros is asyncio's own order."""
    orders = {tuple(racing(seed)) for seed in range(8)}
    assert len(orders) > 4
    assert all(racing(seed) == racing(seed) for seed in range(4))
    assert "".join(racing(0, tape=[])) == "abcdeABCDE"


def test_recorded_choices_give_the_order_again() -> None:
    """The decisions of a run, as a tape, replay its tasks' order under another seed."""

    def run(seed: int, tape: list[int] | None) -> tuple[list[str], list[int]]:
        log: list[str] = []

        async def worker(name: str) -> None:
            for _ in range(3):
                log.append(name)
                await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.gather(*map(worker, "abcd"))

        with kernel(seed, tape=tape) as k:
            k.start_process("p", lambda: asyncio.run(main()))
            k.run()
            return log, list(k.decisions)

    log, decisions = run(5, None)
    assert run(99, decisions) == (log, decisions)
    assert run(99, None)[0] != log


def test_plain_callbacks_keep_their_order() -> None:
    """call_soon runs callbacks first in, first out under every seed, also among tasks: asyncio promises it."""

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        log: list[Any] = []

        async def worker(number: int) -> None:
            log.append(number)

        tasks = []
        for number in range(5):
            loop.call_soon(log.append, number)
            tasks.append(asyncio.create_task(worker(10 + number)))
        await asyncio.wait(tasks)
        return log

    for seed in range(6):
        assert answer(lambda: asyncio.run(main()), seed=seed) == [0, 10, 1, 11, 2, 12, 3, 13, 4, 14]


def test_an_order_that_matters_is_found() -> None:
    """Two tasks that read, wait and write lose an update under some order, and never with a lock."""

    def run(seed: int, locked: bool) -> int:
        async def main() -> int:
            total = 0
            lock = asyncio.Lock()
            first = asyncio.Event()

            async def add_one() -> None:
                nonlocal total
                if locked:
                    async with lock:
                        seen = total
                        await asyncio.sleep(0)
                        total = seen + 1
                    return
                if not first.is_set():
                    first.set()
                    seen = total
                    await asyncio.sleep(0)
                    total = seen + 1
                else:
                    total += 1

            await asyncio.gather(add_one(), add_one())
            return total

        found: int = answer(lambda: asyncio.run(main()), seed=seed)
        return found

    assert any(run(seed, locked=False) == 1 for seed in range(10))
    assert all(run(seed, locked=True) == 2 for seed in range(10))


def test_names_count_for_each_process() -> None:
    """Task-1, Task-2, ... in every process and every run; names that are given stay, factories too."""

    def main() -> list[str]:
        async def name() -> str:
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        async def names() -> list[str]:
            found = [await name(), await asyncio.create_task(name())]
            loop = asyncio.get_running_loop()
            loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
            return [*found, await asyncio.create_task(name()), await asyncio.create_task(name(), name="mine")]

        return asyncio.run(names())

    found: list[list[str]] = []
    simulate(lambda: found.append(main()), lambda: found.append(main()))
    assert found == [["Task-1", "Task-2", "Task-3", "mine"]] * 2
    assert answer(main) == found[0]


def test_tasks_made_without_create_task_count_too() -> None:
    """asyncio.Task itself, a subclass of it and the class written in Python: numbered as all, run after run."""

    class Mine(asyncio.Task):  # type: ignore[type-arg]
        pass

    class Owned(asyncio.Task):  # type: ignore[type-arg]
        def __init__(self, coro: Any) -> None:
            super().__init__(coro, name=None)

    async def name() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    async def names() -> list[str]:
        in_python: Any = getattr(asyncio.tasks, "_PyTask")  # noqa: B009  (private)
        found = []
        for kind in (asyncio.Task, Mine, Owned, in_python):
            task = kind(name())
            found.append(task.get_name())
            await task
        task = asyncio.Task(name(), name="mine")
        return [*found, await name(), await task]

    for _ in range(2):
        assert answer(lambda: asyncio.run(names())) == ["Task-2", "Task-3", "Task-4", "Task-5", "Task-1", "mine"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.11 has no eager tasks")
def test_eager_tasks_have_their_name_from_the_first_step_on() -> None:
    """A task whose first step runs as it is made is named before it: by asyncio.Task, and by the eager factory."""
    asyncio_: Any = asyncio

    async def name() -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        first = task.get_name()
        await asyncio.sleep(1)
        return [first, task.get_name()]

    async def names() -> list[list[str]]:
        loop = asyncio.get_running_loop()
        found = [await asyncio_.Task(name(), loop=loop, eager_start=True)]
        loop.set_task_factory(asyncio_.eager_task_factory)
        return [*found, await asyncio.create_task(name())]

    for _ in range(2):
        assert answer(lambda: asyncio.run(names())) == [["Task-2", "Task-2"], ["Task-3", "Task-3"]]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="CPython 3.11 has no eager tasks")
def test_an_eager_task_of_a_killed_process_is_not_handed_on() -> None:
    """A process crashes in a task's first step: nothing of the task is left among asyncio's when the run is over."""
    asyncio_: Any = asyncio

    async def begins() -> None:
        time.sleep(100)  # gives way inside the first step

    async def main() -> None:
        await asyncio_.Task(begins(), loop=asyncio.get_running_loop(), eager_start=True)

    with kernel() as k:
        process = k.start_process("victim", lambda: asyncio.run(main()))
        k.call_at(1_000_000, lambda: k.crash(process))
        k.run()
        assert len(compat.eager_tasks()) == 1
    assert compat.eager_tasks() == set()


def test_outside_a_run_tasks_are_named_as_ever() -> None:
    """With the shims in, asyncio's own counter names the tasks of ordinary code, and None is a name like another."""

    async def names() -> list[str]:
        async def nothing() -> None:
            return

        tasks = [asyncio.create_task(nothing()), asyncio.Task(nothing())]
        found = [task.get_name() for task in tasks]
        tasks[0].set_name(None)
        await asyncio.gather(*tasks)
        return [*found, tasks[0].get_name()]

    first, second, third = asyncio.run(names())
    assert int(second.removeprefix("Task-")) == int(first.removeprefix("Task-")) + 1
    assert third == "None"


def cancelled_in_order() -> list[int]:
    """The order in which 40 tasks that asyncio.run leaves over learn that they are cancelled."""

    def main() -> list[int]:
        log: list[int] = []

        async def left_over(number: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                log.append(number)

        async def run() -> None:
            kept.extend(asyncio.create_task(left_over(number)) for number in range(40))
            await asyncio.sleep(1)

        kept: list[Any] = []
        asyncio.run(run())
        return log

    found: list[int] = answer(main, tape=[])
    return found


def test_sets_of_tasks_have_an_order_of_the_run() -> None:
    """What asyncio keeps in sets it cancels in an order that does not follow the tasks' addresses, run after run."""
    first = cancelled_in_order()
    assert sorted(first) == list(range(40))
    clutter = [object() for _ in range(1000)]
    assert cancelled_in_order() == first
    del clutter
    gc.collect()
    assert cancelled_in_order() == first


def test_outside_a_run_tasks_hash_as_ever() -> None:
    """A task and a future of the real world hash by their address, with the shims in."""

    async def main() -> bool:
        task = asyncio.current_task()
        future = asyncio.get_running_loop().create_future()
        return hash(task) == object.__hash__(task) and hash(future) == object.__hash__(future)

    assert asyncio.run(main())


def test_loops_of_two_processes_and_of_a_thread_run_at_once() -> None:
    """Each loop has its own tasks, time and generators; what one closes is not another's."""

    def main(name: str, log: list[Any]) -> None:
        async def count() -> AsyncIterator[int]:
            try:
                for number in range(100):
                    yield number
            finally:
                log.append((name, "closed", asyncio.get_running_loop() is loops[name]))

        async def run() -> None:
            loops[name] = asyncio.get_running_loop()
            generators[name] = count()
            async for number in generators[name]:
                await asyncio.sleep(1)
                if number == rounds[name]:
                    break
            log.append((name, len(asyncio.all_tasks()), seconds()))

        asyncio.run(run())

    log: list[Any] = []
    loops: dict[str, Any] = {}
    generators: dict[str, Any] = {}
    rounds = {"p": 3, "q": 5, "t": 7}

    def with_thread() -> None:
        thread = threading.Thread(target=main, args=("t", log))
        thread.start()
        main("q", log)
        thread.join()

    simulate(lambda: main("p", log), with_thread)
    assert log == [
        ("p", 1, 4.0),
        ("p", "closed", True),
        ("q", 1, 6.0),
        ("q", "closed", True),
        ("t", 1, 8.0),
        ("t", "closed", True),
    ]


def test_get_event_loop_belongs_to_the_thread() -> None:
    """What set_event_loop keeps is its thread's: another thread has none, the next run begins without."""

    def main() -> list[Any]:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        found: list[Any] = [asyncio.get_event_loop_policy().get_event_loop() is loop]

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="no current event loop"):
                asyncio.get_event_loop_policy().get_event_loop()
            found.append("none")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        loop.close()
        return found

    before = asyncio.get_event_loop_policy()
    assert answer(main) == [True, "none"]
    assert answer(main) == [True, "none"]
    assert asyncio.get_event_loop_policy() is before


def test_a_signal_reaches_a_loops_handler() -> None:
    """loop.add_signal_handler: the callback runs in the loop at the signal's arrival, in the middle of a wait."""

    def main(log: list[Any]) -> None:
        async def run() -> None:
            loop = asyncio.get_running_loop()
            stop = asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            loop.add_signal_handler(signal.SIGUSR1, log.append, "usr1")
            await stop.wait()
            log.append(("stopping", seconds()))
            await asyncio.sleep(1)
            assert loop.remove_signal_handler(signal.SIGTERM)
            log.append(("stopped", seconds()))

        asyncio.run(run())

    log: list[Any] = []
    with kernel() as k:
        process = k.start_process("p", lambda: main(log))
        k.call_at(1_000_000, lambda: k.deliver(process, signal.SIGUSR1))
        k.call_at(2_500_000, lambda: k.sigterm(process, 10_000_000))
        k.run()
    assert log == ["usr1", ("stopping", 2.5), ("stopped", 3.5)]
    assert process.exit_outcome == "returned"


def test_sigterm_may_cancel_the_main_task() -> None:
    """A plain signal handler that cancels a task by call_soon_threadsafe ends the run as CancelledError."""

    def main(log: list[Any]) -> None:
        async def run() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(task.cancel))
            try:
                await asyncio.sleep(100)
            finally:
                log.append(seconds())

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(run())

    log: list[Any] = []
    with kernel() as k:
        process = k.start_process("p", lambda: main(log))
        k.call_at(2_000_000, lambda: k.sigterm(process, 10_000_000))
        k.run()
    assert process.exit_outcome == "returned"
    assert log == [2.0]


def test_sigint_cancels_asyncio_run() -> None:
    """Ctrl-C, as asyncio.run handles it: the main task is cancelled, and KeyboardInterrupt comes out."""

    def main() -> list[Any]:
        log: list[Any] = []

        async def run() -> None:
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                log.append(seconds())
                raise

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(run())
        return log

    assert answer(main) == [1.0]


def test_a_crash_resumes_no_task() -> None:
    """SIGKILL: no task runs its except or finally but when the run is taken apart, and then every call is refused."""

    def victim(log: list[Any]) -> None:
        async def worker(number: int) -> None:
            try:
                while True:
                    await asyncio.sleep(0.1)
            except BaseException:
                log.append((number, "except"))
                raise
            finally:
                time.sleep(1)  # refused when the run is over: what follows is never reached
                log.append((number, "finally"))

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(worker(number))

        asyncio.run(run())

    def survivor(log: list[Any]) -> None:
        async def run() -> None:
            for _ in range(20):
                await asyncio.sleep(0.1)
            log.append(("survived", seconds()))

        asyncio.run(run())

    log: list[Any] = []
    during: list[Any] = []
    with kernel() as k:
        process = k.start_process("victim", lambda: victim(log))
        k.start_process("survivor", lambda: survivor(log))
        k.call_at(1_000_000, lambda: k.crash(process))
        k.run()
        during = list(log)
    assert during == [("survived", 2.0)]
    assert [entry for entry in log if entry[1] == "finally"] == []


@pytest.mark.parametrize("end", ["crash", "until"])
def test_what_a_run_leaves_is_closed_silently(end: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Tasks, generators and loops of a run that ends in the middle: nothing is printed, warned of, or run later."""
    log: list[Any] = []

    def main() -> None:
        async def generate() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
                    await asyncio.sleep(1)
            finally:
                log.append("generator")

        async def worker() -> None:
            async for _ in generate():
                pass

        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.sleep(1)
                except BaseException:
                    log.append("swallowed") if log.count("swallowed") < 5 else None

        async def run() -> None:
            await asyncio.gather(worker(), stubborn(), asyncio.to_thread(time.sleep, 100))

        loop = asyncio.new_event_loop()
        loop.run_until_complete(run())

    with kernel() as k:
        process = k.start_process("p", main)
        k.run(5_500_000)
        if end == "crash":
            k.crash(process)
            k.run(6_000_000)
        before = list(log)
    gc.collect()
    assert before == []
    assert capfd.readouterr().err == ""


def test_a_loop_that_never_rests_is_a_runaway() -> None:
    """A task that yields without end moves time on, slowly, and ends the run at its step limit."""

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Runaway):
        simulate(lambda: asyncio.run(main()), max_steps=20_000)


def test_a_loop_that_waits_for_nothing_is_a_deadlock() -> None:
    """Tasks that wait for what nobody sets are reported as a deadlock."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        simulate(lambda: asyncio.run(main()))


def test_a_blocking_call_stops_the_whole_loop() -> None:
    """time.sleep in a coroutine stops every task of its loop, as in reality, and nobody else's."""

    async def main() -> list[Any]:
        log: list[Any] = []

        async def tick() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                log.append(seconds())

        task = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        time.sleep(10)
        await task
        return log

    assert answer(lambda: asyncio.run(main())) == [1.0, 11.5, 12.5]


def test_real_descriptors_child_processes_and_servers_are_refused() -> None:
    """What an event loop can do beyond simulated sockets is refused with what to do instead."""

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        attempts: list[Callable[[], Any]] = [
            lambda: asyncio.open_connection("93.184.216.34", 80),
            lambda: asyncio.create_subprocess_exec(sys.executable, "-c", ""),
            lambda: asyncio.start_server(lambda *_: None, "127.0.0.1", 0),
            lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9)),
        ]
        found = []
        with pytest.raises(RealWorld):
            loop.add_reader(0, lambda: None)
        for attempt in attempts:
            with pytest.raises(RealWorld) as caught:
                await attempt()
            found.append(str(caught.value).partition(" was asked")[0])
        return found

    found = answer(lambda: asyncio.run(main()))
    assert found[0] == "a real connection to 93.184.216.34:80"
    assert "process" in found[1]
    assert len(found) == 4


def test_a_loop_made_of_c_is_refused() -> None:
    """An event loop that waits in C code is refused before there is one, else when it starts; outside it is let be."""

    class Compiled(int, asyncio.AbstractEventLoop):  # int stands for the C part
        pass

    early = Compiled(7)

    def main() -> None:
        with pytest.raises(RealWorld, match=r"the event loop .*Compiled.* asyncio's own loop"):
            Compiled()
        with pytest.raises(RealWorld, match=r"the event loop .*Compiled.* asyncio's own loop"):
            asyncio._set_running_loop(early)

    simulate(main)
    assert Compiled(8) == 8
