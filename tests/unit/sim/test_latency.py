"""The table of latencies."""

from __future__ import annotations

from random import Random

import pytest

from harness.sim.latency import DEFAULT, LatencyModel, Spread


def test_the_longest_prefix_decides() -> None:
    """A point's own entry goes before its service's, that before its layer's, that before the rest."""
    model = LatencyModel("m", {"aws.sqs": Spread(1, 1, 1), "aws": Spread(2, 2, 2), "": Spread(3, 3, 3)})
    sample = model.sampler(Random(0))
    assert [sample(point) for point in ("aws.sqs.SendMessage", "aws.sns.Publish", "redis.GET")] == [1000, 2000, 3000]


def test_every_latency_is_within_its_spread() -> None:
    """Draws lie between low and high, half of them below the median, and none is zero."""
    for point, low, median, high in (("aws.sqs.SendMessage", 2, 6, 20), ("redis.GET", 0.1, 0.2, 2), ("x", 1, 5, 20)):
        sample = DEFAULT.sampler(Random(1))
        drawn = [sample(point) for _ in range(4000)]
        assert low * 1000 <= min(drawn)
        assert max(drawn) <= high * 1000
        below = sum(one < median * 1000 for one in drawn) / len(drawn)
        assert 0.45 < below < 0.55


def test_a_latency_is_never_zero() -> None:
    """A spread far below a microsecond still takes one."""
    assert set(Spread(1e-9, 1e-9, 1e-9).quantiles_us()) == {1}


def test_spreads_rise_from_above_zero() -> None:
    """A spread with a zero, or out of order, is refused."""
    for numbers in ((0, 1, 2), (2, 1, 3), (1, 3, 2), (-1, 1, 1)):
        with pytest.raises(ValueError, match="rise from above zero"):
            Spread(*numbers)


def test_a_model_without_an_entry_says_so() -> None:
    """A point that the model does not cover is an error, not a guess."""
    with pytest.raises(KeyError):
        LatencyModel("m", {"aws": Spread(1, 1, 1)}).spread("redis.GET")
