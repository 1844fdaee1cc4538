"""A breaker's state in Redis: what its script answers, in the simulated server and, where it is there, a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis
from redis.crc import key_slot

from harness.resilience import CircuitState, CountWindow, RedisBreakerStore, TimeWindow
from harness.resilience._breaker_script import keys_of
from harness.resilience.breaker_store import Known, Limits, Question, View
from tests.requirements import redis_server

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


@pytest.fixture(scope="module")
def real_port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture(params=["fakeredis", "fakeredis-decoding", "redis-server"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param != "redis-server":
        yield fakeredis.FakeRedis(decode_responses=request.param.endswith("decoding"))
        return
    with redis.Redis(port=request.getfixturevalue("real_port"), socket_timeout=5) as real:
        real.flushall()
        yield real


class Asker:
    """One process that asks: it knows what it was told last."""

    def __init__(self, client: Any, limits: Limits | None = None, name: str = "payments") -> None:
        self.store = RedisBreakerStore(client)
        self.limits = limits or Limits(failure_threshold=2, recovery_timeout=0.2, permit_seconds=0.2)
        self.name = name
        self.known = Known()

    def ask(self, question: Question) -> View:
        view = self.store.ask(self.name, question)
        self.known = Known(
            view.epoch, view.state, view.generation, view.mode, view.open_for, view.left or 0.0, view.reopened
        )
        return view

    def admit(self, call: str = "c", *, early: bool = False) -> View:
        return self.ask(Question("admit", self.limits, self.known, call=call, early=early))

    def report(self, call: str, outcome: Any = "failure", generation: int = 1, *, slow: bool = False) -> View:
        if not self.known.epoch:
            self.admit("before it")
        facts: dict[str, Any] = {
            "epoch": self.known.epoch,
            "generation": generation,
            "outcome": outcome,
            "slow": slow,
            "error": "OSError",
        }
        return self.ask(Question("report", self.limits, self.known, call=call, **facts))

    def force(self, state: CircuitState, mode: Any = "normal", reason: str = "forced") -> View:
        return self.ask(Question("force", self.limits, self.known, state=state, mode=mode, reason=reason))


def opened(client: Any, **limits: Any) -> tuple[Asker, Asker]:
    """Two processes that have opened a breaker together, each with one failure."""
    options = {"failure_threshold": 2, "recovery_timeout": 0.2, "permit_seconds": 0.2, **limits}
    first, second = Asker(client, Limits(**options)), Asker(client, Limits(**options))
    first.report("a")
    assert second.report("b").state is OPEN
    return first, second


def half_open(client: Any, **limits: Any) -> tuple[Asker, Asker]:
    """The same, when the time has passed and the first one probes."""
    first, second = opened(client, **limits)
    time.sleep(0.21)
    view = first.admit("probe")
    assert (view.state, view.yes, view.generation) == (HALF_OPEN, True, 3)
    return first, second


def test_failures_of_several_processes_count_together(client: Any) -> None:
    """One failure each opens it for both, at the threshold of two."""
    first, second = Asker(client), Asker(client)
    assert first.report("a").state is CLOSED
    view = second.report("b")
    assert (view.state, view.generation, view.failures) == (OPEN, 2, 0)
    refused = first.admit()
    assert (refused.state, refused.yes) == (OPEN, False)
    assert refused.left is not None
    assert 0 < refused.left <= 0.2
    assert [(c.generation, c.before, c.after, c.reason) for c in refused.changes] == [
        (2, CLOSED, OPEN, "2 consecutive failures")
    ]
    assert first.admit().changes == ()


def test_a_success_of_another_process_ends_the_row(client: Any) -> None:
    """Failures count in a row over all processes; an ignored result changes nothing."""
    first, second = Asker(client), Asker(client)
    first.report("a")
    assert second.report("b", "ignored").failures == 1
    assert second.report("c", "success").failures == 0
    assert first.report("d").state is CLOSED


def test_a_repeated_report_counts_once(client: Any) -> None:
    """A client library that asks again because the answer was lost does not open it early."""
    asker = Asker(client)
    asker.report("a")
    assert asker.report("a").state is CLOSED
    windowed = Asker(client, Limits(window=CountWindow(10, minimum_calls=2)), "windowed")
    windowed.report("a")
    assert windowed.report("a").state is CLOSED
    assert windowed.report("b").state is OPEN


def test_one_probe_over_all_processes(client: Any) -> None:
    """While one process probes the others are refused; asked again, it is the same permit."""
    first, second = half_open(client)
    assert not second.admit("other").yes
    assert first.admit("probe").yes
    assert not first.admit("third").yes
    closed = first.report("probe", "success", 3)
    assert (closed.state, closed.generation, closed.yes) == (CLOSED, 4, True)
    assert second.admit().yes


def test_a_failed_probe_opens_it_again_and_the_open_time_grows(client: Any) -> None:
    """Twice the time after the first failed recovery, up to the limit."""
    first, _ = half_open(client, recovery_growth=2, recovery_timeout_max=0.3)
    view = first.report("probe", "failure", 3)
    assert (view.state, view.reopened) == (OPEN, 1)
    assert view.left == pytest.approx(0.3)
    assert view.changes[-1].reason == "a probe failed (OSError)"


def test_a_permit_of_a_dead_process_lapses(client: Any) -> None:
    """After its seconds another one may probe, and what the first one says then changes nothing."""
    first, second = half_open(client)
    assert not second.admit("other").yes
    time.sleep(0.21)
    assert second.admit("other").yes
    late = first.report("probe", "failure", 3)
    assert (late.yes, late.state) == (False, HALF_OPEN)
    assert second.report("other", "success", 3).state is CLOSED


def test_an_ignored_probe_frees_its_permit(client: Any) -> None:
    """A bad message proves nothing; the next call probes."""
    first, second = half_open(client)
    first.report("probe", "ignored", 3)
    assert second.admit("other").yes


def test_a_probe_that_was_told_twice_counts_once(client: Any) -> None:
    """With two successes asked for, one that is told twice closes nothing."""
    first, _ = half_open(client, success_threshold=2)
    first.report("probe", "success", 3)
    assert first.report("probe", "success", 3).state is HALF_OPEN
    first.admit("next")
    assert first.report("next", "success", 3).state is CLOSED


def test_a_slow_probe_opens_it_again(client: Any) -> None:
    """With a window that asks for it: an answer that takes too long is no recovery."""
    window = CountWindow(10, minimum_calls=2, slow_call_seconds=1)
    first, _ = half_open(client, window=window)
    assert first.report("probe", "success", 3, slow=True).state is OPEN


def test_a_late_result_of_an_earlier_state_changes_nothing(client: Any) -> None:
    """Neither while it is open nor half open nor closed again."""
    first, second = opened(client)
    assert not second.report("old", "success", 1).yes
    time.sleep(0.21)
    first.admit("probe")
    assert second.report("old", "success", 1).state is HALF_OPEN
    first.report("probe", "success", 3)
    for call in ("old-1", "old-2", "old-3"):
        assert second.report(call, "failure", 1).state is CLOSED


def test_who_knows_that_it_is_early_does_not_end_the_open_time(client: Any) -> None:
    """A process whose own clock says that the time has not passed leaves it open, though the server's has jumped."""
    first, _ = opened(client)
    first.admit()
    time.sleep(0.21)
    assert first.admit(early=True).state is OPEN
    assert first.admit().state is HALF_OPEN


def test_half_open_does_not_wait_for_ever_if_told_so(client: Any) -> None:
    """With a limit, a half-open state whose probes do not come back opens again."""
    _, second = half_open(client, half_open_timeout=0.1, permit_seconds=60)
    time.sleep(0.11)
    view = second.admit("other")
    assert (view.state, view.reopened) == (OPEN, 1)


def test_a_count_window_is_shared(client: Any) -> None:
    """Half of the last four calls, whoever made them; older calls are forgotten."""
    limits = Limits(window=CountWindow(4, failure_rate=0.5, minimum_calls=4))
    first, second = Asker(client, limits), Asker(client, limits)
    for number, outcome in enumerate(["failure", "success", "success", "success", "success", "failure"]):
        view = (first, second)[number % 2].report(str(number), outcome)
        assert view.state is CLOSED
    view = first.report("last")
    assert (view.state, view.changes[-1].reason) == (OPEN, "2 of 4 calls failed")


def test_a_time_window_is_shared(client: Any) -> None:
    """Failures of more than its seconds ago do not count; slow calls do if asked for."""
    limits = Limits(window=TimeWindow(0.2, minimum_calls=2, slow_call_seconds=1))
    first, second = Asker(client, limits), Asker(client, limits)
    first.report("a")
    time.sleep(0.21)
    assert second.report("b", "success").state is CLOSED
    assert second.report("c", "success", slow=True).changes[-1].reason == "1 of 2 calls were slow"


def test_forcing_holds_for_everybody(client: Any) -> None:
    """Isolated: refused without a time; disabled: let in and not counted; closed: what was counted is forgotten."""
    first, second = Asker(client), Asker(client)
    first.report("a")
    first.force(OPEN, "isolated", "isolated")
    view = second.admit()
    assert (view.state, view.mode, view.yes, view.left) == (OPEN, "isolated", False, None)
    first.force(CLOSED, "disabled", "disabled")
    for call in "abc":
        assert second.report(call, generation=3).state is CLOSED
    first.force(CLOSED, "normal", "enabled")
    second.report("x", generation=4)
    assert second.report("y", generation=4).state is OPEN


def test_what_a_person_decided_does_not_expire(client: Any) -> None:
    """The keys of an unused breaker go after a while, those of one that is isolated stay."""
    asker = Asker(client)
    asker.report("a")
    asker.report("b")
    key = keys_of("breaker:", "payments")[0]
    assert 0 < client.pttl(key) <= 7 * 86_400_000
    asker.force(OPEN, "isolated", "isolated")
    assert client.pttl(key) == -1


def test_who_knows_the_state_brings_it_back(client: Any) -> None:
    """After a flush, and after a failover to an older state, the breaker is open again for the rest of its time."""
    first, _ = opened(client)
    first.admit()
    client.flushall()
    view = first.admit()
    assert (view.began, view.state, view.generation, view.yes, view.changes) == (OPEN, OPEN, 1, False, ())
    stranger = Asker(client)
    assert stranger.admit().state is OPEN
    time.sleep(0.21)
    assert stranger.admit("probe").state is HALF_OPEN


def test_probes_that_the_store_lost_may_be_under_way(client: Any) -> None:
    """Half open before a flush, or open with its time over: open again for a whole time, no probe joins them."""
    first, second = half_open(client)
    client.flushall()
    view = first.admit("another")
    assert (view.state, view.generation, view.yes) == (OPEN, 1, False)
    assert view.left == pytest.approx(0.2)
    client.flushall()
    second.known = Known("earlier", OPEN, 2, "normal", 0.2, 0.0)
    view = second.admit("mine")
    assert (view.state, view.generation, view.yes) == (OPEN, 1, False)
    assert view.left == pytest.approx(0.2)


def test_results_of_an_earlier_epoch_change_nothing(client: Any) -> None:
    """A call that began before the store lost its data belongs to a state that is no more."""
    first = Asker(client)
    first.admit()
    before = first.known
    client.flushall()
    first.admit()
    first.known = before
    assert not first.report("a").yes
    assert first.admit().failures == 0


def test_a_failover_to_an_older_state_begins_another_epoch(client: Any) -> None:
    """The asker knows of an opening that the store has forgotten: the state is what the asker knows."""
    first = Asker(client)
    first.admit()
    known = first.known
    ahead = Known(known.epoch, OPEN, 2, "normal", 0.2, 0.1)
    view = first.ask(Question("admit", first.limits, ahead, call="c"))
    assert view.epoch != known.epoch
    assert (view.began, view.generation, view.left) == (OPEN, 1, pytest.approx(0.1))


def test_a_state_that_nobody_knows_any_more_begins_closed(client: Any) -> None:
    """A flush and no process that remembers: closed, in its first generation."""
    opened(client)
    client.flushall()
    view = Asker(client).admit()
    assert (view.state, view.generation, view.yes) == (CLOSED, 1, True)


def test_only_the_latest_changes_are_kept(client: Any) -> None:
    """Eight, in order, for those who ask late."""
    asker = Asker(client)
    for _ in range(6):
        asker.force(OPEN)
        asker.force(CLOSED)
    changes = Asker(client).admit().changes
    assert [change.generation for change in changes] == list(range(6, 14))
    assert [change.at for change in changes] == sorted(change.at for change in changes)


def test_breakers_of_other_names_know_nothing_of_it(client: Any) -> None:
    """One name is one breaker."""
    opened(client)
    assert Asker(client, name="other").admit().yes


@pytest.mark.parametrize("name", ["payments", "with {braces}", "a}b{c", "", "ü"])
def test_the_keys_of_a_breaker_share_a_hash_slot(name: str) -> None:
    """On a cluster a script may only touch keys of one slot."""
    assert len({key_slot(key.encode()) for key in keys_of("breaker:", name)}) == 1


def test_names_that_differ_have_keys_that_differ() -> None:
    """What is done to braces does not join two names."""
    names = ["a", "a:probes", "{a}", "a}", "a:"]
    keys = [key for name in names for key in keys_of("breaker:", name)]
    assert len(set(keys)) == len(keys)


def test_errors_of_the_client_come_through() -> None:
    """The store raises; what to do without it is the breaker's matter."""
    store = RedisBreakerStore(redis.Redis(port=1, retry=None, socket_timeout=0.2))
    with pytest.raises(redis.ConnectionError):
        store.ask("payments", Question("admit", Limits(), call="c"))


def test_a_state_is_kept_for_some_time_at_least() -> None:
    """A wrong number is an error that names the field."""
    with pytest.raises(ValueError, match="keep_seconds"):
        RedisBreakerStore(fakeredis.FakeRedis(), keep_seconds=0)


def test_an_open_time_that_grows_for_ever_stays_a_number(client: Any) -> None:
    """After a thousand failed recoveries the script still answers."""
    asker = Asker(client, Limits(failure_threshold=1, recovery_timeout=1, recovery_growth=2))
    known = Known("an earlier one", OPEN, 5, "normal", 0, 0, 1_000)
    asker.ask(Question("admit", asker.limits, known, call="probe"))
    view = asker.report("probe", "failure", 2)
    assert (view.state, view.reopened) == (OPEN, 1_001)
    assert view.left is not None
    assert view.left > 1e9
