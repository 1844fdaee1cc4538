"""harness audit: what it reads, what it says, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from harness.servers.aws_server import AwsServer
from tests.unit.audit.templates import GOOD
from tests.unit.cli.conftest import Done

Command = Callable[..., Done]


def test_nothing_found(command: Command) -> None:
    """A good template: exit code 0 and one line."""
    Path("template.yaml").write_text(GOOD)
    done = command("audit", "template.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out == "template.yaml: 2 queues, 18 rules, 0 found, 0 not judged\n"


def test_findings(command: Command) -> None:
    """Each with what is at stake, why, the change, the place, what shows it and AWS's page; exit code 1."""
    Path("template.yaml").write_text(GOOD.replace("VisibilityTimeout: 180", "VisibilityTimeout: 20"))
    done = command("audit", "template.yaml", "--json", "out.json")
    assert done.code == 1
    assert "✗ lambda-visibility-timeout (duplicates)  Orders: VisibilityTimeout is 20 s, Charge has" in done.out
    assert "  why     AWS refuses the mapping\n" in done.out
    assert "  change  Orders:\n            Properties:\n              VisibilityTimeout: 180\n" in done.out
    assert "  where   template.yaml:2\n" in done.out
    assert "  shown   harness run lambda-timeout-past-visibility\n" in done.out
    assert "  source  https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html\n" in done.out
    found = json.loads(Path("out.json").read_text())
    assert [each["rule"] for each in found["findings"]] == ["lambda-visibility-timeout"]
    assert found["findings"][0]["change"] == "Orders:\n  Properties:\n    VisibilityTimeout: 180"


def test_json_alone_on_standard_output(command: Command) -> None:
    """With --json - the words go to standard error."""
    Path("template.yaml").write_text(GOOD)
    done = command("audit", "template.yaml", "--json", "-")
    assert json.loads(done.out)["findings"] == []
    assert "0 found" in done.err


def test_not_judged(command: Command) -> None:
    """What cannot be told is listed, and the exit code is 4; with the parameter it is judged."""
    text = "Parameters: {Hidden: {Type: Number}}\n" + GOOD.replace(
        "VisibilityTimeout: 180", "VisibilityTimeout: !Ref Hidden"
    )
    Path("template.yaml").write_text(text)
    done = command("audit", "template.yaml")
    assert done.code == 4
    assert (
        "? visibility-timeout  Orders: not judged, VisibilityTimeout: the parameter Hidden has no default" in done.out
    )
    assert command("audit", "template.yaml", "--parameter", "Hidden=180").code == 0


def test_a_queue_on_this_machine(command: Command) -> None:
    """A queue's URL is read from its own server; functions cannot be read there, and that is said."""
    with AwsServer(seed=1) as server:
        sqs = boto3.client(
            "sqs",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        url = sqs.create_queue(QueueName="orders", Attributes={"MessageRetentionPeriod": "600"})["QueueUrl"]
        done = command("audit", url)
        gone = command("audit", url + "x")
    assert done.code == 1
    assert "✗ dead-letter-queue (loss)" in done.out
    assert "✗ retention (loss)" in done.out
    assert "? event source mappings were not looked at: " in done.out
    assert gone.code == 3
    assert "cannot be read" in gone.err
    assert "Traceback" not in gone.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gone.yaml",), "gone.yaml: cannot be read"),
        (("a.yaml", "b.yaml"), "one template at a time"),
        (("a.yaml", "http://127.0.0.1:1/0/q"), "do not go together"),
        (("http://127.0.0.1:1/0/q", "http://127.0.0.1:2/0/q"), "not on the same server"),
        (("http://127.0.0.1:1/0/q", "--parameter", "A=1"), "a queue has no parameters"),
        (("a.yaml", "--parameter", "A"), "'A' is no parameter. Give NAME=VALUE"),
        (("https://sqs.eu-west-1.amazonaws.com/0/q",), "is not this machine. Give --allow-remote"),
        (("ftp://127.0.0.1/0/q",), "is no queue's URL"),
        (("http://127.0.0.1:1",), "is no queue's URL"),
        ((), "Missing argument"),
    ],
)
def test_bad_input(command: Command, arguments: tuple[str, ...], says: str) -> None:
    """One line, exit code 2."""
    done = command("audit", *arguments)
    assert done.code == 2
    assert says in done.err
    assert "Traceback" not in done.err


def test_nobody_answers(command: Command) -> None:
    """A server that is not there: exit code 3."""
    done = command("audit", "http://127.0.0.1:1/000000000000/orders")
    assert done.code == 3
    assert "no SQS answers at http://127.0.0.1:1/" in done.err
