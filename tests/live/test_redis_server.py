"""What the components keep in Redis, on a real redis-server: the scripts that a mock might forgive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from harness.resilience import Idempotency, PoisonMessageDetector, RedisIdempotencyStore
from tests.requirements import redis_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as number:
        yield number


@pytest.fixture(params=[True, False], ids=["text", "bytes"])
def client(port: int, request: pytest.FixtureRequest) -> Iterator[Any]:
    connection = redis.Redis(port=port, decode_responses=request.param)
    connection.flushall()
    yield connection
    connection.close()


def test_failures_are_counted_and_quarantined(client: Any) -> None:
    """Failures count up to the threshold on the server, and the quarantine holds the message."""
    detector = PoisonMessageDetector(client, poison_threshold=3)
    for _ in range(2):
        detector.record_failure("m-1")
    assert not detector.is_poison_message("m-1")
    detector.record_failure("m-1")
    assert detector.is_poison_message("m-1")
    detector.quarantine_poison_message({"MessageId": "m-1", "Body": "{}"}, "it fails")
    assert client.llen("poison_messages") == 1


def test_the_counts_of_the_guide_are_honoured(client: Any) -> None:
    """A plain integer under message_failures:{id}, as the guide's code left it, counts."""
    client.set("message_failures:m-2", 5)
    assert PoisonMessageDetector(client).is_poison_message("m-2")


def test_a_claim_is_one_at_a_time_and_its_completion_is_remembered(client: Any) -> None:
    """Two owners never hold one key; who comes after completion is told the result."""
    store = Idempotency(RedisIdempotencyStore(client)).store
    assert store.begin("k", "one", 30).status.value == "started"
    assert store.begin("k", "two", 30).status.value == "in_progress"
    assert store.begin("k", "one", 30).status.value == "started"
    assert store.complete("k", "one", {"charge": 7}, 60)
    claim = store.begin("k", "two", 30)
    assert claim.status.value == "completed"
    assert claim.result == {"charge": 7}


def test_a_release_by_somebody_else_frees_nothing(client: Any) -> None:
    """Only the owner of a claim can give it up."""
    store = RedisIdempotencyStore(client)
    store.begin("k", "one", 30)
    store.release("k", "two")
    assert store.begin("k", "two", 30).status.value == "in_progress"
    store.release("k", "one")
    assert store.begin("k", "two", 30).status.value == "started"
