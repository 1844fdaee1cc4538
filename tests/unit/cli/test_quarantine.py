"""``harness quarantine`` in a run: says which Redis and whose queues first, changes nothing without --yes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis

from harness.resilience import PoisonMessageDetector
from tests.unit.cli.operating import Bench, Done, runner_of
from tests.unit.resilience.operators import operate


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return runner_of(capfd)


def fill(bench: Bench, count: int = 3) -> None:
    detector = PoisonMessageDetector(redis.Redis.from_url(bench.redis))
    for n in range(count):
        message = {"MessageId": f"m{n}", "Body": json.dumps({"customer": f"c{n}"}), "Attributes": {}}
        detector.record_failure(f"m{n}")
        assert detector.quarantine_poison_message(message, f"failed \x1b[2J{n}", queue_url=bench.main)


def test_list_and_show(command: Callable[..., Done]) -> None:
    """Pages, newest first; one message in full; the server without its password; nothing moves the cursor."""

    def step(bench: Bench) -> None:
        fill(bench)
        url = bench.redis
        done = command("quarantine", "list", "--redis", url, "--limit", "2")
        assert done.code == 0, done.err
        assert done.err.splitlines() == [f"redis {url}", "quarantine poison_messages: 3 messages"]
        lines = done.out.splitlines()
        assert ["m2" in lines[0], "m1" in lines[1], lines[2]] == [True, True, "1 more: --cursor 1"]
        assert "\x1b" not in done.out
        page = json.loads(command("quarantine", "list", "--redis", url, "--cursor", "1", "--json", "-").out)
        assert [entry["messageId"] for entry in page["entries"]] == ["m0"]
        assert (page["total"], page["cursor"]) == (3, None)
        shown = json.loads(command("quarantine", "show", "m1", "--redis", url).out)
        assert (shown["messageBody"], shown["queue"]) == ('{"customer": "c1"}', bench.main)
        missing = command("quarantine", "show", "m9", "--redis", url)
        assert (missing.code, missing.out) == (1, "")

    operate(step)


def test_release(command: Callable[..., Done]) -> None:
    """Account, region and queue are said; without --yes nothing leaves; with it the message is back in its queue."""

    def step(bench: Bench) -> None:
        fill(bench)
        url = bench.redis
        dry = command("quarantine", "release", "m0", "--redis", url)
        assert dry.out == "would release 1; nothing was changed: do it with --yes\n"
        assert "account 000000000000" in dry.err
        assert f"queue {bench.main}: about 0 messages" in dry.err
        assert bench.count(bench.main) == (0, 0)
        done = command("quarantine", "release", "m0", "--redis", url, "--yes", "--json", "-")
        (released,) = json.loads(done.out)["released"]
        assert released["message_id"] == "m0"
        assert bench.bodies(bench.main) == ['{"customer": "c0"}']
        assert command("quarantine", "release", "--all", "--to", "other", "--redis", url, "--yes").out == "released 2\n"
        assert len(bench.bodies(bench.other)) == 2
        nothing = command("quarantine", "release", "m0", "--redis", url, "--yes")
        assert (nothing.code, nothing.out) == (1, "released 0\n")

    operate(step)


def test_purge_and_erase(command: Callable[..., Done]) -> None:
    """Both say how much first; erasing a customer leaves nothing of him in Redis."""

    def step(bench: Bench) -> None:
        fill(bench)
        url = bench.redis
        client = redis.Redis.from_url(url)
        assert command("quarantine", "erase", "c1", "--redis", url, "--yes").out == "erased 0 messages\n"
        dry = command("quarantine", "erase", "c1", "--anywhere", "--redis", url)
        assert dry.out.startswith("would erase 1 messages; nothing was changed")
        assert client.llen("poison_messages") == 3
        assert command("quarantine", "erase", "c1", "--anywhere", "--redis", url, "--yes").out == "erased 1 messages\n"
        assert not any(b"m1" in key for key in client.keys("*"))
        assert command("quarantine", "purge", "--redis", url).out.startswith("would remove 2")
        assert client.llen("poison_messages") == 2
        assert command("quarantine", "purge", "--redis", url, "--yes").out == "removed 2\n"
        assert client.llen("poison_messages") == 0

    operate(step)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "--redis", "nonsense"), "redis://HOST:PORT/DB"),
        (("release", "--yes"), "Give message ids or keys, or --all"),
        (("release", "m0", "--all"), "Give message ids or keys, or --all"),
        (("purge", "--yes", "--dry-run"), "contradict"),
    ],
)
def test_errors_are_one_clear_line(command: Callable[..., Done], arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2, one line with what is wrong and what to do."""

    def step(bench: Bench) -> None:
        done = command("quarantine", *arguments)
        assert (done.code, done.out) == (2, "")
        assert says in done.err.splitlines()[-1]

    operate(step)


def test_redis_that_is_not_there(command: Callable[..., Done]) -> None:
    """Nothing listens: one line, and the password is not in it."""
    done = command("quarantine", "list", "--redis", "redis://me:secret@127.0.0.1:1/0")
    assert done.code == 2
    assert "--redis" in done.err.splitlines()[-1]
    assert "secret" not in done.err


def test_older_entries_need_a_queue(command: Callable[..., Done]) -> None:
    """What an earlier tool put there names no queue: say which."""

    def step(bench: Bench) -> None:
        client = redis.Redis.from_url(bench.redis)
        client.lpush("poison_messages", json.dumps({"messageId": "old", "messageBody": "b"}))
        done = command("quarantine", "release", "old", "--redis", bench.redis, "--yes", "--region", "us-east-1")
        assert done.code == 2
        assert "Give --to QUEUE" in done.err.splitlines()[-1]
        assert client.llen("poison_messages") == 1

    operate(step)
