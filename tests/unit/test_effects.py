"""Effects: what a scenario says it will see, and what is then seen in a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from harness import effects
from harness.effects import Effect, SendObserver, all_of
from harness.errors import ScenarioError
from harness.sim.services.http import HttpResponse, HttpStubs
from harness.sim.services.redis import RedisServer
from tests.unit.sim.wire.bench import Run
from tests.unit.sim.wire.conftest import cuts

__all__ = ["cuts"]


class Bench:
    """The environment's side: it keeps what it is told."""

    def __init__(self, run: Run) -> None:
        self.http: HttpStubs = run.world.http
        self.redis: RedisServer = run.world.redis
        self.now_us = lambda: run.kernel.now_us
        self.seen: list[tuple[str, str | None]] = []
        self.lost: list[tuple[str, str | None]] = []
        self.senders: list[SendObserver] = []

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        self.seen.append((source, key))

    def record_effect_lost(self, name: str, key: str | None) -> None:
        self.lost.append((name, key))

    def on_send(self, observer: SendObserver) -> Callable[[], None]:
        self.senders.append(observer)
        return lambda: self.senders.remove(observer)


def watched(effect: Effect, main: Callable[[Run], object], *, history_seconds: float | None = None) -> Bench:
    """What *effect* saw while *main* ran."""
    with Run(history_seconds=history_seconds) as run:
        bench = Bench(run)
        end = effect.observe(bench)
        run.actor(lambda: main(run))
        run.go()
        end()
        before = list(bench.seen)
        run.failures.clear()
        for observer in run.world.http.observers + run.world.redis.observers + bench.senders:
            raise AssertionError(f"{observer} still watches")
        assert bench.seen == before
    return bench


EVERY = [
    effects.point("charged"),
    effects.http("POST {http:payments}/charges", key="$.order_id"),
    effects.http("PUT {http:payments}/charges/{key}"),
    effects.redis("SET order:{key}"),
    effects.redis("XADD shipped", key="$.order_id"),
    effects.sqlite("orders", key="order_id"),
    effects.queue("shipments", key="$.order_id"),
]


@pytest.mark.parametrize("effect", EVERY, ids=lambda effect: effect.describe())
def test_an_effect_is_a_value_with_a_name_a_source_and_words(effect: Effect) -> None:
    """Equal to its like, hashable, and told in JSON for a history's header."""
    again = EVERY[EVERY.index(effect)]
    assert effect == again
    assert len({effect, again}) == 1
    told = effect.to_json()
    assert told == {"name": effect.name, "source": effect.source, "key": effect.key}
    assert told["name"]
    assert effect.describe()
    with pytest.raises(AttributeError):
        effect.name = "other"


def test_different_effects_have_different_names() -> None:
    """So that events tell them apart; a name can be given."""
    assert len({effect.name for effect in EVERY}) == len(EVERY)
    assert effects.redis("SET order:{key}", name="stored").name == "stored"


def test_a_scenarios_field_takes_one_effect_or_several() -> None:
    """A value, a list, a tuple, nothing; anything else is named in an error."""
    one = effects.point("a")
    assert all_of(one) == (one,)
    assert all_of([one, one]) == (one, one)
    assert all_of(None) == ()
    for wrong in ("charged", [one, "charged"], 7, {"a": one}):
        with pytest.raises(ScenarioError, match=r"effects:.*is no effect.*effects\.point"):
            all_of(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: effects.point(""), "is no name"),
        (lambda: effects.http("/charges", key="$.a"), r"no call of a stub.*POST \{http:payments\}"),
        (lambda: effects.http("POST {http:payments}/charges"), "which message it is about"),
        (lambda: effects.http("POST {http:payments}/{key}", key="$.a"), "both"),
        (lambda: effects.http("POST {http:payments}/{id}/{key}"), r"\{id\} is unknown"),
        (lambda: effects.http("POST {http:payments}/c", key="order_id"), "no JSON path"),
        (lambda: effects.redis("SET"), "names no key|which message"),
        (lambda: effects.redis("SET order"), "which message it is about"),
        (lambda: effects.redis("SET {key}:{key}"), "twice"),
        (lambda: effects.sqlite("orders; DROP", key="id"), "no SQL name"),
        (lambda: effects.sqlite("orders", key=""), "no SQL name"),
        (lambda: effects.queue("", key="$.a"), "no queue name"),
        (lambda: effects.queue("q", key="a"), "no JSON path"),
    ],
)
def test_a_wrong_effect_is_refused_with_field_and_remedy(make: Callable[[], object], says: str) -> None:
    """When the scenario is read, not in the middle of a run."""
    with pytest.raises(ScenarioError, match=rf"effects\..*({says})"):
        make()


@pytest.mark.usefixtures("cuts")
def test_an_http_effect_is_a_call_that_the_stub_answered_well() -> None:
    """By method, stub, path and status; the key from JSON, a form, or the path."""
    url = "http://payments.stub.internal"

    def main(run: Run) -> None:
        requests.post(f"{url}/charges", json={"order_id": 1})
        requests.post(f"{url}/charges?retry=1", data={"order_id": "2"})
        requests.get(f"{url}/charges")
        requests.post(f"{url}/refunds", json={"order_id": 3})
        requests.post("http://other.stub.internal/charges", json={"order_id": 4})
        requests.post(f"{url}/charges", data=b"junk")
        run.world.http.respond("payments", lambda request: HttpResponse(402))
        requests.post(f"{url}/charges", json={"order_id": 5})

    bench = watched(effects.http("POST {http:payments}/charges", key="$.order_id"), main)
    assert bench.seen == [("http", "1"), ("http", "2"), ("http", None)]

    def put(run: Run) -> None:
        requests.put(f"{url}/charges/a-7")

    assert watched(effects.http("PUT {http:payments}/charges/{key}"), put).seen == [("http", "a-7")]


def redis_calls(*calls: Callable[[Any], object]) -> Callable[[Run], None]:
    def main(run: Run) -> None:
        r = redis.Redis()
        for call in calls:
            try:
                call(r)
            except redis.ResponseError:
                pass  # a refused command is what some cases are about

    return main


@pytest.mark.usefixtures("cuts")
@pytest.mark.parametrize(
    ("command", "path", "calls", "keys"),
    [
        (
            "SET order:{key}",
            None,
            [
                lambda r: r.set("order:1", "x"),
                lambda r: r.set("order:1", "y", nx=True),
                lambda r: r.set("other:2", "x"),
            ],
            ["1"],
        ),
        ("SETNX done:{key}", None, [lambda r: r.setnx("done:1", 1), lambda r: r.setnx("done:1", 1)], ["1"]),
        ("SADD done {key}", None, [lambda r: r.sadd("done", "a", "b"), lambda r: r.sadd("done", "a")], ["a", "b"]),
        (
            "HSET orders {key}",
            None,
            [lambda r: r.hset("orders", "a", 1), lambda r: r.hset("orders", "a", 2)],
            ["a", "a"],
        ),
        ("INCR count:{key}", None, [lambda r: r.incr("count:a")], ["a"]),
        ("LPUSH shipped", "$.id", [lambda r: r.lpush("shipped", '{"id":1}', '{"id":2}', "junk")], ["1", "2"]),
        ("LPUSH shipped", "$.id", [lambda r: r.lpush("shipped", "junk")], [None]),
        ("XADD log:*", "$.id", [lambda r: r.xadd("log:a", {"body": '{"id":"x"}'})], ["x"]),
        ("LPUSH wrong:{key}", None, [lambda r: r.set("wrong:1", "x"), lambda r: r.lpush("wrong:1", "x")], []),
        ("SET tx:{key}", None, [lambda r: r.pipeline().set("tx:1", 1).set("tx:2", 1).execute()], ["1", "2"]),
        ("SET lua:{key}", None, [lambda r: r.eval("redis.call('SET', KEYS[1], '1')", 1, "lua:1")], ["1"]),
    ],
)
def test_a_redis_effect_is_a_write_that_changed_something(
    command: str, path: str | None, calls: list[Any], keys: list[str | None]
) -> None:
    """Refused, conditional and unrelated commands are none; transactions and scripts count as carried out."""
    bench = watched(effects.redis(command, key=path), redis_calls(*calls))
    assert bench.seen == [("redis", key) for key in keys]


@pytest.mark.usefixtures("cuts")
def test_a_failover_undoes_the_effects_of_the_lost_writes_and_a_flush_those_still_there() -> None:
    """Effects before the cut stay; what had expired or was lost already is not lost again."""

    def main(run: Run) -> None:
        r = redis.Redis()
        r.set("order:early", 1)
        r.set("order:brief", 1, ex=1)
        run.kernel.sleep_us(10_000_000)
        r.set("order:late", 1)
        run.world.redis.failover(5)
        assert bench_lost() == ["late"]
        run.world.redis.flush()
        assert bench_lost() == ["late", "early"]
        run.world.redis.flush()

    benches: list[Bench] = []
    effect = effects.redis("SET order:{key}")

    def bench_lost() -> list[str | None]:
        return [key for _, key in benches[0].lost]

    with Run(history_seconds=10) as run:
        benches.append(Bench(run))
        effect.observe(benches[0])
        run.actor(lambda: main(run))
        run.go()
    assert bench_lost() == ["late", "early"]


@pytest.mark.usefixtures("cuts")
def test_a_sqlite_effect_is_a_committed_row(tmp_path: Path) -> None:
    """Through the run's SQLite; text and numbers as keys."""

    def main(run: Run) -> None:
        connection = sqlite3.connect(str(tmp_path / "shop.db"))
        connection.execute("CREATE TABLE orders (order_id, amount)")
        with connection:
            connection.execute("INSERT INTO orders VALUES (7, 1)")
        connection.execute("INSERT INTO orders VALUES (8, 1)")
        connection.rollback()
        with connection:
            connection.executemany("INSERT INTO orders VALUES (?, 1)", [("a",), (b"b",), (None,)])
        connection.close()

    bench = watched(effects.sqlite("orders", key="order_id"), main)
    assert bench.seen == [("sqlite", "7"), ("sqlite", "a"), ("sqlite", "b"), ("sqlite", None)]


def test_a_queue_effect_is_a_message_that_a_process_sent() -> None:
    """To that queue; the workload's own messages are no effects."""
    with Run() as run:
        bench = Bench(run)
        end = effects.queue("shipments", key="$.order_id").observe(bench)
        for queue, body, origin in (
            ("shipments", '{"order_id":1}', "process"),
            ("shipments", '{"originalMessage":"{\\"order_id\\":2}"}', "process"),
            ("shipments", '{"order_id":3}', "workload"),
            ("orders", '{"order_id":4}', "process"),
        ):
            for sender in bench.senders:
                sender(queue, body, "m", origin)
        end()
    assert bench.seen == [("queue", "1"), ("queue", "2")]
    assert bench.senders == []
