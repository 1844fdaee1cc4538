"""The pytest plugin, as a user's project meets it: each run here is a pytest of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

_WORKER = """
import json, os
import boto3
from harness.points import effect

def consume(skip=None):
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", []):
            number = json.loads(message["Body"])["order_id"]
            if number != skip:
                effect("charged", number)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

def main():
    consume()

def lossy():
    consume(skip=3)
"""

_BUILD = """
import os, sys
import pytest
from harness import Fault

def build(sim, main="worker:main", effect=True):
    orders = sim.queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=3)
    sim.process("worker", main, environ={"QUEUE_URL": "{queue:orders}"})
    if effect:
        sim.effects.point("charged")
    sim.send(orders, [{"order_id": n} for n in range(6)], key="$.order_id")
"""

_BEHAVIOUR = """
def test_passes(sim):
    build(sim)
    sim.inject("aws.sqs.DeleteMessage", "timeout", side="after", nth=3)
    result = sim.run()
    assert result.verdict == "passed"
    assert result.messages.processed == 6
    assert [queue["name"] for queue in result.history.header["system"]["queues"]] == ["orders", "orders-dlq"]

def test_lossy(sim):
    build(sim, "worker:lossy")
    sim.run()

def test_own_assertion(sim):
    build(sim)
    result = sim.run()
    assert result.messages.processed == 7

def test_judged_by_the_test(sim):
    build(sim, "worker:lossy")
    assert sim.run(judge=False).messages.lost == 1

def test_no_effect(sim):
    build(sim, effect=False)
    sim.run()

def test_unused(sim):
    build(sim)

def test_skipped(sim):
    pytest.skip("not today")

def test_breaks_before_the_run(sim):
    raise RuntimeError("boom")

def test_bad_fault(sim):
    sim.inject("aws.sqs.DeleteMessage", "gremlins")

@pytest.mark.chaos(faults=[Fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=2)], seed=5, examples=3)
def test_marked(sim):
    build(sim)
    sim.inject("aws.sqs.ReceiveMessage", "throttled", nth=4)
    result = sim.run(judge=False)
    assert len(result.history.header["plan"]["faults"]) == 2
    with open("seeds.txt", "a") as file:
        file.write(f"{result.seed}\\n")
"""


@dataclass
class Outcome:
    """What a pytest run said."""

    code: int
    output: str
    folder: Path

    def cases(self) -> dict[str, dict[str, str]]:
        """Test name -> {failure, error, skipped: text} and its captured output."""
        root = ElementTree.parse(self.folder / "junit.xml").getroot()
        return {
            case.attrib["name"]: {child.tag: (child.attrib.get("message", "") + (child.text or "")) for child in case}
            for case in root.iter("testcase")
        }


def _pytest(folder: Path, tests: str, *arguments: str, ini: str = "chaos = true", build: str = _BUILD) -> Outcome:
    (folder / "worker.py").write_text(_WORKER)
    (folder / "test_it.py").write_text(build + tests)
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml=junit.xml", *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environ["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return Outcome(done.returncode, done.stdout + done.stderr, folder)


@pytest.fixture(scope="module")
def behaviour(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return _pytest(tmp_path_factory.mktemp("behaviour"), _BEHAVIOUR)


def test_a_right_consumer_passes(behaviour: Outcome) -> None:
    """The builder's scenario runs, with its dead-letter queue made, and a passed run raises nothing."""
    assert behaviour.cases()["test_passes"] == {}, behaviour.output


def test_a_violation_fails_the_test_with_evidence(behaviour: Outcome) -> None:
    """The invariant's own exception, the events that show it, the seed, the command and the history's path."""
    case = behaviour.cases()["test_lossy"]
    text = case["failure"]
    assert "NoMessageLossViolated" in text
    assert "again: pytest test_it.py::test_lossy --chaos-seed 0 --chaos-examples 1" in text
    assert "raise_for_violation" not in text, "the harness's own lines are no help to the reader"
    section = behaviour.output
    assert "no-message-loss: " in section
    history = next(line for line in section.splitlines() if line.startswith("history: ") and "test_lossy" in line)
    assert Path(history.removeprefix("history: ")).is_file()


def test_the_tests_own_assertion_names_seed_and_command(behaviour: Outcome) -> None:
    """A failure that the harness did not raise says how to repeat it as well."""
    assert "assert 6 == 7" in behaviour.cases()["test_own_assertion"]["failure"]
    assert "again: pytest test_it.py::test_own_assertion --chaos-seed 0 --chaos-examples 1" in behaviour.output


def test_judging_may_be_left_to_the_test(behaviour: Outcome) -> None:
    """With judge=False a lossy run raises nothing and its counts are there."""
    assert behaviour.cases()["test_judged_by_the_test"] == {}


def test_nothing_to_judge_is_inconclusive(behaviour: Outcome) -> None:
    """Without a declared effect the test fails as inconclusive, with the line to add."""
    text = behaviour.cases()["test_no_effect"]["failure"]
    assert "Inconclusive" in text
    assert 'effects.point("charged")' in text


def test_a_sim_that_was_never_run_fails_at_teardown(behaviour: Outcome) -> None:
    """No vacuous pass: asking for sim and not running it is an error; a skipped or failed test is left alone."""
    cases = behaviour.cases()
    assert "never ran it" in cases["test_unused"]["error"]
    assert set(cases["test_skipped"]) == {"skipped"}
    assert set(cases["test_breaks_before_the_run"]) == {"failure"}


def test_bad_input_is_told(behaviour: Outcome) -> None:
    """An unknown kind of fault is named where it is injected."""
    assert "gremlins" in behaviour.cases()["test_bad_fault"]["failure"]


def test_examples_run_the_body_with_one_seed_after_the_other(behaviour: Outcome) -> None:
    """Three examples from seed 5: seeds 5, 6, 7; the marker's faults are added to those injected."""
    assert (behaviour.folder / "seeds.txt").read_text().split() == ["5", "6", "7"]
    assert {"test_marked[seed-5]", "test_marked[seed-6]", "test_marked[seed-7]"} <= set(behaviour.cases())


def test_options_replace_the_markers_seed_and_examples(tmp_path: Path) -> None:
    """The command of a failure's message runs one example with that seed."""
    done = _pytest(tmp_path, _BEHAVIOUR, "test_it.py::test_marked", "--chaos-seed", "6", "--chaos-examples", "1")
    assert done.code == 0, done.output
    assert (tmp_path / "seeds.txt").read_text().split() == ["6"]


_UNUSED = """
def test_nothing_is_imported():
    loaded = [name for name in ("harness.runner", "harness.sim", "greenlet", "boto3") if name in sys.modules]
    assert loaded == []
    import time
    assert type(time.sleep).__name__ == "builtin_function_or_method"
"""


def test_without_the_setting_nothing_is_imported(tmp_path: Path) -> None:
    """A project that does not ask for it gets no shim and no import."""
    done = _pytest(tmp_path, _UNUSED, ini="", build="import sys\n")
    assert done.code == 0, done.output


@pytest.mark.slow
def test_a_late_sim_works_and_an_error_tells_the_remedy(tmp_path: Path) -> None:
    """Without the setting a test may still ask for sim; a run that goes wrong then says what to set."""
    tests = """
import time

def stuck():
    while True:
        pass

def test_late(sim):
    build(sim)
    assert sim.run().verdict == "passed"

def test_stuck(sim):
    from harness import runner
    build(sim, stuck)
    runner.Options.__init__.__defaults__ = (*runner.Options.__init__.__defaults__[:-1], 0.5)
    sim.run()
"""
    done = _pytest(tmp_path, tests, ini="")
    cases = done.cases()
    assert cases["test_late"] == {}, done.output
    assert "add `chaos = true` under [tool.pytest.ini_options]" in cases["test_stuck"]["failure"]


def test_a_wrong_marker_is_an_error(tmp_path: Path) -> None:
    """What the marker does not know is named, at collection."""
    done = _pytest(tmp_path, "@pytest.mark.chaos(sede=3)\ndef test_x(sim):\n    sim.run()\n")
    assert done.code != 0
    assert "test_it.py::test_x: chaos() does not take sede" in done.output
