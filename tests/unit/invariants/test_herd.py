"""The herd statistic on samples of known policies."""

from __future__ import annotations

import random

import pytest

from harness.invariants.herd import CLIENTS_MIN, herd


def _sample(draw: object, clients: int = 1000, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [draw(rng) for _ in range(clients)]  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("name", "draw", "longest"),
    [
        ("full", lambda rng: rng.uniform(0, 8), 8.0),
        ("equal", lambda rng: rng.uniform(4, 8), 8.0),
        ("second attempt, equal", lambda rng: rng.uniform(0.5, 1) + rng.uniform(1, 2), 2.0),
    ],
)
def test_right_jitter_is_no_herd(name: str, draw: object, longest: float, seed: int) -> None:
    """Full and equal jitter are accused with no seed."""
    assert herd(_sample(draw, seed=seed), longest) == "", name


@pytest.mark.parametrize("attempt", [1, 2, 3, 5, 8])
def test_decorrelated_jitter_is_no_herd_even_at_its_cap(attempt: int) -> None:
    """Decorrelated jitter piles waits up at its cap; the moments of return stay spread."""

    def draw(rng: random.Random) -> float:
        total, delay = 0.0, 0.1
        for _ in range(attempt):
            delay = min(5.0, rng.uniform(0.1, delay * 3))
            total += delay
        return total

    sample = _sample(draw)
    longest = min(5.0, 0.1 * 3**attempt)
    assert herd(sample, longest) == ""


@pytest.mark.parametrize(
    ("draw", "longest"),
    [(lambda rng: 8.0, 8.0), (lambda rng: rng.uniform(7.6, 8), 8.0), (lambda rng: rng.choice((4.0, 8.0)), 8.0)],
)
def test_a_herd_is_found(draw: object, longest: float) -> None:
    """No jitter, five per cent of it, and a choice of two moments are herds, told in words."""
    assert "clients return within" in herd(_sample(draw), longest)


def test_no_wait_at_all() -> None:
    """Clients that do not wait return at once."""
    assert "at once" in herd([0.0] * CLIENTS_MIN, 0.0)


def test_too_few() -> None:
    """Fewer than 1,000 clients are refused."""
    with pytest.raises(ValueError, match="at least 1000"):
        herd([1.0] * 999, 1.0)
