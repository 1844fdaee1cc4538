"""Pairs of faults: those that are left out would have shown nothing that those that are tried do not show."""

from __future__ import annotations

import json
from collections.abc import Iterable

import boto3
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import harness
from harness import Process, Queue, Scenario, Workload, effects, invariants
from harness.explore.pairs import Pair, every, follow, in_order, pairs_of, representatives, tasks_of
from harness.explore.space import Choice
from harness.explore.sweep import Outcome, Single, Sweep, run_single
from harness.points import effect


def impatient(env):  # type: ignore[no-untyped-def]
    """Tries its write twice; then it gives the message up."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    store = redis.Redis(retry=Retry(NoBackoff(), 0), socket_timeout=1)
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            for _ in range(2):
                try:
                    store.set(f"order:{json.loads(message['Body'])['n']}", "1")
                    break
                except redis.RedisError:
                    continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def plain(env):  # type: ignore[no-untyped-def]
    """The effect, then the delete: whatever happens, the message is there again."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            effect("done", json.loads(message["Body"])["n"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def marks_first(env):  # type: ignore[no-untyped-def]
    """Takes a mark in Redis before the effect, and goes on without one where Redis fails twice."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    store = redis.Redis(retry=Retry(NoBackoff(), 0), socket_timeout=1)
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            number = json.loads(message["Body"])["n"]
            mine: object = True
            for _ in range(2):
                try:
                    mine = store.get(f"done:{number}") is None
                    break
                except redis.RedisError:
                    continue
            if mine:
                effect("done", number)
            try:
                store.set(f"done:{number}", "1")
            except redis.RedisError:
                effect("unmarked", number)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def made(worker, of, *, once: bool = False, messages: int = 1) -> Scenario:  # type: ignore[no-untyped-def]
    return Scenario(
        name=worker.__name__.replace("_", "-"),
        queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq", max_receives=5), Queue("orders-dlq")],
        processes=[Process("worker", worker)],
        workload=Workload(to="orders", messages=messages, per_second=2, body=lambda n: {"n": n}, key="$.n"),
        effects=of,
        invariants=[*invariants.defaults(), invariants.effects_once()] if once else None,
        duration=10,
    )


def violated(scenario: Scenario, pairs: Iterable[Pair]) -> set[str]:
    return {name for pair in pairs for name in run_single(scenario, pair, 0)[0].violated}


def compared(scenario: Scenario, kinds: frozenset[str]) -> tuple[set[str], float]:
    """The invariants that pairs break, the same with and without pruning, and the share of runs that pruning saves."""
    sweep = Sweep.of(scenario, kinds=kinds)
    outcomes = {one.name: run_single(scenario, one, 0)[0] for one in sweep.singles}
    pruned = pairs_of(sweep, outcomes, kinds)
    full = in_order(every(scenario, one, 0, kinds) for one in sweep.singles if outcomes[one.name].survived)
    found = violated(scenario, pruned)
    assert found == violated(scenario, full)
    saved = 1 - len(pruned) / len(full)
    print(
        f"{scenario.name}: {len(sweep.singles)} single faults, {len(full):,} pairs, {len(pruned):,} tried: {saved:.1%}"
    )
    return found, saved


def test_what_only_two_faults_break_is_found() -> None:
    """A write that is tried twice: no single fault loses the message, two do; pruning keeps that."""
    found, saved = compared(made(impatient, effects.redis("SET order:{key}")), frozenset({"refused", "reorder"}))
    assert "no-message-loss" in found
    assert saved > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "kinds", "expected"),
    [
        (made(impatient, effects.redis("SET order:{key}")), {"refused", "timeout"}, "no-message-loss"),
        (made(marks_first, effects.point("done"), once=True), {"refused", "timeout", "crash"}, ""),
        (made(plain, effects.point("done"), messages=2), {"crash", "timeout", "throttled"}, ""),
    ],
    ids=["impatient", "marks-first", "plain"],
)
def test_full_and_pruned_pairs_break_the_same(scenario: Scenario, kinds: set[str], expected: str) -> None:
    """Three small scenarios, every pair beside the pruned ones: the same invariants violated, few of the runs."""
    found, saved = compared(scenario, frozenset(kinds))
    assert not expected or expected in found
    assert saved > 0.7  # more in larger ones: printed


def test_a_second_fault_needs_something_in_common_that_has_changed() -> None:
    """After a refused connection the second connection is new; a receive of nothing shares no message with it."""
    scenario = made(impatient, effects.redis("SET order:{key}"))
    sweep = Sweep.of(scenario, kinds=frozenset({"refused", "empty-receive", "throttled"}))
    refused = Single(Choice("redis.CONNECT", "before", "refused"), 1)
    outcomes = {one.name: run_single(scenario, one, 0)[0] for one in (refused,)}
    seconds = {pair.second for pair in pairs_of(sweep, outcomes)}
    assert Single(Choice("redis.CONNECT", "before", "refused"), 2) in seconds
    assert not any(one.choice.point == "aws.sqs.ReceiveMessage" for one in seconds)
    assert all(pair.first == refused for pair in pairs_of(sweep, outcomes))


def test_what_breaks_something_alone_or_never_strikes_has_no_pairs() -> None:
    """Those that do the same at one passing count once; what broke, or did not strike, stands for nothing."""
    sweep = Sweep.of(made(plain, effects.point("done")), kinds=frozenset({"timeout", "throttled", "unavailable"}))
    one = sweep.singles[0]
    place = one.choice.point, one.choice.side, one.nth
    same = [single for single in sweep.singles if (single.choice.point, single.choice.side, single.nth) == place]
    outcomes = {single.name: Outcome(single.name, "passed", "b") for single in same}
    broke = next(single for single in sweep.singles if single not in same)
    outcomes[broke.name] = Outcome(broke.name, "failed", "c", {"no-message-loss": "one"})
    chosen, represented = representatives(sweep, outcomes)
    assert chosen == same[:1]
    assert represented == frozenset(same[1:])
    assert len(same) > 1
    never = Single(one.choice, 900)
    followed = follow(sweep.scenario, (never, 0, {}, None, frozenset()))
    assert followed.seconds == ()
    assert followed.outcome.verdict == "not struck"


def test_one_of_each_sort_comes_first() -> None:
    """The order: a pair of each two (point, kind) before any comes again."""
    sweep = Sweep.of(made(impatient, effects.redis("SET order:{key}"), messages=2), kinds=frozenset({"refused"}))
    outcomes = {one.name: run_single(sweep.scenario, one, 0)[0] for one in sweep.singles}
    pairs = pairs_of(sweep, outcomes, frozenset({"refused"}))
    groups = {pair.group for pair in pairs}
    assert {pair.group for pair in pairs[: len(groups)]} == groups
    assert len(pairs) > len(groups)
    assert len(tasks_of(sweep, outcomes)) <= len(sweep.singles)


def test_the_public_function() -> None:
    """``harness.sweep(scenario, pairs=True)``: pairs among the outcomes, told by both their names."""
    report = harness.sweep(made(impatient, effects.redis("SET order:{key}")), kinds={"refused"}, pairs=True)
    assert "redis.CONNECT.before refused #1 + redis.CONNECT.before refused #2" in {one.name for one in report.broken}
    assert all(" + " in one.name for one in report.broken)
