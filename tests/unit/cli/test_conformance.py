"""harness conformance: which servers it speaks to, what it says, what it leaves behind."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import boto3
import pytest

from benchmarks.fidelity import moto_server, on_server
from harness.cli import conformance, run_command
from harness.errors import EnvironmentFailed
from harness.fidelity.known import known, of_recording
from harness.fidelity.recording import document
from harness.fidelity.rows import Row, peer
from harness.fidelity.run import Outcome
from harness.fidelity.table import rows
from tests.unit.cli.conftest import Done

Command = Callable[..., Done]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's server, which differs from AWS on rules that are known."""
    with moto_server() as endpoint:
        yield endpoint


def test_simulated(command: Command, tmp_path: Path) -> None:
    """Without a server the harness's own SQS is tried; all is as AWS, and a recording is written."""
    done = command("conformance", "sqs", "--simulated", "--only", "send-*", "--only", "941", "--json", "out.json")
    assert done.code == 0, done.err
    assert "1 as AWS, 0 differ, 1 left out" in done.out
    assert "left out: 941 get-without-action is about HTTP itself" in done.out
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["version"], found["region"], found["endpoint"]) == (1, "us-east-1", "simulated")
    assert [case["id"] for case in found["cases"]] == ["send-answer", "get-without-action"]
    assert [call["operation"] for call in found["cases"][0]["calls"]] == ["CreateQueue", "SendMessage"]


def test_a_server_that_differs(command: Command, server: str) -> None:
    """A difference is shown with number, id and both answers, and the exit code is 1; the queues are gone."""
    done = command("conformance", "sqs", "--endpoint", server, "--only", "send-answer", "--only", "empty-body")
    assert done.code == 1
    assert "✗ 204 empty-body: SendMessage is accepted, where AWS refuses it with MissingParameter" in done.out
    assert "1 as AWS, 1 differs" in done.out
    assert "QueueUrls" not in client(server).list_queues()


def test_a_server_that_agrees(command: Command, server: str) -> None:
    """Nothing differs: exit code 0. The recording goes to standard output, what is said to standard error."""
    done = command("conformance", "sqs", "--endpoint", server, "--only", "get-queue-url", "--json", "-")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["cases"][0]["outcome"] == "same"
    assert found["date"].startswith("20")
    assert "1 as AWS" in done.err


def test_patience(command: Command, server: str) -> None:
    """What waits longer than the patience is left out, and where nothing else is there the exit code is 4."""
    done = command("conformance", "sqs", "--endpoint", server, "--only", "retention", "--patience", "1")
    assert done.code == 4
    assert "left out: 430 retention waits 62 s, more than the patience of 1 s" in done.out


def test_nothing_answers(command: Command) -> None:
    """A port where nothing listens: one line, exit code 3."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        done = command("conformance", "sqs", "--endpoint", f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.code == 3
    assert done.err.startswith("harness: no SQS answers at http://127.0.0.1:")
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "one of --endpoint URL and --simulated"),
        (["--endpoint", "http://127.0.0.1:1", "--simulated"], "one of --endpoint URL and --simulated"),
        (["--endpoint", "127.0.0.1:5000"], "is no URL"),
        (["--endpoint", "https://sqs.eu-west-1.amazonaws.com"], "--allow-remote and --prefix NAME"),
        (["--endpoint", "https://sqs.eu-west-1.amazonaws.com", "--allow-remote"], "--prefix NAME"),
        (["--endpoint", "https://sqs.eu-west-1.amazonaws.com", "--prefix", "test-"], "--allow-remote"),
        (["--endpoint", "http://127.0.0.1.nip.io:5000"], "is not this machine"),
        (["--endpoint", "http://10.0.0.7:5000"], "is not this machine"),
        (["--endpoint", "http://127.0.0.1:1", "--prefix", "a b"], "cannot stand in front of queue names"),
        (["--endpoint", "http://x.test:1", "--allow-remote", "--prefix", "test-"], "--region NAME"),
        (["--simulated", "--only", "send-anwser"], "no rule is 'send-anwser'"),
        (["--simulated", "--json", "no/such/folder/x.json"], "Make it first"),
    ],
)
def test_bad_input(command: Command, arguments: list[str], text: str) -> None:
    """Wrong usage, or a server that may not be spoken to: one line with the remedy, exit code 2."""
    done = command("conformance", "sqs", *arguments)
    assert done.code == 2
    assert text in done.err
    assert done.err.count("\n") == 1


def test_loopback() -> None:
    """Only addresses of this machine, and localhost, are loopback; no name server is asked."""
    assert all(map(conformance.loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(map(conformance.loopback, ("localhost.example.com", "0.0.0.0", "10.0.0.1", "aws", "127.0.0.1.x")))


def test_remote_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS gets the user's own keys, the region of its host, the given prefix and a token; no request is made."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    endpoint = "https://sqs.eu-west-1.amazonaws.com"
    site = conformance._site(endpoint, None, allow_remote=True, prefix="mine-", timeout=1)
    assert (site.remote, site.region, site.keys()[0]) == (True, "eu-west-1", "own")
    assert site.prefix.startswith("mine-")
    assert len(site.prefix) > len("mine-") + 5
    assert site.client.meta.endpoint_url == endpoint


def test_remote_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nothing is sent to AWS: the environment could not be started."""
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda self: None)
    with pytest.raises(EnvironmentFailed, match="no AWS credentials"):
        conformance._site("https://sqs.eu-west-1.amazonaws.com", None, allow_remote=True, prefix="mine-", timeout=1)


def outcome(state: str) -> Outcome:
    return Outcome(Row(1, "x", "X.", peer("nobody"), None, 0, False, ""), state)  # type: ignore[arg-type]


def test_exit_codes() -> None:
    """A difference beats a missing answer, that beats nothing tried."""
    codes = {
        ("same", "left out"): 0,
        ("same", "differs", "error"): 1,
        ("same", "error"): 3,
        ("left out",): 4,
        (): 4,
    }
    for states, code in codes.items():
        assert conformance.exit_code([outcome(state) for state in states]) == code


def test_interrupted(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends the command with 130, and no queue is left on the server."""
    from harness.fidelity.bench import Bench

    def interrupt(bench: Bench, seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "wait", interrupt)
    assert run_command(["conformance", "sqs", "--endpoint", server, "--only", "delayed-message"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert "QueueUrls" not in client(server).list_queues()


def client(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    return boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", **keys)


@pytest.mark.slow
@pytest.mark.skipif(
    metadata.version("moto") != known()["moto"].version,
    reason=f"the table is of moto {known()['moto'].version}: python -m benchmarks.fidelity --try",
)
def test_the_whole_table_on_motos_server(server: str) -> None:
    """On moto's server each case that can be tried finds what the table says of moto, word for word."""
    outcomes = on_server(server, list(rows()))
    made = document(outcomes, date="", endpoint="", region="", versions={})
    here = dict(of_recording([made]).rows)
    assert here == {id: known()["moto"].rows[id] for id in here}
    assert len(here) > 270
    assert "QueueUrls" not in client(server).list_queues()
