"""The in-memory SQS and moto, call by call: the same answers, but for rules on which moto is known to differ.

moto runs in this process on the clock of the test. Where a rule of
``docs/sqs-fidelity.md`` says that moto differs, a machine keeps clear of it
(``KEEPS_CLEAR``), or compares without it; any other difference fails. What is
found here and holds for AWS becomes a rule with a case of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import boto3
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from moto import mock_aws
from moto.sqs import models

from harness.fidelity.known import known
from tests.budget import examples
from tests.properties.sqs_side_by_side import SECOND, BothMachine, FifoMachine, StandardMachine

#: The rules on which moto differs, and that a machine therefore never tries.
KEEPS_CLEAR = {
    "standard": (
        "back-after-three-receives",  # order is not compared once a message was received three times
        "dead-letter-names-its-source",  # that attribute is not compared
        "change-deleted",  # both refuse, with other codes
        "delay-out-of-range",
        "retention-gives-the-others",  # nothing expires
    ),
    "fifo": (
        "one-group-before-the-next",  # one group only
        "group-again-after-timeout",  # one message a receive
        "second-extended",
        "duplicate-after-delete",  # a deduplication id is used again only while its message is there
        "duplicate-answers-first-id",
        "delete-after-expiry-fifo",  # handles are used within their time
    ),
}


class MotoMachine(BothMachine):
    """moto beside ours, on one clock."""

    other, account = "moto", "123456789012"

    def __init__(self) -> None:
        super().__init__()
        self._undo: list[Callable[[], object]] = []

    def begin(self, receives: int) -> None:
        for name, a_second in (("unix_time", 1), ("unix_time_millis", 1_000)):
            patch = mock.patch.object(models, name, self._clock(a_second, getattr(models, name)))
            patch.start()
            self._undo.append(patch.stop)
        models.sqs_backends.clear()
        self.start(_client[0], receives)

    def _clock(self, a_second: int, original: Any) -> Callable[..., float]:
        """moto's clock in its own unit: ours."""

        def now(moment: Any = None) -> float:
            return self.desk.clock.us * a_second / SECOND if moment is None else float(original(moment))

        return now

    def teardown(self) -> None:
        while self._undo:
            self._undo.pop()()

    @rule(seconds=st.sampled_from([1, 1, 2, 5, 31]))
    def wait(self, seconds: int) -> None:
        self.desk.clock.pass_to(self.desk.clock.us + seconds * SECOND)
        self.tick()


class MotoStandard(StandardMachine, MotoMachine):
    """A standard queue."""

    @initialize()
    def begin_standard(self) -> None:
        self.begin(receives=4)


class MotoFifo(FifoMachine, MotoMachine):
    """A FIFO queue."""

    @initialize()
    def begin_fifo(self) -> None:
        self.begin(receives=3)


#: The client of moto, made once: that takes longer than all of an example's calls.
_client: list[Any] = []


@pytest.fixture(scope="module", autouse=True)
def moto_in_force() -> Iterator[None]:
    """moto answers boto3 while this module's tests run, and is empty afterwards."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock.patch.dict(os.environ, keys), mock_aws():
        _client[:] = [boto3.client("sqs", region_name="us-east-1")]
        yield
        _client.clear()
        models.sqs_backends.clear()


LIMITS = settings(
    max_examples=examples(50),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TestStandardQueue = MotoStandard.TestCase
TestStandardQueue.settings = LIMITS
TestFifoQueue = MotoFifo.TestCase
TestFifoQueue.settings = LIMITS


@pytest.mark.parametrize("id", [id for ids in KEEPS_CLEAR.values() for id in ids])
def test_what_machines_keep_clear_of_is_known(id: str) -> None:
    """Each rule that a machine leaves out is one on which moto differs; once it does not, the machine shall try it."""
    assert known()["moto"].rows[id]
