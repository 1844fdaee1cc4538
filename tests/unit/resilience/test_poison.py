"""The poison detector and its quarantine on a real redis-py client over fakeredis, decoding or not."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import fakeredis
import pytest
from redis.cluster import key_slot

from harness.resilience import poison as module
from harness.resilience.poison import PoisonEvent, PoisonMessageDetector, watch_quarantines
from tests.unit.resilience.sqs_fake import Clock, FakeSqs

QUEUE = "https://sqs.example/1/orders"
MESSAGE = {"MessageId": "m-1", "Body": "bad", "ReceiptHandle": "h", "Attributes": {"SentTimestamp": "1"}}


class Setup:
    def __init__(self, *, decode: bool = False, **keywords: Any) -> None:
        self.server = fakeredis.FakeServer()
        self.redis = fakeredis.FakeRedis(server=self.server, decode_responses=decode)
        self.clock = Clock(1_900_000_000.0)
        self.events: list[PoisonEvent] = []
        self.detector = self.another(**keywords)

    def another(self, **keywords: Any) -> PoisonMessageDetector:
        """One more detector on the same server, as another consumer has it."""
        keywords.setdefault("clock", self.clock)
        return PoisonMessageDetector(self.redis, monotonic=self.clock, listeners=[self.events.append], **keywords)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture(params=[False, True], ids=["bytes", "decoding"])
def s(request: pytest.FixtureRequest) -> Setup:
    return Setup(decode=request.param)


def test_defaults_are_the_known_ones() -> None:
    """Threshold, window and constructor are what users know."""
    detector = PoisonMessageDetector(fakeredis.FakeRedis())
    assert (detector.poison_threshold, detector.time_window) == (5, 3600)


def test_poison_at_the_threshold(s: Setup) -> None:
    """The fifth failure makes a message poison, not the fourth; other messages are not."""
    for n in range(1, 5):
        assert s.detector.record_failure("m-1") == n
        assert not s.detector.is_poison_message("m-1")
    s.detector.record_failure(b"m-1")
    assert s.detector.is_poison_message("m-1")
    assert not s.detector.is_poison_message("m-2")


def test_consumers_count_together(s: Setup) -> None:
    """Failures seen by two consumers add up."""
    other = s.another()
    for _ in range(2):
        s.detector.record_failure("m-1")
        other.record_failure("m-1")
    assert s.detector.record_failure("m-1") == 5
    assert other.is_poison_message("m-1")


def naive_record(client: Any, message_id: str) -> int:
    """The usual counter: its expiry starts anew with each failure, so that it never forgets a slow trickle."""
    key = f"message_failures:{message_id}"
    count = client.incr(key)
    client.expire(key, 3600)
    return int(count)


def test_window_is_true_and_does_not_slide(s: Setup) -> None:
    """One failure each half hour is never poison: each counts for an hour and no longer."""
    for _ in range(20):
        s.detector.record_failure("m-1")
        assert not s.detector.is_poison_message("m-1")
        s.clock.advance(1_800)
    assert s.detector.failure_count("m-1") == 1


def test_naive_window_slides() -> None:
    """The usual counter makes poison of the same message: what the test above would catch."""
    client = fakeredis.FakeRedis()
    assert [naive_record(client, "m") for _ in range(5)][-1] == 5
    assert client.ttl("message_failures:m") == 3600  # the expiry was renewed by the last failure, for all of them


def test_repeated_command_counts_once(s: Setup) -> None:
    """A client library that sends the same command again, because its answer was lost, counts one failure."""
    script = s.detector._script("RECORD")
    keys = module._failure_keys("m-1")
    args = [-1, 3_600_000_000, "caller:1"]
    assert script(keys=keys, args=args) == script(keys=keys, args=args) == 1


def test_counts_that_were_there_before_are_honoured(s: Setup) -> None:
    """An integer that earlier code counted under the known key counts, until its own expiry."""
    s.redis.set("message_failures:m-1", 4, ex=600)
    assert s.detector.failure_count("m-1") == 4
    assert s.detector.record_failure("m-1") == 5
    assert s.detector.is_poison_message("m-1")
    s.clock.advance(601)  # the four were 3,000 s old already
    assert s.detector.failure_count("m-1") == 1


def test_counts_of_code_that_still_runs_are_honoured(s: Setup) -> None:
    """Old and new consumers side by side: each other's failures count, and the old key stays an integer."""
    s.detector.record_failure("m-1")
    assert naive_record(s.redis, "m-1") == 2
    s.detector.record_failure("m-1")
    assert naive_record(s.redis, "m-1") == 4
    assert s.detector.failure_count("m-1") == 4
    assert int(s.redis.get("message_failures:m-1")) == 4


def test_counts_expire_by_themselves(s: Setup) -> None:
    """Both keys have an expiry of the window: nothing is left behind by messages that recovered."""
    s.detector.record_failure("m-1")
    for key in module._failure_keys("m-1"):
        assert 3_590 < s.redis.ttl(key) <= 3_600


def test_server_clock_decides_by_default() -> None:
    """Without a clock of its own the detector counts by the server's time: a consumer's wrong clock changes nothing."""
    s = Setup(clock=None)
    for _ in range(5):
        s.detector.record_failure("m-1")
    s.clock.advance(86_400)  # only this process's clock moves
    assert s.detector.is_poison_message("m-1")


@pytest.mark.parametrize("identity", ["m-1", "order{7}", "a}b{c", "", "ü"])
def test_keys_of_one_operation_share_a_slot(identity: str) -> None:
    """A cluster can run each script: its keys are in one hash slot, whatever the id contains."""
    slots = {key_slot(key.encode()) for key in module._failure_keys(identity)}
    assert len(slots) == 1
    assert len({key_slot(key.encode()) for key in module._QUARANTINE_KEYS}) == 1


def test_quarantine_entry_has_the_known_fields(s: Setup) -> None:
    """The list and the fields are those that earlier readers know; times are UTC."""
    for _ in range(5):
        s.detector.record_failure("m-1")
    assert s.detector.quarantine_poison_message(MESSAGE, "why")
    (raw,) = s.redis.lrange("poison_messages", 0, -1)
    document = json.loads(raw)
    assert (document["messageId"], document["messageBody"], document["quarantineReason"]) == ("m-1", "bad", "why")
    assert document["failureCount"] == 5
    assert datetime.fromisoformat(document["quarantineTime"]).utcoffset() is not None
    assert s.kinds()[-1] == "quarantined"


def test_naive_quarantine_fails_on_bytes() -> None:
    """The usual entry puts the count as Redis gives it into JSON, which holds no bytes: nothing is ever quarantined."""
    client = fakeredis.FakeRedis()
    client.incr("message_failures:m")
    with pytest.raises(TypeError, match="bytes"):
        json.dumps({"failureCount": client.get("message_failures:m")})


def test_quarantine_keeps_what_json_cannot_hold(s: Setup) -> None:
    """Binary attributes and odd values survive, and come back as what they were."""
    message = {
        **MESSAGE,
        "MessageAttributes": {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}},
        "seen": {3, 1},
        "blob": bytearray(b"\x01"),
        "when": datetime(2030, 1, 1),
        "odd": object,
    }
    assert s.detector.quarantine_poison_message(message, "why")
    (entry,) = s.detector.quarantined()
    assert entry.attributes == {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    assert entry.document["otherFields"]["seen"] == {"$set": [1, 3]}
    assert entry.document["otherFields"]["blob"] == {"$bytes": "AQ=="}


def test_same_message_is_quarantined_once(s: Setup) -> None:
    """A message that comes again, because its delete failed, makes no second entry, and counts as taken."""
    assert s.detector.quarantine_poison_message(MESSAGE, "first")
    assert s.another().quarantine_poison_message(MESSAGE, "second")
    assert [entry.reason for entry in s.detector.quarantined()] == ["first"]
    assert s.kinds().count("quarantined") == 1


def test_full_quarantine_refuses_and_drops_nothing() -> None:
    """A full quarantine keeps what it has, refuses more, and says so."""
    s = Setup(quarantine_limit=2)
    answers = [s.detector.quarantine_poison_message({**MESSAGE, "MessageId": f"m{n}"}, "why") for n in range(3)]
    assert answers == [True, True, False]
    assert [entry.message_id for entry in s.detector.quarantined()] == ["m1", "m0"]
    assert s.events[-1].kind == "refused"
    assert "holds 2" in s.events[-1].reason


def test_entries_expire_and_that_is_said(s: Setup) -> None:
    """An entry is kept for its time to live and goes with a notice; entries of earlier tools stay."""
    s.redis.lpush("poison_messages", json.dumps({"messageId": "old", "messageBody": "b"}))
    s.detector.quarantine_ttl = 100
    s.detector.quarantine_poison_message(MESSAGE, "why")
    s.clock.advance(50)
    s.detector.quarantine_poison_message({**MESSAGE, "MessageId": "m-2"}, "why")
    s.clock.advance(60)
    assert [entry.message_id for entry in s.detector.quarantined()] == ["m-2", "old"]
    assert s.events[-1].kind == "expired"
    assert s.events[-1].count == 1
    s.clock.advance(50)
    assert s.detector.quarantine_poison_message(MESSAGE, "again")
    assert [entry.message_id for entry in s.detector.quarantined()] == ["m-1", "old"]


def test_reads_what_earlier_tools_quarantined(s: Setup) -> None:
    """Entries without a version, and junk, are listed as what they are."""
    s.redis.lpush("poison_messages", "no json", json.dumps({"messageId": "x", "messageBody": "b", "failureCount": "5"}))
    first, second = s.detector.quarantined()
    assert (first.message_id, first.body, first.failure_count, first.version) == ("x", "b", 5, 0)
    assert second.body == "no json"


def test_release_sends_first_and_forgets_failures(s: Setup) -> None:
    """A released message is in its queue as it was sent, out of the quarantine, and starts with no failures."""
    sqs = FakeSqs(s.clock)
    for _ in range(5):
        s.detector.record_failure("m-1")
    message = {**MESSAGE, "MessageAttributes": {"b": {"DataType": "Binary", "BinaryValue": b"\x00"}}}
    s.detector.quarantine_poison_message(message, "why", queue_url=QUEUE)
    (release,) = s.detector.release("m-1", sqs=sqs)
    assert sqs.bodies(QUEUE) == ["bad"]
    marked = sqs.queues[QUEUE][0].attributes
    assert marked.pop("ReplayOf") == {"DataType": "String", "StringValue": "m-1"}
    assert marked == {"b": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    assert release.new_message_id == "m1"
    assert s.detector.quarantined() == []
    assert not s.detector.is_poison_message("m-1")
    assert s.kinds()[-1] == "released"
    assert s.detector.quarantine_poison_message(message, "again")


def test_failed_release_keeps_the_entry(s: Setup) -> None:
    """If the send fails the message stays in quarantine."""
    sqs = FakeSqs(s.clock)
    sqs.errors["send_message"] = [ConnectionError("down")]
    s.detector.quarantine_poison_message(MESSAGE, "why", queue_url=QUEUE)
    with pytest.raises(ConnectionError):
        s.detector.release("m-1", sqs=sqs)
    assert len(s.detector.quarantined()) == 1


def test_release_needs_a_queue(s: Setup) -> None:
    """An entry that does not say where it came from asks for the queue."""
    s.detector.quarantine_poison_message(MESSAGE, "why")
    with pytest.raises(ValueError, match="queue_url"):
        s.detector.release("m-1", sqs=FakeSqs(s.clock))


def test_erase_and_purge(s: Setup) -> None:
    """Erase removes one key's entries for good, purge everything."""
    for n in range(3):
        s.detector.quarantine_poison_message({**MESSAGE, "MessageId": f"m{n}"}, "why")
    assert s.detector.erase("m1") == 1
    assert [entry.message_id for entry in s.detector.quarantined()] == ["m2", "m0"]
    assert s.detector.purge() == 2
    assert s.detector.quarantined() == []
    assert s.kinds()[-2:] == ["erased", "purged"]


def test_identity_follows_a_replayed_message() -> None:
    """With a key out of the body, failures of a message count on after a replay gave it another id."""
    s = Setup(identity=lambda message: json.loads(message["Body"])["order"])
    first = {"MessageId": "a", "Body": '{"order": "o-7"}'}
    second = {"MessageId": "b", "Body": '{"order": "o-7"}'}
    for message in (first, first, first, second, second):
        s.detector.record_failure(s.detector.identity(message))
    assert s.detector.is_poison_message(s.detector.identity(second))


def test_redis_down_fails_open_and_says_so(s: Setup) -> None:
    """Without Redis nothing raises: this process counts alone, tells once that it does, and tells the return."""
    s.server.connected = False
    for n in range(1, 6):
        assert not s.detector.is_poison_message("m-1")
        assert s.detector.record_failure("m-1") == n
    assert s.detector.is_poison_message("m-1")
    assert not s.detector.is_poison_message("m-2")
    assert not s.detector.quarantine_poison_message(MESSAGE, "why")
    assert s.detector.degraded
    assert s.kinds().count("redis-down") == 1
    assert s.events[-1].kind == "refused"
    s.server.connected = True
    s.clock.advance(6)
    assert s.detector.quarantine_poison_message(MESSAGE, "why")
    assert not s.detector.degraded
    assert s.kinds().count("redis-up") == 1


def test_down_redis_is_not_asked_at_every_message() -> None:
    """After a failure Redis is left alone for a while: a time-out a message would stop the consumer."""
    calls: list[str] = []

    class Down:
        def register_script(self, text: str) -> Any:
            def run(keys: list[str], args: list[Any]) -> Any:
                calls.append(text)
                raise TimeoutError("no answer")

            return run

    clock = Clock()
    detector = PoisonMessageDetector(Down(), monotonic=clock, redis_pause=5)
    for _ in range(100):
        detector.is_poison_message("m")
    assert len(calls) == 1
    clock.advance(5)
    detector.is_poison_message("m")
    assert len(calls) == 2


def test_flushed_server_is_no_error(s: Setup) -> None:
    """After a flush the scripts are loaded again; the counts begin anew."""
    s.detector.record_failure("m-1")
    s.redis.flushall()
    s.redis.script_flush()
    assert s.detector.record_failure("m-1") == 1


def test_watchers_see_every_detector() -> None:
    """A watcher is told of detectors that exist and of later ones, until it stops."""
    seen: list[PoisonEvent] = []
    s = Setup()
    stop = watch_quarantines(seen.append)
    try:
        s.detector.quarantine_poison_message(MESSAGE, "why")
        assert [(event.kind, event.message_id, event.reason) for event in seen] == [("quarantined", "m-1", "why")]
    finally:
        stop()
    s.detector.purge()
    assert len(seen) == 1


def test_own_counts_are_bounded() -> None:
    """What this process remembers of failures does not grow with the number of messages."""
    s = Setup()
    s.server.connected = False
    for n in range(10_500):
        s.detector.record_failure(f"m{n}")
    assert len(s.detector._local) <= 10_000


@pytest.mark.parametrize("keywords", [{"poison_threshold": 0}, {"time_window": 0}, {"quarantine_limit": 0}])
def test_impossible_limits_are_refused(keywords: dict[str, Any]) -> None:
    """A threshold, window or limit of nothing is refused."""
    with pytest.raises(ValueError, match="above 0"):
        PoisonMessageDetector(fakeredis.FakeRedis(), **keywords)
