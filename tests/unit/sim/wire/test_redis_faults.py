"""What real redis-py clients see of faults, and what their own retry and reconnect code makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict
from harness.sim.wire.stream import CONNECT_GIVES_UP_US, SILENCE_GIVES_UP_US
from tests.unit.sim.wire.bench import Run
from tests.unit.sim.wire.test_redis import client

pytestmark = pytest.mark.usefixtures("cuts")

LOADING = Answer(0, "LOADING", "LOADING Redis is loading the dataset in memory")
READONLY = Answer(0, "READONLY", "READONLY You can't write against a read only replica.")
OOM = Answer(0, "OOM", "OOM command not allowed when used memory > 'maxmemory'.")


def once(point: str, side: str, *verdicts: Verdict | None) -> dict[tuple[str, str], list[Any]]:
    return {(point, side): list(verdicts)}


def during(run: Run, begin: float, end: float, verdict: Verdict, point: str = "redis") -> Callable[..., Verdict | None]:
    """A fault window over every point that begins with *point*, before the effect."""

    def decide(passed: str, side: str) -> Verdict | None:
        inside = begin <= run.kernel.now < end
        return verdict if inside and side == "before" and passed.startswith(point) else None

    return decide


def test_refused_connections_are_retried_by_redis_py_until_the_outage_ends() -> None:
    """Retry and reconnect are redis-py's own: three seconds of outage, one retry a second, success after it."""

    def main() -> None:
        r = client(retry=Retry(ConstantBackoff(1), 10))
        assert r.set("k", "v") is True
        assert 3 <= run.kernel.now < 4.5

    with Run() as run:
        run.faults.always = during(run, 0, 3, Refused())
        run.actor(main)
        run.go()
        failed = run.of("call.failed")
    assert [event["error"] for event in failed] == ["ConnectionError"] * 3
    assert {event["point"] for event in failed} == {"redis.CONNECT"}


def test_a_refusal_in_the_middle_breaks_the_connection_at_hand() -> None:
    """The pooled connection breaks, the reconnect is refused too: ConnectionError without a retry policy."""

    def main() -> None:
        r = client()
        r.set("k", "v")
        run.faults.always = during(run, 0, 99, Refused())
        with pytest.raises(redis.ConnectionError):
            r.get("k")
        with pytest.raises(redis.ConnectionError, match="refused"):
            r.get("k")

    with Run() as run:
        run.actor(main)
        run.go()


@pytest.mark.parametrize(("side", "value"), [("before", b"1"), ("after", b"2")])
def test_a_lost_command_times_out_and_only_after_has_it_taken_effect(side: str, value: bytes) -> None:
    """The client's own socket_timeout runs out in virtual time; its retry counts once more if the effect happened."""

    def main() -> None:
        r = client(retry=Retry(NoBackoff(), 1))
        r.ping()
        began = run.kernel.now
        r.incr("n")
        assert 2.0 < run.kernel.now - began < 2.2
        assert r.get("n") == value

    with Run() as run:
        run.faults.plan = once("redis.INCR", side, Lost())
        run.actor(main)
        run.go()
        [failed] = run.of("call.failed")
    assert (failed["point"], failed["error"], failed["took"]) == ("redis.INCR", "TimeoutError", 2.005)


def test_a_connect_that_is_lost_takes_the_connect_timeout() -> None:
    """socket_connect_timeout is what counts while connecting; without one it is the operating system's."""

    def main() -> None:
        began = run.kernel.now
        with pytest.raises(redis.TimeoutError):
            client(socket_connect_timeout=0.5).ping()
        assert 0.5 <= run.kernel.now - began < 0.6
        began = run.kernel.now_us
        with pytest.raises(redis.TimeoutError):
            client(socket_connect_timeout=None, socket_timeout=None).ping()
        assert CONNECT_GIVES_UP_US <= run.kernel.now_us - began < CONNECT_GIVES_UP_US + 1_000_000

    with Run() as run:
        run.faults.plan = once("redis.CONNECT", "before", Lost(), Lost())
        run.actor(main)
        run.go()


def test_without_a_timeout_silence_ends_when_the_operating_system_gives_up() -> None:
    """A client that waits for ever does not hang the run."""

    def main() -> None:
        r = client(socket_timeout=None)
        r.ping()
        began = run.kernel.now_us
        with pytest.raises(redis.TimeoutError):
            r.incr("n")
        assert SILENCE_GIVES_UP_US <= run.kernel.now_us - began < SILENCE_GIVES_UP_US + 1_000_000

    with Run() as run:
        run.faults.plan = once("redis.INCR", "after", Lost())
        run.actor(main)
        run.go()


@pytest.mark.parametrize(
    ("answer", "error", "strikes", "spares"),
    [
        (LOADING, redis.BusyLoadingError, lambda r: r.get("k"), lambda r: r.time()),
        (READONLY, redis.ReadOnlyError, lambda r: r.set("k", "2"), lambda r: r.get("k")),
        (READONLY, redis.ReadOnlyError, lambda r: r.eval("return 1", 0), lambda r: r.ping()),
        (OOM, redis.OutOfMemoryError, lambda r: r.lpush("l", "x"), lambda r: r.delete("k")),
    ],
)
def test_error_answers_strike_what_a_real_server_would_refuse(
    answer: Answer, error: type[Exception], strikes: Callable[[Any], Any], spares: Callable[[Any], Any]
) -> None:
    """A replica serves reads, a full server deletes, a loading one tells the time; the rest is redis-py's own error."""

    def main() -> None:
        r = client()
        r.set("k", "1")
        run.faults.always = lambda point, side: answer if side == "before" else None
        with pytest.raises(error):
            strikes(r)
        spares(r)

    with Run() as run:
        run.actor(main)
        run.go()


def test_a_command_refused_inside_a_transaction_aborts_it() -> None:
    """As on a real server: EXEC answers EXECABORT and nothing of the transaction has happened."""

    def main() -> None:
        r = client()
        pipe = r.pipeline()
        pipe.set("a", "1")
        pipe.set("b", "1")
        with pytest.raises((redis.ReadOnlyError, redis.exceptions.ExecAbortError)):
            pipe.execute()
        assert r.mget("a", "b") == [None, None]

    with Run() as run:
        run.faults.plan = once("redis.SET", "before", READONLY)
        run.actor(main)
        run.go()


def test_a_reset_after_the_effect_loses_only_the_answer() -> None:
    """The connection breaks although the command was carried out."""

    def main() -> None:
        r = client()
        with pytest.raises(redis.ConnectionError):
            r.set("k", "v")
        assert r.get("k") == b"v"

    with Run() as run:
        run.faults.plan = once("redis.SET", "after", Reset())
        run.actor(main)
        run.go()


def test_a_lost_answer_in_a_pipeline_leaves_the_whole_pipeline_done() -> None:
    """The bytes of a pipeline are sent together: when one answer is lost, the commands after it have arrived too."""

    def main() -> None:
        r = client()
        pipe = r.pipeline()
        pipe.incr("a")
        pipe.incr("b")
        with pytest.raises(redis.TimeoutError):
            pipe.execute()
        assert r.mget("a", "b") == [b"1", b"1"]

    with Run() as run:
        run.faults.plan = once("redis.INCR", "after", Lost())
        run.actor(main)
        run.go()


def test_a_slow_command_may_take_effect_after_the_client_gave_up() -> None:
    """Slower than the client's timeout: the client sees a timeout, the effect comes later all the same."""

    def main() -> None:
        r = client(socket_timeout=1.0)
        r.ping()
        with pytest.raises(redis.TimeoutError):
            r.set("k", "late")
        assert r.get("k") is None
        run.kernel.sleep_us(3_000_000)
        assert r.get("k") == b"late"

    with Run() as run:
        run.faults.plan = once("redis.SET", "before", Slow(3.0))
        run.actor(main)
        run.go()


def test_a_slow_command_within_the_timeout_is_just_slow() -> None:
    """Slower, but not too slow: the answer comes."""

    def main() -> None:
        r = client()
        r.ping()
        began = run.kernel.now
        assert r.set("k", "v") is True
        assert run.kernel.now - began == pytest.approx(1.01)

    with Run() as run:
        run.faults.plan = once("redis.SET", "before", Slow(1.0))
        run.actor(main)
        run.go()


def test_the_server_loses_data_when_a_verdict_says_so() -> None:
    """A twist at a command flushes the server before the command is carried out."""

    def main() -> None:
        r = client()
        r.set("a", "1")
        r.set("b", "1")
        assert r.mget("a", "b") == [None, b"1"]

    with Run() as run:
        run.faults.plan = once("redis.SET", "before", None, Twist("flush"))
        run.actor(main)
        run.go()
