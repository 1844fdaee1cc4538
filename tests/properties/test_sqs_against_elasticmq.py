"""The in-memory SQS and ElasticMQ, call by call: the same answers, but for rules on which ElasticMQ is known to differ.

A weak oracle: it differs from AWS's recorded answers on more than half of the
rules of ``docs/sqs-fidelity.md``, and there those decide. ``KEEPS_CLEAR``
names the ones that a machine would meet. ElasticMQ runs in real time: without
the mark ``slow`` nothing waits, and timeouts are either over at once or not
within a test.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from benchmarks.fidelity import on_server
from harness.fidelity.known import known, steady
from harness.fidelity.table import rows
from tests.budget import examples
from tests.properties.sqs_side_by_side import SECOND, BothMachine, FifoMachine, StandardMachine
from tests.requirements import elasticmq

#: The rules on which ElasticMQ differs, and that a machine therefore never tries or does not compare.
KEEPS_CLEAR: dict[str, tuple[str, ...]] = {
    "standard": (
        "empty-receive",  # a list without messages is the same as none
        "max-number-out-of-range",  # both refuse, with other codes
        "wait-out-of-range",
        "returned-before-later-sent",  # order is not compared
        "back-after-three-receives",
        "delete-again",  # the newest handle of a message that is there is used
        "delete-with-superseded-handle",
        "change-with-superseded-handle",
        "change-deleted",
        "retention",  # nothing expires
    ),
    "fifo": (
        "first-set-to-zero",  # one group, one message a receive
        "served-group-goes-to-the-end",
        "delete-after-expiry-fifo",  # handles are used within their time
        "delete-superseded-fifo",
        "sequence-of-20-digits",  # not compared
    ),
}

RECEIVES = 4

_client: list[Any] = []
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """One ElasticMQ for all of it: every example has queues of its own."""
    with elasticmq() as url:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        _client[:] = [boto3.client("sqs", endpoint_url=url, region_name="us-east-1", **keys)]
        yield url
        _client[0].close()
        _client.clear()


class ElasticMqMachine(BothMachine):
    """ElasticMQ beside ours."""

    other = "ElasticMQ"
    in_order = same_times = same_codes = False

    def begin(self, receives: int) -> None:
        self.start(_client[0], receives, tail=f"-{next(_numbers)}")

    def teardown(self) -> None:
        for url in getattr(self, "urls", {}).values():
            self.client.delete_queue(QueueUrl=url)


class ElasticMqStandard(StandardMachine, ElasticMqMachine):
    """A standard queue. Its order is not promised."""

    delays: tuple[int, ...] = (0, 0, 600)
    timeouts: tuple[int, ...] = (0, 600)
    #: Never longer: when a message that was visible is hidden by a change, ElasticMQ's next receive finds nothing,
    #: whatever else is visible. The one after it is right.
    changes = (0,)

    def handles(self) -> list[tuple[str, str, str]]:
        """The newest of each message that is there, and that no receive has moved."""
        newest = {pair[0]: pair for pair in self.pairs}
        return [pair for body, pair in newest.items() if body not in self.deleted and self.counts[body] < RECEIVES]

    @initialize()
    def begin_standard(self) -> None:
        self.begin(RECEIVES)


class ElasticMqFifo(FifoMachine, ElasticMqMachine):
    """A FIFO queue."""

    in_order = True
    hidden = 600

    @initialize()
    def begin_fifo(self) -> None:
        self.begin(receives=3)


class InTime(ElasticMqMachine):
    """Time passes for both: a second at a time, and never within a call of ours."""

    SHORT = 1
    STEP_S = 1.4

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0
        self._since = time.monotonic()

    def both(self, operation: str, **parameters: Any) -> tuple[Any, Any]:
        if time.monotonic() - self._since > 0.5:  # what is hidden for a second may be seen again soon
            self.pass_time()
        return super().both(operation, **parameters)

    def pass_time(self) -> None:
        time.sleep(self.STEP_S)
        self.desk.clock.pass_to(self.desk.clock.us + int(self.STEP_S * SECOND))
        self._since = time.monotonic()

    @precondition(lambda self: self.waits < 4)
    @rule()
    def wait(self) -> None:
        self.waits += 1
        self.pass_time()


class ElasticMqStandardInTime(InTime, ElasticMqStandard):
    """Timeouts and delays that run out."""

    delays: tuple[int, ...] = (0, 0, 1)
    timeouts: tuple[int, ...] = (0, 1, 1, 600)


class ElasticMqFifoInTime(InTime, ElasticMqFifo):
    """The timeout of a group's first message runs out."""

    hidden = 1


def limits(times: int, steps: int) -> settings:
    return settings(
        max_examples=times,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        phases=(Phase.generate,),  # each call is one over HTTP: making an example small would take minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.parametrize("machine", [ElasticMqStandard, ElasticMqFifo])
def test_the_same_answers(server: str, machine: type[ElasticMqMachine]) -> None:
    """Sends, receives, deletes, changes, dead letters and refusals, where no time passes."""
    run_state_machine_as_test(machine, settings=limits(examples(50), 20))


@pytest.mark.slow
@pytest.mark.parametrize("machine", [ElasticMqStandardInTime, ElasticMqFifoInTime])
def test_the_same_answers_in_time(server: str, machine: type[ElasticMqMachine]) -> None:
    """The same, where timeouts and delays run out in real time."""
    run_state_machine_as_test(machine, settings=limits(40, 20))


@pytest.mark.parametrize("id", [id for ids in KEEPS_CLEAR.values() for id in ids])
def test_what_machines_keep_clear_of_is_known(id: str) -> None:
    """Each rule that a machine leaves out is one on which ElasticMQ differs; once it does not, it shall be tried."""
    assert known()["elasticmq"].rows[id]


@pytest.mark.slow
def test_its_column_is_what_it_does(server: str) -> None:
    """The page says of each rule what ElasticMQ does now; if not: record it anew (``benchmarks/fidelity.py``)."""
    column = known()["elasticmq"].rows
    found = {}
    for outcome in on_server(server, list(rows()), 400):
        if outcome.state != "left out":
            found[outcome.row.id] = "" if outcome.state == "same" else steady(outcome.detail)
    assert len(found) > 200
    assert found == {id: column[id] for id in found}
