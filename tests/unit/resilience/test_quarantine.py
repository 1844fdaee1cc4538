"""The quarantine's management, on redis-py clients that decode and that do not, over what we and others put there."""

from __future__ import annotations

import json
from typing import Any

import fakeredis
import pytest
from redis.cluster import key_slot

from harness.resilience.poison import PoisonMessageDetector
from harness.resilience.quarantine import Quarantine
from tests.unit.resilience.sqs_fake import Clock, FakeSqs

QUEUE = "https://sqs.example/1/orders"
FIFO = f"{QUEUE}.fifo"


class Setup:
    def __init__(self, decode: bool) -> None:
        self.redis = fakeredis.FakeRedis(decode_responses=decode)
        self.clock = Clock(1_900_000_000.0)
        self.detector = PoisonMessageDetector(
            self.redis, clock=self.clock, monotonic=self.clock, identity=lambda message: f"key-{message['MessageId']}"
        )
        self.quarantine = Quarantine(self.redis, scan=3, clock=self.clock)
        self.sqs = FakeSqs(self.clock)

    def put(self, *ids: str, body: str = "bad", **message: Any) -> None:
        for message_id in ids:
            made = {"MessageId": message_id, "Body": body, "Attributes": {}, **message}
            assert self.detector.quarantine_poison_message(made, "why", queue_url=QUEUE)

    def older(self, message_id: str, body: str = "old") -> None:
        """As earlier tools wrote it."""
        entry = {
            "messageId": message_id,
            "messageBody": body,
            "quarantineReason": "r",
            "quarantineTime": "2029-01-01T00:00:00",
            "failureCount": 5,
        }
        self.redis.lpush("poison_messages", json.dumps(entry))

    def ids(self) -> list[str]:
        return [entry.message_id for entry in self.quarantine]


@pytest.fixture(params=[False, True], ids=["bytes", "decoding"])
def s(request: pytest.FixtureRequest) -> Setup:
    return Setup(request.param)


def test_pages(s: Setup) -> None:
    """Page after page shows each entry once, newest first, older tools' among them."""
    s.older("old")
    s.put(*(f"m{n}" for n in range(7)))
    page = s.quarantine.page(limit=3)
    assert ([entry.message_id for entry in page.entries], page.total) == (["m6", "m5", "m4"], 8)
    page = s.quarantine.page(page.cursor, limit=3)
    assert [entry.message_id for entry in page.entries] == ["m3", "m2", "m1"]
    page = s.quarantine.page(page.cursor, limit=3)
    assert ([entry.message_id for entry in page.entries], page.cursor) == (["m0", "old"], None)
    assert s.ids() == ["m6", "m5", "m4", "m3", "m2", "m1", "m0", "old"]
    assert Setup(False).quarantine.page().entries == []


def test_pages_hide_nothing_while_others_come_and_go(s: Setup) -> None:
    """What is put in meanwhile shifts no page (an offset from the newest would show entries again)."""
    s.put(*(f"m{n}" for n in range(6)))
    page = s.quarantine.page(limit=2)
    s.put("n1", "n2", "n3")
    page = s.quarantine.page(page.cursor, limit=2)
    assert [entry.message_id for entry in page.entries] == ["m3", "m2"]
    assert [entry.message_id for entry in s.quarantine.entries(offset=2, limit=2)] == ["n1", "m5"]  # the naive way
    s.quarantine.erase("m0")
    seen = [entry.message_id for entry in page.entries]
    while page.cursor is not None:
        page = s.quarantine.page(page.cursor, limit=2)
        seen += [entry.message_id for entry in page.entries]
    assert {"m3", "m2", "m1"} <= set(seen)


def test_find_by_id_and_by_key(s: Setup) -> None:
    """An entry is found by its message id and by the key that its failures are counted by, however long the list."""
    for n in range(12):
        s.older(f"old{n}")
    s.put("m1")
    assert [entry.message_id for entry in s.quarantine.find("old0")] == ["old0"]
    assert [entry.message_id for entry in s.quarantine.find("key-m1")] == ["m1"]
    assert s.quarantine.find("m") == []


def test_release_forgets_failures_sends_and_removes(s: Setup) -> None:
    """In this order: who receives it finds no failures; what dies in between leaves it in quarantine."""
    s.put("m1", "m2")
    for _ in range(5):
        s.detector.record_failure("key-m1")
    counts: list[int] = []
    send = s.sqs.send_message

    def seen(**request: Any) -> dict[str, Any]:
        counts.append(s.detector.failure_count("key-m1"))
        assert s.ids() == ["m2", "m1"]
        return send(**request)

    s.sqs.send_message = seen  # type: ignore[method-assign]  # to look at the moment of the send
    (release,) = s.quarantine.release("m1", sqs=s.sqs)
    assert counts == [0]
    assert release.new_message_id
    assert s.ids() == ["m2"]
    assert s.sqs.messages(QUEUE)[0]["MessageAttributes"]["ReplayOf"]["StringValue"] == "m1"


def test_release_that_cannot_be_sent_stays(s: Setup) -> None:
    """A refused send removes nothing."""
    s.put("m1")
    s.sqs.errors["send_message"] = [ConnectionError("no")]
    with pytest.raises(ConnectionError):
        s.quarantine.release("m1", sqs=s.sqs)
    assert s.ids() == ["m1"]
    assert s.quarantine.release("m1", sqs=s.sqs)


def test_release_again_after_a_crash_is_dropped_by_a_fifo_queue(s: Setup) -> None:
    """Sent, killed before the removal, released again: the FIFO queue takes it once."""
    s.put("m1", Attributes={"MessageGroupId": "g"})
    s.sqs.after["send_message"] = [ConnectionError("the answer is lost")]
    with pytest.raises(ConnectionError):
        s.quarantine.release("m1", sqs=s.sqs, queue_url=FIFO)
    s.quarantine.release("m1", sqs=s.sqs, queue_url=FIFO)
    assert s.sqs.bodies(FIFO) == ["bad"]
    assert s.ids() == []


def test_release_of_older_entries_needs_a_queue(s: Setup) -> None:
    """They do not say where they came from: without a queue nothing is released, of none of them."""
    s.older("o1")
    with pytest.raises(ValueError, match="queue_url"):
        s.quarantine.release("o1", sqs=s.sqs)
    assert s.ids() == ["o1"]
    s.quarantine.release("o1", sqs=s.sqs, queue_url=QUEUE)
    assert s.sqs.bodies(QUEUE) == ["old"]


def test_release_of_an_entry_that_is_gone(s: Setup) -> None:
    """Two operators at once: what the other one released is not sent again."""
    s.put("m1")
    entries = s.quarantine.find("m1")
    s.quarantine.release("m1", sqs=s.sqs)
    assert s.quarantine.release_entries(entries, sqs=s.sqs) == []
    assert s.sqs.bodies(QUEUE) == ["bad"]


def test_erase_removes_entries_and_counts(s: Setup) -> None:
    """Nothing of the key is left, also where there is no entry but only a count."""
    s.put("m1", "m2")
    s.detector.record_failure("key-m1")
    s.detector.record_failure("only-counted")
    assert s.quarantine.erase("m1") == 1
    assert s.quarantine.erase("only-counted") == 0
    assert s.ids() == ["m2"]
    left = [key.decode() if isinstance(key, bytes) else key for key in s.redis.keys("*")]
    assert [key for key in left if "m1" in key or "only-counted" in key] == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"customer": {"id": "c-42"}}', True),
        ('{"customers": [1, "c-42"]}', True),
        ('{"customer": "c-421"}', False),
        ('{"note": "of c-42"}', False),
        ("customer c-42, please", True),
        ("customer xc-42", False),
    ],
)
def test_erase_by_a_value_of_the_body(s: Setup, body: str, found: bool) -> None:
    """A data-protection request names a customer, not a message: entries that hold the value go, others stay."""
    s.put("m1", body=body)
    s.older("o1", body)
    assert s.quarantine.erase("c-42") == 0
    assert s.quarantine.erase("c-42", anywhere=True) == (2 if found else 0)
    assert len(s.quarantine) == (0 if found else 2)


def test_erase_by_an_attribute(s: Setup) -> None:
    """Values of message attributes count too."""
    s.put("m1", MessageAttributes={"customer": {"DataType": "String", "StringValue": "c-42"}})
    assert s.quarantine.erase("c-42", anywhere=True) == 1


def test_purge(s: Setup) -> None:
    """Everything goes, older entries too, and the same messages can be put in quarantine again."""
    s.older("o1")
    s.put("m1", "m2")
    assert s.quarantine.purge() == 3
    assert s.quarantine.purge() == 0
    s.put("m1")
    assert s.ids() == ["m1"]


def test_keys_of_each_call_share_a_slot(s: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is called, all keys of one script or command are in one slot of a cluster."""
    used: list[list[str]] = []
    execute = s.redis.execute_command

    def watched(*args: Any, **options: Any) -> Any:
        name = str(args[0]).upper()
        if name in ("EVALSHA", "EVAL"):
            used.append([str(key) for key in args[3 : 3 + int(args[2])]])
        elif name in ("DEL", "UNLINK"):
            used.append([str(key) for key in args[1:]])
        return execute(*args, **options)

    monkeypatch.setattr(s.redis, "execute_command", watched)
    s.put("m{1}", "m2", "m3")
    s.detector.record_failure("key-m{1}")
    s.quarantine.page()
    s.quarantine.release("m2", sqs=s.sqs)
    s.quarantine.erase("m{1}")
    s.quarantine.purge()
    assert len(used) > 8
    for keys in used:
        assert len({key_slot(key.encode()) for key in keys}) == 1, keys


def test_expired_entries_are_not_shown(s: Setup) -> None:
    """What passed its time is gone before anything is shown."""
    s.put("m1")
    s.clock.advance(15 * 86_400)
    assert len(s.quarantine) == 0
    assert s.quarantine.page().entries == []
