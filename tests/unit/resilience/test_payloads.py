"""Claim-checks: a dead letter that is too large for a message is whole in a store of the user's, and comes back whole.

Through every component that writes or reads dead letters, with the store up, down, forgetful and wrong.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.resilience import ConsumerOptions, DeadLetterQueueHandler, DLQAnalyzer, PayloadStore, ResilientConsumer
from harness.resilience.dlq import dead_letter_request
from harness.resilience.envelope import MAX_MESSAGE_BYTES, Envelope, read_envelope
from harness.resilience.errors import PermanentError
from harness.resilience.triage import DeadLetter, guide_fields
from tests.unit.resilience.operators import BINARY, Bench, operate
from tests.unit.resilience.sqs_fake import Clock, FakeSqs

MAIN = "https://sqs.example/1/orders"
DLQ = "https://sqs.example/1/orders-dlq"
LARGE = '"' * 600_000  # twice as long in JSON: no envelope holds it


class Store:
    """A store in memory. ``down``: it cannot be reached."""

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}
        self.down = False
        self._numbers = itertools.count(1)

    def put(self, payload: bytes) -> str:
        self._check()
        reference = f"dead-letters/{next(self._numbers)}"
        self.payloads[reference] = payload
        return reference

    def get(self, reference: str) -> bytes:
        self._check()
        return self.payloads[reference]

    def _check(self) -> None:
        if self.down:
            raise ConnectionError("the bucket cannot be reached")


def failed(body: str = LARGE, message_id: str = "m-1", *, group: str | None = None, **more: Any) -> Envelope:
    system = {"ApproximateReceiveCount": "3", **({"MessageGroupId": group, "SequenceNumber": "188"} if group else {})}
    message = {"MessageId": message_id, "Body": body, "MessageAttributes": BINARY, "Attributes": system}
    return Envelope.of(
        message,
        "KeyError: 'id'",
        queue=more.pop("queue", MAIN),
        failed_at=datetime(2030, 1, 1, tzinfo=UTC),
        **{"error_class": "KeyError", "stack": "line 1\nline 2", **more},
    )


def arrived(request: dict[str, Any], message_id: str = "dead-1") -> dict[str, Any]:
    return {
        "MessageId": message_id,
        "Body": request["MessageBody"],
        "MessageAttributes": request.get("MessageAttributes", {}),
    }


# -- the envelope


def test_what_is_too_large_is_whole_in_the_store() -> None:
    """The message says everything but the body; with the store it is what was put in, binary attributes too."""
    store: PayloadStore = Store()
    envelope = failed()
    outgoing = envelope.to_message(payloads=store)
    assert (outgoing.form, outgoing.size < 2_000) == ("claim-check", True)
    claim = read_envelope({"MessageId": "dead-1", "Body": outgoing.body, "MessageAttributes": outgoing.attributes})
    assert (claim.form, claim.body, claim.payload_reference) == ("claim-check", "", "dead-letters/1")
    assert (claim.reason, claim.error_class, claim.stack) == ("KeyError: 'id'", "KeyError", "line 1\nline 2")
    assert (claim.message_id, claim.receive_count, claim.queue) == ("m-1", 3, MAIN)
    assert claim.attributes == BINARY
    assert outgoing.attributes["ErrorType"]["StringValue"] == "ProcessingFailure"
    whole = claim.fetched(store)
    assert dataclasses.replace(whole, payload_reference=None) == envelope


def test_without_a_store_the_context_is_shortened() -> None:
    """The naive version of it: the same dead letter without a store loses its stack."""
    read = read_envelope(arrived(dead_letter_request(failed(stack="s" * 500_000), DLQ)))
    assert read.body == LARGE
    assert read.stack is None


def test_what_fits_does_not_ask_the_store() -> None:
    """A store that is down is of no matter to a message that fits."""
    store = Store()
    store.down = True
    outgoing = failed("small").to_message(payloads=store)
    assert outgoing.form == "envelope"
    assert read_envelope({"Body": outgoing.body, "MessageAttributes": outgoing.attributes}).body == "small"


def test_a_stack_that_is_too_large_goes_to_the_store() -> None:
    """Not only bodies: the message keeps the last lines, the store has all of them."""
    store = Store()
    stack = "\n".join(f"line {n}" for n in range(200_000))
    request = dead_letter_request(failed("small", stack=stack), DLQ, payloads=store)
    claim = DeadLetter(arrived(request))
    assert claim.envelope.stack is not None
    assert claim.envelope.stack.endswith("line 199999")
    assert len(claim.envelope.stack) <= 4_000
    assert DeadLetter(arrived(request), store).envelope.stack == stack


@given(
    body=st.text(st.characters(codec="utf-8", exclude_characters="\ufffe\uffff"), min_size=1, max_size=300),
    reason=st.text(max_size=60),
    limit=st.integers(200, 3_000),
)
def test_the_body_is_never_lost(body: str, reason: str, limit: int) -> None:
    """Whatever the limit: within it, and whole, by the store or without it."""
    store = Store()
    envelope = dataclasses.replace(failed(body), reason=reason)
    outgoing = envelope.to_message(max_bytes=limit, payloads=store)
    read = read_envelope({"MessageId": "d", "Body": outgoing.body, "MessageAttributes": outgoing.attributes})
    whole = read.fetched(store)
    assert whole.body == body
    assert whole.attributes == BINARY
    assert outgoing.size <= limit or outgoing.form == "plain"
    if outgoing.form == "claim-check":
        assert (whole.reason, whole.stack) == (reason, envelope.stack)


@pytest.mark.parametrize("answer", [None, "", 7, b"key"])
def test_a_store_that_gives_no_reference_costs_no_body(answer: Any) -> None:
    """A put without a return: the naive version sends a message that refers to nothing, and the body is gone."""

    class Forgetful(Store):
        def put(self, payload: bytes) -> str:
            super().put(payload)
            return answer  # type: ignore[no-any-return] # the mistake under test

    with pytest.raises(ValueError, match="no reference"):
        failed().to_message(payloads=Forgetful())
    read = read_envelope(arrived(dead_letter_request(failed(), DLQ, payloads=Forgetful())))
    assert (read.form, read.body) == ("attributes", LARGE)


def test_a_reference_that_is_too_long_itself() -> None:
    """Where not even the reference fits, the body goes whole and the context is shortened."""

    class Wordy(Store):
        def put(self, payload: bytes) -> str:
            return "x" * MAX_MESSAGE_BYTES

    outgoing = failed().to_message(payloads=Wordy())
    assert (outgoing.form, outgoing.body) == ("attributes", LARGE)


@pytest.mark.parametrize("payload", [b"{}", b"[1]", b"\xff\xfe", b"", None, 7])
def test_a_payload_that_is_no_envelope(payload: Any) -> None:
    """What somebody else put there, or the store lost, is said and never taken for a body."""
    store = Store()
    request = dead_letter_request(failed(), DLQ, payloads=store)
    store.payloads["dead-letters/1"] = payload
    with pytest.raises(ValueError, match="dead-letters/1 is no envelope"):
        _ = DeadLetter(arrived(request), store).envelope


def test_a_payload_of_another_message() -> None:
    """A reference that was given out twice must not send one customer's body under another's name."""
    store = Store()
    request = dead_letter_request(failed(), DLQ, payloads=store)
    dead_letter_request(failed(message_id="m-2"), DLQ, payloads=store)
    store.payloads["dead-letters/1"] = store.payloads["dead-letters/2"]
    with pytest.raises(ValueError, match="another message than m-1"):
        _ = DeadLetter(arrived(request), store).envelope


def test_a_message_that_only_looks_like_one() -> None:
    """An envelope with a body is whole, whatever field it has besides."""
    document = {"version": 1, "originalMessage": "b", "errorReason": "r", "payloadReference": "x"}
    read = read_envelope({"MessageId": "d", "Body": json.dumps(document)})
    assert (read.form, read.body) == ("envelope", "b")


def test_a_fetched_one_can_be_sent_again() -> None:
    """What was fetched and fits is an envelope like any other."""
    store = Store()
    claim = read_envelope(arrived(dead_letter_request(failed(), DLQ, payloads=store)))
    again = dataclasses.replace(claim.fetched(store), body="mended").to_message()
    read = read_envelope({"MessageId": "d", "Body": again.body, "MessageAttributes": again.attributes})
    assert (read.form, read.body) == ("envelope", "mended")


def test_fifo_keeps_group_and_deduplication() -> None:
    """A claim-check in a FIFO queue has the original's group, and an id that is the same at each try."""
    store = Store()
    first, second = (dead_letter_request(failed(group="g"), f"{DLQ}.fifo", payloads=store) for _ in range(2))
    assert first["MessageGroupId"] == "g"
    assert first["MessageDeduplicationId"] == second["MessageDeduplicationId"] == "dead-letter-m-1"
    claim = read_envelope(arrived(first))
    assert claim.fetched(store).group_id == "g"


# -- who writes them


def permanently(message: dict[str, Any]) -> None:
    raise PermanentError("no such product")


def consumers(sqs: FakeSqs, clock: Clock, store: Store, events: list[Any], together: int) -> list[Any]:
    options = ConsumerOptions(heartbeat=False, acknowledge_together=together)
    given: dict[str, Any] = {
        "sqs": sqs, "options": options, "payloads": store, "listeners": [events.append],
        "clock": clock, "sleep": clock.sleep, "wall_clock": lambda: clock() + 1_900_000_000,
    }  # fmt: skip
    handler = DeadLetterQueueHandler(MAIN, DLQ, **given)
    consumer = ResilientConsumer(MAIN, permanently, dlq_url=DLQ, **given)
    return [(handler.stop, lambda: handler.process_with_dlq(permanently)), (consumer.stop, consumer.run)]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("together", [1, 10])
@pytest.mark.parametrize("which", [0, 1])
def test_both_consumers_use_it(which: int, together: int, down: bool) -> None:
    """Handler and composed consumer, one by one and in batches: a reference for large ones; store down: body whole."""
    clock, store = Clock(), Store()
    events: list[Any] = []
    store.down = down
    sqs = FakeSqs(clock)
    stop, run = consumers(sqs, clock, store, events, together)[which]
    sqs.on_idle = stop
    sqs.put(MAIN, "small")
    sqs.put(MAIN, LARGE, attributes=BINARY)
    run()
    assert not sqs.queues[MAIN]
    dead = {read_envelope(message).form: message for message in sqs.messages(DLQ)}
    assert set(dead) == {"envelope", "attributes" if down else "claim-check"}
    unavailable = [event for event in events if event.kind == "store-unavailable"]
    assert [event.kind for event in events].count("dead-lettered") == 2
    if down:
        assert read_envelope(dead["attributes"]).body == LARGE
        assert {type(event.error) for event in unavailable} == {ConnectionError}
        assert all("its context is shortened" in event.detail for event in unavailable)
    else:
        whole = DeadLetter(dead["claim-check"], store).envelope
        assert (whole.body, whole.attributes, (whole.error_class or "").rpartition(".")[2]) == (
            LARGE,
            BINARY,
            "PermanentError",
        )
    assert bool(unavailable) is down


# -- who reads them


def fill(bench: Bench, store: Store, *bodies: str, group: str | None = None, **more: Any) -> None:
    """Dead letters of messages that were in the main queue, by *store* where they are too large."""
    for number, body in enumerate(bodies):
        envelope = failed(body, f"original-{body[:1]}{number}", group=group, queue=bench.main, **more)
        bench.sqs.send_message(**dead_letter_request(envelope, bench.dlq, payloads=store))


def test_analysis_needs_no_store() -> None:
    """Counts, groups and categories come from the message; a sample names the reference in place of the body."""

    def step(bench: Bench) -> None:
        fill(bench, Store(), LARGE, "small")
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert found["forms"] == {"claim-check": 1, "envelope": 1}
        (group,) = found["groups"]
        assert (group["count"], group["error_class"]) == (2, "KeyError")
        samples = {sample.get("payload"): sample["body"] for sample in group["samples"]}
        assert samples == {"dead-letters/1": "", None: "small"}
        assert found["by_attribute"]["n"] == {"7": 2}

    operate(step)


def test_replay_brings_them_back_whole() -> None:
    """With the store each returns as it was sent: body, binary attributes, and within SQS's limits."""

    def step(bench: Bench) -> None:
        store = Store()
        fill(bench, store, LARGE, "small")
        report = DLQAnalyzer(bench.dlq).replay(None, payloads=store)
        assert (report.sent, report.failed, report.skipped) == (2, 0, 0)
        got = {message["Body"]: message["MessageAttributes"] for message in bench.take(bench.main)}
        assert set(got) == {LARGE, "small"}
        assert {name: value for name, value in got[LARGE].items() if name in BINARY} == BINARY
        assert got[LARGE]["ReplayOriginalId"]["StringValue"] == 'original-"0'
        assert bench.count(bench.dlq) == (0, 0)

    operate(step)


def test_replay_without_the_store_leaves_them() -> None:
    """The naive version sends an empty body, or the envelope. Ours stays, is counted and says which store it needs."""

    def step(bench: Bench) -> None:
        store = Store()
        fill(bench, store, LARGE, "small")
        dry = DLQAnalyzer(bench.dlq).replay(bench.main, dry_run=True)
        assert (dry.would_send, dry.skipped) == (1, 1)
        report = DLQAnalyzer(bench.dlq).replay(bench.main)
        assert (report.sent, report.skipped, report.failed) == (1, 1, 0)
        (note,) = report.notes
        assert "dead-letters/1" in note
        assert "payloads" in note
        assert bench.bodies(bench.main) == ["small"]
        assert bench.count(bench.dlq) == (1, 0)
        # A filter that is shown no body would reject it for what it does not say.
        report = DLQAnalyzer(bench.dlq).replay(bench.main, lambda letter: '""' in letter["originalMessage"])
        assert (report.rejected, report.skipped) == (0, 1)
        by_group = DLQAnalyzer(bench.dlq).replay(bench.main, group="timeout")
        assert (by_group.rejected, by_group.skipped) == (1, 0)
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main, payloads=store) == 1

    operate(step)


def test_replay_while_the_store_is_down() -> None:
    """Those that need it fail, stay and are said; the others return; when it is back they do too, filters included."""

    def step(bench: Bench) -> None:
        store = Store()
        fill(bench, store, LARGE, "small")
        store.down = True
        report = DLQAnalyzer(bench.dlq).replay(bench.main, payloads=store)
        assert (report.sent, report.failed) == (1, 1)
        assert "the bucket cannot be reached" in report.notes[0]
        assert bench.count(bench.dlq) == (1, 0)
        store.down = False
        del store.payloads["dead-letters/1"]  # expired before its message
        report = DLQAnalyzer(bench.dlq).replay(bench.main, payloads=store)
        assert (report.sent, report.failed) == (0, 1)
        assert "KeyError" in report.notes[0]
        fill(bench, store, LARGE)
        wanted = DLQAnalyzer(bench.dlq).replay(
            bench.main, lambda letter: letter["originalMessage"] == LARGE, payloads=store
        )
        assert (wanted.sent, wanted.failed) == (1, 1)

    operate(step)


def test_replay_edits_what_it_fetched() -> None:
    """A patch is applied to the body in the store, not to the empty one of the message."""

    def step(bench: Bench) -> None:
        store = Store()
        fill(bench, store, json.dumps({"text": LARGE, "amount": None}))
        report = DLQAnalyzer(bench.dlq).replay(bench.main, edit={"amount": 0, "text": "short"}, payloads=store)
        assert (report.sent, report.edited) == (1, 1)
        assert bench.bodies(bench.main) == ['{"text":"short","amount":0}']

    operate(step)


def test_fifo_order_is_kept_behind_one_that_stays() -> None:
    """What stands behind a claim-check whose store is missing is not sent before it; other groups go on."""

    def step(bench: Bench) -> None:
        store = Store()
        for body, group in (("a1", "a"), (LARGE, "a"), ("a3", "a"), ("b1", "b")):
            envelope = failed(body, f"original-{body[:2]}", group=group, queue=bench.main)
            bench.sqs.send_message(**dead_letter_request(envelope, bench.dlq, payloads=store))
        report = DLQAnalyzer(bench.dlq).replay(bench.main)
        assert (report.sent, report.skipped) == (2, 2)
        assert bench.bodies(bench.main) == ["a1", "b1"]
        store.down = True
        assert DLQAnalyzer(bench.dlq).replay(bench.other, payloads=store).sent == 0
        store.down = False
        assert DLQAnalyzer(bench.dlq).replay(bench.other, payloads=store).sent == 2
        assert [message["Body"][:2] for message in bench.take(bench.other)] == ['""', "a3"]

    operate(step, fifo=True)


def test_an_edit_that_fails_keeps_the_order_too() -> None:
    """A FIFO message that no patch fits stays, and so does what is behind it."""

    def step(bench: Bench) -> None:
        store = Store()
        fill(bench, store, "{}", "no JSON", "{}", group="a")
        report = DLQAnalyzer(bench.dlq).replay(bench.main, edit={"fixed": True})
        assert (report.sent, report.failed, report.skipped) == (1, 1, 1)
        assert bench.count(bench.dlq) == (2, 0)

    operate(step, fifo=True)


def test_native_is_refused() -> None:
    """SQS would move the reference to the consumers as it is."""

    def step(bench: Bench) -> None:
        fill(bench, Store(), LARGE)
        with pytest.raises(ValueError, match="envelope"):
            DLQAnalyzer(bench.dlq).replay_messages(bench.main, native=True)

    operate(step)


def test_a_filter_sees_the_whole() -> None:
    """The fields that a filter gets are those of the envelope in the store."""
    store = Store()
    letter = DeadLetter(arrived(dead_letter_request(failed(), DLQ, payloads=store)), store)
    fields = guide_fields(letter)
    assert (fields["originalMessage"], fields["payloadReference"]) == (LARGE, "dead-letters/1")
    assert letter.original_id == "m-1"
    store.down = True
    with pytest.raises(ConnectionError):
        _ = DeadLetter(letter.message, store).envelope
