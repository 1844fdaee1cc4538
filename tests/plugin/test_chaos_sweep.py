"""``pytest --chaos-sweep`` on a project of somebody's: moto, fakeredis and `sim`, no line of theirs changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SHOP = '''
import json
import logging
import threading

import boto3
import redis


def work(url, store):
    """Careless: what cannot be written is logged, the message is deleted all the same."""
    sqs = boto3.client("sqs")
    for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
        try:
            store.set(json.loads(message["Body"])["id"], "done")
        except redis.RedisError:
            logging.exception("not written")
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def first(store, key):
    """Retried by the client: its own first attempt may have won."""
    return store.set(key, 1, nx=True)


def until_stored(client):
    if client.put_object(Bucket="somebody", Key="a", Body=b"x") is None:
        return
    if len(client.list_objects_v2(Bucket="somebody")["Contents"]) != 1:
        threading.Event().wait()
'''

_TESTS = """
import socket

import boto3
import fakeredis
import pytest
from moto import mock_aws

import shop


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


def test_work(aws):
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"id": 7}')
    shop.work(url, fakeredis.FakeRedis())


def test_first():
    store = fakeredis.FakeRedis()
    assert shop.first(store, "a")
    assert not shop.first(store, "a")


def test_with_a_socket(aws):
    socket.create_server(("127.0.0.1", 0)).close()
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="somebody")
    shop.until_stored(s3)


def test_of_nothing():
    assert 1 + 1 == 2


def test_that_fails():
    assert 1 + 1 == 3


@pytest.mark.skip(reason="not today")
def test_that_is_skipped():
    raise AssertionError
"""

_SIM = """
import json

import boto3
from harness.points import effect


def hasty(env):
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            effect("done", json.loads(message["Body"])["n"])


def test_sim(sim):
    orders = sim.queue("orders", visibility_timeout=10)
    sim.process("worker", hasty)
    sim.effects.point("done")
    sim.send(orders, [{"n": 1}], key="$.n")
    sim.run()
"""


def _pytest(folder: Path, *arguments: str, files: dict[str, str] | None = None) -> tuple[int, str]:
    for name, text in (files or {"shop.py": _SHOP, "tests/test_shop.py": _TESTS}).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environ["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    return _pytest(tmp_path_factory.mktemp("shop"), "--chaos-sweep", "--chaos-sweep-kinds", "timeout,access-denied")


def test_the_report_groups_by_call(swept: tuple[int, str]) -> None:
    """A line for each call of the code under test, with the place; the tests' own calls are left alone."""
    code, output = swept
    assert code == 1, output
    assert "aws.sqs.ReceiveMessage at shop.py:13 in work: 3 handled" in output
    assert "redis.CONNECT at shop.py:15 in work: 2 handled" in output
    assert "CreateQueue" not in output
    assert "6 tests, " in output
    assert "No AWS or Redis call but the test's own, so nothing to strike: 1 test" in output
    assert "Skipped, or failed without any fault, and not swept: 2 tests" in output


def test_a_write_that_is_retried_is_found(swept: tuple[int, str]) -> None:
    """SET NX whose answer is lost: the client's retry finds its own key. Told with the assertion and how to see it."""
    _, output = swept
    assert "✗ test fails: redis.SET.after timeout: " in output
    assert "again: pytest tests/test_shop.py::test_first --chaos-sweep --chaos-sweep-fault" in output


def test_what_the_kernel_refuses_runs_outside_and_is_named(swept: tuple[int, str]) -> None:
    """A real socket: the test runs beside the kernel, with the reason; its faults strike all the same."""
    _, output = swept
    assert "Outside the kernel, which refuses them (at most 30 s each):" in output
    assert "test_with_a_socket: a real listening socket" in output
    assert "aws.s3.PutObject at shop.py:27 in until_stored: 3 handled" in output


def test_a_test_that_fails_by_itself_is_reported_as_ever(swept: tuple[int, str]) -> None:
    """Failed, skipped and passed as without a sweep, and nothing tried on the first two."""
    _, output = swept
    assert "assert (1 + 1) == 3" in output
    assert "1 failed, 4 passed, 1 skipped" in output


@pytest.mark.slow
def test_a_lost_message_is_found_and_seen_again(tmp_path: Path) -> None:
    """The kind that a program may answer with an error is no failure; the message that is gone is."""
    run = ("--chaos-sweep", "--chaos-sweep-kinds", "readonly", "tests/test_shop.py::test_work")
    code, output = _pytest(tmp_path, *run)
    assert code == 1, output
    assert (
        "✗ message lost: redis.SET.before readonly: the message '{\"id\": 7}' was deleted, yet redis.SET never"
        in output
    )
    code, output = _pytest(tmp_path, *run, "--chaos-sweep-fault", "redis.SET.before readonly #1", "-rP")
    assert code == 1
    assert "redis.SET.before readonly #1: message lost" in output


def test_a_scenario_of_a_test_is_swept(tmp_path: Path) -> None:
    """`sim`: each single fault of its scenario; what its invariants find is a message lost."""
    arguments = ("--chaos-sweep", "--chaos-sweep-kinds", "crash,reorder")
    code, output = _pytest(tmp_path, *arguments, files={"test_sim.py": _SIM})
    assert code == 1, output
    assert "✗ message lost: aws.sqs.DeleteMessage.after crash: no-message-loss: " in output
    assert "1 passed" in output


@pytest.mark.slow
def test_workers_of_xdist_sweep_and_the_controller_tells(tmp_path: Path) -> None:
    """With -n 2 the same findings, told once, and the same exit code."""
    arguments = ("--chaos-sweep", "--chaos-sweep-kinds", "timeout", "-n", "2", "-k", "first or nothing")
    code, output = _pytest(tmp_path, *arguments)
    assert code == 1, output
    assert output.count("✗ test fails: redis.SET.after timeout: ") == 1
    assert "2 tests, " in output


@pytest.mark.slow
def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """A budget of nearly nothing: one repetition for each test, and the rest is counted."""
    arguments = ("--chaos-sweep", "--chaos-sweep-budget", "all,0.001s", "tests/test_shop.py::test_first")
    code, output = _pytest(tmp_path, *arguments)
    assert code == 0, output
    assert "Left out for want of time (0.001 s; --chaos-sweep-budget): " in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--chaos-sweep-budget", "soon"), "'soon' is no budget"),
        (("--chaos-sweep-kinds", "timeouts"), "Did you mean 'timeout'?"),
        (("--pdb",), "--pdb has no terminal"),
    ],
    ids=["budget", "kinds", "pdb"],
)
def test_bad_input(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """One line that names the option and the remedy; exit 4, as pytest has it."""
    code, output = _pytest(tmp_path, "--chaos-sweep", *arguments)
    assert code == 4
    assert told in output
