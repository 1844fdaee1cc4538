"""Specs as values."""

from __future__ import annotations

import pytest

from harness import invariants
from harness.errors import UsageError
from harness.invariants.base import Invariant, Spec


@pytest.mark.parametrize("name", invariants.NAMES)
def test_each_factory_gives_a_spec_of_its_name(name: str) -> None:
    """Every published name has a function that gives a frozen, hashable spec with a fresh checker each time."""
    factory = getattr(invariants, name.replace("-", "_"))
    needs = {"recovers-within": (60,), "backlog-drains": (60,)}
    spec = factory(*needs.get(name, ()))
    assert spec.name == name
    assert spec == factory(*needs.get(name, ()))
    assert hash(spec) == hash(factory(*needs.get(name, ())))
    first, second = spec.checker(), spec.checker()
    assert isinstance(first, Invariant)
    assert first is not second
    assert first.name == name
    assert invariants.by_name(name) is type(first)
    assert (type(first).__doc__ or "").strip(), "each says in one line what it means"


def test_names_are_the_published_ones() -> None:
    """Names are never changed once published."""
    assert invariants.NAMES == (
        "no-message-loss",
        "at-least-once",
        "effects-once",
        "duplicates-bounded",
        "fifo-order",
        "batch-integrity",
        "not-stuck",
        "breaker-transitions",
        "breaker-opens",
        "breaker-stays-open",
        "breaker-half-open-permits",
        "breaker-generations",
        "breaker-ignores-permanent",
        "backoff-bounds",
        "attempts-bounded",
        "deadline-kept",
        "permanent-not-retried",
        "retry-budget",
        "no-herd",
        "poison-contained",
        "envelope-complete",
        "not-processed-and-dead-lettered",
        "replay-once",
        "tried-before-dead-lettered",
        "recovers-within",
        "backlog-drains",
        "throughput-returns",
        "not-metastable",
        "amplification-bounded",
        "level-follows-health",
        "no-flapping",
        "measures-applied",
        "errors-counted-once",
        "alarms-fire-and-clear",
        "assertions-hold",
    )


def test_all_is_what_is_there() -> None:
    """__all__ names every public function and nothing that is missing."""
    functions = {name.replace("-", "_") for name in invariants.NAMES}
    assert functions <= set(invariants.__all__)
    assert all(hasattr(invariants, name) for name in invariants.__all__)


def test_defaults() -> None:
    """Delivery and liveness always; the rest only where the run shows something of the kind."""
    specs = invariants.defaults()
    assert [spec.name for spec in specs if not spec.optional] == ["no-message-loss", "at-least-once", "not-stuck"]
    assert "effects-once" not in [spec.name for spec in specs]
    assert len({spec.name for spec in specs}) == len(specs)


def test_parameters() -> None:
    """Parameters are part of the value and of its text; None leaves the default."""
    spec = invariants.poison_contained(within=4)
    assert str(spec) == "poison-contained(within=4)"
    assert spec != invariants.poison_contained()
    assert str(invariants.poison_contained()) == "poison-contained"
    assert spec.with_parameters(within=5) == invariants.poison_contained(within=5)


def test_json_both_ways() -> None:
    """Specs go into a header and come back, weakened ones too."""
    specs = [
        *invariants.defaults(),
        invariants.recovers_within("2m"),
        invariants.effects_once().with_parameters(excused=("*/crash", "redis*/*")),
    ]
    assert invariants.from_json([spec.to_json() for spec in specs]) == specs
    assert invariants.from_json(["not-stuck"]) == [invariants.not_stuck()]


def test_json_that_is_wrong() -> None:
    """An unknown name gives the nearest, an unknown parameter the place."""
    with pytest.raises(UsageError, match="Did you mean no-message-loss"):
        invariants.from_json(["no-mesage-loss"])
    with pytest.raises(UsageError, match=r"invariants\[0\].*colour"):
        invariants.from_json([{"name": "not-stuck", "parameters": {"colour": 1}}])


def test_a_user_s_own_invariant_is_a_spec_of_its_class() -> None:
    """Any class or function that makes an invariant can be the factory of a spec."""

    class Mine(Invariant):
        name = "mine"

    assert Spec(Mine).name == "mine"
    assert isinstance(Spec(Mine).checker(), Mine)
    with pytest.raises(NotImplementedError, match="Mine"):
        Mine().finish()
