"""Bands of delays."""

from __future__ import annotations

from typing import Any

import pytest

from harness.resilience import Constant, Custom, Exponential, Fibonacci


def bands(backoff: Any, attempts: int = 5, throttling: bool = False) -> list[tuple[float, float]]:
    return [backoff.band(attempt, 0.0, throttling) for attempt in range(1, attempts + 1)]


def test_exponential_without_jitter_doubles_up_to_the_cap() -> None:
    """1, 2, 4, 8 and then the cap."""
    assert [low for low, high in bands(Exponential(1, 10, jitter="none"))] == [1, 2, 4, 8, 10]


def test_equal_jitter_is_between_half_and_all() -> None:
    """The band is the upper half of the delay."""
    assert bands(Exponential(1, 6, jitter="equal"), 4) == [(0.5, 1), (1, 2), (2, 4), (3, 6)]


def test_full_jitter_is_between_nothing_and_all() -> None:
    """The band begins at 0."""
    assert bands(Exponential(1, 6), 4) == [(0, 1), (0, 2), (0, 4), (0, 6)]


def test_decorrelated_jitter_grows_with_the_last_delay() -> None:
    """From the base to three times what was waited before."""
    backoff = Exponential(1, 60, jitter="decorrelated")
    assert backoff.band(1, 0.0, False) == (1, 1)
    assert backoff.band(2, 1.0, False) == (1, 3.0)
    assert backoff.band(9, 7.0, False) == (1, 21.0)


def test_throttling_starts_from_its_own_base() -> None:
    """After a throttling error the AWS SDKs wait from 1 s, else from 0.05 s."""
    backoff = Exponential(0.05, 20, jitter="none", throttling_base=1.0)
    assert bands(backoff, 2) == [(0.05, 0.05), (0.1, 0.1)]
    assert bands(backoff, 2, throttling=True) == [(1, 1), (2, 2)]


@pytest.mark.parametrize("attempt", [1_000, 5_000, 10**9])
def test_no_number_of_attempts_overflows(attempt: int) -> None:
    """``2 ** attempt`` is far beyond a float; the delay is the cap."""
    assert Exponential(1, 60, jitter="none").band(attempt, 60.0, False) == (60, 60)
    assert Exponential(0, 60, jitter="none").band(attempt, 0.0, False) == (0, 0)
    assert Fibonacci(1, 60, jitter="none").band(attempt, 60.0, False) == (60, 60)
    assert Fibonacci(0, 60, jitter="none").band(attempt, 0.0, False) == (0, 0)


def test_fibonacci() -> None:
    """1, 1, 2, 3, 5, 8 and then the cap."""
    assert [low for low, _ in bands(Fibonacci(0.5, 5, jitter="none"), 7)] == [0.5, 0.5, 1, 1.5, 2.5, 4, 5]


def test_constant_is_its_own_cap() -> None:
    """The same each time."""
    assert bands(Constant(3), 2) == [(3, 3), (3, 3)]
    assert Constant(3).cap == 3
    assert bands(Constant(3, jitter="equal"), 1) == [(1.5, 3)]


def test_a_users_function_is_cut_to_the_cap() -> None:
    """Below 0 and above the cap are cut off; no number is an error that says so."""
    backoff = Custom(lambda attempt: {1: -5.0, 2: 7.0, 3: float("inf")}.get(attempt, float("nan")), cap=10)
    assert bands(backoff, 3) == [(0, 0), (7, 7), (10, 10)]
    with pytest.raises(ValueError, match="no number after attempt 4"):
        backoff.band(4, 0.0, False)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Exponential(-1), "base"),
        (lambda: Exponential(1, float("inf")), "cap"),
        (lambda: Exponential(float("nan")), "base"),
        (lambda: Exponential(factor=0.5), "factor"),
        (lambda: Exponential(jitter="some"), "jitter 'some'"),
        (lambda: Exponential(throttling_base=-1), "throttling_base"),
        (lambda: Constant(-1), "delay"),
        (lambda: Constant(True), "delay"),
        (lambda: Fibonacci(jitter="decorrelated"), "jitter 'decorrelated'"),
        (lambda: Custom(float, cap=-1), "cap"),
    ],
)
def test_nonsense_is_refused_when_it_is_made(make: Any, field: str) -> None:
    """A wrong number is an error that names the field."""
    with pytest.raises(ValueError, match=field):
        make()


def test_policies_are_values() -> None:
    """Equal numbers are equal policies, and may be keys."""
    assert Exponential(1, 2) == Exponential(1, 2)
    assert len({Exponential(1, 2), Exponential(1, 2), Exponential(1, 3)}) == 2
