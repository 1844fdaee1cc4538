"""What happens inside a real redis-server is seen from outside, by following it as a replica does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from harness import Process, RedisList, RedisStream, Scenario, Workload, effects
from harness.environments.live.clock import LiveClock
from harness.environments.live.options import LiveOptions
from harness.environments.live.recorder import LiveRecorder
from harness.environments.live.redis_tap import RedisTap
from harness.environments.live.services import LiveRedis
from harness.errors import EnvironmentFailed
from tests.requirements import require

JOBS = RedisList("jobs", processing="unacked", waiting="later", dead_letter="dead")
TAGS = RedisList(
    "tags",
    processing="held",
    identity=lambda one: one.partition(b":")[0],
    key=lambda one: one.partition(b":")[2].decode(),
)
STREAM = RedisStream("orders", group="workers")


class Followed:
    """A redis-server of the test, a client of it, and who follows it."""

    def __init__(self, server: LiveRedis) -> None:
        self.clock = LiveClock()
        self.clock.start()
        self.record = LiveRecorder(self.clock)
        self.server = server
        scenario = Scenario(
            name="followed",
            processes=[Process("w", Followed)],
            queues=[JOBS, TAGS, STREAM],
            workload=Workload(to="jobs", messages=0, key="$.id"),
            effects=effects.point("done"),
        )
        self.tap = RedisTap(scenario, server.address, self.clock, self.record)
        host, _, port = server.address.rpartition(":")
        self.client: Any = redis.Redis(host=host, port=int(port))

    def told(self) -> list[tuple[str, str | None]]:
        """Kinds and keys of what happened, and nothing that is still under way."""
        self.tap.inventory()
        return [(event["kind"], event.get("key")) for event in self.record.in_order()]

    def close(self) -> None:
        self.client.close()
        self.tap.stop()
        self.clock.stop()


@pytest.fixture
def server() -> Iterator[LiveRedis]:
    require("redis")
    found = LiveRedis(LiveOptions(redis="server"))
    yield found
    found.stop()


@pytest.fixture
def followed(server: LiveRedis) -> Iterator[Followed]:
    found = Followed(server)
    yield found
    found.close()


def test_a_job_is_sent_delivered_and_acknowledged(followed: Followed) -> None:
    """RPUSH, LMOVE, LREM; the times are those at which they took effect."""
    before = followed.clock.seconds
    followed.client.rpush("jobs", '{"id": 7}')
    job = followed.client.lmove("jobs", "unacked", "LEFT", "RIGHT")
    assert followed.tap.inventory()["jobs"] == {"visible": 0, "in_flight": 1, "delayed": 0}
    followed.client.lrem("unacked", 1, job)
    assert followed.told() == [("send", "7"), ("receive", "7"), ("delete", "7")]
    assert all(before <= event["t"] <= followed.clock.seconds for event in followed.record.in_order())


def test_what_a_blocked_client_is_served_and_what_a_script_does_is_seen(followed: Followed) -> None:
    """BRPOP that waited, and writes inside Lua: the server tells both as what they did."""
    served: list[Any] = []
    waiter = threading.Thread(target=lambda: served.append(followed.client.brpop("jobs", timeout=10)))
    waiter.start()
    while not followed.client.info("clients")["blocked_clients"]:
        time.sleep(0.01)
    followed.client.eval("redis.call('RPUSH', 'jobs', ARGV[1]); return 1", 0, '{"id": 1}')
    waiter.join(10)
    assert len(served) == 1
    assert followed.told() == [("send", "1"), ("receive", "1")]


def test_a_job_popped_and_written_down_in_a_second_command_is_one_message(followed: Followed) -> None:
    """kombu's BRPOP, then HSET: in between it is in the hands of who popped it, and neither lost nor new."""
    followed.client.rpush("tags", "a:1", "b:2")
    tag = followed.client.rpop("tags").partition(b":")[0]
    assert followed.tap.inventory()["tags"] == {"visible": 1, "in_flight": 1, "delayed": 0}
    followed.client.hset("held", tag, "whatever")
    assert followed.told() == [("send", "1"), ("send", "2"), ("receive", "2")]
    followed.client.hdel("held", tag)
    assert followed.told()[3:] == [("delete", "2")]


def test_a_job_popped_by_who_died_then_was_acknowledged_by_that(followed: Followed) -> None:
    """In nobody's key when the run is over: it cannot come again."""
    followed.client.rpush("tags", "a:1", "b:2", "c:3")
    followed.client.rpop("tags", 2)
    followed.told()
    followed.tap.finish()
    assert [one for one in followed.told() if one[0] == "delete"] == [("delete", "2"), ("delete", "3")]


def test_another_database_and_a_transaction(followed: Followed) -> None:
    """The same key elsewhere is another queue; a transaction is one step."""
    host, _, port = followed.server.address.rpartition(":")
    with redis.Redis(host=host, port=int(port), db=3) as elsewhere:
        elsewhere.rpush("jobs", "not ours")
    followed.client.rpush("jobs", '{"id": 4}')
    with followed.client.pipeline() as pipe:
        pipe.lpop("jobs").rpush("dead", '{"id": 4}').execute()
    assert followed.told() == [("send", "4"), ("move", "4")]


def test_entries_of_a_stream(followed: Followed) -> None:
    """XADD, XREADGROUP, XACK; a group that the consumer made."""
    followed.client.xgroup_create("orders", "workers", "0", mkstream=True)
    followed.client.xadd("orders", {"data": '{"id": 9}'})
    [[_, [[entry, _]]]] = followed.client.xreadgroup("workers", "me", {"orders": ">"})
    followed.client.xack("orders", "workers", entry)
    assert followed.told() == [("send", "9"), ("receive", "9"), ("delete", "9")]


def test_a_server_that_dies_is_told_with_its_reason(followed: Followed) -> None:
    """Whoever asks for the inventory hears of it: the run ends as an error."""
    followed.server.stop()
    with pytest.raises(EnvironmentFailed, match="Redis server"):
        followed.tap.inventory()
    until = time.monotonic() + 10
    while not followed.tap.failure and time.monotonic() < until:
        time.sleep(0.01)
    assert followed.tap.failure


def test_a_server_that_has_data_already_is_not_followed(server: LiveRedis) -> None:
    """What is in it belongs to somebody: nothing could be told of it, and nothing must happen to it."""
    host, _, port = server.address.rpartition(":")
    with redis.Redis(host=host, port=int(port)) as client:
        client.set("mine", "1")
        with pytest.raises(EnvironmentFailed, match="has data already"):
            Followed(server)
        assert client.get("mine") == b"1"


def test_fakeredis_cannot_be_followed_and_says_what_to_do() -> None:
    """It sends its changes to nobody."""
    fake = LiveRedis(LiveOptions(redis="fake"))
    try:
        with pytest.raises(EnvironmentFailed, match="redis-server"):
            Followed(fake)
    finally:
        fake.stop()
