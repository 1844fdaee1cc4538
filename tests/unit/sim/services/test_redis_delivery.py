"""Messages in Redis: which commands on declared lists and streams are which events, and who is said to have done it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

import harness
from harness import Fault, Process, RedisList, RedisStream, Scenario, Workload
from harness.errors import ScenarioError
from harness.invariants.ledger import Ledger
from harness.result import Result

Told = tuple[str, str, str]

LIST = RedisList("jobs", processing="jobs:doing:*", waiting="jobs:later", dead_letter="jobs:dead", visibility_timeout=2)
STREAM = RedisStream("orders", group="g", dead_letter="orders:dead", visibility_timeout=2)


def play(
    queue: RedisList | RedisStream, *scripts: Callable[[Any], None], messages: int = 1, faults: Any = (), **more: Any
) -> Result:
    """A run in which each of *scripts* is a process that is handed a Redis client, once the messages are sent."""

    def process(script: Callable[[Any], None]) -> Process:
        def main(env: Any) -> None:
            time.sleep(1)
            script(redis.Redis.from_url(env.redis, decode_responses=True))

        return Process(script.__name__.strip("_<>") or "p", main)

    return harness.run(
        Scenario(
            name="redis-delivery",
            queues=[queue],
            processes=[process(script) for script in scripts],
            workload=Workload(to=queue.name, messages=messages, per_second=None, body=lambda n: {"n": n}, key="$.n"),
            faults=faults,
            **more,
        )
    )


def told(result: Result) -> list[Told]:
    """What the history says of messages: kind, key, queue."""
    kinds = ("send", "receive", "delete", "visibility", "move", "purge", "message.lost")
    return [
        (event["kind"], event.get("key", ",".join(event.get("messages", ()))), event["queue"])
        for event in result.history.of(*kinds)
    ]


def test_a_job_that_goes_through_a_workers_list_is_received_and_acknowledged() -> None:
    """LMOVE to a list of processing delivers, LREM from it acknowledges."""

    def worker(client: Any) -> None:
        job = client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
        client.lrem("jobs:doing:w", 1, job)

    result = play(LIST, worker)
    assert told(result) == [("send", "0", "jobs"), ("receive", "0", "jobs"), ("delete", "0", "jobs")]
    send, receive, delete = result.history.of("send", "receive", "delete")
    assert send["origin"] == "workload"
    assert send["body"] == '{"n":0}'
    assert receive["visible_at"] is None
    assert receive["handle"] == "jobs:doing:w"
    assert (receive["actor"], delete["actor"]) == ("worker", "worker")


def test_a_job_that_is_popped_is_received_and_acknowledged_at_once() -> None:
    """Without a key where it is in flight, a pop is delivery and acknowledgement in one."""

    def worker(client: Any) -> None:
        client.lpop("jobs")

    assert told(play(LIST, worker))[1:] == [("receive", "0", "jobs"), ("delete", "0", "jobs")]


def test_a_job_that_is_put_back_is_to_be_had_again() -> None:
    """From processing back to the list: the same message, visible at once; its next delivery is its second."""

    def worker(client: Any) -> None:
        for _ in range(2):
            client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
            client.lmove("jobs:doing:w", "jobs", "LEFT", "RIGHT")

    result = play(LIST, worker)
    assert [kind for kind, _, _ in told(result)] == ["send", "receive", "visibility", "receive", "visibility"]
    assert [event["receive_count"] for event in result.history.of("receive")] == [1, 2]
    assert result.messages.in_queue == 1


def test_a_job_that_goes_from_one_workers_list_to_anothers_is_delivered_again() -> None:
    """Taking over what another worker had in hand is a delivery."""

    def worker(client: Any) -> None:
        client.lmove("jobs", "jobs:doing:a", "LEFT", "LEFT")
        client.lmove("jobs:doing:a", "jobs:doing:b", "LEFT", "LEFT")

    receives = play(LIST, worker).history.of("receive")
    assert [(event["handle"], event["receive_count"]) for event in receives] == [
        ("jobs:doing:a", 1),
        ("jobs:doing:b", 2),
    ]


def test_a_step_from_one_stage_to_the_next_is_no_delivery() -> None:
    """A job that stands in the keys of two patterns for a moment is one message, in one pair of hands."""
    queue = RedisList("jobs", processing=("jobs:taken", "jobs:running"), visibility_timeout=2)

    def worker(client: Any) -> None:
        job = client.lmove("jobs", "jobs:taken", "LEFT", "LEFT")
        client.zadd("jobs:running", {job: 1})
        client.lrem("jobs:taken", 1, job)
        client.zrem("jobs:running", job)

    assert [kind for kind, _, _ in told(play(queue, worker))] == ["send", "receive", "delete"]


def test_a_job_that_is_put_aside_in_one_step_is_moved_and_in_two_is_another_copy() -> None:
    """A transaction is one step; without it the message is in both queues, or in none, for a moment."""

    def in_one(client: Any) -> None:
        job = client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
        with client.pipeline() as both:
            both.lrem("jobs:doing:w", 1, job).rpush("jobs:dead", job).execute()

    def in_two(client: Any) -> None:
        job = client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
        client.rpush("jobs:dead", job)
        client.lrem("jobs:doing:w", 1, job)

    one, two = play(LIST, in_one), play(LIST, in_two)
    assert told(one)[2:] == [("move", "0", "jobs")]
    assert told(two)[2:] == [("send", "0", "jobs:dead"), ("delete", "0", "jobs")]
    assert one.messages.dead_lettered == two.messages.dead_lettered == 1


def test_a_script_is_one_step_whatever_it_does_inside() -> None:
    """LPOP and SADD in Lua: the message was never nobody's."""

    def worker(client: Any) -> None:
        client.eval("local j = redis.call('LPOP', 'jobs'); redis.call('SADD', 'jobs:doing:w', j)", 0)

    assert [kind for kind, _, _ in told(play(LIST, worker))] == ["send", "receive"]


def test_two_commands_leave_a_gap() -> None:
    """LPOP, then SADD: in between the job was nobody's; what appears then is another copy under the same key."""

    def worker(client: Any) -> None:
        client.sadd("jobs:doing:w", client.lpop("jobs"))

    assert told(play(LIST, worker)) == [
        ("send", "0", "jobs"),
        ("receive", "0", "jobs"),
        ("delete", "0", "jobs"),
        ("send", "0", "jobs"),
        ("receive", "0", "jobs"),
    ]


def test_equal_jobs_are_messages_of_their_own() -> None:
    """Two elements with one body: the first that goes is the first that came, and one acknowledgement is for one."""

    def worker(client: Any) -> None:
        client.rpush("jobs", '{"n":0}')
        job = client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
        client.lrem("jobs:doing:w", 0, job)

    result = play(LIST, worker)
    sends = [event["message"] for event in result.history.of("send")]
    assert len(set(sends)) == 2
    assert [event["message"] for event in result.history.of("delete")] == sends[:1]
    assert result.messages.in_queue == 1


def test_a_list_that_is_deleted_is_purged() -> None:
    """DEL gives nobody what was in the list."""

    def worker(client: Any) -> None:
        client.delete("jobs")

    result = play(LIST, worker, messages=2)
    assert [kind for kind, _, _ in told(result)] == ["send", "send", "purge", "purge"]


def test_who_waited_is_who_received() -> None:
    """A blocked BLMOVE is answered while the sender's command is carried out: the delivery is the waiter's."""

    def waiter(client: Any) -> None:
        client.lpop("jobs")
        client.blmove("jobs", "jobs:doing:w", 30, "LEFT", "LEFT")

    def sender(client: Any) -> None:
        time.sleep(2)
        client.rpush("jobs", '{"n":7}')

    result = play(LIST, waiter, sender)
    last_send, last_receive = result.history.of("send")[-1], result.history.of("receive")[-1]
    assert (last_send["key"], last_send["actor"], last_send["origin"]) == ("7", "sender", "process")
    assert (last_receive["key"], last_receive["actor"]) == ("7", "waiter")
    assert last_send["t"] == last_receive["t"]


def test_a_workload_may_push_to_the_left() -> None:
    """push="left": what was sent last is at the left end."""
    seen: list[Any] = []

    def worker(client: Any) -> None:
        seen.extend(client.lrange("jobs", 0, -1))

    play(RedisList("jobs", push="left", visibility_timeout=2), worker, messages=2)
    assert seen == ['{"n":1}', '{"n":0}']


def test_ids_whose_bodies_stand_elsewhere() -> None:
    """bodies= names the hash in which the bodies stand by element, identity= what of an element is the id."""
    queue = RedisList(
        "jobs",
        processing="jobs:doing",
        bodies="jobs:bodies",
        identity=lambda element: element.partition(b"/")[0],
        visibility_timeout=2,
    )

    def worker(client: Any) -> None:
        client.hset("jobs:bodies", "a", '{"n": 5}')
        client.rpush("jobs", "a")
        with client.pipeline() as both:
            both.lpop("jobs").sadd("jobs:doing", "a/1").execute()
        client.srem("jobs:doing", "a/1")

    assert told(play(queue, worker, messages=0, duration=5)) == [
        ("send", "5", "jobs"),
        ("receive", "5", "jobs"),
        ("delete", "5", "jobs"),
    ]


def test_the_body_is_the_whole_element_also_where_a_part_of_it_names_the_message() -> None:
    """An envelope in the list, its tag alone where it is in flight (as kombu has it): the key is in the envelope."""
    queue = RedisList(
        "jobs",
        processing="jobs:tags",
        identity=lambda element: element.partition(b":")[0],
        key=lambda element: element.partition(b":")[2].decode(),
        visibility_timeout=2,
    )

    def worker(client: Any) -> None:
        client.rpush("jobs", "tag:5")
        with client.pipeline() as both:
            both.lpop("jobs").hset("jobs:tags", "tag", "?").execute()
        client.hdel("jobs:tags", "tag")

    result = play(queue, worker, messages=0, duration=5)
    assert told(result) == [("send", "5", "jobs"), ("receive", "5", "jobs"), ("delete", "5", "jobs")]
    assert result.history.of("send")[0]["bytes"] == 5


def test_a_workload_cannot_send_ids() -> None:
    """The message says what to do instead."""
    with pytest.raises(ScenarioError, match="let a process send"):
        play(RedisList("jobs", bodies="jobs:bodies"), lambda client: None)


def test_an_entry_is_read_and_acknowledged() -> None:
    """XREADGROUP delivers to a consumer, XACK acknowledges; the fields' body is what the workload made."""

    def worker(client: Any) -> None:
        ((_, ((entry, fields),)),) = client.xreadgroup("g", "me", {"orders": ">"})
        assert fields == {"data": '{"n":0}'}
        client.xack("orders", "g", entry)
        client.xack("orders", "g", entry)

    result = play(STREAM, worker)
    assert told(result) == [("send", "0", "orders"), ("receive", "0", "orders"), ("delete", "0", "orders")]
    assert result.history.of("receive")[0]["handle"] == "me"
    assert result.history.of("run.end")[0]["queues"]["orders"] == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_an_entry_is_delivered_again_by_claims_and_by_a_look_at_ones_own_history() -> None:
    """XAUTOCLAIM, XCLAIM and XREADGROUP from 0 are deliveries, whoever had the entry before."""

    def worker(client: Any) -> None:
        ((_, ((entry, _),)),) = client.xreadgroup("g", "a", {"orders": ">"})
        client.xreadgroup("g", "a", {"orders": "0"})
        client.xautoclaim("orders", "g", "b", 0)
        client.xclaim("orders", "g", "c", 0, [entry])

    receives = play(STREAM, worker).history.of("receive")
    assert [(event["handle"], event["receive_count"]) for event in receives] == [("a", 1), ("a", 2), ("b", 3), ("c", 4)]


def test_reading_without_acknowledgement_is_both_at_once() -> None:
    """NOACK: read is acknowledged."""

    def worker(client: Any) -> None:
        client.xreadgroup("g", "me", {"orders": ">"}, noack=True)

    assert [kind for kind, _, _ in told(play(STREAM, worker))] == ["send", "receive", "delete"]


@pytest.mark.parametrize("how", ["trim", "delete", "delconsumer", "destroy"])
def test_an_entry_that_nobody_can_get_any_more_is_purged(how: str) -> None:
    """Trimmed or deleted unread; or in the hands of a consumer or a group that was deleted: nobody acknowledged it."""

    def worker(client: Any) -> None:
        if how == "trim":
            client.xadd("orders", {"data": '{"n":1}'}, maxlen=1, approximate=False)
        elif how == "delete":
            client.xdel("orders", client.xrange("orders")[0][0])
        else:
            client.xreadgroup("g", "me", {"orders": ">"})
            client.xgroup_delconsumer("orders", "g", "me") if how == "delconsumer" else client.xgroup_destroy(
                "orders", "g"
            )

    result = play(STREAM, worker)
    first = result.history.of("send")[0]["message"]
    assert [event["messages"] for event in result.history.of("purge")] == [[first]]


def test_an_entry_that_was_deleted_while_somebody_has_it_can_still_be_acknowledged() -> None:
    """XDEL after XREADGROUP: the consumer has the fields, and its XACK counts."""

    def worker(client: Any) -> None:
        ((_, ((entry, _),)),) = client.xreadgroup("g", "me", {"orders": ">"})
        client.xdel("orders", entry)
        client.xack("orders", "g", entry)

    assert [kind for kind, _, _ in told(play(STREAM, worker))] == ["send", "receive", "delete"]


def test_a_group_that_begins_at_the_end_leaves_what_was_there() -> None:
    """XGROUP CREATE at $ skips what was sent before: nobody ever gets it, so it is stuck."""
    queue = RedisStream("orders", group="g", create_group=False, visibility_timeout=2)

    def worker(client: Any) -> None:
        client.xgroup_create("orders", "g", "$")
        client.xreadgroup("g", "me", {"orders": ">"})

    result = play(queue, worker)
    assert [(one.name, one.status) for one in result.verdicts if one.name == "not-stuck"] == [("not-stuck", "violated")]
    assert result.history.of("run.end")[0]["queues"]["orders"]["visible"] == 1


def test_fields_instead_of_one_body() -> None:
    """field=None: the body's members are the entry's fields, and the key is found among them."""
    seen: list[Any] = []

    def worker(client: Any) -> None:
        seen.extend(fields for _, fields in client.xrange("orders"))
        client.xadd("orders", {"n": "9", "of": "a process"})

    result = play(RedisStream("orders", group="g", field=None, visibility_timeout=2), worker)
    assert seen == [{"n": "0"}]
    assert [event["key"] for event in result.history.of("send")] == ["0", "9"]


@pytest.mark.parametrize("queue", [LIST, STREAM], ids=["list", "stream"])
@pytest.mark.parametrize("kind", ["flushed", "failover"])
def test_what_the_server_loses_is_told_as_lost(queue: RedisList | RedisStream, kind: str) -> None:
    """A message that a flush or a failover takes is nobody's doing: message.lost, which no-message-loss excuses."""

    def worker(client: Any) -> None:
        time.sleep(5)

    more = {"lost_seconds": 10} if kind == "failover" else {}
    result = play(
        queue, worker, faults=[Fault("redis.*", kind, start=2, **more)], effects=harness.effects.point("done")
    )
    assert told(result)[-1] == ("message.lost", "0", queue.name)
    verdict = next(one for one in result.verdicts if one.name == "no-message-loss")
    assert verdict.status == "holds"


@pytest.mark.parametrize("queue", [LIST, STREAM], ids=["list", "stream"])
def test_an_acknowledgement_that_a_failover_undoes_brings_the_message_back(queue: RedisList | RedisStream) -> None:
    """The replica had not got the acknowledgement: the message is to be had again, as a copy of the first."""

    def worker(client: Any) -> None:
        time.sleep(1)
        if isinstance(queue, RedisList):
            client.lpop("jobs")
        else:
            ((_, ((entry, _),)),) = client.xreadgroup("g", "me", {"orders": ">"})
            client.xack("orders", "g", entry)
        time.sleep(5)

    result = play(queue, worker, faults=[Fault("redis.*", "failover", start=3, lost_seconds=2)])
    first, again = result.history.of("send")
    assert (again["key"], again["original"], again["origin"]) == (first["key"], first["message"], "store")
    assert result.messages.in_queue == 1


def test_a_dead_letter_stream() -> None:
    """XADD to the dead-letter stream and XACK: a dead letter, of the same key."""

    def worker(client: Any) -> None:
        ((_, ((entry, fields),)),) = client.xreadgroup("g", "me", {"orders": ">"})
        with client.pipeline() as both:
            both.xadd("orders:dead", fields).xack("orders", "g", entry).execute()

    assert play(STREAM, worker).messages.dead_lettered == 1


def test_an_effect_may_be_a_send_to_a_queue_in_redis() -> None:
    """effects.queue() sees what processes put in a declared list."""

    def worker(client: Any) -> None:
        client.rpush("jobs:dead", '{"n": 0, "shipped": true}')

    result = play(LIST, worker, effects=harness.effects.queue("jobs:dead", key="$.n"))
    assert [event["key"] for event in result.history.of("effect")] == ["0"]


def test_the_books_agree_with_the_keys() -> None:
    """At the end as many messages are live by the events as the keys hold."""

    def worker(client: Any) -> None:
        client.lmove("jobs", "jobs:doing:w", "LEFT", "LEFT")
        client.zadd("jobs:later", {client.lindex("jobs", 0): 1})
        client.lpop("jobs")

    result = play(LIST, worker, messages=5)
    ledger = Ledger(result.history.header)
    for event in result.history:
        ledger.handlers().get(event["kind"], lambda event: None)(event)
    held = result.history.of("run.end")[0]["queues"]["jobs"]
    assert len(ledger.live_copies()) == held["visible"] + held["in_flight"] == 5
    assert result.messages.in_flight == held["in_flight"] == 1


@pytest.mark.parametrize("count", [None, 1])
def test_a_read_that_blocks_waits_and_is_then_given_the_entry(count: int | None) -> None:
    """XREADGROUP BLOCK on a stream without news waits, with COUNT and without, and its reply holds the entry."""
    seen: list[Any] = []

    def reader(client: Any) -> None:
        client.xreadgroup("g", "me", {"orders": ">"})
        began = time.monotonic()
        seen.append(client.xreadgroup("g", "me", {"orders": ">"}, count=count, block=2000))
        seen.append(round(time.monotonic() - began, 1))
        seen.append(len(client.xreadgroup("g", "me", {"orders": ">"}, count=count, block=2000)))

    def writer(client: Any) -> None:
        time.sleep(3)
        client.xadd("orders", {"data": '{"n":1}'})

    result = play(STREAM, reader, writer)
    assert (not seen[0], seen[1:]) == (True, [2.0, 1])
    assert [(event["key"], event["actor"]) for event in result.history.of("receive")] == [
        ("0", "reader"),
        ("1", "reader"),
    ]


def test_a_look_at_ones_own_history_begins_the_idle_time_anew() -> None:
    """Who reads its pending entries again is given time for them: nobody else may claim them at once."""
    idle: list[int] = []

    def worker(client: Any) -> None:
        client.xreadgroup("g", "me", {"orders": ">"})
        time.sleep(3)
        for _ in range(2):
            idle.append(client.xpending_range("orders", "g", "-", "+", 1)[0]["time_since_delivered"])
            client.xreadgroup("g", "me", {"orders": "0"})

    play(STREAM, worker)
    assert idle[0] >= 3000 > 100 > idle[1]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RedisList(""), "name"),
        (lambda: RedisList("a", processing=("",)), "processing"),
        (lambda: RedisList("a", push="up"), "push"),
        (lambda: RedisList("a", dead_letter="a"), "dead_letter"),
        (lambda: RedisList("a", visibility_timeout=0), "visibility_timeout"),
        (lambda: RedisStream("a", group=""), "group"),
        (lambda: RedisStream("a", group="g", field=""), "field"),
        (lambda: RedisStream("a", group="g", database=-1), "database"),
    ],
)
def test_what_does_not_fit_is_named(make: Callable[[], object], field: str) -> None:
    """The message names the field and the remedy."""
    with pytest.raises(ScenarioError) as caught:
        make()
    assert f".{field}" in str(caught.value)
