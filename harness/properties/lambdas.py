"""Lambda functions behind a queue: is each message handled, is what failed reported as failed, and nothing else?

::

    from harness import effects
    from harness.properties import LambdaContract, check_lambda

    def test_our_function():
        check_lambda(LambdaContract("myshop.fn:lambda_handler", effects.point("charged"),
                                    batch_size=10, timeout=30, report_batch_item_failures=True))
"""

from __future__ import annotations

import dataclasses

from harness import invariants
from harness.faults.plan import FaultPlan
from harness.invariants.base import Spec
from harness.properties.hunt import Trial, hunted
from harness.properties.report import Report
from harness.properties.rules import contained, no_needless_redelivery, response_well_formed
from harness.properties.settings import POLL_S, messages, poison, rounds, spoilt, strikes, worth
from harness.properties.stage import DEAD, MAIN, Stage
from harness.properties.system_contract import LambdaContract
from harness.scenario import Process, Queue, Scenario

__all__ = ["PROMISES", "probe_lambda"]

#: Property -> what it says, for people.
PROMISES = {
    "no-message-loss": "no message is deleted without an effect: what failed is told to Lambda",
    "at-least-once": "each message is handled in the end, or set aside",
    "duplicates-bounded": "a delivery has one effect: a message is handled twice only where it was delivered twice",
    "poison-contained": "a message that cannot be handled is in the dead-letter queue within max receives",
    "others-not-held-up": "one bad message of a batch does not bring the others back",
    "response-well-formed": "Lambda can read what the function returns",
    "not-stuck": "when everything works again, no message stays in the queue",
    "comes-to-rest": "it waits between two attempts: no busy loop",
}

#: Invariant -> property.
_NAMES = {
    **{name: name for name in PROMISES},
    "contained": "poison-contained",
    "no-needless-redelivery": "others-not-held-up",
}

_SPOILT = ("malformed", "foreign", "empty")


def probe_lambda(contract: LambdaContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    promises = dict(PROMISES)
    if not contract.consumer.report_batch_item_failures:
        del promises["others-not-held-up"]  # the whole batch comes back: that is what the mapping was told
    return hunted(
        "lambda",
        contract.handler,
        lambda fresh: _trials(contract, fresh=fresh),
        name=contract.name,
        promises=promises,
        names=_NAMES,
        seed=seed,
        examples=examples,
        max_seconds=max_seconds,
    )


def _trials(contract: LambdaContract, *, fresh: bool) -> list[Trial]:
    def trial(
        words: str,
        number: int,
        *plans: FaultPlan,
        bad: bool = False,
        attributes: bool = False,
        per_second: float | None = None,
    ) -> Trial:
        stage = Stage(contract.effects, _no_worker, body=contract.body, expected=number)
        stage.fresh = fresh
        consumer = dataclasses.replace(contract.consumer, init_time=0.2)
        scenario = Scenario(
            name="lambda",
            queues=[
                Queue(
                    MAIN,
                    wait=POLL_S,
                    visibility_timeout=contract.visibility_timeout,
                    dead_letter=DEAD,
                    max_receives=contract.max_receives,
                ),
                Queue(DEAD, visibility_timeout=rounds(contract.max_receives, contract.visibility_timeout)),
            ],
            processes=[Process("fn", consumer, queue=MAIN, environ=contract.environ)],
            workload=messages(stage, number, attributes=attributes, per_second=per_second),
            effects=stage.effects,
            invariants=_invariants(contract),
        )
        always = (*plans, poison(stage)) if bad and stage.refusable else plans
        also = strikes(number, attributes=attributes) if bad else ()
        return Trial(words, scenario, stage, always, also, worth(handler=bad and stage.refusable, for_ever=True))

    nothing = FaultPlan()
    return [
        trial("", 3, nothing),
        trial("", 4, *(spoilt(kind) for kind in _SPOILT), bad=True),
        trial("one message every 5 s", 3, *(spoilt(kind) for kind in _SPOILT), bad=True, per_second=0.2),
        trial("ten attributes on each", 2, nothing, attributes=True),
    ]


def _no_worker(env: object, stage: Stage) -> None:
    """Lambda calls the function; nobody else works here."""


def _invariants(contract: LambdaContract) -> list[Spec]:
    return [
        invariants.no_message_loss(),
        invariants.at_least_once(),
        invariants.duplicates_bounded(),
        invariants.not_stuck(),
        contained(contract.max_receives + 1),
        no_needless_redelivery(),
        response_well_formed(),
    ]
