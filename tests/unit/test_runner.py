"""The runner: its limits, and what a run says of itself."""

from __future__ import annotations

import threading

from harness import runner
from harness.scenario import Process, Scenario, Workload


def wake_each_other() -> None:
    """Two threads that hand a turn to each other for ever, at one instant."""
    turns = threading.Semaphore(1), threading.Semaphore(0)

    def play(mine: int) -> None:
        while True:
            turns[mine].acquire()
            turns[1 - mine].release()

    threading.Thread(target=play, args=(1,), daemon=True).start()
    play(0)


def test_an_instant_that_does_not_end_is_an_error_at_its_limit() -> None:
    """Steps at one virtual instant end the run after the number that the options give."""
    scenario = Scenario(name="spinning", processes=[Process("worker", wake_each_other)], workload=Workload("q", 1))
    result = runner.run(scenario, options=runner.Options(max_instant_steps=1_000))
    assert result.verdict == "error"
    assert "virtual time does not move: more than 1000 steps" in result.reason
    assert "worker" in result.stacks
    assert result.history.events[-1]["steps"] < 3_000
