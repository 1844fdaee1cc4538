"""Tests of thread-local data inside a run."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from harness.sim import real
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims


def in_thread(function: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_each_actor_has_its_own_values() -> None:
    """What one thread sets, another does not see, across switches."""

    def main() -> list[Any]:
        data = threading.local()
        data.value = "main"

        def work(number: int) -> None:
            assert not hasattr(data, "value")
            data.value = number
            time.sleep(1)
            found.append(data.value)

        found: list[Any] = []
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [*sorted(found), data.value]

    assert answer(main) == [0, 1, 2, "main"]


def test_a_local_made_outside_is_empty_in_each_run_and_keeps_its_value_outside() -> None:
    """Runs leave nothing in it, for each other or for the real thread."""
    data = threading.local()
    data.value = "outside"
    for _ in range(2):

        def main() -> None:
            assert not hasattr(data, "value")
            data.value = "inside"

        simulate(main)
    assert data.value == "outside"
    assert vars(data) == {"value": "outside"}


def test_a_subclass_is_initialised_in_each_thread() -> None:
    """__init__ runs once in each thread that uses it, with the arguments it was made with."""

    class Mine(threading.local):
        def __init__(self, start: int, *, step: int = 1) -> None:
            self.value = start
            self.step = step

        def next(self) -> int:
            self.value += self.step
            return self.value

        @property
        def doubled(self) -> int:
            return self.value * 2

    def main() -> list[int]:
        mine = Mine(10, step=5)
        return [mine.next(), mine.next(), in_thread(mine.next), mine.next(), mine.doubled]

    assert answer(main) == [15, 20, 15, 25, 50]
    assert main() == [15, 20, 15, 25, 50]


def test_attributes_behave_as_on_the_real_one() -> None:
    """Deleting, missing names, __dict__, and arguments without an __init__ that takes them."""

    def main() -> list[Any]:
        data = threading.local()
        data.value = 1
        found: list[Any] = [vars(data), data.__dict__ is vars(data)]
        del data.value
        for attempt in (
            lambda: data.value,
            lambda: delattr(data, "value"),
            lambda: setattr(data, "__dict__", {}),
            lambda: threading.local(1),  # type: ignore[call-arg]
        ):
            try:
                attempt()
            except (AttributeError, TypeError) as error:
                found.append(type(error))
        return found

    expected = [{}, True, AttributeError, AttributeError, AttributeError, TypeError]
    assert answer(main) == expected
    assert main() == expected


def test_values_die_with_their_thread() -> None:
    """What an ended thread kept in a local is released; the local itself too when it goes."""

    class Thing:
        pass

    def main() -> list[bool]:
        holder = [threading.local()]
        seen: list[Any] = []

        def work() -> None:
            holder[0].thing = Thing()
            seen.append(weakref.ref(holder[0].thing))

        in_thread(work)
        time.sleep(1)
        gc.collect()
        gone = seen[0]() is None
        holder[0].thing = Thing()
        mine = weakref.ref(holder[0].thing)
        holder.clear()
        gc.collect()
        return [gone, mine() is None]

    assert answer(main) == [True, True]


def test_processes_do_not_share_values() -> None:
    """The main actors of two processes are different threads."""
    data = threading.local()
    seen: list[bool] = []
    with kernel() as k:
        for name in ("a", "b"):
            k.start_process(name, lambda: (seen.append(hasattr(data, "x")), setattr(data, "x", 1)))
        k.run()
    assert seen == [False, False]


@pytest.mark.parametrize("inside", [True, False])
def test_real_threads_have_their_own_values(inside: bool) -> None:
    """Outside a run, and beside one, each real thread has its values."""
    data = threading.local()
    data.value = "main thread"
    found: list[Any] = []
    done = real.allocate_lock()
    done.acquire()

    def other() -> None:
        found.append(hasattr(data, "value"))
        data.value = "other"
        found.append(data.value)
        done.release()

    def main() -> None:
        real.start_new_thread(other, ())
        assert done.acquire(True, 5)

    if inside:
        simulate(main)
    else:
        main()
    assert found == [False, "other"]
    assert data.value == "main thread"
