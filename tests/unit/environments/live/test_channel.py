"""The channel between consumers and their run: answers in order, only to who knows the token."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.environments.live.channel import Caller, Channel


class Run:
    """What was asked, and by whom."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.callers: list[Caller] = []
        self.channel = Channel(self.answer)

    def caller(self, name: str) -> Caller:
        self.callers.append(Caller(self.channel.address, self.channel.token, name))
        return self.callers[-1]

    def close(self) -> None:
        for caller in self.callers:
            caller.close()
        self.channel.close()

    def answer(self, name: str, line: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((name, line))
        return {"number": len(self.asked)}


@pytest.fixture
def run() -> Iterator[Run]:
    found = Run()
    found.channel.start()
    yield found
    found.close()


def raw(run: Run, data: bytes) -> bytes:
    """What the channel answers to *data*, until it hangs up."""
    host, _, port = run.channel.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while piece := connection.recv(4096):
                found += piece
        except ConnectionResetError:
            return found  # it hung up with something unread
        return found


def test_each_line_has_its_answer(run: Run) -> None:
    """What a process asks comes with its name."""
    caller = run.caller("worker-1")
    assert caller.ask(event="effect", key="ключ/1") == {"number": 1}
    assert caller.ask(passing="handler") == {"number": 2}
    assert run.asked == [("worker-1", {"event": "effect", "key": "ключ/1"}), ("worker-1", {"passing": "handler"})]


def test_threads_of_a_process_do_not_get_each_others_answers(run: Run) -> None:
    """Each has a connection of its own."""
    caller = run.caller("worker-1")
    answers: list[int] = []

    def ask() -> None:
        answers.extend(caller.ask(n=1)["number"] for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(1, 101))


@pytest.mark.parametrize(
    "data",
    [
        b'{"token": "wrong", "process": "w"}\n{"event": "effect"}\n',
        b'{"process": "w"}\n{"event": "effect"}\n',
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\xff" * 1000 + b"\n",
        b"[]\n",
        b"",
    ],
)
def test_strangers_and_garbage_are_not_listened_to(run: Run, data: bytes) -> None:
    """They get no answer, nothing is recorded, and the next process is served."""
    assert raw(run, data) == b""
    assert run.asked == []
    assert run.caller("w").ask(event="x") == {"number": 1}


def test_half_a_line_of_a_process_that_was_cut_off_says_nothing(run: Run) -> None:
    """As after SIGKILL: nothing is recorded, and the next process is served."""
    hello = json.dumps({"token": run.channel.token, "process": "w"}).encode()
    assert json.loads(raw(run, hello + b'\n{"event": "eff')) == {}
    assert run.asked == []
    assert run.caller("w").ask(event="x") == {"number": 1}


def test_the_end_of_the_run_is_told() -> None:
    """Who asks then gets an error, not silence."""
    run = Run()
    run.channel.start()
    caller = run.caller("w")
    caller.ask(event="x")
    run.channel.close()
    with pytest.raises(OSError, match=r"over|closed|reset|[Bb]roken"):
        caller.ask(event="x")
    run.close()


FORKS = """
import os, sys
from harness.environments.live.channel import Caller
caller = Caller(sys.argv[1], sys.argv[2], "worker")
caller.ask(said="parent")
child = os.fork()
if not child:
    caller.ask(said="child")
    os._exit(0)
os.waitpid(child, 0)
sys.exit(caller.ask(said="parent again")["number"])
"""


def test_a_forked_child_has_a_connection_of_its_own(run: Run) -> None:
    """Pools of processes (celery, RQ, dramatiq) report effects from their children: no answer goes astray."""
    done = subprocess.run([sys.executable, "-c", FORKS, run.channel.address, run.channel.token], timeout=30)
    assert [line["said"] for _, line in run.asked] == ["parent", "child", "parent again"]
    assert done.returncode == 3
