"""Whole consumers of a queue: is each message handled, is none lost, whatever strikes?

::

    from harness import effects
    from harness.properties import ConsumerContract, check_consumer

    def start(sqs, main_queue_url, dlq_url):
        Worker(sqs, main_queue_url).run_for_ever()

    def test_our_worker():
        check_consumer(ConsumerContract(start, effects=effects.point("charged"), redrive=5))
"""

from __future__ import annotations

from typing import Any

from harness import invariants
from harness.faults.plan import Fault, FaultPlan
from harness.invariants.base import Spec
from harness.properties.hunt import Trial, hunted
from harness.properties.report import Report
from harness.properties.rules import contained, no_needless_redelivery, stops
from harness.properties.settings import POLL_S, messages, poison, rounds, spoilt, strikes, worth
from harness.properties.stage import DEAD, MAIN, Stage, call
from harness.properties.system_contract import ConsumerContract
from harness.scenario import Process, Queue, Scenario

__all__ = ["PROMISES", "probe_consumer"]

#: Property -> what it says, for people.
PROMISES = {
    "no-message-loss": "no message leaves the queue without an effect or a dead letter, whatever strikes",
    "at-least-once": "each message is handled in the end, or set aside",
    "duplicates-bounded": "a delivery has one effect: a message is handled twice only where it was delivered twice",
    "poison-contained": "a message that cannot be handled is set aside within the queue's max receives",
    "others-not-held-up": "one bad message does not hold up the others, and good ones are delivered once",
    "not-stuck": "when everything works again, no message stays in the queue",
    "stops": "a consumer that handles SIGTERM ends within the grace",
    "comes-to-rest": "it waits between two attempts: no busy loop",
}

#: Invariant -> property.
NAMES = {
    **{name: name for name in PROMISES},
    "contained": "poison-contained",
    "no-needless-redelivery": "others-not-held-up",
}

_SPOILT = ("malformed", "foreign", "empty")


def probe_consumer(contract: ConsumerContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    promises = dict(PROMISES)
    if contract.redrive is None:
        del promises["poison-contained"]
    return hunted(
        "consumer",
        contract.start,
        lambda fresh: _trials(contract, fresh=fresh),
        name=contract.name,
        promises=promises,
        names=NAMES,
        seed=seed,
        examples=examples,
        max_seconds=max_seconds,
    )


def _trials(contract: ConsumerContract, *, fresh: bool) -> list[Trial]:
    def main(env: Any, stage: Stage) -> None:
        import boto3

        call(contract.start, boto3.client("sqs"), env.queue_url(MAIN), env.queue_url(DEAD))

    def trial(
        words: str,
        number: int,
        *plans: FaultPlan,
        bad: bool = False,
        workers: int = 1,
        attributes: bool = False,
        effect_s: float = 0.05,
    ) -> Trial:
        stage = Stage(contract.effects, main, body=contract.body, effect_s=effect_s, expected=number)  # type: ignore[arg-type]
        stage.fresh = fresh
        for_ever = bad and contract.redrive is None
        scenario = Scenario(
            name="consumer",
            queues=[
                Queue(
                    MAIN,
                    wait=POLL_S,
                    visibility_timeout=contract.visibility_timeout,
                    dead_letter=DEAD,
                    max_receives=contract.redrive,
                ),
                Queue(DEAD, visibility_timeout=rounds(contract.redrive, contract.visibility_timeout)),
            ],
            processes=[Process("worker", "harness.properties.stage:work", count=workers, environ=contract.environ)],
            workload=messages(stage, number, attributes=attributes),
            effects=stage.effects,
            invariants=_invariants(contract, for_ever=for_ever),
        )
        always = plans
        if bad and stage.refusable:
            always = (*plans, poison(stage))
        also = strikes(number, attributes=attributes) if bad else ()
        return Trial(words, scenario, stage, always, also, worth(handler=bad and stage.refusable, for_ever=True))

    nothing = FaultPlan()
    twice = FaultPlan([Fault("aws.sqs.ReceiveMessage", "duplicate", nth=1)])
    return [
        trial("", 3, nothing),
        trial("", 4, *(spoilt(kind) for kind in _SPOILT), bad=True),
        trial("ten attributes on each", 2, nothing, attributes=True),
        trial("two workers", 3, nothing, twice, workers=2),
        trial("an effect that takes 5 s", 1, nothing, effect_s=5.0),
        trial("two workers and an effect that takes 5 s", 2, nothing, workers=2, effect_s=5.0),
    ]


def _invariants(contract: ConsumerContract, *, for_ever: bool) -> list[Spec]:
    """What is asked for; *for_ever*: a bad message may come again and again, so that nothing is asked of its end."""
    found = [
        invariants.no_message_loss(),
        invariants.duplicates_bounded(),
        no_needless_redelivery(),
        stops(),
    ]
    if not for_ever:
        found += [invariants.at_least_once(), invariants.not_stuck()]
    if contract.redrive is not None:
        found.append(contained(contract.redrive + 1))
    return found
