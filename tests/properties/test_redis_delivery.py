"""Whatever is done to lists and streams: by the events as many messages are where as Redis's keys hold."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.history import Event
from harness.invariants.ledger import Ledger
from harness.redis_queues import RedisList, RedisStream
from harness.sim.services.redis_delivery import RedisDelivery
from tests.budget import examples
from tests.unit.sim.wire.bench import Run

LIST = RedisList("jobs", processing=("doing:*", "running"), waiting="later", dead_letter="dead")
STREAM = RedisStream("orders", group="g")

Command = tuple[str | int, ...]

_element = st.sampled_from(["a", "b", "c"])
_list = st.sampled_from(["jobs", "doing:1", "doing:2", "dead"])
_end = st.sampled_from(["LEFT", "RIGHT"])
_consumer = st.sampled_from(["x", "y"])
_entry = st.sampled_from(["1-1", "1-2", "1-3", "1-4", "1-5"])

LISTS: st.SearchStrategy[Command] = st.one_of(
    st.tuples(st.sampled_from(["RPUSH", "LPUSH"]), _list, _element),
    st.tuples(st.just("RPUSH"), st.just("jobs"), _element, _element),
    st.tuples(st.just("LMOVE"), _list, _list, _end, _end),
    st.tuples(st.sampled_from(["LPOP", "RPOP"]), _list, st.integers(1, 3)),
    st.tuples(st.just("LREM"), _list, st.integers(-1, 2), _element),
    st.tuples(st.just("LTRIM"), _list, st.integers(0, 1), st.integers(-2, 2)),
    st.tuples(st.just("LSET"), _list, st.just(0), _element),
    st.tuples(st.just("RENAME"), _list, _list),
    st.tuples(st.just("DEL"), _list),
    st.tuples(st.just("ZADD"), st.sampled_from(["later", "running"]), st.just(1), _element),
    st.tuples(st.just("ZREM"), st.sampled_from(["later", "running"]), _element),
    st.just(("EVAL", "local e = redis.call('LPOP', 'jobs'); if e then redis.call('ZADD', 'running', 1, e) end", 0)),
)
STREAMS: st.SearchStrategy[Command] = st.one_of(
    st.tuples(st.just("XADD"), st.just("orders"), _entry, st.just("data"), _element),
    st.tuples(st.just("XADD"), *map(st.just, ("orders", "MAXLEN", 2)), _entry, st.just("data"), _element),
    st.tuples(*map(st.just, ("XREADGROUP", "GROUP", "g")), _consumer, *map(st.just, ("STREAMS", "orders", ">"))),
    st.tuples(*map(st.just, ("XREADGROUP", "GROUP", "g")), _consumer, *map(st.just, ("STREAMS", "orders", "0"))),
    st.tuples(
        *map(st.just, ("XREADGROUP", "GROUP", "g")),
        _consumer,
        *map(st.just, ("COUNT", 1, "NOACK", "STREAMS", "orders", ">")),
    ),
    st.tuples(*map(st.just, ("XAUTOCLAIM", "orders", "g")), _consumer, st.just(0), st.just("0")),
    st.tuples(*map(st.just, ("XCLAIM", "orders", "g")), _consumer, st.just(0), _entry),
    st.tuples(*map(st.just, ("XACK", "orders", "g")), _entry),
    st.tuples(*map(st.just, ("XDEL", "orders")), _entry),
    st.tuples(*map(st.just, ("XGROUP", "DELCONSUMER", "orders", "g")), _consumer),
    st.just(("XTRIM", "orders", "MAXLEN", 1)),
)
LOSSES: st.SearchStrategy[Command] = st.sampled_from([("flush",), ("failover", 1), ("failover", 3)])


def play(commands: list[Command]) -> list[Event]:
    """The events that *commands* make, a second apart; held against the keys after each."""
    events: list[Event] = []
    ledger = Ledger({"system": {"queues": [{"name": "jobs", "dead_letter": "dead"}], "sources": ["jobs", "orders"]}})

    def note(actor: Any, kind: str, message: str | None = None, /, **fields: Any) -> None:
        event = {"n": len(events) + 1, "t": run.kernel.now, "actor": "-", "kind": kind, "message": message, **fields}
        events.append(event)
        handler = ledger.handlers().get(kind)
        if handler is not None:
            handler(event)

    def carry_out() -> None:
        server = run.world.redis
        queues = [LIST, LIST.dead_letters(), STREAM]
        delivery = RedisDelivery(server, queues, note, lambda *given: (None, None), lambda: run.kernel.now)
        delivery.create()
        for command in commands:
            run.kernel.sleep_us(1_000_000)
            if command[0] == "flush":
                server.flush()
            elif command[0] == "failover":
                server.failover(float(command[1]))
            else:
                with suppress(RuntimeError):  # the server refused it: nothing has happened, and nothing may be told
                    server.command(*command)
            compare(ledger, delivery, command)

    with Run(history_seconds=10) as run:
        run.actor(carry_out)
        run.go()
    return events


def compare(ledger: Ledger, delivery: RedisDelivery, command: Command) -> None:
    for name, figures in delivery.inventory().items():
        live = [copy for copy in ledger.live_copies() if copy.queue == name]
        in_flight = sum(copy.visible_at > 1e9 for copy in live)
        assert len(live) == figures["visible"] + figures["in_flight"], (command, name, figures)
        assert in_flight == figures["in_flight"], (command, name, figures)


@given(st.lists(LISTS, max_size=25))
@settings(max_examples=examples(600), deadline=None)
def test_the_books_of_lists_agree_with_the_keys_after_each_command(commands: list[Command]) -> None:
    """What waits and what is in flight by the events is what the keys hold, whichever commands did it."""
    play(commands)


@given(st.lists(STREAMS, max_size=25))
@settings(max_examples=examples(600), deadline=None)
def test_the_books_of_streams_agree_with_the_group_after_each_command(commands: list[Command]) -> None:
    """What is unread and what is pending by the events is what the stream and its group say."""
    play(commands)


@given(st.lists(st.one_of(LISTS, STREAMS, LOSSES), max_size=20))
@settings(max_examples=examples(300), deadline=None)
def test_the_books_survive_what_the_server_loses(commands: list[Command]) -> None:
    """After a flush or a failover too; and the same commands make the same events."""
    assert play(commands) == play(commands)
