"""The environment "moto": the same scenario inside the kernel, with moto under the real boto3 clients.

A second opinion on the in-memory services: another implementation of SQS,
which nobody here wrote, must lead to the same verdicts and counts. moto has
rules of its own where it differs from AWS; ``docs/sqs-fidelity.md`` lists
them, and a scenario that rests on one does not name this backend.

SQS, SNS and CloudWatch are moto's here; Redis, the stub dependencies and
everything else are those of the environment "memory".
"""

from __future__ import annotations

from harness.environments.moto_sqs import MotoSqs
from harness.environments.queues import QueueService
from harness.environments.simulated import SimulatedRun
from harness.seeds import Seeds

__all__ = ["MotoRun"]


class MotoRun(SimulatedRun):
    """One run of one scenario on moto. Same seed: same verdicts and counts."""

    def _make_services(self, seeds: Seeds) -> QueueService:
        self._queues = MotoSqs(self.kernel, self.record, self.elsewhere, record_bodies=self.scenario.record_bodies)
        return self._queues

    def _set_up(self) -> None:
        self._queues.install()
        self._undo.append(self._queues.uninstall)
        super()._set_up()
