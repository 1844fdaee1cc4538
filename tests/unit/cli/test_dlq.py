"""``harness dlq`` in a run: says whose queue it is first, changes nothing without --yes, errors are one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.faults.plan import Fault
from tests.unit.cli.operating import Bench, Done, runner_of
from tests.unit.resilience.operators import operate
from tests.unit.resilience.test_payloads import LARGE, Store, fill

#: Stores, and what is none, as ``--payloads`` names them.
BUCKET = Store()
NUMBER = 7
HERE = "tests.unit.cli.test_dlq"


def bucket() -> Store:
    return BUCKET


def closed() -> Store:
    raise ConnectionError("no credentials")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return runner_of(capfd)


def test_analyze_shows_account_region_and_queue_first(command: Callable[..., Done], tmp_path: Path) -> None:
    """The header names account, caller, region and queue; the table and the JSON say the same."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b", reason="Stripe timeout")
        bench.plain("p")
        file = tmp_path / "analysis.json"
        done = command("dlq", "analyze", bench.dlq, "--json", str(file), "--pattern", "stripe=Stripe")
        assert done.code == 0, done.err
        first, second = done.err.splitlines()[:2]
        assert first.startswith("account 000000000000 (arn:aws:iam::000000000000:user/harness), region us-east-1")
        assert second == f"dead-letter queue {bench.dlq}: about 3 messages, 0 in flight"
        found = json.loads(file.read_text())
        assert (found["account"], found["region"], found["total_messages"]) == ("000000000000", "us-east-1", 3)
        assert found["error_patterns"] == {"stripe": 2, "other": 1}
        assert "3 messages" in done.out
        assert "stripe" in done.out
        by_name = command("dlq", "analyze", "orders-dlq", "--json", "-")
        assert json.loads(by_name.out)["total_messages"] == 3
        assert bench.count(bench.dlq) == (3, 0)

    operate(step)


def test_replay_is_a_dry_run_unless_yes(command: Callable[..., Done]) -> None:
    """Without --yes it says what it would do and changes nothing; with it, it does that."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f'{{"n": {n}}}' for n in range(5)))
        done = command("dlq", "replay", bench.dlq, "--to", "orders")
        assert (done.code, done.out.splitlines()[0]) == (
            0,
            "would send 5; nothing was changed: do it with --yes",
        )
        assert (bench.count(bench.main), bench.count(bench.dlq)) == ((0, 0), (5, 0))
        assert command("dlq", "replay", bench.dlq, "--to", "orders", "--yes", "--dry-run").code == 2
        done = command("dlq", "replay", bench.dlq, "--to", "orders", "--yes", "--where", "$.n=3", "--json", "-")
        result = json.loads(done.out)
        assert (result["sent"], result["rejected"], result["account"]) == (1, 4, "000000000000")
        done = command("dlq", "replay", bench.dlq, "--to-origin", "--yes", "--limit", "2", "--patch", '{"fixed": true}')
        assert done.out.startswith("sent 2\n")
        assert bench.count(bench.dlq) == (2, 0)
        bodies = [json.loads(body) for body in bench.bodies(bench.main)]
        assert sum("fixed" in body for body in bodies) == 2
        assert command("dlq", "replay", bench.dlq, "--to-origin", "--yes", "--reason", "nothing like it").code == 0
        assert bench.count(bench.dlq) == (2, 0)

    operate(step)


def test_replay_goes_on_from_its_journal(command: Callable[..., Done], tmp_path: Path) -> None:
    """Deletes that failed are done by the next run with the same journal, and nothing is sent again."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b")
        arguments = ("dlq", "replay", bench.dlq, "--to", "orders", "--yes", "--journal", str(tmp_path / "j"))
        first = command(*arguments)
        assert first.code == 1
        assert "undeleted 2" in first.out
        import time

        time.sleep(600)
        second = command(*arguments)
        assert (second.code, "already sent 2" in second.out) == (0, True)
        assert bench.bodies(bench.main) == ["a", "b"]

    operate(step, faults=[Fault("aws.sqs.DeleteMessageBatch", "access-denied", end=300)])


def test_native(command: Callable[..., Done]) -> None:
    """SQS's own task moves plain dead letters; envelopes are refused with the reason."""

    def step(bench: Bench) -> None:
        bench.plain("a", "b")
        dry = command("dlq", "replay", bench.dlq, "--to", "orders", "--native")
        assert dry.out.startswith("would send 2")
        done = command("dlq", "replay", bench.dlq, "--to", "orders", "--native", "--yes", "--rate", "50")
        assert (done.code, done.out) == (0, "sent 2\n")
        assert bench.bodies(bench.main) == ["a", "b"]
        bench.envelopes("e")
        refused = command("dlq", "replay", bench.dlq, "--to", "orders", "--native", "--yes")
        assert refused.code == 2
        assert "envelope" in refused.err.splitlines()[-1]
        assert command("dlq", "replay", bench.dlq, "--to", "orders", "--native", "--limit", "1").code == 2

    operate(step)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("analyze", "nowhere"), "Check the queue's name, the region and the account"),
        (("replay", "orders-dlq"), "--to QUEUE and --to-origin"),
        (("replay", "orders-dlq", "--to", "nowhere"), "Check the queue's name"),
        (("replay", "orders-dlq", "--to", "orders", "--patch", "{"), "is not JSON"),
        (("replay", "orders-dlq", "--to", "orders", "--patch", "7"), "--patch"),
        (("replay", "orders-dlq", "--to", "orders", "--patch", "no-such-file"), "cannot be read"),
        (("replay", "orders-dlq", "--to", "orders", "--reason", "("), "no regular expression"),
        (("replay", "orders-dlq", "--to", "orders", "--where", "$.a"), "PATH=VALUE"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", "no.such:store"), "'no.such', which is not there"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", f"{HERE}:nothing"), "does not have"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", HERE), "MODULE:NAME"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", f"{HERE}:NUMBER"), "no store of payloads"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", f"{HERE}:closed"), "no credentials"),
        (("replay", "orders-dlq", "--to", "orders", "--payloads", f"{HERE}:BUCKET", "--native"), "--payloads"),
        (("analyze", "orders-dlq", "--pattern", "x"), "NAME=REGEX"),
        (("analyze", "orders-dlq", "--pattern", "x=("), "no regular expression"),
        (("analyze", "orders-dlq", "--json", "no/such/folder/file"), "Make it first"),
        (("analyze", "orders-dlq", "--profile", "no-such-profile"), "list-profiles"),
    ],
)
def test_errors_are_one_clear_line(command: Callable[..., Done], arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2, one line with what is wrong and what to do."""

    def step(bench: Bench) -> None:
        done = command("dlq", *arguments)
        assert (done.code, done.out) == (2, "")
        assert says in done.err.splitlines()[-1]
        assert "Traceback" not in done.err

    operate(step)


def test_replay_of_claim_checks(command: Callable[..., Done]) -> None:
    """Without their store they stay, and the command says which option brings them back; with it they come back."""

    def step(bench: Bench) -> None:
        fill(bench, BUCKET, LARGE, "small")
        reference = next(iter(BUCKET.payloads))
        replay = ("dlq", "replay", bench.dlq, "--to", "orders")
        analysis = command("dlq", "analyze", bench.dlq, "--json", "-")
        assert json.loads(analysis.out)["forms"] == {"claim-check": 1, "envelope": 1}
        dry = command(*replay)
        assert dry.out.splitlines()[:2] == ["would send 1; nothing was changed: do it with --yes", "skipped 1"]
        assert f"as {reference}: replay it with that store (payloads=..., or harness dlq replay --payloads" in dry.out
        assert command(*replay, "--yes").out.startswith("sent 1\nskipped 1\n")
        assert command(*replay, "--payloads", f"{HERE}:bucket").out.startswith("would send 1;")
        done = command(*replay, "--payloads", f"{HERE}:BUCKET", "--yes")
        assert (done.code, done.out.splitlines()[0]) == (0, "sent 1")
        assert bench.bodies(bench.main) == sorted([LARGE, "small"])
        fill(bench, BUCKET, LARGE)
        BUCKET.down = True
        lost = command(*replay, "--payloads", f"{HERE}:BUCKET", "--yes")
        BUCKET.down = False
        assert lost.code == 1
        assert "failed 1" in lost.out
        assert "the bucket cannot be reached" in lost.out
        assert bench.count(bench.dlq) == (1, 0)

    operate(step)


def test_a_store_in_the_current_folder(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the current folder is found, and a class is made without arguments."""
    (tmp_path / "letters_of_ours.py").write_text(
        "class Bucket:\n    def put(self, p): ...\n    def get(self, r): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))

    def step(bench: Bench) -> None:
        done = command("dlq", "replay", bench.dlq, "--to-origin", "--payloads", "letters_of_ours:Bucket")
        assert (done.code, done.out) == (0, "would send 0; nothing was changed: do it with --yes\n")

    operate(step)
    del sys.modules["letters_of_ours"]


def test_denied(command: Callable[..., Done]) -> None:
    """Credentials that may not: one line that says what they need."""

    def step(bench: Bench) -> None:
        done = command("dlq", "analyze", bench.dlq)
        assert done.code == 2
        assert "may receive" in done.err.splitlines()[-1]

    operate(step, faults=[Fault("aws.sqs.ReceiveMessage", "access-denied")])


def test_a_target_that_breaks_off(command: Callable[..., Done]) -> None:
    """What was done until then is told, with exit code 1, and the rest is visible again."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b")
        done = command("dlq", "replay", bench.dlq, "--to", f"{bench.main}", "--yes")
        assert done.code == 1
        assert "stopped" in done.err
        assert bench.count(bench.dlq) == (2, 0)

    operate(step, faults=[Fault("aws.sqs.SendMessageBatch", "access-denied")])
