"""Claims for effects once, in memory and in Redis, decoding or not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
import redis

from harness.resilience.idempotency import (
    DEFAULT_TTL_SECONDS,
    Idempotency,
    IdempotencyStore,
    MemoryIdempotencyStore,
    RedisIdempotencyStore,
    Status,
    new_owner,
)


def redis_store(decode: bool) -> RedisIdempotencyStore:
    return RedisIdempotencyStore(fakeredis.FakeRedis(decode_responses=decode))


@pytest.fixture(params=["memory", "redis", "redis-decoding"])
def store(request: pytest.FixtureRequest) -> IdempotencyStore:
    if request.param == "memory":
        return MemoryIdempotencyStore()
    return redis_store(request.param == "redis-decoding")


def test_first_starts_second_waits_third_is_done(store: IdempotencyStore) -> None:
    """A free key is started, a held one says how long its lease runs, a completed one has its result."""
    assert store.begin("k", "a", 30).status is Status.STARTED
    second = store.begin("k", "b", 30)
    assert second.status is Status.IN_PROGRESS
    assert 29 < second.retry_after <= 30
    assert store.complete("k", "a", {"charged": 7}, 60)
    third = store.begin("k", "b", 30)
    assert (third.status, third.result) == (Status.COMPLETED, {"charged": 7})


def test_repeated_begin_by_the_owner_is_no_conflict(store: IdempotencyStore) -> None:
    """A client library that repeats a call whose answer was lost finds its own claim, not a rival's."""
    store.begin("k", "a", 30)
    assert store.begin("k", "a", 30).status is Status.STARTED


def test_repeated_complete_is_no_conflict() -> None:
    """A repeated completion with the same result still says that nobody interfered."""
    store = redis_store(False)
    store.begin("k", "a", 30)
    assert store.complete("k", "a", 1, 60)
    assert store.complete("k", "a", 1, 60)


def test_release_frees_only_ones_own(store: IdempotencyStore) -> None:
    """Giving up frees the key; giving up another's claim changes nothing."""
    store.begin("k", "a", 30)
    store.release("k", "b")
    assert store.begin("k", "b", 30).status is Status.IN_PROGRESS
    store.release("k", "a")
    assert store.begin("k", "b", 30).status is Status.STARTED


def test_completion_survives_a_late_release(store: IdempotencyStore) -> None:
    """A release after completion does not make the key free again."""
    store.begin("k", "a", 30)
    store.complete("k", "a", None, 60)
    store.release("k", "a")
    assert store.begin("k", "b", 30).status is Status.COMPLETED


def test_lost_lease_is_told(store: IdempotencyStore) -> None:
    """Who completes after another one took the key over is told so, and cannot extend."""
    store.begin("k", "a", 0.001)
    threading.Event().wait(0.01)
    assert store.begin("k", "b", 30).status is Status.STARTED
    assert not store.extend("k", "a", 30)
    assert store.extend("k", "b", 30)
    assert not store.complete("k", "a", None, 60)


def test_lease_runs_out_on_the_given_clock() -> None:
    """A lease that ran out frees the key; an extended one does not."""
    now = [0.0]
    store = MemoryIdempotencyStore(clock=lambda: now[0])
    store.begin("k", "a", 30)
    now[0] = 29
    assert store.extend("k", "a", 30)
    now[0] = 58
    assert store.begin("k", "b", 30).status is Status.IN_PROGRESS
    now[0] = 59
    assert store.begin("k", "b", 30).status is Status.STARTED


def test_memory_is_bounded_by_what_is_alive() -> None:
    """Expired records go as others come."""
    now = [0.0]
    store = MemoryIdempotencyStore(clock=lambda: now[0])
    for n in range(1_000):
        now[0] = float(n)
        store.begin(f"k{n}", "a", 5)
    assert len(store._records) < 20


def test_completion_outlives_the_longest_retention() -> None:
    """By default a completion is kept longer than SQS can keep a message (14 days)."""
    assert DEFAULT_TTL_SECONDS > 14 * 86_400
    client = fakeredis.FakeRedis()
    store = RedisIdempotencyStore(client)
    store.begin("k", "a", 30)
    store.complete("k", "a", None, DEFAULT_TTL_SECONDS)
    assert client.ttl("idempotency:k") > 14 * 86_400


def naive_once(client: Any, key: str, effect: Callable[[], None]) -> None:
    """The usual check: look, act, mark."""
    if client.get(key):
        return
    effect()
    client.set(key, "done")


def test_two_at_once_have_one_effect() -> None:
    """Two that begin at the same moment have one effect; the usual look-act-mark has two."""
    client = fakeredis.FakeRedis()
    naive: list[str] = []
    naive_once(client, "n", lambda: naive_once(client, "n", lambda: naive.append("inner")) or naive.append("outer"))
    assert naive == ["inner", "outer"]
    store = RedisIdempotencyStore(client)
    effects: list[str] = []

    def once(depth: int) -> None:
        owner = new_owner()
        if store.begin("k", owner, 30).status is Status.STARTED:
            if depth:
                once(depth - 1)
            effects.append(owner)
            store.complete("k", owner, None, 60)

    once(1)
    assert len(effects) == 1


def test_threads_race_for_one_claim() -> None:
    """Of many threads exactly one starts."""
    store = MemoryIdempotencyStore()
    started: list[Status] = []

    def race() -> None:
        started.append(store.begin("k", new_owner(), 30).status)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started.count(Status.STARTED) == 1


def test_store_errors_reach_the_caller() -> None:
    """A store that is down raises: the caller decides whether to wait or to go on."""
    server = fakeredis.FakeServer()
    store = RedisIdempotencyStore(fakeredis.FakeRedis(server=server))
    server.connected = False
    with pytest.raises(redis.ConnectionError):
        store.begin("k", "a", 30)


def test_keys_of_two_queues_do_not_meet() -> None:
    """The same order in two queues is two effects; in one queue by another endpoint it is one."""
    idempotency = Idempotency(MemoryIdempotencyStore(), key=lambda message: message["Body"])
    message = {"Body": "7", "MessageId": "m"}
    assert idempotency.key_of(message, "https://a/1/orders") == idempotency.key_of(message, "http://b:4566/1/orders")
    assert idempotency.key_of(message, "https://a/1/orders") != idempotency.key_of(message, "https://a/1/refunds")
    assert Idempotency(MemoryIdempotencyStore()).key_of(message, "https://a/1/orders") == "orders:m"
