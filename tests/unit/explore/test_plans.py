"""The fault space to draw from: within the scenario, within the fault model, the same for the same generator."""

from __future__ import annotations

from random import Random

import pytest

from harness.errors import ScenarioError
from harness.explore.plans import FaultSpace
from harness.faults.model import open_ended
from harness.faults.points import validate
from tests.unit.explore.searched import careful, made

_SPACE = FaultSpace.of(made(careful))


def test_every_plan_fits_and_has_an_end() -> None:
    """What is drawn, and what is drawn near it, is taken by the scenario, small enough, and ends."""
    random = Random(1)
    kinds = set()
    for _ in range(300):
        plan = _SPACE.draw(random, 3)
        near = _SPACE.near(random, plan, 3)
        assert near != plan or len(plan) > 0
        for one in (plan, near):
            assert 1 <= len(one) <= 3
            validate(one, _SPACE.scenario)
            assert not any(open_ended(fault.to_json()) for fault in one if fault.kind != "hang")
            kinds |= {fault.kind for fault in one}
    assert kinds == set(_SPACE.kinds)


def test_the_same_generator_draws_the_same() -> None:
    """Nothing but the generator decides."""
    first, second = ([_SPACE.draw(random, 4) for _ in range(50)] for random in (Random(7), Random(7)))
    assert first == second


def test_swarm() -> None:
    """Some plans do without many kinds: plans of many faults have fewer kinds than if all were drawn from."""
    swarmed = [len({one.kind for one in _SPACE.draw(Random(n), 20)}) for n in range(200)]
    whole = [len({one.kind for one in _SPACE.draw(Random(n), 20, swarm=False)}) for n in range(200)]
    assert sum(swarmed) < sum(whole)


def test_kinds_and_targets_narrow_it() -> None:
    """Names of kinds and patterns of points; beyond draws windows without an end."""
    space = FaultSpace.of(made(careful), kinds={"timeout", "crash"}, targets=["aws.sqs.Delete*"])
    assert {(one.target, one.kind) for one in space.possible} == {
        ("aws.sqs.DeleteMessage", "timeout"),
        ("aws.sqs.DeleteMessage", "crash"),
    }
    beyond = FaultSpace.of(made(careful), kinds={"timeout"}, beyond=True)
    random = Random(0)
    assert any(open_ended(fault.to_json()) for _ in range(100) for fault in beyond.draw(random, 1))
    assert {one.kind for one in FaultSpace.of(made(careful), kinds={"malformed"}).possible} == {"malformed"}
    assert "malformed" not in _SPACE.kinds


def test_few_messages_have_early_faults() -> None:
    """A workload that is cut is over sooner: faults come while it lasts."""
    space = FaultSpace.of(made(careful, 200))
    random = Random(3)
    starts = [fault.start or 0 for _ in range(200) for fault in space.draw(random, 4, messages=2)]
    numbers = [fault.nth or 0 for _ in range(200) for fault in space.draw(random, 4, messages=2)]
    assert max(starts) <= 10.5
    assert max(numbers) <= 8
    assert max(fault.start or 0 for _ in range(200) for fault in space.draw(random, 4)) > 60


def test_nothing_to_strike_is_an_error() -> None:
    """A kind that is none, and kinds that strike nothing here, say so."""
    with pytest.raises(ScenarioError, match="no kind of fault"):
        FaultSpace.of(made(careful), kinds={"tiemout"})
    with pytest.raises(ScenarioError, match="nothing that could be struck"):
        FaultSpace.of(made(careful), kinds={"readonly"})
