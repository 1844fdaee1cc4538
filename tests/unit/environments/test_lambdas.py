"""A Lambda function behind a queue: what it is given, what is deleted, when it is killed, throttled and started."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from typing import Any

import pytest

from harness import LambdaConsumer, Process, invariants, runner
from harness.errors import PlanError
from harness.explore.story import tell
from harness.history import Event
from harness.result import Result
from harness.sim_fixture import Sim
from tests.systems import lambdas as systems

MODULE = systems.__name__


def run(
    handler: Any,
    orders: int = 10,
    *,
    queue: dict[str, Any] | None = None,
    faults: list[tuple[Any, ...]] = (),  # type: ignore[assignment]
    send: dict[str, Any] | None = None,
    environ: dict[str, str] | None = None,
    bodies: list[Any] | None = None,
    seed: int = 0,
    fields: dict[str, Any] | None = None,
    **settings: Any,
) -> Result:
    """A run of one function with *orders* messages; seeds its own queue with a dead-letter queue."""
    sim = Sim("lambda", seed=seed)
    name = "orders.fifo" if queue and queue.pop("fifo", False) else "orders"
    made = sim.queue(name, **{"visibility_timeout": 30, **(queue or {})})
    target = f"{MODULE}:{handler}" if isinstance(handler, str) and ":" not in handler else handler
    sim.process("fn", LambdaConsumer(target, **settings), queue=made, environ=environ or {})
    sim.effects.point("charged")
    sim.send(made, bodies or [{"order_id": n} for n in range(orders)], **{"key": "$.order_id", **(send or {})})
    for target_, kind, extra in faults:
        sim.inject(target_, kind, **extra)
    sim.set(**{"invariants": [invariants.no_message_loss()], **(fields or {})})
    return sim.run(judge=False)


def of(result: Result, *kinds: str) -> list[Event]:
    return result.history.of(*kinds)


def effects(result: Result, name: str) -> list[str]:
    return [event["key"] for event in of(result, "effect") if event["name"] == name]


def outcomes(result: Result) -> list[str]:
    return [event["outcome"] for event in of(result, "lambda.answer")]


# -- what a function is given


def test_the_event_is_the_documented_one() -> None:
    """Every field of a record, in Lambda's spelling, message attributes and their MD5 included."""
    attributes = {
        "text": {"DataType": "String", "StringValue": "x"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    result = run("tells_what_it_is_given", 1, send={"attributes": lambda n: attributes})
    (record,) = json.loads(effects(result, "event")[0])["Records"]
    sent = of(result, "send")[0]
    received = of(result, "receive")[0]
    assert record == {
        "messageId": sent["message"],
        "receiptHandle": received["handle"],
        "body": '{"order_id":0}',
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1893456000000",
            "SenderId": record["attributes"]["SenderId"],
            "ApproximateFirstReceiveTimestamp": record["attributes"]["ApproximateFirstReceiveTimestamp"],
        },
        "messageAttributes": {
            "text": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "bytes": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfMessageAttributes": record["md5OfMessageAttributes"],
        "md5OfBody": hashlib.md5(b'{"order_id":0}').hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:orders",
        "awsRegion": "us-east-1",
    }


def test_a_record_of_a_fifo_queue_has_its_group_and_number() -> None:
    """On a FIFO queue the attributes name group, deduplication id and sequence number too."""
    result = run("tells_what_it_is_given", 1, queue={"fifo": True}, send={"group": lambda n: "g"})
    (record,) = json.loads(effects(result, "event")[0])["Records"]
    assert record["attributes"]["MessageGroupId"] == "g"
    assert {"MessageDeduplicationId", "SequenceNumber"} <= record["attributes"].keys()


def test_the_context_and_the_variables_are_lambdas() -> None:
    """Name, ARN, memory (a text), log names and request id; time that remains runs on virtual time."""
    result = run("tells_what_it_is_given", 1, timeout=5, memory=256, environ={"TABLE": "orders"})
    (invoked,) = of(result, "lambda.invoke")
    context = json.loads(effects(result, "context")[0])
    stream = context.pop("log_stream_name")
    assert stream.startswith("2030/01/01/[$LATEST]")
    assert context == {
        "function_name": "fn",
        "function_version": "$LATEST",
        "invoked_function_arn": "arn:aws:lambda:us-east-1:000000000000:function:fn",
        "memory_limit_in_mb": "256",
        "aws_request_id": invoked["request"],
        "log_group_name": "/aws/lambda/fn",
        "client_context": None,
        "identity": None,
    }
    assert json.loads(effects(result, "remaining")[0]) == [5000, 3750]
    assert json.loads(effects(result, "environ")[0]) == [
        "fn",
        "256",
        "us-east-1",
        f"{MODULE}.tells_what_it_is_given",
        "orders",
    ]
    assert effects(result, "trace")[0].startswith("Root=1-70dbd880-")


def test_a_record_is_known_to_the_declared_handler() -> None:
    """A function of one record can be the scenario's handler: its events name the message and its key."""
    result = run("charges_all", 3, fields={"handler": f"{MODULE}:charge"})
    ends = of(result, "handler.end")
    assert sorted(event["key"] for event in ends) == ["0", "1", "2"]
    assert {event["message"] for event in ends} == {event["message"] for event in of(result, "send")}


# -- what is deleted


def test_a_batch_that_is_handled_is_deleted() -> None:
    """A function that returns nothing has succeeded: each message is deleted once, and the run passes."""
    result = run("charges_all", 25)
    assert result.messages.processed == 25
    assert len(of(result, "delete")) == 25
    assert set(outcomes(result)) == {"success"}
    assert result.verdict == "passed"


def test_an_error_brings_the_whole_batch_back() -> None:
    """Without ReportBatchItemFailures one bad message makes its batch come again, the good ones with it."""
    result = run(
        "raises_on_seven",
        8,
        queue={"dead_letter": "dlq", "max_receives": 2},
        send={"per_second": None},
        maximum_concurrency=2,
    )
    failed = [event for event in of(result, "lambda.answer") if event["outcome"] == "error"]
    assert failed
    assert all(event["failed"] == event["messages"] for event in failed)
    assert failed[0]["error"] == "ValueError: order 7 cannot be read"
    assert result.messages.duplicated > 0
    again = [event["t"] for event in of(result, "receive") if event["receive_count"] == 2]
    assert min(again) >= 30  # after the visibility timeout, not before


def test_a_report_brings_back_what_it_names() -> None:
    """With ReportBatchItemFailures the others are deleted; the bad one alone ends in the dead-letter queue."""
    result = run(
        "reports_seven",
        10,
        queue={"dead_letter": "dlq", "max_receives": 2},
        send={"per_second": None},
        report_batch_item_failures=True,
    )
    assert "partial" in outcomes(result)
    assert result.messages.duplicated == 0
    assert result.messages.processed == 9
    assert result.messages.dead_lettered == 1
    assert not of(result, "lambda.scale")  # it does not back off for what a report names


def test_a_report_without_the_setting_deletes_everything() -> None:
    """A function that reports failures to a mapping that does not look loses the message that it reported."""
    result = run("reports_seven", 10, queue={"dead_letter": "dlq", "max_receives": 2})
    assert result.messages.lost == 1
    assert result.verdict == "failed"


def test_an_answer_that_cannot_be_json_is_an_error() -> None:
    """What the runtime cannot send is a Runtime.MarshalError; the sandbox serves on."""
    result = run("returns_what_cannot_be_json", 1, queue={"dead_letter": "dlq", "max_receives": 2})
    answers = of(result, "lambda.answer")
    assert [event["outcome"] for event in answers] == ["error", "error"]
    assert answers[0]["error"].startswith("Runtime.MarshalError: Unable to marshal response")
    assert [event["cold"] for event in of(result, "lambda.invoke")] == [True, False]


# -- the life of a sandbox


def test_a_warm_sandbox_keeps_its_module() -> None:
    """Calls one after the other meet one module that counts them."""
    result = run("counts_its_calls", 5, send={"per_second": 0.2})
    assert effects(result, "calls") == ["1", "2", "3", "4", "5"]
    assert [event["cold"] for event in of(result, "lambda.invoke")] == [True, False, False, False, False]


def test_sandboxes_at_the_same_time_share_nothing() -> None:
    """Each of five concurrent sandboxes has a module of its own."""
    result = run("takes_two_seconds", 5, send={"per_second": None}, batch_size=1)
    assert len({event["sandbox"] for event in of(result, "lambda.invoke")}) == 5
    assert result.messages.processed == 5


def test_a_timeout_kills_the_sandbox_and_the_next_call_is_a_cold_start() -> None:
    """The hanging call ends at the timeout, its batch comes back, and what the module remembered is gone."""
    result = run(
        "hangs_on_seven",
        9,
        queue={"dead_letter": "dlq", "max_receives": 1},
        send={"per_second": 0.2},
        timeout=3,
    )
    (timed_out,) = [event for event in of(result, "lambda.answer") if event["outcome"] == "timeout"]
    assert timed_out["took"] == 3
    assert timed_out["error"] == f"{timed_out['request']} Task timed out after 3.00 seconds"
    assert effects(result, "calls") == ["1", "2", "3", "4", "5", "6", "7", "8", "1"]
    assert [event["process"] for event in of(result, "process.crash")] == ["fn.1"]
    starts = [event for event in of(result, "process.start") if event["process"] == "fn.1"]
    assert [event["incarnation"] for event in starts] == [1, 2]


def test_a_process_that_exits_fails_its_batch() -> None:
    """sys.exit() in a handler ends the runtime: the call has failed, the next is a cold start."""
    result = run("leaves_on_seven", 9, queue={"dead_letter": "dlq", "max_receives": 1}, send={"per_second": 0.2})
    assert outcomes(result).count("crash") == 1
    assert effects(result, "calls")[-1] == "1"


def test_an_error_leaves_the_sandbox_warm() -> None:
    """An exception ends the call and nothing else."""
    result = run("raises_on_seven", 9, queue={"dead_letter": "dlq", "max_receives": 1}, send={"per_second": 0.2})
    assert effects(result, "calls") == [str(n) for n in range(1, 10)]


def test_between_calls_a_sandbox_is_frozen() -> None:
    """A thread that outlives its call runs on when the next call thaws the sandbox; the last one's work is lost."""
    result = run("works_on_behind_its_answer", 4, send={"per_second": 0.1}, maximum_concurrency=2)
    times = [event["t"] for event in of(result, "effect")]
    invoked = [event["t"] for event in of(result, "lambda.invoke")]
    assert len(times) == 3  # the fourth thread never runs on
    assert all(later >= call for later, call in zip(times, invoked[1:], strict=True))
    assert result.messages.lost == 1


@pytest.mark.parametrize(("seconds", "left", "starts"), [(4, 3000, 1), (11, None, 3)])
def test_init_has_ten_seconds_of_its_own_and_then_the_functions_timeout(
    seconds: int, left: int | None, starts: int
) -> None:
    """A slow import costs the call nothing up to ten seconds; above, it is done again inside the timeout, and fails."""
    result = run(
        "tests.systems.lambda_slow_import:handler",
        1,
        queue={"dead_letter": "dlq", "max_receives": 2},
        environ={"INIT_SECONDS": str(seconds)},
        timeout=3,
    )
    reached = effects(result, "reached")
    assert reached == ([str(left)] if left else [])
    begun = [event for event in of(result, "process.start") if event["process"] == "fn.1"]
    assert len(begun) == starts
    assert outcomes(result) == (["success"] if left else ["timeout", "timeout"])


def test_after_a_reset_init_counts_against_the_timeout() -> None:
    """A suppressed init takes its time from the call: a second less is left than the function's timeout."""
    result = run(
        "tests.systems.lambda_slow_import:handler",
        2,
        send={"per_second": 0.1},
        environ={"INIT_SECONDS": "1"},
        init_time=0,
        timeout=3,
        faults=[("lambda.fn", "crash", {"nth": 1})],
    )
    assert outcomes(result) == ["crash", "success", "success"]
    assert effects(result, "reached")[0] == "2000"


def test_a_handler_that_cannot_be_imported_fails_every_call_and_is_told() -> None:
    """The batch goes to the dead-letter queue, and the run's notes name what could not be imported, once."""
    result = run(f"{MODULE}:nobody", 1, queue={"dead_letter": "dlq", "max_receives": 2})
    assert outcomes(result) == ["error", "error"]
    assert result.messages.dead_lettered == 1
    assert len([note for note in result.notes if "nobody" in note]) == 1


# -- concurrency


def test_reserved_concurrency_throttles_and_spends_receives() -> None:
    """What is refused is tried again for the visibility timeout, then given back with its receive spent."""
    result = run(
        "takes_two_seconds",
        60,
        queue={"visibility_timeout": 5, "dead_letter": "dlq", "max_receives": 2},
        send={"per_second": None},
        batch_size=1,
        reserved_concurrency=1,
        timeout=5,
    )
    throttled = of(result, "lambda.throttled")
    assert {event["reason"] for event in throttled} == {"Rate Exceeded."}
    given_back = [event for event in throttled if not event["again"]]
    assert given_back
    assert result.messages.dead_lettered > 0  # never seen by the function
    dead = {event["message"] for event in of(result, "move")}
    invoked = {one for event in of(result, "lambda.invoke") for one in event["messages"]}
    assert dead - invoked


def test_reserved_concurrency_zero_runs_nothing() -> None:
    """A function with no concurrency at all is never called."""
    result = run("charges_all", 3, queue={"dead_letter": "dlq", "max_receives": 1}, reserved_concurrency=0)
    assert not of(result, "lambda.invoke")
    assert result.messages.dead_lettered == 3


def running_at_once(result: Result) -> int:
    most = running = 0
    for event in of(result, "lambda.invoke", "lambda.answer"):
        running += 1 if event["kind"] == "lambda.invoke" else -1
        most = max(most, running)
    return most


def test_it_begins_with_five_batches_and_adds_five_a_second() -> None:
    """Five at first; while messages are left 300 more a minute."""
    result = run("takes_two_seconds", 60, send={"per_second": None}, batch_size=1, init_time=0)
    invoked = [event["t"] for event in of(result, "lambda.invoke")]
    assert invoked[4] < 0.1
    assert invoked[5] > 1
    scaled = of(result, "lambda.scale")
    assert [event["pollers"] for event in scaled] == list(range(10, 5 * len(scaled) + 6, 5))
    assert all(later["t"] - earlier["t"] >= 1 for earlier, later in itertools.pairwise(scaled))
    assert running_at_once(result) > 10


def test_maximum_concurrency_bounds_it() -> None:
    """Never more than two at once, and nothing is throttled."""
    result = run("takes_two_seconds", 20, send={"per_second": None}, batch_size=1, maximum_concurrency=2)
    assert running_at_once(result) == 2
    assert not of(result, "lambda.throttled")
    assert result.messages.processed == 20


def test_it_backs_off_after_errors_and_comes_back() -> None:
    """Each error halves what the mapping does at a time, down to one; each success adds one, up to five."""
    result = run(
        "charges_all",
        60,
        send={"per_second": 1},
        batch_size=1,
        faults=[("lambda.fn", "transient", {"start": 5, "end": 20})],
        queue={"visibility_timeout": 6},
    )
    pollers = [event["pollers"] for event in of(result, "lambda.scale")]
    assert pollers[:2] == [2, 1]
    assert pollers[-1] == 5
    assert result.messages.processed == 60


# -- batches


def test_a_window_gathers_a_batch_from_its_first_message_on() -> None:
    """Messages of ten seconds come in one call, which begins when the window is over."""
    result = run("charges_all", 8, send={"per_second": 1}, window=10, batch_size=100, maximum_concurrency=2)
    invoked = of(result, "lambda.invoke")
    assert sum(len(event["messages"]) for event in invoked) == 8
    first = of(result, "receive")[0]["t"]
    assert invoked[0]["t"] - first == pytest.approx(10, abs=0.1)


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    """The function is called as soon as the batch is full: more than ten messages, in one event."""
    result = run("charges_all", 40, send={"per_second": None}, window=300, batch_size=20, maximum_concurrency=2)
    invoked = of(result, "lambda.invoke")
    assert [len(event["messages"]) for event in invoked] == [20, 20]
    assert invoked[-1]["t"] < 1


def test_a_batch_ends_at_six_megabytes() -> None:
    """Ten messages of 900 kB do not fit one event: they come in two, and each is handled once."""
    bodies = [{"order_id": n, "filling": "x" * 900_000} for n in range(10)]
    result = run("charges_all", bodies=bodies, send={"per_second": None}, maximum_concurrency=2)
    assert [len(event["messages"]) for event in of(result, "lambda.invoke")] == [6, 4]
    assert result.messages.processed == 10
    assert result.messages.duplicated == 0


def test_filtered_messages_are_deleted_unread() -> None:
    """What no filter lets through is deleted without a call, and the event says why."""
    bodies = [{"order_id": 0, "kind": "order"}, {"order_id": 1, "kind": "ping"}]
    result = run("charges_all", bodies=bodies, filters=[{"body": {"kind": ["order"]}}])
    assert effects(result, "charged") == ["0"]
    (filtered,) = of(result, "lambda.filtered")
    assert filtered["by_format"] is False
    assert len(of(result, "delete")) == 2
    assert result.verdict == "passed"  # the filter says that nothing is to be done for it


def test_a_filter_that_cannot_read_a_message_loses_it() -> None:
    """A body of the other format is dropped too, which nobody meant: the message counts as lost."""
    bodies = [{"order_id": 0, "kind": "order"}, "order 1 of kind order"]
    result = run("charges_all", bodies=bodies, filters=[{"body": {"kind": ["order"]}}], send={"key": None})
    assert [event["by_format"] for event in of(result, "lambda.filtered")] == [True]
    assert result.messages.lost == 1
    assert result.verdict == "failed"


def test_a_fifo_queue_gives_one_batch_of_a_group_at_a_time() -> None:
    """Calls of one group never overlap; those of several groups do, and one batch may hold several."""
    result = run(
        "takes_two_seconds",
        40,
        queue={"fifo": True},
        send={"per_second": 20, "group": lambda n: f"g{n % 4}"},
        maximum_concurrency=2,
    )
    group_of = {event["message"]: event["group"] for event in of(result, "send")}
    under_way: dict[str, str] = {}
    several = 0
    for event in of(result, "lambda.invoke", "lambda.answer"):
        groups = {group_of[one] for one in event["messages"]}
        several = max(several, len(groups))
        for group in groups:
            if event["kind"] == "lambda.invoke":
                assert group not in under_way
                under_way[group] = event["request"]
            else:
                assert under_way.pop(group) == event["request"]
    assert several > 1
    charged = [int(key) for key in effects(result, "charged")]
    for group in range(4):
        mine = [n for n in charged if n % 4 == group]
        assert mine == sorted(mine)
    assert result.messages.processed == 40


# -- faults


@pytest.mark.parametrize(
    ("kind", "extra", "outcome"),
    [
        ("transient", {}, "error"),
        ("permanent", {}, "error"),
        ("slow", {"seconds": 5}, "timeout"),
        ("hang", {}, "timeout"),
        ("crash", {}, "crash"),
        ("pause", {"seconds": 20}, "timeout"),
        ("crash", {"side": "after"}, "crash"),
        ("transient", {"side": "after"}, "error"),
    ],
)
def test_handler_and_process_kinds_strike_a_function(kind: str, extra: dict[str, Any], outcome: str) -> None:
    """A fault at lambda.fn fails the call in its own way; after the visibility timeout the batch is handled."""
    result = run("charges_all", 4, send={"per_second": 0.5}, faults=[("lambda.fn", kind, {"nth": 2, **extra})])
    assert result.unstruck == []
    assert outcomes(result).count(outcome) == 1
    assert result.messages.processed == 4
    assert result.messages.lost == 0


def test_a_killed_sandbox_is_replaced_when_it_is_needed() -> None:
    """A crash at process.fn strikes the sandbox, idle or not; no successor starts before a call needs one."""
    result = run("counts_its_calls", 4, send={"per_second": 0.2}, faults=[("process.fn", "crash", {"start": 12})])
    assert effects(result, "calls") == ["1", "2", "3", "1"]
    assert result.unstruck == []


@pytest.mark.parametrize("kind", ["sigterm", "pause"])
def test_an_idle_sandbox_bears_what_strikes_its_process(kind: str) -> None:
    """SIGTERM ends it, a pause ends in the frozen state that it was in: every message is handled."""
    result = run("charges_all", 4, send={"per_second": 0.1}, faults=[("process.fn", kind, {"start": 13})])
    assert result.messages.processed == 4
    assert result.unstruck == []


def test_the_mapping_may_die_too() -> None:
    """What was in flight when the poller died comes back; started again, it goes on."""
    result = run(
        "takes_two_seconds",
        10,
        send={"per_second": 1},
        faults=[("process.fn:poller", "crash", {"start": 4, "restart_after": 3})],
    )
    assert result.messages.processed == 10
    assert [event["process"] for event in of(result, "process.crash")] == ["fn:poller"]


@pytest.mark.parametrize(
    ("kind", "side", "ran"),
    [
        ("throttled", "before", False),
        ("unavailable", "before", False),
        ("timeout", "before", False),
        ("timeout", "after", True),
        ("internal-error", "after", True),
        ("transient", "before", False),
        ("slow", "before", False),
    ],
)
def test_the_request_to_invoke_may_fail(kind: str, side: str, ran: bool) -> None:
    """Before the call the batch is tried again by the mapping; after it the work is done, and done again later."""
    extra = {"seconds": 5} if kind == "slow" else {}
    faults = [("aws.lambda.Invoke", kind, {"nth": 1, "side": side, **extra})]
    result = run("charges_all", 3, send={"per_second": 0.5}, faults=faults)
    refused = of(result, "lambda.throttled")
    assert [event["again"] for event in refused] == ([] if kind == "slow" else [not ran])
    assert result.messages.processed == 3
    assert result.messages.duplicated == (1 if ran else 0)


def test_calls_of_sqs_that_fail_are_made_again() -> None:
    """The mapping bears an outage of the queue: it polls on, and a lost delete is made again."""
    result = run(
        "charges_all",
        20,
        send={"per_second": 1},
        faults=[
            ("aws.sqs.ReceiveMessage", "unavailable", {"start": 2, "end": 6}),
            ("aws.sqs.GetQueueAttributes", "unavailable", {"end": 0.5}),
            ("aws.sqs.DeleteMessageBatch", "unavailable", {"start": 8, "end": 9}),
            ("aws.sqs.DeleteMessageBatch", "partial-failure", {"start": 10, "end": 12}),
        ],
    )
    assert result.unstruck == []
    assert result.messages.processed == 20
    assert result.messages.in_queue == 0


def test_a_fault_of_a_function_that_is_not_there_is_refused() -> None:
    """lambda.NAME is held against the scenario's functions, and the nearest is named."""
    sim = Sim("s")
    sim.process("charges", LambdaConsumer(f"{MODULE}:charges_all"), queue=sim.queue("orders"))
    sim.send("orders", [{}])
    sim.inject("lambda.charge", "crash")
    with pytest.raises(PlanError, match=r"Did you mean lambda\.charges\?"):
        sim.run()


def test_the_header_names_the_function_and_its_settings() -> None:
    """A saved history tells which queue invoked what, and how."""
    result = run("charges_all", 1, batch_size=5)
    (process,) = result.history.header["system"]["processes"]
    assert process["target"] == f"{MODULE}:charges_all"
    assert process["queue"] == "orders"
    assert process["lambda"]["batch_size"] == 5


@pytest.mark.parametrize(
    ("handler", "settings", "invariant", "line", "because"),
    [
        (
            "takes_four_seconds",
            {"timeout": 3},
            invariants.effects_once(),
            "function fn ran into its timeout and was killed",
            "function fn ran into its timeout after it had done the work",
        ),
        (
            "raises_on_seven",
            {"batch_size": 10},
            invariants.effects_once(),
            "function fn failed (ValueError: order 7 cannot be read), so that Lambda deletes nothing of the batch",
            "its whole batch came again, done or not",
        ),
        (
            "reports_seven",
            {},
            invariants.no_message_loss(),
            "Lambda called function fn with it and 9 more (in fn.1, a cold start)",
            "function fn ended without an error, so Lambda deleted the whole batch",
        ),
    ],
)
def test_a_story_tells_what_lambda_did(
    handler: str, settings: dict[str, Any], invariant: Any, line: str, because: str
) -> None:
    """A finding names the call, its answer and what Lambda made of it."""
    result = run(
        handler,
        10,
        queue={"dead_letter": "dlq", "max_receives": 2},
        send={"per_second": None},
        fields={"invariants": [invariant]},
        **settings,
    )
    (verdict,) = result.verdicts
    assert verdict.status == "violated"
    story = tell(result.history, verdict)
    assert line in str(story)
    assert because in story.because


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Cold starts, throttling, timeouts and faults are all drawn from the seed."""

    def once(seed: int) -> bytes:
        return run(
            "raises_on_seven",
            30,
            queue={"dead_letter": "dlq", "max_receives": 2, "visibility_timeout": 6},
            send={"per_second": 5},
            reserved_concurrency=2,
            seed=seed,
            faults=[("lambda.fn", "slow", {"seconds": 5, "probability": 0.2})],
        ).history.to_bytes()

    assert once(3) == once(3)
    assert once(3) != once(4)


def test_preemption_rewrites_a_function_in_each_sandbox() -> None:
    """With pre-emption the handler's module is rewritten, imported afresh in each sandbox, and does the same work."""
    sim = Sim("preempted")
    sim.process("fn", LambdaConsumer(f"{MODULE}:takes_two_seconds", batch_size=1), queue=sim.queue("orders"))
    sim.effects.point("charged")
    sim.send("orders", [{"order_id": n} for n in range(4)], key="$.order_id", per_second=None)
    sim.set(preempt=[MODULE])
    before = sys.modules[MODULE]
    result = runner.run(sim.scenario(), options=runner.Options(preempt="calls"))
    assert result.verdict == "passed"
    assert result.history.of("run.end")[0]["preempt"]["passed"] > 0
    assert len({event["sandbox"] for event in of(result, "lambda.invoke")}) == 4
    assert sys.modules[MODULE] is before


def test_two_functions_of_one_run_are_apart() -> None:
    """Each function has sandboxes, a mapping and a queue of its own."""
    sim = Sim("two")
    for name in ("a", "b"):
        sim.queue(name)
        sim.process(f"fn-{name}", LambdaConsumer(f"{MODULE}:charges_all"), queue=name)
    sim.effects.point("charged")
    sim.send("a", [{"order_id": n} for n in range(5)], key="$.order_id")
    sim.send("b", [{"order_id": n} for n in range(5, 10)], key="$.order_id")
    result = sim.run()
    assert {event["function"] for event in of(result, "lambda.invoke")} == {"fn-a", "fn-b"}
    assert isinstance(sim.scenario().processes[0], Process)
