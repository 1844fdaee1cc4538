"""A search holds actors up inside their blocks in one round of four: a lost update is found and replays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import runner
from harness.explore.counterexample import Counterexample
from harness.explore.replay import replay
from harness.explore.search import ROUND, Search, search
from harness.loading import load

_MODULE = """
import json, os, threading
import boto3
from harness.points import effect


class Seen:
    number = 0

    def add(self):
        number = self.number
        str(number)
        self.number = number + 1


def main():
    sqs, url, seen = boto3.client("sqs"), os.environ["QUEUE_URL"], Seen()

    def consume():
        while True:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", []):
                threads = [threading.Thread(target=seen.add) for _ in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                if seen.number % 2 == 0:
                    effect("done", json.loads(message["Body"])["n"])
                seen.number = 0
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    consume()
"""

_SCENARIO = """
from harness import Process, Scenario, Workload, effects

scenario = Scenario(
    name="racing",
    processes=[Process("worker", "search_preempt_worker:main", environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=3, per_second=10, key="$.n"),
    effects=effects.point("done"),
    isolate=["search_preempt_worker"],
    preempt=["search_preempt_worker"],
)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The scenario's file, with its module beside it."""
    (tmp_path / "search_preempt_worker.py").write_text(_MODULE)
    (tmp_path / "racing.py").write_text(_SCENARIO)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    sys.path.insert(0, str(tmp_path))
    runner.install()
    yield tmp_path / "racing.py"
    sys.path[:] = path


def test_one_round_of_four(file: Path) -> None:
    """The fourth, with schedules from the run's seed; no other candidate is held up."""
    work = Search(load(file)[0], kinds=["reorder"])
    drawn = work.candidates(4 * ROUND)
    assert {one.preempt for one in drawn[: 3 * ROUND]} == {None}
    assert {(one.preempt, one.schedule.kind) for one in drawn[3 * ROUND :]} == {("calls", "random")}


@pytest.mark.slow
def test_a_lost_update_is_found_and_replays(file: Path, tmp_path: Path) -> None:
    """Without faults, with as few choices as can be; the file says at which level, and replays to the byte."""
    report = search(load(file)[0], kinds=["reorder"], examples=5 * ROUND, first=True, out=tmp_path / "found")
    assert report.findings
    finding = report.findings[0]
    assert finding.candidate.preempt == "calls"
    assert len(finding.candidate.plan) == 0
    assert finding.file is not None
    assert Counterexample.load(finding.file).preempt == "calls"
    done = replay(finding.file)
    assert done.outcome == "reproduced"
