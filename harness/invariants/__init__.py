"""What must hold of a run, judged from its history alone.

Each public function makes a *spec*: a value that says which invariant is to
be judged and with which parameters. A scenario lists specs::

    invariants=[*invariants.defaults(), invariants.effects_once()]

Names (with hyphens in JSON and on the command line) are never changed once
published. A parameter left out takes the invariant's own default. What each
invariant means stands in one line at the top of its class:

* :mod:`~harness.invariants.delivery`: no message loss, at least once, effects once, duplicates bounded;
  :mod:`~harness.invariants.delivery_order`: FIFO order, batch integrity
* :mod:`~harness.invariants.liveness`: not stuck
* :mod:`~harness.invariants.breaker`: circuit breakers
* :mod:`~harness.invariants.backoff`: retries, waits, deadlines, budgets, herds
* :mod:`~harness.invariants.dead_letter`: poison, envelopes, replay; :mod:`~harness.invariants.untried`: dead letters
  that nobody tried
* :mod:`~harness.invariants.degradation`: degradation
* :mod:`~harness.invariants.recovery`, :mod:`~harness.invariants.amplification`: after the fault
* :mod:`~harness.invariants.monitoring`: errors counted, alarms
* :mod:`~harness.invariants.assertions`: what the code under test asserts itself

To add one: a subclass of :class:`Invariant` and a function here.
:class:`~harness.invariants.judge.Judge` judges a run with them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.errors import UsageError
from harness.invariants import (
    amplification,
    assertions,
    backoff,
    breaker,
    dead_letter,
    degradation,
    delivery,
    delivery_order,
    liveness,
    monitoring,
    recovery,
    untried,
)
from harness.invariants.base import Invariant, Spec, Verdict, make_spec
from harness.invariants.recovery import bound
from harness.invariants.rests_on import RULES

__all__ = [
    "NAMES",
    "Invariant",
    "Spec",
    "Verdict",
    "alarms_fire_and_clear",
    "amplification_bounded",
    "assertions_hold",
    "at_least_once",
    "attempts_bounded",
    "backlog_drains",
    "backoff_bounds",
    "batch_integrity",
    "breaker_generations",
    "breaker_half_open_permits",
    "breaker_ignores_permanent",
    "breaker_opens",
    "breaker_stays_open",
    "breaker_transitions",
    "by_name",
    "deadline_kept",
    "defaults",
    "duplicates_bounded",
    "effects_once",
    "envelope_complete",
    "errors_counted_once",
    "fifo_order",
    "from_json",
    "level_follows_health",
    "measures_applied",
    "no_flapping",
    "no_herd",
    "no_message_loss",
    "not_metastable",
    "not_processed_and_dead_lettered",
    "not_stuck",
    "permanent_not_retried",
    "poison_contained",
    "recovers_within",
    "replay_once",
    "rests_on",
    "retry_budget",
    "throughput_returns",
    "tried_before_dead_lettered",
]


def _seconds(value: float | str, field: str) -> float:
    """A bound in seconds, from a number or a text such as ``"2m"``."""
    from harness.objectives import parse_duration

    seconds = parse_duration(value, field=field)
    bound(seconds, field)
    return seconds


# Delivery


def no_message_loss() -> Spec:
    """No source message vanishes without an effect, a dead letter, a quarantine or the end of its retention."""
    return make_spec(delivery.NoMessageLoss)


def at_least_once() -> Spec:
    """Every source message takes effect by the end of the run, or is given up on record."""
    return make_spec(delivery.AtLeastOnce)


def effects_once() -> Spec:
    """No declared effect happens twice for one key. Naming it declares the system idempotent."""
    return make_spec(delivery.EffectsOnce)


def duplicates_bounded(at_most: int | None = None) -> Spec:
    """At most *at_most* effects beyond the first; by default no more effects of a key than deliveries.

    Raises:
        ScenarioError: *at_most* is no whole number of 0 or more.
    """
    delivery.whole(at_most, "duplicates_bounded(at_most)", least=0)
    return make_spec(delivery.DuplicatesBounded, at_most=at_most)


def fifo_order() -> Spec:
    """Within a message group of a FIFO queue messages take effect in the order of sending."""
    return make_spec(delivery_order.FifoOrder)


def batch_integrity() -> Spec:
    """A message ends by its own outcome, whatever became of the others of its batch."""
    return make_spec(delivery_order.BatchIntegrity)


def not_stuck() -> Spec:
    """At the end of the quiet period no consumed queue holds a message."""
    return make_spec(liveness.NotStuck)


# Circuit breakers


def breaker_transitions() -> Spec:
    """A breaker's changes of state are legal."""
    return make_spec(breaker.BreakerTransitions)


def breaker_opens() -> Spec:
    """A breaker opens at its threshold, neither before nor after."""
    return make_spec(breaker.BreakerOpens)


def breaker_stays_open() -> Spec:
    """An open breaker lets nothing through until its recovery timeout has passed."""
    return make_spec(breaker.BreakerStaysOpen)


def breaker_half_open_permits() -> Spec:
    """A half-open breaker has at most its permitted probes under way."""
    return make_spec(breaker.BreakerHalfOpenPermits)


def breaker_generations() -> Spec:
    """A result of an earlier state changes nothing."""
    return make_spec(breaker.BreakerGenerations)


def breaker_ignores_permanent() -> Spec:
    """Permanent errors do not open a breaker."""
    return make_spec(breaker.BreakerIgnoresPermanent)


# Retries


def backoff_bounds(low: float | None = None, high: float | None = None, cap: float | None = None) -> Spec:
    """Waits lie in their band and under the cap, in seconds; without parameters, in the policy's own.

    Raises:
        ScenarioError: a bound is no number of 0 or more.
    """
    return _checked(make_spec(backoff.BackoffBounds, low=low, high=high, cap=cap))


def attempts_bounded(at_most: int | None = None) -> Spec:
    """A call has at most *at_most* attempts; by default as many as its policy says.

    Raises:
        ScenarioError: *at_most* is no whole number of 1 or more.
    """
    delivery.whole(at_most, "attempts_bounded(at_most)", least=1)
    return make_spec(backoff.AttemptsBounded, at_most=at_most)


def deadline_kept(deadline: float | None = None) -> Spec:
    """No retry begins after the deadline, in seconds; by default the policy's own.

    Raises:
        ScenarioError: *deadline* is no number of 0 or more.
    """
    return _checked(make_spec(backoff.DeadlineKept, deadline=deadline))


def permanent_not_retried() -> Spec:
    """A permanent error ends a call."""
    return make_spec(backoff.PermanentNotRetried)


def retry_budget(ratio: float | None = None, per_second: float | None = None, window: float | None = None) -> Spec:
    """Retries are at most *ratio* of the calls of *window* seconds, plus *per_second* (0.2, 10 and 10 by default).

    Raises:
        ScenarioError: a parameter is no number of 0 or more.
    """
    return _checked(make_spec(backoff.RetryBudget, ratio=ratio, per_second=per_second, window=window))


def no_herd(spread: float | None = None, alpha: float | None = None) -> Spec:
    """Clients that failed together do not come back together.

    Raises:
        ScenarioError: *spread* is no share, or *alpha* is above 1e-9.
    """
    return _checked(make_spec(backoff.NoHerd, spread=spread, alpha=alpha))


# Dead letters


def poison_contained(within: int | None = None) -> Spec:
    """A message that never takes effect is put aside after *within* deliveries; by default the queue's max receives.

    Raises:
        ScenarioError: *within* is no whole number of 1 or more.
    """
    delivery.whole(within, "poison_contained(within)", least=1)
    return make_spec(dead_letter.PoisonContained, within=within)


def envelope_complete(required: Iterable[str] | None = None) -> Spec:
    """A consumer's dead letter holds the original body, attributes, id, reason and time."""
    return make_spec(dead_letter.EnvelopeComplete, required=None if required is None else tuple(required))


def not_processed_and_dead_lettered() -> Spec:
    """No message ends both processed and dead-lettered."""
    return make_spec(dead_letter.NotProcessedAndDeadLettered)


def replay_once() -> Spec:
    """A replay returns each dead letter exactly once."""
    return make_spec(dead_letter.ReplayOnce)


def tried_before_dead_lettered() -> Spec:
    """SQS moves no message to a dead-letter queue that no handler and no Lambda function was ever given."""
    return make_spec(untried.TriedBeforeDeadLettered)


# After the fault


def recovers_within(seconds: float | str) -> Spec:
    """The first success comes within *seconds* (a number, or a text such as ``"2m"``) of the last fault's end.

    Raises:
        ScenarioError: it is no duration above 0.
    """
    return make_spec(recovery.RecoversWithin, seconds=_seconds(seconds, "recovers_within(seconds)"))


def backlog_drains(seconds: float | str) -> Spec:
    """What was queued at the last fault's end is gone within *seconds* (a number, or a text such as ``"10m"``).

    Raises:
        ScenarioError: it is no duration above 0.
    """
    return make_spec(recovery.BacklogDrains, seconds=_seconds(seconds, "backlog_drains(seconds)"))


def throughput_returns(share: float = 0.9, within: float | str = 120) -> Spec:
    """Successes a second are back to *share* of those before, *within* so many seconds of the last fault's end.

    Back = over some five seconds of that time, or nothing is left to do.

    Raises:
        ScenarioError: *share* is no share, or *within* no duration.
    """
    bound(share, "throughput_returns(share)", share=True)
    return make_spec(recovery.ThroughputReturns, share=share, within=_seconds(within, "throughput_returns(within)"))


def not_metastable(share: float = 0.5) -> Spec:
    """Once the trigger is gone the system does not stay below *share* of its rate while messages wait.

    Judged over the last thirty seconds of a run at whose end ten messages or more wait.

    Raises:
        ScenarioError: *share* is no share.
    """
    bound(share, "not_metastable(share)", share=True)
    return make_spec(recovery.NotMetastable, share=share)


def amplification_bounded(at_most: float = 4.0) -> Spec:
    """Deliveries and failing calls are at most *at_most* for each message.

    Raises:
        ScenarioError: *at_most* is no number above 0.
    """
    bound(at_most, "amplification_bounded(at_most)")
    return make_spec(amplification.AmplificationBounded, at_most=at_most)


# Monitoring


def errors_counted_once(metric: str | None = None, namespace: str | None = None, pending: float | None = None) -> Spec:
    """Every error is in CloudWatch once.

    As *metric* (``ErrorCount``) of *namespace* (any), at the latest *pending* seconds (120) after it happened.

    Raises:
        ScenarioError: *pending* is no number above 0.
    """
    if pending is not None:
        bound(pending, "errors_counted_once(pending)")
    return make_spec(monitoring.ErrorsCountedOnce, metric=metric, namespace=namespace, pending=pending)


def alarms_fire_and_clear(*alarms: str, within: float | None = None) -> Spec:
    """Alarms fire *within* seconds (180) of when their periods are full, and clear.

    *alarms* name those that must exist; without names whatever alarms there are is judged.

    Raises:
        ScenarioError: *within* is no number above 0.
    """
    if within is not None:
        bound(within, "alarms_fire_and_clear(within)")
    return make_spec(monitoring.AlarmsFireAndClear, alarms=alarms or None, within=within)


# Degradation


def level_follows_health(within: float | str | None = None, lowered_within: float | str | None = None) -> Spec:
    """The level of degradation follows the health: up *within* 60 seconds, down *lowered_within* 600.

    Raises:
        ScenarioError: a bound is no duration above 0.
    """
    times = {
        name: None if value is None else _seconds(value, f"level_follows_health({name})")
        for name, value in (("within", within), ("lowered_within", lowered_within))
    }
    return make_spec(degradation.LevelFollowsHealth, **times)


def no_flapping(apart: float | None = None, at_most: int | None = None, window: float | None = None) -> Spec:
    """Changes of level the other way are *apart* (20 s), and *at_most* 6 in any *window* (300 s).

    Raises:
        ScenarioError: a parameter is no number above 0.
    """
    for name, value in (("apart", apart), ("window", window)):
        if value is not None:
            bound(value, f"no_flapping({name})")
    delivery.whole(at_most, "no_flapping(at_most)", least=0)
    return make_spec(degradation.NoFlapping, apart=apart, at_most=at_most, window=window)


def measures_applied(within: float | None = None) -> Spec:
    """The measures of each level are applied and lifted *within* 10 seconds, and do something.

    Raises:
        ScenarioError: *within* is no number above 0.
    """
    if within is not None:
        bound(within, "measures_applied(within)")
    return make_spec(degradation.MeasuresApplied, within=within)


# The code's own


def assertions_hold() -> Spec:
    """Every ``points.always`` holds."""
    return make_spec(assertions.AssertionsHold)


def _checked(spec: Spec) -> Spec:
    """*spec*, once a checker could be made of it: wrong parameters show here and not in the run."""
    spec.checker()
    return spec


_FACTORIES: Mapping[str, Callable[..., Spec]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        no_message_loss,
        at_least_once,
        effects_once,
        duplicates_bounded,
        fifo_order,
        batch_integrity,
        not_stuck,
        breaker_transitions,
        breaker_opens,
        breaker_stays_open,
        breaker_half_open_permits,
        breaker_generations,
        breaker_ignores_permanent,
        backoff_bounds,
        attempts_bounded,
        deadline_kept,
        permanent_not_retried,
        retry_budget,
        no_herd,
        poison_contained,
        envelope_complete,
        not_processed_and_dead_lettered,
        replay_once,
        tried_before_dead_lettered,
        recovers_within,
        backlog_drains,
        throughput_returns,
        not_metastable,
        amplification_bounded,
        level_follows_health,
        no_flapping,
        measures_applied,
        errors_counted_once,
        alarms_fire_and_clear,
        assertions_hold,
    )
}


def rests_on(name: str) -> tuple[str, ...]:
    """The rules of SQS that the verdict of this invariant rests on, by their ids in ``docs/sqs-fidelity.md``."""
    return RULES.get(name, ())


#: Every published name, in the order of the documentation.
NAMES: tuple[str, ...] = tuple(_FACTORIES)

_CLASSES: Mapping[str, type[Invariant]] = {
    cls.name: cls
    for module in (
        delivery,
        delivery_order,
        liveness,
        breaker,
        backoff,
        dead_letter,
        untried,
        recovery,
        degradation,
        amplification,
        monitoring,
        assertions,
    )
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Invariant) and cls.name in _FACTORIES
}


def defaults() -> list[Spec]:
    """What is judged where a scenario says nothing else.

    Delivery that needs no further declaration and liveness always; breakers,
    retries, FIFO order, batches and assertions where the run shows some.
    """
    return [
        no_message_loss(),
        at_least_once(),
        not_stuck(),
        *(
            factory().where_observed()
            for factory in (
                fifo_order,
                batch_integrity,
                breaker_transitions,
                breaker_opens,
                breaker_stays_open,
                breaker_half_open_permits,
                breaker_generations,
                breaker_ignores_permanent,
                backoff_bounds,
                attempts_bounded,
                deadline_kept,
                permanent_not_retried,
                assertions_hold,
            )
        ),
    ]


def by_name(name: str, *, field: str = "invariant") -> type[Invariant]:
    """The class of the invariant called *name* (hyphens or underscores).

    Raises:
        UsageError: there is none; names the nearest.
    """
    found = _CLASSES.get(name.replace("_", "-"))
    if found is None:
        near = difflib.get_close_matches(name.replace("_", "-"), NAMES, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Choose from {', '.join(NAMES)}"
        raise UsageError(f"{name!r} is no invariant", field=field, remedy=remedy)
    return found


def from_json(entries: Iterable[Mapping[str, Any] | str]) -> list[Spec]:
    """Specs from a history's header (``[spec.to_json(), ...]``) or from names.

    Raises:
        UsageError: an unknown name or parameter.
    """
    specs = []
    for number, entry in enumerate(entries):
        given: Mapping[str, Any] = {"name": entry} if isinstance(entry, str) else entry
        field = f"invariants[{number}]"
        parameters = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in (given.get("parameters") or {}).items()
        }
        spec = Spec(
            by_name(str(given.get("name")), field=field),
            tuple(sorted(parameters.items())),
            bool(given.get("optional")),
        )
        try:
            spec.checker()
        except TypeError as error:
            raise UsageError(
                f"{spec.name} does not take {', '.join(parameters)}",
                field=field,
                remedy="See its function in harness.invariants",
            ) from error
        specs.append(spec)
    return specs
