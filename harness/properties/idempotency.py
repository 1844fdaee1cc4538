"""Code that handles each message once: does it, however often the message comes, and whoever dies over it?

::

    from harness import effects
    from harness.properties import IdempotencyContract, check_idempotency

    def test_an_order_is_charged_once():
        check_idempotency(IdempotencyContract(process, key=lambda message: json.loads(message["Body"])["order_id"],
                                              effects=effects.point("charged")))

The probe receives and deletes; ``process`` handles one message. What no
code can be proof against (killed between an effect and the note of it, a store
that loses what it had confirmed) excuses a repetition, as in every scenario:
see ``docs/fault-model.md``.
"""

from __future__ import annotations

from typing import Any

from harness import invariants
from harness.faults.plan import Fault, FaultPlan
from harness.properties.hunt import Trial, hunted
from harness.properties.report import Report
from harness.properties.settings import KEEPER, messages, worth
from harness.properties.stage import DEAD, MAIN, Stage
from harness.properties.system_contract import IdempotencyContract
from harness.scenario import Process, Queue, Scenario

__all__ = ["PROMISES", "probe_idempotency"]

#: Property -> what it says, for people.
PROMISES = {
    "effects-once": "what a message asks for happens once, however often it comes and to whomever",
    "at-least-once": "it happens at all: a record without the effect does not stand in its way",
    "not-stuck": "a record left in progress does not keep a message back for ever",
    "comes-to-rest": "it waits between two attempts: no busy loop",
}

#: Invariant -> property.
_NAMES = {**{name: name for name in PROMISES}, "no-message-loss": "at-least-once"}

_VISIBILITY_S = 30
#: A lease on a message may be this long, in seconds: a third of the quiet period at the end of a run.
_LEASE_S = 300
#: A visibility timeout that runs out before an effect of 5 seconds is done.
_SHORT_S = 3
_DELETE = "aws.sqs.DeleteMessage"


def probe_idempotency(contract: IdempotencyContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    return hunted(
        "idempotency",
        contract.process,
        lambda fresh: _trials(contract, fresh=fresh),
        name=contract.name,
        promises=PROMISES,
        names=_NAMES,
        seed=seed,
        examples=examples,
        max_seconds=max_seconds,
    )


def _trials(contract: IdempotencyContract, *, fresh: bool) -> list[Trial]:
    def main(env: Any, stage: Stage) -> None:
        if env.process == KEEPER:
            stage.keep_store()
        stage.consume(contract.process, (stage.store(),) if contract.store is not None else ())

    def trial(
        words: str,
        number: int,
        *plans: FaultPlan,
        workers: int = 1,
        visibility: float = _VISIBILITY_S,
        effect_s: float = 0.05,
    ) -> Trial:
        stage = Stage(
            contract.effects,  # type: ignore[arg-type]
            main,
            body=contract.body,
            key=contract.key,
            effect_s=effect_s,
            store=contract.store,
            expected=number,
        )
        stage.fresh = fresh
        keeper = [Process(KEEPER, "harness.properties.stage:work")] if contract.store is not None else []
        scenario = Scenario(
            name="idempotency",
            # The longest visibility timeout decides how long a run goes on after the last fault.
            queues=[
                Queue(MAIN, visibility_timeout=visibility, dead_letter=DEAD),
                Queue(DEAD, visibility_timeout=max(_LEASE_S, visibility)),
            ],
            processes=[
                *keeper,
                Process("worker", "harness.properties.stage:work", count=workers, environ=contract.environ),
            ],
            workload=messages(stage, number),
            effects=stage.effects,
            invariants=[
                invariants.effects_once(),
                invariants.at_least_once(),
                invariants.no_message_loss(),
                invariants.not_stuck(),
            ],
        )
        return Trial(words, scenario, stage, plans or (FaultPlan(),), keep=worth(handler=stage.refusable))

    twice = FaultPlan([Fault("aws.sqs.ReceiveMessage", "duplicate", nth=1)])
    again = FaultPlan([Fault(_DELETE, "unavailable", start=0, end=30)])
    late = min(contract.remembers, 43_000)
    return [
        trial("", 2, FaultPlan(), FaultPlan([Fault(_DELETE, "timeout", side="before", nth=1)])),
        trial("two workers", 1, FaultPlan(), twice, workers=2, effect_s=1.0),
        trial("two workers and an effect that takes 5 s", 2, FaultPlan(), twice, workers=2, effect_s=5.0),
        trial(
            "two workers and a message that comes again while it is handled",
            1,
            FaultPlan(),
            workers=2,
            visibility=_SHORT_S,
            effect_s=5.0,
        ),
        trial(f"a message that comes again {late:g} s later", 1, again, visibility=late),
    ]
