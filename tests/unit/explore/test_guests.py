"""What a sweep of somebody's tests tries, and what it makes of each repetition, on stays written by hand."""

from __future__ import annotations

from harness.environments.guest import Called, Handled, Stay
from harness.explore.guests import Run, Trial, judge, judge_sim, trials, trials_of_sim
from harness.explore.space import Choice
from harness.explore.sweep import Single

_SITE = "shop/orders.py:7 in work"


def called(point: str, nth: int = 1, *, side: str = "before", own: bool = False, site: str = _SITE) -> Called:
    return Called(point, side, nth, site, own)


def trial(point: str, kind: str, side: str = "before") -> Trial:
    return Trial(Single(Choice(point, side, kind), 1), f"{point} at {_SITE}")


def stay(*handled: str, struck: int = 1, ended: str = "done") -> Stay:
    """``"receive a"``, ``"delete a"``, ``"effect aws.s3.PutObject"``, ..."""
    found = [Handled(*one.split(" ")) for one in handled]
    return Stay(ended=ended, reason="it waits" if ended == "hang" else "", handled=found, struck=[struck])


_CLEAN = stay("receive a", "effect aws.s3.PutObject", "delete a", struck=0)
_DENIED = trial("aws.s3.PutObject", "access-denied")


def test_one_of_each_call_and_kind_comes_first() -> None:
    """Each line of code, point, side and kind once, then the second passings; the tests' own calls never."""
    found = trials(
        Stay(
            called=[
                called("aws.s3.PutObject"),
                called("aws.s3.PutObject", side="after"),
                called("aws.s3.PutObject", 2),
                called("aws.s3.PutObject", 3, site="shop/other.py:1 in other"),
                called("aws.s3.CreateBucket", own=True),
            ]
        )
    )
    sorts = [one.sort for one in found]
    firsts = len(set(sorts))
    assert len(set(sorts[:firsts])) == firsts < len(sorts)
    assert {one.single.nth for one in found[firsts:]} == {2}
    assert not any("CreateBucket" in one.call for one in found)
    assert {"shop/other.py:1 in other" in one.call for one in found} == {True, False}


def test_what_cannot_strike_a_mock_is_not_tried() -> None:
    """No process dies, no data of Redis is lost, and SQS has the kinds that moto's answers can be given."""
    kinds = {one.kind for one in trials(Stay(called=[called("aws.sqs.ReceiveMessage"), called("redis.SET")]))}
    assert kinds >= {"throttled", "timeout", "duplicate", "empty-receive", "loading", "readonly", "refused"}
    assert not kinds & {"crash", "sigterm", "pause", "delay", "flushed", "failover", "stale-attributes"}


def test_handled_and_not_reached() -> None:
    """The test passes; or the fault had no call to strike."""
    same = stay("receive a", "effect aws.s3.PutObject", "delete a")
    assert judge(_DENIED, _CLEAN, Run(same)) == ("handled", "")
    assert judge(_DENIED, _CLEAN, Run(stay(struck=0)))[0] == "not reached"


def test_a_hang() -> None:
    """It never came to its end."""
    assert judge(_DENIED, _CLEAN, Run(stay(ended="hang"))) == ("hang", "it waits")


def test_a_test_that_fails_counts_unless_it_may() -> None:
    """An assertion under a throttled call counts; an error after a refusal for good does not, nor an empty receive."""
    kept = Run(stay("receive a"), ["call"], "assert 0 == 1")
    assert judge(trial("aws.s3.PutObject", "throttled"), _CLEAN, kept) == ("test fails", "assert 0 == 1")
    assert judge(_DENIED, _CLEAN, kept)[0] == "handled"
    assert judge(trial("aws.sqs.ReceiveMessage", "internal-error", "after"), _CLEAN, kept)[0] == "handled"
    assert judge(trial("aws.sqs.SendMessage", "duplicate"), _CLEAN, kept)[0] == "handled"
    assert judge(trial("aws.sqs.ReceiveMessage", "duplicate"), _CLEAN, kept)[0] == "test fails"
    both = Run(stay("receive a"), ["setup", "teardown"], "no bucket")
    assert judge(trial("aws.s3.PutObject", "throttled"), _CLEAN, both)[1] == "no bucket (setup, teardown)"


def test_a_message_deleted_without_its_effect_is_lost() -> None:
    """Whether the test passes or not, and whether the delete came before or after."""
    gone = stay("receive a", "delete a")
    verdict, detail = judge(_DENIED, _CLEAN, Run(gone))
    assert verdict == "message lost"
    assert detail == "the message 'a' was deleted, yet aws.s3.PutObject never took effect, and nothing was done instead"
    early = stay("receive a", "delete a", "effect aws.s3.PutObject", struck=0)
    assert judge(_DENIED, early, Run(gone, ["call"], "AccessDenied"))[0] == "message lost"


def test_a_message_that_may_yet_be_handled_is_not_lost() -> None:
    """Kept in its queue; or put somewhere else; or with its effect; or what is missing had nothing to do with it."""
    for seen in (
        stay("receive a"),
        stay("receive a", "effect aws.sqs.SendMessage", "delete a"),
        stay("receive a", "effect aws.s3.PutObject", "effect aws.s3.PutObject", "delete a"),
    ):
        assert judge(_DENIED, _CLEAN, Run(seen)) == ("handled", "")
    before = stay("effect aws.s3.PutObject", "receive a", "delete a", struck=0)
    assert judge(_DENIED, before, Run(stay("receive a", "delete a")))[0] == "handled"
    nothing = stay("receive a", "delete a", struck=0)
    assert judge(_DENIED, nothing, Run(stay("receive a", "delete a")))[0] == "handled"


def test_a_scenario_of_a_test() -> None:
    """Its invariants judge; what no fault reached says nothing."""
    run, failed = Run(Stay()), Run(Stay(), ["call"], "assert 3 == 4")
    fault = trial("aws.sqs.DeleteMessage", "timeout")
    passed = {"verdict": "passed", "violated": {}, "unstruck": [], "reason": ""}
    lost = {**passed, "verdict": "failed", "violated": {"not-stuck": "b", "no-message-loss": "a"}}
    assert judge_sim(fault, run, passed) == ("handled", "")
    assert judge_sim(fault, failed, passed) == ("test fails", "assert 3 == 4")
    assert judge_sim(trial("aws.s3.PutObject", "access-denied"), failed, passed)[0] == "handled"
    assert judge_sim(fault, failed, lost) == ("message lost", "no-message-loss: a")
    assert judge_sim(fault, failed, {**lost, "violated": {"not-stuck": "b"}}) == ("hang", "not-stuck: b")
    assert judge_sim(fault, failed, {**lost, "violated": {"effects-once": "c"}}) == ("test fails", "effects-once: c")
    assert judge_sim(fault, failed, {**passed, "verdict": "error", "reason": "deadlock\nmore"}) == ("hang", "deadlock")
    unstruck = {**passed, "verdict": "inconclusive", "unstruck": ["it"]}
    assert judge_sim(fault, failed, unstruck)[0] == "not reached"
    assert judge_sim(fault, failed, None)[0] == "test fails"
    assert judge_sim(fault, Run(Stay("hang", "it waits")), None) == ("hang", "it waits")


def test_faults_of_a_scenario() -> None:
    """Each point with what can strike it, processes too; one of each first."""
    found = trials_of_sim({("aws.sqs.DeleteMessage", "after"): 2})
    assert {one.kind for one in found} >= {"timeout", "crash"}
    half = len(found) // 2
    assert {one.single.nth for one in found[:half]} == {1}
    assert {one.single.nth for one in found[half:]} == {2}
