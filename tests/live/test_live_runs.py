"""Live runs with real processes and sockets: what they find, what strikes how, what goes wrong in the run itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Fault, runner
from harness.environments.live import run as live_run
from harness.environments.live.options import LiveOptions
from harness.errors import EnvironmentFailed
from harness.loading import load
from harness.net.child import Child
from harness.result import Result
from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.server import ToxiproxyServer
from tests.requirements import elasticmq, require_elasticmq
from tests.systems import live_consumers

SCENARIOS = {one.name: one for one in load(live_consumers.__file__)}


def _children() -> list[int]:
    """Processes that this one has started and that still run."""
    pid = os.getpid()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(folder.name))
    return sorted(found)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """Whatever happened in a run, what it started has ended, by its pid."""
    before = _children()
    yield
    assert [pid for pid in _children() if pid not in before] == []


def run(name: str, *faults: Fault, out: Path | None = None, **live: Any) -> Result:
    """One run on fakeredis: nothing here uses Redis."""
    options = runner.Options(live=LiveOptions(**{"redis": "fake", "toxiproxy": "embedded", **live}))
    return runner.run(SCENARIOS[name], faults=faults, backend="live", out=out, options=options)


def violated(result: Result) -> list[str]:
    return [one.name for one in result.verdicts if one.status == "violated"]


def kinds(result: Result) -> dict[str, int]:
    """How many events there are of each kind."""
    found: dict[str, int] = {}
    for event in result.history:
        found[event["kind"]] = found.get(event["kind"], 0) + 1
    return found


def test_a_crash_at_a_call_of_aws_is_survived_by_who_deletes_last() -> None:
    """The consumer is killed right after a DeleteMessage took effect, starts again, and everything is done."""
    result = run("right", Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=0.2))
    assert (result.verdict, result.reason) == ("passed", "")
    assert kinds(result)["process.crash"] == 1
    assert kinds(result)["process.start"] == 2
    assert result.messages is not None
    assert (result.messages.sent, result.messages.lost) == (10, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "faults", "verdict", "broken"),
    [
        ("deletes-first", [Fault("point.in-hand", "crash", nth=3, restart_after=0.2)], "failed", "no-message-loss"),
        (
            "deletes-first",
            [Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=0.2)],
            "failed",
            "no-message-loss",
        ),
        ("right", [Fault("handler", "transient", nth=2)], "passed", ""),
        ("right", [Fault("handler", "slow", nth=2, seconds=3)], "passed", ""),
        ("right", [Fault("aws.sqs.ReceiveMessage", "throttled", start=0, end=1)], "passed", ""),
        ("right", [Fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=1)], "passed", ""),
        ("right", [Fault("process.worker", "sigterm", start=0.3, grace=2)], "passed", ""),
        ("right", [Fault("process.worker", "pause", start=0.2, seconds=1)], "passed", ""),
        ("right", [Fault("network.sqs", "down", start=0.2, end=1)], "passed", ""),
        ("till", [Fault("dependency.till", "status", nth=2, code=503)], "passed", ""),
        ("till", [Fault("dependency.till", "reset", nth=2)], "passed", ""),
        ("forwards", [], "passed", ""),
    ],
)
def test_verdicts_of_live_runs(name: str, faults: list[Fault], verdict: str, broken: str) -> None:
    """Each fault strikes; the right consumer survives it, the broken one fails by the right invariant."""
    result = run(name, *faults)
    assert (result.verdict, result.reason, result.unstruck) == (verdict, "", [])
    assert broken in (violated(result) or [""])
    if name == "forwards":
        assert kinds(result)["effect"] >= 10


@pytest.mark.slow
def test_a_message_that_cannot_be_read_is_dead_lettered_and_the_rest_done() -> None:
    """A fault of the workload spoils a body; nothing else is held up."""
    result = run("right", Fault("workload.jobs", "malformed", nth=3))
    assert result.unstruck == []
    assert result.messages is not None
    assert result.messages.sent == 10


PLANS: list[tuple[str, list[Fault]]] = [
    ("right", [Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=1)]),
    ("deletes-first", [Fault("point.in-hand", "crash", nth=3, restart_after=1)]),
    ("right", [Fault("aws.sqs.ReceiveMessage", "throttled", start=0, end=1)]),
    ("right", [Fault("network.sqs", "down", start=0.2, end=1.2)]),
    ("right", [Fault("network.sqs", "latency", start=0, end=2, latency=150, jitter=50)]),
    (
        "deletes-first",
        [
            Fault("network.sqs", "latency", start=0, end=2, latency=100),
            Fault("point.in-hand", "crash", nth=3, restart_after=1),
        ],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "faults"), PLANS)
def test_the_same_plan_gives_the_same_verdict_in_simulation_and_live(name: str, faults: list[Fault]) -> None:
    """The verdict and the invariants that are broken, not the times."""
    simulated = runner.run(SCENARIOS[name], faults=faults)
    live = run(name, *faults)
    assert (simulated.verdict, violated(simulated)) == (live.verdict, violated(live))


def command(name: str, out: Path, *more: str) -> list[str]:
    """A run of one scenario by the command line."""
    place = f"{live_consumers.__file__}::{name}"
    options = ["--backend", "live", "--redis", "fake", "--out", str(out)]
    return [sys.executable, "-m", "harness", "run", place, *options, *more]


@pytest.mark.slow
def test_a_consumer_that_cannot_start_is_an_error_with_its_traceback(tmp_path: Path) -> None:
    """Exit code 3; the reason names the process and what was wrong with it."""
    done = subprocess.run(command("cannot-start", tmp_path / "out"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "worker ended before it could be used" in done.stdout
    assert "no such setting: PAYMENTS_URL" in done.stdout


@pytest.mark.slow
def test_the_traceback_of_a_consumer_that_died_is_shown(tmp_path: Path) -> None:
    """Not only that messages are stuck."""
    done = subprocess.run(command("dies", tmp_path / "out"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ValueError: what is {" in done.stdout
    assert "not-stuck" in done.stdout


class Soon:
    """Does something to a live run once it is under way: when *name* has been started and announced itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, act: Any, after: float = 0.5) -> None:
        made = Child.__init__

        def init(child: Child, what: str, *arguments: Any, **more: Any) -> None:
            made(child, what, *arguments, **more)
            if what == name:
                self.child = child

        def begin(run: live_run.LiveRun, *arguments: Any) -> None:
            began(run, *arguments)
            threading.Timer(after, act, (self,)).start()

        began = live_run.LiveRun._begin
        monkeypatch.setattr(Child, "__init__", init)
        monkeypatch.setattr(live_run.LiveRun, "_begin", begin)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["the SQS server", "the embedded proxy", "fakeredis's server"])
def test_a_server_that_dies_makes_an_error_and_the_history_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Never a pass, though nobody here uses Redis; what happened up to then is in the file, nothing runs on."""
    Soon(monkeypatch, name, lambda soon: os.kill(soon.child.pid, signal.SIGKILL), after=0.3)
    result = run("slow", out=tmp_path)
    assert result.verdict == "error", result
    assert name in result.reason
    lines = (tmp_path / "slow" / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["kind"] == "run.start"
    assert json.loads(lines[-1])["reason"] == "error"


@pytest.mark.slow
def test_a_proxy_server_of_somebody_elses_that_goes_away_makes_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients' failures are not the consumers'."""
    with ToxiproxyServer(port=0) as server:
        Soon(monkeypatch, "nobody", lambda soon: server.stop(), after=0.3)
        result = run("slow", toxiproxy=server.url)
    assert result.verdict == "error", result
    assert server.url in result.reason


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_the_history_and_leaves_nobody(tmp_path: Path, jobs: str) -> None:
    """Exit code 130, whether the run is in the command's own process or in a worker's; no toxic is left either."""
    with ToxiproxyServer(port=0) as server:
        names = [f"{live_consumers.__file__}::slow", *([f"{live_consumers.__file__}::right"] if jobs == "2" else [])]
        asked = [*command("slow", tmp_path / "out", "-j", jobs, "--toxiproxy", server.url), *names[1:]]
        process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        client = ToxiproxyClient(server.url)
        until = time.monotonic() + 30
        while len(client.proxies()) < 2 * len(names) and time.monotonic() < until:
            time.sleep(0.1)
        ours = _descendants(process.pid)
        time.sleep(4)  # the consumers have begun
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=40)
        assert process.returncode == 130, printed
        assert client.proxies() == {}
    assert [pid for pid in ours if _runs(pid)] == []
    lines = (tmp_path / "out" / "slow" / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["reason"] == "interrupted"


@pytest.mark.slow
def test_ctrl_c_before_the_workload_keeps_what_there_is_and_leaves_nobody(tmp_path: Path) -> None:
    """A consumer still imports its modules: exit code 130, a history that says so, no proxy and no process."""
    with ToxiproxyServer(port=0) as server:
        asked = command("starts-slowly", tmp_path / "out", "--toxiproxy", server.url)
        process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        client = ToxiproxyClient(server.url)
        until = time.monotonic() + 30
        while len(client.proxies()) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1.5)
        ours = _descendants(process.pid)
        assert len(ours) >= 3  # the SQS server, fakeredis's server, the consumer
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=40)
        assert process.returncode == 130, printed
        assert "Traceback" not in printed
        assert client.proxies() == {}
    assert [pid for pid in ours if _runs(pid)] == []
    history = (tmp_path / "out" / "starts-slowly" / "history.jsonl").read_text()
    lines = [json.loads(line) for line in history.splitlines()]
    assert lines[1]["kind"] == "run.start"
    assert (lines[-1]["kind"], lines[-1]["reason"]) == ("run.end", "interrupted")


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nobody(tmp_path: Path) -> None:
    """SIGKILL of the command: servers and consumers end with their standard input."""
    options = ["--redis", "server"] if _has_redis() else []
    process = subprocess.Popen(
        [*command("slow", tmp_path / "out"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 30
    while len(_descendants(process.pid)) < 4 and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2)
    ours = _descendants(process.pid)
    assert len(ours) >= 4
    process.kill()
    process.wait()
    until = time.monotonic() + 15
    while any(_runs(pid) for pid in ours) and time.monotonic() < until:
        time.sleep(0.1)
    assert [pid for pid in ours if _runs(pid)] == []


def _has_redis() -> bool:
    import shutil

    return shutil.which("redis-server") is not None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    """The processes below *pid*."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_history_kept(tmp_path: Path) -> None:
    """A disk with room for the history and not for the report: exit code 3, no traceback, no pass, nobody left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=36k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no small disk can be made here: {made.stderr.strip()}")
    try:
        done = subprocess.run(command("right", disk / "out"), capture_output=True, text=True, timeout=90)
        printed = done.stdout + done.stderr
        assert done.returncode == 3, printed
        assert "No space left on device" in printed
        assert "Traceback" not in printed
        assert "passed" not in printed
        lines = (disk / "out.unfinished" / "right" / "history.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["kind"] == "run.end"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_two_runs_at_once_do_not_know_of_each_other(tmp_path: Path) -> None:
    """On one proxy server that both use: each has its own proxies and takes away those only."""
    with ToxiproxyServer(port=0) as server:
        client = ToxiproxyClient(server.url)
        client.create("mine", "127.0.0.1:9")
        running = [
            subprocess.Popen(
                command(name, tmp_path / name, "--toxiproxy", server.url),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in ("right", "slow")
        ]
        printed = [one.communicate(timeout=90)[0] for one in running]
        assert [one.returncode for one in running] == [0, 0], printed
        assert list(client.proxies()) == ["mine"]


@pytest.mark.slow
def test_a_faster_clock_of_the_services_leaves_safety_to_be_judged() -> None:
    """Four times as fast: everything is handled, and what compares times is inconclusive."""
    result = run("right", Fault("aws.sqs.ReceiveMessage", "throttled", start=0, end=16), time_scale=4)
    assert result.unstruck == []
    assert violated(result) == []
    assert result.messages is not None
    assert (result.messages.sent, result.messages.lost) == (10, 0)


def test_a_redis_that_does_not_answer_is_told_before_anything_begins() -> None:
    """With its address and the remedy."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(EnvironmentFailed, match=f"no Redis answers at 127.0.0.1:{port}"):
            run("right", redis=f"redis://127.0.0.1:{port}/0")


def test_a_port_that_is_taken_ends_the_server_with_a_message() -> None:
    """Exit code 3, and how to go on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "harness", "sqs-server", "--port", port], capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 3
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "another port" in done.stderr
    assert "Traceback" not in done.stderr


OTHERS = pytest.mark.parametrize(
    ("name", "fault", "verdict", "broken"),
    [
        ("right", Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=0.2), "passed", []),
        (
            "deletes-first",
            Fault("point.in-hand", "crash", nth=3, restart_after=0.2),
            "failed",
            ["no-message-loss", "at-least-once"],
        ),
    ],
)


@pytest.mark.slow
@OTHERS
def test_motos_server_gives_the_same_verdicts(name: str, fault: Fault, verdict: str, broken: list[str]) -> None:
    """Its history is what the consumers' boto3 and the run's own sends tell."""
    result = run(name, fault, sqs="moto")
    assert (result.verdict, result.reason, violated(result)) == (verdict, "", broken)
    assert kinds(result)["receive"] >= 10


@pytest.mark.slow
@OTHERS
def test_elasticmq_gives_the_same_verdicts(name: str, fault: Fault, verdict: str, broken: list[str]) -> None:
    """So does a server that nobody here wrote, started with the run and ended with it."""
    require_elasticmq()
    result = run(name, fault, sqs="elasticmq")
    assert (result.verdict, result.reason, violated(result)) == (verdict, "", broken)
    assert kinds(result)["receive"] >= 10


@pytest.mark.slow
def test_an_elasticmq_that_runs_already_is_used_by_its_url() -> None:
    """The consumer that loses messages is found out there, and its queues are deleted afterwards."""
    fault = Fault("point.in-hand", "crash", nth=3, restart_after=0.2)
    with elasticmq() as url:
        result = run("deletes-first", fault, sqs=url)
        with urllib.request.urlopen(f"{url}/?Action=ListQueues&Version=2012-11-05", timeout=10) as answer:
            assert b"<QueueUrl>" not in answer.read()
    assert (result.verdict, violated(result)) == ("failed", ["no-message-loss", "at-least-once"])
