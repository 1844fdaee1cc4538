"""Replay under any mix of dead letters, filters and crashes: every message is at exactly one place, returned once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.resilience.dlq import dead_letter_request
from harness.resilience.envelope import Envelope
from harness.resilience.replay import Replay, ReplayReport
from harness.resilience.replay_journal import MemoryJournal
from tests.budget import examples
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

FORMS = ("envelope", "older", "plain", "junk", "attributes")
OPERATIONS = (
    "receive_message",
    "send_message",
    "send_message_batch",
    "delete_message_batch",
    "change_message_visibility",
    "change_message_visibility_batch",
)


class Crash(BaseException):
    """The process dies here: nothing of it runs on."""


@dataclass(frozen=True)
class Letter:
    form: str
    wanted: bool
    group: int


letters = st.lists(st.builds(Letter, st.sampled_from(FORMS), st.booleans(), st.integers(0, 2)), min_size=1, max_size=30)
#: (operation, side, number of the call, what happens)
faults = st.lists(
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.sampled_from(["before", "after"]),
        st.integers(0, 4),
        st.sampled_from(["crash", "crash", "lost", "refused"]),
    ),
    max_size=5,
)


class World:
    """A dead-letter queue with these letters; a body's text is its number, and wanted ones are even."""

    def __init__(self, mix: list[Letter], plan: list[tuple[str, str, int, str]], *, fifo: bool) -> None:
        ending = ".fifo" if fifo else ""
        self.main, self.dlq = f"https://sqs/1/main{ending}", f"https://sqs/1/dlq{ending}"
        self.clock = Clock(10_000.0)
        self.sqs = FakeSqs(self.clock)
        self.attributes: dict[str, Any] = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        self.bodies = []
        for number, letter in enumerate(mix):
            body = f"{2 * number + (not letter.wanted)}"
            self.bodies.append(body)
            self._put(letter, body, fifo)
        self.clock.advance(900)
        for operation, side, position, what in plan:
            schedule = (self.sqs.errors if side == "before" else self.sqs.after)[operation]
            schedule.extend([None] * (position + 1 - len(schedule)))
            if what == "refused" and side == "after":
                continue  # who refuses does nothing
            schedule[position] = {
                "crash": Crash(),
                "lost": ConnectionError("lost"),
                "refused": aws_error("InvalidParameterValue"),
            }[what]

    def _put(self, letter: Letter, body: str, fifo: bool) -> None:
        group = f"g{letter.group}" if fifo else None
        message = {
            "MessageId": f"original-{body}",
            "Body": body,
            "MessageAttributes": self.attributes,
            "Attributes": {"MessageGroupId": group, "MessageDeduplicationId": f"own-{body}"} if fifo else {},
        }
        envelope = Envelope.of(message, "KeyError: 'id'", queue=self.main)
        if letter.form == "envelope":
            request = dead_letter_request(envelope, self.dlq)
            text, attributes = request["MessageBody"], request["MessageAttributes"]
        elif letter.form == "attributes":
            request = dead_letter_request(envelope, self.dlq, max_bytes=len(body) + 600)
            text, attributes = request["MessageBody"], request["MessageAttributes"]
        elif letter.form == "older":
            document = {"originalMessage": body, "originalAttributes": {}, "errorReason": "r", "originalMessageId": "o"}
            text, attributes = json.dumps(document), {}
        else:
            text, attributes = body, self.attributes if letter.form == "plain" else {}
        self.sqs.put(self.dlq, text, attributes=attributes, group=group)

    def replay(self, journal: MemoryJournal, **options: Any) -> ReplayReport | None:
        """One process; ``None`` if it was killed."""
        replay = Replay(
            self.sqs,
            self.dlq,
            self.main,
            lambda letter: int(letter["originalMessage"]) % 2 == 0,
            journal=journal,
            clock=self.clock,
            wall_clock=self.clock,
            sleep=self.clock.sleep,
            patience=200.0,
            **options,
        )
        try:
            report = replay.run()
        except Crash:
            self.clock.advance(60)
            return None
        except Exception:  # the client's, passed on: an operator starts it again
            self.clock.advance(60)
            return None
        counted = report.sent + report.rejected + report.failed + report.skipped + report.already_sent
        assert report.read == counted <= len(self.bodies)
        return report

    def calm(self) -> None:
        """Nothing fails any more."""
        for schedules in (self.sqs.errors, self.sqs.after):
            schedules.clear()

    def back(self) -> list[str]:
        return self.sqs.bodies(self.main)

    def left(self) -> list[str]:
        from harness.resilience.envelope import read_envelope

        return [read_envelope(message).body for message in self.sqs.messages(self.dlq)]


def run_until_done(world: World, **options: Any) -> None:
    journal = MemoryJournal()  # as a file would keep it from process to process
    for _ in range(12):
        world.replay(journal, **options)
    world.calm()
    world.clock.advance(1_000)
    # Messages of a FIFO group come only when those before them are gone or given back.
    for _ in range(4):
        assert world.replay(journal, **options) is not None


def unheard(plan: list[tuple[str, str, int, str]]) -> bool:
    """Whether the plan may take away the answer of a send that took effect: then nobody can know.

    The fake sends a batch one by one, so a fault before the second one is in the middle of the batch.
    """
    return any(
        operation == "send_message" or (operation == "send_message_batch" and side == "after")
        for operation, side, _, _ in plan
    )


@given(letters, faults)
@settings(max_examples=examples(150), deadline=None)
def test_nothing_is_lost_and_what_is_rejected_stays(mix: list[Letter], plan: list[tuple[str, str, int, str]]) -> None:
    """Every wanted message is in the main queue, every other one in the dead-letter queue; none is in both."""
    world = World(mix, plan, fifo=False)
    run_until_done(world)
    wanted = [body for body in world.bodies if int(body) % 2 == 0]
    rejected = [body for body in world.bodies if int(body) % 2]
    assert sorted(set(world.back())) == sorted(wanted)
    assert sorted(world.left()) == sorted(rejected)
    if not unheard(plan):
        assert sorted(world.back()) == sorted(wanted)
    for message in world.sqs.messages(world.main):
        assert message["MessageAttributes"]["ReplayOf"]["StringValue"]


@given(letters, faults)
@settings(max_examples=examples(150), deadline=None)
def test_leaving_what_is_unsure_never_sends_twice(mix: list[Letter], plan: list[tuple[str, str, int, str]]) -> None:
    """With ``unsure="leave"`` no message is in the main queue twice, whatever was not heard; and none is lost."""
    world = World(mix, plan, fifo=False)
    run_until_done(world, unsure="leave")
    assert len(set(world.back())) == len(world.back())
    assert set(world.back()) | set(world.left()) == set(world.bodies)


@given(letters, faults)
@settings(max_examples=examples(150), deadline=None)
def test_fifo_returns_once_and_in_order(mix: list[Letter], plan: list[tuple[str, str, int, str]]) -> None:
    """In FIFO queues each message returns once, also after answers that nobody heard, and groups keep their order."""
    world = World([Letter(letter.form, True, letter.group) for letter in mix], plan, fifo=True)
    run_until_done(world)
    assert sorted(world.back()) == sorted(world.bodies)
    assert world.left() == []
    for group in range(3):
        sent = [body for body, letter in zip(world.bodies, mix, strict=True) if letter.group == group]
        arrived = [
            message["Body"]
            for message in world.sqs.messages(world.main)
            if message["Attributes"]["MessageGroupId"] == f"g{group}"
        ]
        known = [body for body in arrived if body in sent]
        assert known == [body for body in sent if body in known]
