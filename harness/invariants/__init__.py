"""What must hold of a run, judged from its history alone.

Each public function makes a *spec*: a value that says which invariant is to
be judged and with which parameters. A scenario lists specs::

    invariants=[*invariants.defaults(), invariants.effects_once()]

Names (with hyphens in JSON and on the command line) are never changed once
published. A parameter left out takes the invariant's own default. What each
invariant means stands in one line at the top of its class:

* :mod:`~harness.invariants.delivery`: no message loss, at least once, effects once, duplicates bounded, order, batches
* :mod:`~harness.invariants.liveness`: not stuck
"""

from __future__ import annotations

from harness.invariants import delivery, liveness
from harness.invariants.base import Invariant, Spec, Verdict, make_spec

__all__ = [
    "Invariant",
    "Spec",
    "Verdict",
    "at_least_once",
    "defaults",
    "duplicates_bounded",
    "effects_once",
    "no_message_loss",
    "not_stuck",
]


def no_message_loss() -> Spec:
    """No source message vanishes without an effect, a dead letter, a quarantine or the end of its retention."""
    return make_spec(delivery.NoMessageLoss)


def at_least_once() -> Spec:
    """Every source message takes effect by the end of the run, or is given up on record."""
    return make_spec(delivery.AtLeastOnce)


def effects_once() -> Spec:
    """No declared effect happens twice for one key."""
    return make_spec(delivery.EffectsOnce)


def duplicates_bounded(at_most: int | None = None) -> Spec:
    """At most *at_most* effects beyond the first; by default no more effects of a key than deliveries."""
    return make_spec(delivery.DuplicatesBounded, at_most=at_most)


def not_stuck() -> Spec:
    """At the end of the quiet period no consumed queue holds a message."""
    return make_spec(liveness.NotStuck)


def defaults() -> list[Spec]:
    """What is judged where a scenario says nothing else."""
    return [no_message_loss(), at_least_once(), not_stuck()]
