"""Consumers with dead letters of their own: is nothing lost, is what fails set aside soon and whole?

::

    from harness.properties import DeadLetterContract, check_dead_letter_handler

    def run(sqs, main_queue_url, dlq_url, handler):
        DeadLetterQueueHandler(main_queue_url, dlq_url, sqs=sqs, max_retries=3).process_with_dlq(handler)

    def test_our_dead_letters():
        check_dead_letter_handler(DeadLetterContract(run, max_receives=3))

The handler is the probe's: each message has one effect, and some messages
always fail.
"""

from __future__ import annotations

from typing import Any

from harness import effects, invariants
from harness.faults.plan import Fault, FaultPlan
from harness.invariants.base import Spec
from harness.properties import stage as staging
from harness.properties.contract import is_async
from harness.properties.hunt import Trial, hunted
from harness.properties.report import Report
from harness.properties.rules import contained, envelope_lossless, no_needless_redelivery, stops
from harness.properties.settings import POLL_S, messages, poison, rounds, spoilt, strikes, worth
from harness.properties.stage import DEAD, MAIN, Stage, call
from harness.properties.system_contract import DeadLetterContract
from harness.scenario import Process, Queue, Scenario

__all__ = ["PROMISES", "probe_dead_letter"]

#: Property -> what it says, for people.
PROMISES = {
    "no-message-loss": "no message leaves the queue without an effect or a dead letter, whatever strikes",
    "at-least-once": "each message is handled in the end, or set aside",
    "poison-contained": "a message that always fails is in the dead-letter queue after max_receives deliveries",
    "envelope-lossless": "a dead letter holds the message's whole body and every attribute, a binary one too",
    "not-processed-and-dead-lettered": "no message is handled and dead-lettered, both",
    "batch-integrity": "each message of a batch ends by its own outcome",
    "others-not-held-up": "one bad message does not hold up the others: nothing else is delivered again",
    "not-stuck": "when everything works again, no message stays in the queue",
    "stops": "a consumer that handles SIGTERM ends within the grace",
    "comes-to-rest": "it waits between two attempts: no busy loop",
}

#: Invariant -> property.
_NAMES = {
    **{name: name for name in PROMISES},
    "contained": "poison-contained",
    "no-needless-redelivery": "others-not-held-up",
}

_VISIBILITY_S = 20
_HANDLED = "handled"


def probe_dead_letter(contract: DeadLetterContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    return hunted(
        "dead-letter",
        contract.run,
        lambda fresh: _trials(contract, fresh=fresh),
        name=contract.name,
        promises=PROMISES,
        names=_NAMES,
        seed=seed,
        examples=examples,
        max_seconds=max_seconds,
    )


def _trials(contract: DeadLetterContract, *, fresh: bool) -> list[Trial]:
    coroutine = is_async(contract.run)

    def main(env: Any, stage: Stage) -> None:
        import boto3

        handler = staging.handle_async if coroutine else staging.handle
        call(contract.run, boto3.client("sqs"), env.queue_url(MAIN), env.queue_url(DEAD), handler)

    def trial(
        words: str,
        number: int,
        *plans: FaultPlan,
        bad: bool = False,
        workers: int = 1,
        attributes: bool = False,
        effect_s: float = 0.05,
    ) -> Trial:
        stage = Stage((effects.point(_HANDLED),), main, body=contract.body, effect_s=effect_s, expected=number)
        stage.fresh = fresh
        scenario = Scenario(
            name="dead-letter",
            queues=[
                Queue(MAIN, visibility_timeout=_VISIBILITY_S, dead_letter=DEAD, wait=POLL_S),
                Queue(DEAD, visibility_timeout=rounds(contract.max_receives, _VISIBILITY_S)),
            ],
            processes=[Process("worker", "harness.properties.stage:work", count=workers, environ=contract.environ)],
            workload=messages(stage, number, attributes=attributes),
            handler=f"harness.properties.stage:{'handle_async' if coroutine else 'handle'}",
            effects=stage.effects,
            invariants=_invariants(contract),
        )
        always = [plan.add(*poison(stage, "handler")) for plan in plans] if bad else plans
        also = strikes(number, attributes=attributes)
        large = any(fault.kind == "oversized" for plan in plans for fault in plan)
        return Trial(words, scenario, stage, always, also, worth(handler=False), weight=1 if large else 4)

    nothing = FaultPlan()
    failing = FaultPlan([Fault("handler", "transient", error="builtins:ConnectionError")])
    return [
        trial("", 4, nothing, bad=True),
        trial("", 3, nothing),
        trial("nothing but failures of a kind that may pass", 2, failing),
        trial("ten attributes on each", 2, nothing, bad=True, attributes=True),
        trial("one as large as SQS allows", 1, spoilt("oversized"), bad=True),
        trial("two workers", 3, nothing, workers=2),
        trial("two workers", 3, nothing, bad=True, workers=2),
        trial("two workers and an effect that takes 5 s", 2, nothing, workers=2, effect_s=5.0),
    ]


def _invariants(contract: DeadLetterContract) -> list[Spec]:
    return [
        invariants.no_message_loss(),
        invariants.at_least_once(),
        invariants.not_stuck(),
        invariants.not_processed_and_dead_lettered(),
        invariants.batch_integrity().where_observed(),
        contained(contract.max_receives + 1),
        envelope_lossless(),
        no_needless_redelivery(),
        stops(),
    ]
