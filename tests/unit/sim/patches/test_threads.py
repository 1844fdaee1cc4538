"""Tests of threads, queues and pools inside a run."""

from __future__ import annotations

import _thread
import concurrent.futures
import logging
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness.errors import SimulationError
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims


def elapsed(function: Any) -> float:
    start = time.monotonic()
    function()
    return time.monotonic() - start


def test_threads_sleep_at_the_same_time() -> None:
    """Ten threads that sleep a second end after one second; join waits in virtual time."""

    def main() -> float:
        threads = [threading.Thread(target=time.sleep, args=(1,)) for _ in range(10)]

        def all_of_them() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return elapsed(all_of_them)

    assert answer(main) == pytest.approx(1)


def test_join_with_a_timeout_and_is_alive() -> None:
    """join(timeout) gives up in time; is_alive tells; a thread cannot join itself."""

    def main() -> list[Any]:
        thread = threading.Thread(target=time.sleep, args=(10,))
        thread.start()
        found: list[Any] = [elapsed(lambda: thread.join(3)), thread.is_alive(), elapsed(thread.join), thread.is_alive()]
        with pytest.raises(RuntimeError):
            threading.current_thread().join()
        return found

    assert answer(main) == [pytest.approx(3), True, pytest.approx(7), False]


def test_identity_and_names() -> None:
    """Names count from 1 in each process, idents are small and of the actor, the main thread is the process's."""
    seen: dict[str, list[Any]] = {}

    with kernel() as k:

        def main(name: str) -> None:
            found: list[Any] = []

            def work() -> None:
                current = threading.current_thread()
                assert current.ident == threading.get_ident() == _thread.get_ident()
                assert current.native_id == threading.get_native_id()
                assert threading.main_thread() is not current
                found.append(current.name)

            assert threading.current_thread() is threading.main_thread()
            for _ in range(2):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
            pool = ThreadPoolExecutor(1)
            found.append(pool.submit(lambda: threading.current_thread().name).result())
            found.append(threading.current_thread().name)
            found.append(threading.get_ident() < 100)
            seen[name] = found

        for name in ("a", "b"):
            k.start_process(name, lambda name=name: main(name))
        k.run()
        names = list(k.stacks())
    expected = ["Thread-1 (work)", "Thread-2 (work)", "ThreadPoolExecutor-0_0", "MainThread", True]
    assert seen == {"a": expected, "b": expected}
    assert names == []


def test_an_actor_is_named_after_its_thread() -> None:
    """In histories and stacks a thread is called <process>/<its name>."""
    with kernel() as k:

        def main() -> None:
            threading.Thread(target=k.park, name="heartbeat", daemon=True).start()
            _thread.start_new_thread(k.park, ())
            k.park(10)

        k.start_process("worker.1", main)
        k.run(5)
        assert list(k.stacks()) == ["worker.1", "worker.1/heartbeat", "worker.1/thread-1"]


def test_enumerate_and_active_count_see_the_own_process_only() -> None:
    """Neither real threads nor those of other processes are listed."""
    seen: dict[str, list[str]] = {}
    with kernel() as k:

        def main(name: str, count: int) -> None:
            for _ in range(count):
                threading.Thread(target=time.sleep, args=(5,)).start()
            time.sleep(1)
            seen[name] = [thread.name for thread in threading.enumerate()]
            assert threading.active_count() == count + 1

        k.start_process("a", lambda: main("a", 1))
        k.start_process("b", lambda: main("b", 2))
        k.run()
    assert seen == {
        "a": ["MainThread", "Thread-1 (sleep)"],
        "b": ["MainThread", "Thread-1 (sleep)", "Thread-2 (sleep)"],
    }


def test_event_semaphore_barrier_and_timer() -> None:
    """threading's own classes run unchanged on virtual locks and time."""

    def main() -> list[Any]:
        found: list[Any] = []
        event = threading.Event()
        found.append(elapsed(lambda: found.append(event.wait(2))))
        threading.Timer(3, event.set).start()
        found.append(elapsed(lambda: found.append(event.wait(100))))

        semaphore = threading.BoundedSemaphore(2)

        def limited() -> None:
            with semaphore:
                time.sleep(1)

        def five() -> None:
            threads = [threading.Thread(target=limited) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        found.append(elapsed(five))

        barrier = threading.Barrier(3)
        passed: list[float] = []

        def meets(seconds: float) -> None:
            time.sleep(seconds)
            barrier.wait()
            passed.append(time.monotonic())

        threads = [threading.Thread(target=meets, args=(seconds,)) for seconds in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append(len(set(passed)))
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(timeout=1)
        return found

    near = pytest.approx
    assert answer(main) == [False, near(2), True, near(3), near(3), 1]


def test_a_cancelled_timer_does_not_fire() -> None:
    """Timer.cancel() ends its thread."""

    def main() -> list[int]:
        fired: list[int] = []
        timer = threading.Timer(5, lambda: fired.append(1))
        timer.start()
        time.sleep(1)
        timer.cancel()
        timer.join()
        time.sleep(10)
        return fired

    assert answer(main) == []


@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue])
def test_queues_wait_in_virtual_time(kind: Any) -> None:
    """get() waits for put(), get(timeout) raises Empty in time."""

    def main() -> list[Any]:
        waiting = kind()
        found: list[Any] = []

        def producer() -> None:
            for number in range(3):
                time.sleep(1)
                waiting.put(number)

        threading.Thread(target=producer).start()
        found.append(elapsed(lambda: found.extend(waiting.get() for _ in range(3))))

        def times_out() -> None:
            with pytest.raises(queue.Empty):
                waiting.get(timeout=4)

        found.append(elapsed(times_out))
        with pytest.raises(queue.Empty):
            waiting.get_nowait()
        return found

    assert answer(main) == [0, 1, 2, pytest.approx(3), pytest.approx(4)]


def test_a_bounded_queue_blocks_its_producer_and_join_waits() -> None:
    """put() waits while the queue is full; task_done and join work."""

    def main() -> float:
        work: queue.Queue[int] = queue.Queue(maxsize=1)

        def consumer() -> None:
            while True:
                work.get()
                time.sleep(1)
                work.task_done()

        threading.Thread(target=consumer, daemon=True).start()

        def produce() -> None:
            for number in range(5):
                work.put(number)
            work.join()

        return elapsed(produce)

    assert answer(main) == pytest.approx(5)


def test_a_pool_runs_its_tasks_in_virtual_time() -> None:
    """map keeps order, futures time out, exceptions come through, wait and as_completed work."""

    def main() -> list[Any]:
        found: list[Any] = []
        with ThreadPoolExecutor(max_workers=2) as pool:
            found.append(list(pool.map(lambda seconds: (time.sleep(seconds), seconds)[1], [3, 2, 1])))
            slow = pool.submit(time.sleep, 10)
            with pytest.raises(concurrent.futures.TimeoutError):
                slow.result(timeout=1)
            failing = pool.submit(lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                failing.result()
            done, pending = concurrent.futures.wait([slow, failing], timeout=2)
            found.append((len(done), len(pending)))
        found.append(slow.done())
        return found

    assert answer(main) == [[3, 2, 1], (1, 1), True]


def test_a_process_that_ends_waits_for_its_pool_as_the_interpreter_does() -> None:
    """An executor that nobody shut down drains at exit; a later run's executors work as ever."""
    done: list[float] = []
    for _ in range(2):
        with kernel() as k:

            def main() -> None:
                pool = ThreadPoolExecutor(1)
                for seconds in (1, 2):
                    pool.submit(lambda seconds=seconds: (time.sleep(seconds), done.append(k.now)))

            process = k.start_process("p", main)
            k.run()
            assert process.state == "exited"
    assert done == [1.0, 3.0] * 2
    with ThreadPoolExecutor(1) as pool:  # the real world's pools too
        assert pool.submit(lambda: 5).result() == 5


def test_a_pool_refuses_work_while_its_process_ends_and_only_then() -> None:
    """After exit has begun submit() raises, as at interpreter shutdown; another process's pool goes on."""
    found: list[Any] = []
    with kernel() as k:

        def ending() -> None:
            pool = ThreadPoolExecutor(1)

            def late() -> None:
                time.sleep(1)
                try:
                    pool.submit(int)
                except RuntimeError as error:
                    found.append(str(error))

            pool.submit(late)

        def living() -> None:
            time.sleep(2)
            with ThreadPoolExecutor(1) as pool:
                found.append(pool.submit(lambda: "fine").result())

        k.start_process("ending", ending)
        k.start_process("living", living)
        k.run()
    assert found == ["cannot schedule new futures after interpreter shutdown", "fine"]


def test_an_error_in_a_thread_goes_to_the_kernel_and_not_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """on_thread_error gets the actor and the error, of Thread and of raw threads; SystemExit ends a thread quietly."""
    errors: list[tuple[str, str]] = []
    with kernel() as k:
        k.on_thread_error = lambda actor, error: errors.append((actor.name, repr(error)))

        def main() -> None:
            def fails() -> None:
                raise ValueError("broken")

            def exits() -> None:
                raise SystemExit(1)

            for function in (fails, exits):
                thread = threading.Thread(target=function)
                thread.start()
                thread.join()
            _thread.start_new_thread(fails, ())
            time.sleep(1)

        k.start_process("p", main)
        k.run()
    assert errors == [("p/Thread-1 (fails)", "ValueError('broken')"), ("p/thread-1", "ValueError('broken')")]
    assert capfd.readouterr().err == ""


def test_a_daemon_thread_inherits_daemon() -> None:
    """A thread started by a daemon is one, unless told otherwise."""

    def main() -> list[bool]:
        found: list[bool] = [threading.current_thread().daemon]
        thread = threading.Thread(target=lambda: found.append(threading.Thread(target=int).daemon), daemon=True)
        thread.start()
        thread.join()
        return found

    assert answer(main) == [False, True]


def test_logging_works_between_threads() -> None:
    """A handler that sleeps while it holds its lock makes others wait, and mixes nothing."""

    def main() -> list[str]:
        lines: list[str] = []

        class Slow(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(f"{record.threadName} begins")
                time.sleep(1)
                lines.append(f"{record.threadName} ends")

        log = logging.Logger("slow")
        log.addHandler(Slow())
        threads = [threading.Thread(target=log.warning, args=("hello",), name=name) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return lines

    lines = answer(main)
    assert [line.split()[1] for line in lines] == ["begins", "ends"] * 2
    assert lines[0].split()[0] == lines[1].split()[0]


def test_import_in_two_threads_at_once(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that sleeps while it is imported is imported once; the other importer waits for it."""
    (tmp_path / "imports_slowly.py").write_text("import time\ntime.sleep(5)\nVALUE = time.monotonic()\n")
    monkeypatch.syspath_prepend(tmp_path)

    def main() -> list[float]:
        found: list[float] = []

        def work() -> None:
            import imports_slowly  # type: ignore[import-not-found]

            found.append(imports_slowly.VALUE)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    assert answer(main) == [100_005.0] * 3


def test_threads_cannot_be_started_from_the_hub() -> None:
    """A timer belongs to no process: starting a thread there is an error that says so."""
    with kernel() as k:
        k.call_at(1, lambda: threading.Thread(target=int).start())
        with pytest.raises(SimulationError, match="in no process"):
            k.run()


def test_two_runs_with_threads_are_the_same() -> None:
    """Names, idents, order and time of a run with threads, queues and pools repeat in the same process."""

    def run() -> list[Any]:
        log: list[Any] = []
        with kernel(11) as k:

            def main() -> None:
                work: queue.Queue[int] = queue.Queue()

                def consume() -> None:
                    while (item := work.get()) >= 0:
                        time.sleep(0.5)
                        log.append((k.now_us, threading.current_thread().name, threading.get_ident(), item))

                threads = [threading.Thread(target=consume) for _ in range(3)]
                for thread in threads:
                    thread.start()
                with ThreadPoolExecutor(2) as pool:
                    pool.map(work.put, range(10))
                for _ in threads:
                    work.put(-1)
                for thread in threads:
                    thread.join()

            k.start_process("p", main)
            k.run()
            return [*log, k.steps, *k.decisions]

    first = run()
    assert len(first) > 11
    assert [run() for _ in range(2)] == [first] * 2


def test_outside_a_run_threads_are_real() -> None:
    """A Thread runs on an OS thread of its own and is joined for real."""
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(threading.get_ident()))
    thread.start()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert found[0] != threading.get_ident()
    simulate(lambda: None)
