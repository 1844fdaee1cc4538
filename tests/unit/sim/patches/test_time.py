"""Tests of clocks and sleep inside a run."""

from __future__ import annotations

import calendar
import dataclasses
import datetime
import functools
import time
from collections.abc import Callable
from datetime import date
from datetime import datetime as DateTime
from time import monotonic, sleep
from time import time as now
from typing import Any

import pytest

from harness.errors import SimulationError
from harness.sim import real
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims

EPOCH = 1_893_456_000  # 2030-01-01T00:00:00Z


def with_default(wait: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.time) -> float:
    wait(2)
    return clock()


def with_keyword_default(*, wait: Callable[[float], None] = time.sleep) -> None:
    wait(3)


@dataclasses.dataclass
class Stamp:
    at: float = dataclasses.field(default_factory=time.time)


class Holder:
    clock = time.time
    static = staticmethod(time.monotonic)


PARTIAL = functools.partial(time.sleep, 4)
TABLE = {"clock": time.time, "nested": [time.monotonic, (time.time, (time.perf_counter,))]}


def make_closure() -> Callable[[], float]:
    clock = time.time
    return lambda: clock()


CLOSURE = make_closure()


def test_sleep_takes_virtual_time_by_every_name() -> None:
    """time.sleep as attribute, by name, as default argument, as keyword default and in a partial."""

    def main() -> list[float]:
        start = time.monotonic()
        time.sleep(1)
        sleep(1)
        with_default()
        with_keyword_default()
        PARTIAL()
        return [time.monotonic() - start]

    started = real.monotonic()
    assert answer(main) == [pytest.approx(11.0)]
    assert real.monotonic() - started < 2


def test_clocks_are_virtual_wherever_they_are_kept() -> None:
    """By name, class attribute (of the class and of an instance), static method, closure, dict, list, nested tuple."""

    def main() -> list[float]:
        time.sleep(10)
        return [
            now(),
            Holder.clock(),
            Holder().clock(),
            CLOSURE(),
            TABLE["clock"](),  # type: ignore[operator]
            TABLE["nested"][1][0](),  # type: ignore[index]
            Stamp().at,
            with_default() - 2,
        ]

    assert answer(main) == [EPOCH + 10] * 8


def test_monotonic_clocks_agree_and_start_above_zero() -> None:
    """monotonic, perf_counter, process_time, thread_time and their nanosecond forms are one clock; never 0."""

    def main() -> tuple[list[float], list[int], list[float]]:
        time.sleep(1.5)
        seconds = [time.monotonic(), time.perf_counter(), time.process_time(), time.thread_time(), Holder.static()]
        nanoseconds = [
            time.monotonic_ns(),
            time.perf_counter_ns(),
            time.process_time_ns(),
            time.thread_time_ns(),
            time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        ]
        return seconds, nanoseconds, [TABLE["nested"][0](), TABLE["nested"][1][1][0]()]  # type: ignore[index]

    seconds, nanoseconds, kept = answer(main)
    assert set(seconds) == {100_001.5}
    assert set(nanoseconds) == {100_001_500_000_000}
    assert set(kept) == {100_001.5}
    assert answer(monotonic) == 100_000.0


def test_the_calendar_follows_the_clock() -> None:
    """localtime, gmtime, ctime, asctime and strftime without an argument; datetime.now, utcnow, today; date.today."""

    def main() -> dict[str, Any]:
        time.sleep(86_400 + 1.25)
        naive = datetime.datetime(2030, 1, 2) + (datetime.datetime.fromtimestamp(EPOCH) - datetime.datetime(2030, 1, 1))
        return {
            "gmtime": calendar.timegm(time.gmtime()) == EPOCH + 86_401,
            "localtime": time.mktime(time.localtime()) == EPOCH + 86_401,
            "ctime": time.ctime() == time.ctime(EPOCH + 86_401),
            "asctime": time.asctime() == time.asctime(time.localtime(EPOCH + 86_401)),
            "strftime": time.strftime("%Y %j") == time.strftime("%Y %j", time.localtime(EPOCH + 86_401)),
            "now": DateTime.now() == naive + datetime.timedelta(seconds=1.25),
            "now utc": DateTime.now(datetime.UTC).timestamp() == EPOCH + 86_401.25,
            "today": DateTime.today() == naive + datetime.timedelta(seconds=1.25),
            "date": date.today() == naive.date(),
            "clock_gettime": time.clock_gettime(time.CLOCK_REALTIME) == EPOCH + 86_401.25,
            "time_ns": time.time_ns() == (EPOCH + 86_401) * 10**9 + 250_000_000,
        }

    found = answer(main)
    assert [name for name, right in found.items() if not right] == []


@pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
def test_utcnow_and_subclasses_of_datetime() -> None:
    """utcnow is naive UTC; a subclass gets instances of its own."""

    class Mine(datetime.datetime):
        pass

    def main() -> tuple[datetime.datetime, type, type]:
        return DateTime.utcnow(), type(Mine.now()), type(Mine.utcnow())

    assert answer(main) == (DateTime(2030, 1, 1), Mine, Mine)


def test_arguments_are_checked_as_by_the_real_sleep() -> None:
    """A negative, a NaN and a wrong type are refused with the same classes of error."""

    def main() -> list[type]:
        found: list[type] = []
        wrong: list[Any] = [-1, float("nan"), "1", None]
        for seconds in wrong:
            try:
                time.sleep(seconds)
            except Exception as error:
                found.append(type(error))
        return found

    assert answer(main) == [ValueError, ValueError, TypeError, TypeError]


def test_a_sleep_shorter_than_a_microsecond_still_moves_time() -> None:
    """A wait below the clock's resolution cannot leave time where it was."""
    k = simulate(lambda: [time.sleep(1e-9) for _ in range(10)])
    assert k.now_us == 10


def test_a_loop_on_the_clock_ends() -> None:
    """After 1,000 reads each takes a millisecond and lets others run: a busy wait sees its end."""
    others: list[float] = []
    with kernel() as k:

        def spins() -> None:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                pass

        k.start_process("spinner", spins)
        k.start_process("other", lambda: (time.sleep(1), others.append(k.now)))
        k.run()
        assert 2.0 <= k.now < 2.01
        assert k.steps < 2_100
    assert others == [1.0]


def test_reading_the_clock_now_and_then_takes_no_time() -> None:
    """Reads are counted from one wait to the next."""

    def main() -> float:
        start = time.monotonic()
        for _ in range(10):
            for _ in range(900):
                time.time()
            time.sleep(0.001)
        return time.monotonic() - start

    assert answer(main) == pytest.approx(0.01)


def test_the_clock_of_a_process_may_be_wrong() -> None:
    """time.time and datetime.now show the process's own wall clock; monotonic does not follow."""
    seen: list[tuple[float, float, float]] = []
    with kernel() as k:
        process = k.start_process(
            "p", lambda: seen.append((time.time(), DateTime.now(datetime.UTC).timestamp(), time.monotonic()))
        )
        process.clock_offset_us = -240_000_000
        k.run()
    assert seen == [(EPOCH - 240, EPOCH - 240, 100_000.0)]


def test_outside_a_run_everything_is_real() -> None:
    """The shims do nothing outside: clocks go on, a sleep sleeps."""
    before = real.monotonic()
    time.sleep(0.01)
    assert real.monotonic() - before >= 0.01
    assert abs(time.time() - real.time()) < 1
    assert abs(DateTime.now(datetime.UTC).timestamp() - real.time()) < 1
    assert time.gmtime(0).tm_year == 1970


def test_other_os_threads_stay_real_during_a_run() -> None:
    """A real thread beside the run reads the machine's clock and never touches the kernel."""
    found: list[float] = []
    done = real.allocate_lock()
    done.acquire()

    def main() -> None:
        real.start_new_thread(lambda: (found.append(time.time()), done.release()), ())
        assert done.acquire(True, 5)

    simulate(main)
    assert abs(found[0] - real.time()) < 60


def test_the_hub_has_true_time_but_cannot_sleep() -> None:
    """A timer reads virtual time; sleeping there is an error, not a hang."""
    seen: list[float] = []
    with kernel() as k:
        k.call_at(3_000_000, lambda: seen.append(time.time()))
        k.call_at(4_000_000, lambda: time.sleep(1))
        with pytest.raises(SimulationError, match="in no process"):
            k.run()
    assert seen == [EPOCH + 3]


def test_botocores_retry_sleeps_virtually() -> None:
    """The sleep that botocore binds as a default argument at import takes virtual time, and its random is seeded."""
    import inspect

    from botocore.retries import standard

    parameters = inspect.signature(standard.RetryHandler.__init__).parameters
    backoff = inspect.signature(standard.ExponentialBackoff.__init__).parameters

    def main() -> float:
        start = time.monotonic()
        parameters["sleep"].default(7)
        return time.monotonic() - start

    assert answer(main) == pytest.approx(7)
    draw = backoff["random"].default
    assert answer(draw, seed=3) == answer(draw, seed=3) != answer(draw, seed=4)
