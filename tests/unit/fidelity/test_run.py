"""The cases against a server: what each ending means, several at a time, giving up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ParamValidationError

from harness.fidelity.bench import Bench, Differs, Overrun
from harness.fidelity.rows import Row, peer
from harness.fidelity.run import ERRORS_MAX, attempt, sweep, try_all
from tests.unit.fidelity.fake import Client, queues, refusal, site


def row(run: Callable[[Bench], None] | None, number: int = 1, seconds: float = 0, http: bool = False) -> Row:
    return Row(number, f"rule-{number}", "A rule.", peer("nobody"), run, seconds, http, "tests/x.py::test_x")


def raising(error: BaseException) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [
        (Differs("other"), "differs", "other"),
        (refusal("Code", "text  of\ntwo lines"), "differs", "Operation is refused with Code: text of two lines"),
        (refusal("500", "<html>"), "differs", "Operation is answered with status 500"),
        (KeyError("MessageId"), "differs", "the answer has not AWS's form (KeyError: 'MessageId')"),
        (ValueError("no number"), "differs", "the answer has not AWS's form (ValueError: no number)"),
        (Overrun("too long"), "error", "Overrun: too long"),
    ],
)
def test_how_a_case_ends(error: BaseException, state: str, detail: str) -> None:
    """A difference, a refusal and a misshapen answer are differences; no answer in time is an error."""
    outcome = attempt(row(raising(error)), site(queues()))
    assert (outcome.state, outcome.detail) == (state, detail)


def test_connection_errors() -> None:
    """No connection is an error, an answer that the client cannot read a difference."""
    broken = attempt(row(raising(EndpointConnectionError(endpoint_url="u", error="e"))), site(queues()))
    assert broken.state == "error"
    assert attempt(row(raising(ParamValidationError(report="r"))), site(queues())).state == "differs"


def test_a_case_that_passes_keeps_its_calls() -> None:
    """The outcome of a case has its calls, and its queues are deleted."""
    one = site(queues())
    outcome = attempt(row(lambda bench: bench.queue() and None), one)
    assert outcome.state == "same"
    assert [call["operation"] for call in outcome.calls] == ["CreateQueue"]
    assert not one.made


def test_a_queue_that_cannot_be_deleted_is_told() -> None:
    """A case whose queue stays behind is an error, and the queue is kept in mind."""

    def denied(**_: Any) -> None:
        raise refusal("AccessDenied")

    one = site(Client(create_queue=queues().create_queue, delete_queue=denied))
    outcome = attempt(row(lambda bench: bench.queue() and None), one)
    assert (outcome.state, "could not be deleted" in outcome.detail) == ("error", True)
    assert sweep(one) == ["http://127.0.0.1:1/0/test-1-1"]


def test_what_is_left_out() -> None:
    """Cases that wait too long, need HTTP where there is none, or cannot be tried, are left out by name."""
    cases = [row(lambda bench: None, 1, seconds=9), row(lambda bench: None, 2, http=True), row(None, 3)]
    found = try_all(cases, site(queues()), patience=5, workers=1, http=False)
    assert [outcome.state for outcome in found] == ["left out"] * 3
    assert "waits 9 s, more than the patience of 5 s" in found[0].detail
    assert "HTTP" in found[1].detail
    assert "tests/x.py::test_x" in found[2].detail


def test_several_at_a_time() -> None:
    """Two cases that wait for each other both end with two workers; outcomes stand by number."""
    barrier = threading.Barrier(2, timeout=5)

    def meet(bench: Bench) -> None:
        barrier.wait()

    found = try_all([row(meet, 2), row(meet, 1)], site(queues()), patience=0, workers=2)
    assert [(outcome.row.number, outcome.state) for outcome in found] == [(1, "same"), (2, "same")]


def test_a_dead_server_is_given_up() -> None:
    """After ten cases without an answer the rest is left out."""
    gone = raising(EndpointConnectionError(endpoint_url="u", error="e"))
    found = try_all([row(gone, n) for n in range(1, 31)], site(queues()), patience=0, workers=1)
    states = [outcome.state for outcome in found]
    assert states.count("error") == ERRORS_MAX
    assert states.count("left out") == 30 - ERRORS_MAX


def test_ctrl_c_cleans_up() -> None:
    """An interruption stops the other cases at their next call, deletes their queues, and is raised again."""
    one = site(queues())
    made = threading.Event()

    def endless(bench: Bench) -> None:
        bench.queue()
        made.set()
        while True:
            bench.wait(0.01)

    def interrupt(bench: Bench) -> None:
        made.wait(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        try_all([row(endless, 2), row(interrupt, 1)], one, patience=0, workers=2)
    assert not one.made
