"""The twins of the scenarios with a Lambda function: one setting or one line of the function is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.loading import load
from harness.scenario import Process, Scenario
from harness.sim.lambda_consumer import LambdaConsumer
from tests.systems import lambdas_broken as broken

__all__ = ["POWERTOOLS", "TWINS", "LambdaTwin"]

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"


@dataclass(frozen=True)
class LambdaTwin:
    """A scenario's name, what is wrong, the invariant that must fail, a kind of event that must be its evidence.

    *handler* replaces the function (``None``: the scenario's own is right),
    *settings* change its LambdaConsumer.
    """

    of: str
    wrong: str
    handler: Callable[[dict[str, Any], Any], object] | None
    fails: str
    evidence: str
    settings: dict[str, Any] = field(default_factory=dict)
    folder: str = ""

    def scenario(self) -> Scenario:
        """The twin."""
        found = load(CATALOGUE / self.folder / f"{self.of.replace('-', '_')}.py")[0]
        processes = []
        for process in found.processes:
            consumer = process.target
            if isinstance(consumer, LambdaConsumer):
                changes = dict(self.settings) if self.handler is None else {"handler": self.handler, **self.settings}
                process = dataclasses.replace(process, target=dataclasses.replace(consumer, **changes))
            processes.append(process)
        assert any(isinstance(one.target, LambdaConsumer) for one in processes)
        assert all(isinstance(one, Process) for one in processes)
        handler = found.handler if self.handler is None else broken.charge
        return dataclasses.replace(found, processes=processes, handler=handler)


TWINS = [
    LambdaTwin(
        "lambda-partial-batch",
        "the mapping does not look at the report",
        broken.reports,
        "no-message-loss",
        "delete",
        {"report_batch_item_failures": False},
    ),
    LambdaTwin(
        "lambda-partial-batch",
        "the function raises instead of reporting",
        broken.lets_errors_through,
        "effects-once",
        "effect",
    ),
    LambdaTwin(
        "lambda-partial-batch",
        "the report names receipt handles",
        broken.reports_receipt_handles,
        "effects-once",
        "effect",
    ),
    LambdaTwin(
        "lambda-batch-without-report",
        "nothing remembers what was charged",
        broken.lets_errors_through,
        "effects-once",
        "effect",
    ),
    LambdaTwin(
        "lambda-timeout-past-visibility",
        "nothing remembers what was charged",
        broken.takes_a_second_for_each,
        "effects-once",
        "effect",
    ),
    LambdaTwin(
        "lambda-reserved-concurrency",
        "no maximum concurrency",
        None,
        "tried-before-dead-lettered",
        "move",
        {"maximum_concurrency": None},
    ),
    LambdaTwin(
        "lambda-several-groups",
        "the report names only what failed",
        broken.reports_only_what_failed,
        "fifo-order",
        "effect",
    ),
    LambdaTwin(
        "lambda-record-left-in-progress",
        "in progress is taken for done",
        broken.takes_in_progress_for_done,
        "no-message-loss",
        "delete",
    ),
    LambdaTwin(
        "lambda-record-left-in-progress",
        "the lease outlives the call by an hour",
        broken.claims_for_an_hour,
        "not-stuck",
        "receive",
    ),
]

#: Needs Powertools, which is not among what every test run has.
POWERTOOLS = LambdaTwin(
    "powertools-timeout",
    "the context is not handed over",
    broken.keeps_its_context_from_powertools,
    "not-stuck",
    "receive",
    folder="others",
)
