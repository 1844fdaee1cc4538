"""What is seen of a run beside its history: where events were written, and what was read of the real world."""

from __future__ import annotations

import os
from pathlib import Path

from harness import runner
from harness.explore.witness import Witness, shown
from harness.points import effect
from harness.result import Result
from harness.scenario import Process, Scenario, Workload


def reads_a_file() -> None:
    Path(os.devnull).read_text()
    import json  # an import opens files too, and is nobody's I/O

    json.dumps({})
    effect("done", 0)


def watched() -> tuple[Witness, Result]:
    witness = Witness()
    scenario = Scenario(name="seen", processes=[Process("worker", reads_a_file)], workload=Workload("q", 1))
    with witness:
        result = runner.run(scenario, options=runner.Options(witness=witness))
    return witness, result


def test_each_event_has_the_stack_of_who_wrote_it() -> None:
    """As many stacks as events; the code under test stands in its own events, without a frame of the harness."""
    witness, result = watched()
    assert len(witness.stacks) == len(result.history)
    (event,) = result.history.of("effect")
    stack = witness.stack(event["n"])
    assert stack[0] == (__file__, reads_a_file.__code__.co_firstlineno + 5, "reads_a_file")
    assert not any("/harness/" in file for file, _, _ in stack)
    assert "test_witness.py" in shown(stack)
    assert "in the harness" in shown(witness.stack(10_000))


def test_what_is_read_of_the_real_world_is_seen() -> None:
    """A file that the code under test opens, with the line; no import, and nothing outside a run."""
    witness, _ = watched()
    Path(os.devnull).read_text()
    assert [what for _, what, _ in witness.reads] == [f"open {os.devnull}"]
    assert "test_witness.py:" in witness.reads[0][2]
    assert witness.threads == 0


def test_it_can_be_saved(tmp_path: Path) -> None:
    """JSON and back is the same."""
    witness, _ = watched()
    witness.save(tmp_path / "witness.json")
    again = Witness.load(tmp_path / "witness.json")
    assert (again.stacks, again.reads, again.threads) == (witness.stacks, witness.reads, witness.threads)


def test_a_history_is_the_same_with_and_without() -> None:
    """Who watches changes nothing."""
    scenario = Scenario(name="seen", processes=[Process("worker", reads_a_file)], workload=Workload("q", 1))
    _, result = watched()
    assert list(runner.run(scenario).history.lines()) == list(result.history.lines())
