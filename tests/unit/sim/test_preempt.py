"""Pre-emption: races inside a block are found where real threads have them, and nowhere else."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import effects, invariants, runner
from harness.errors import ScenarioError, UsageError
from harness.explore.counterexample import Counterexample
from harness.explore.difference import first_difference
from harness.explore.replay import replay
from harness.scenario import Process, Queue, Scenario, Workload
from harness.sim.preempt import DELAYS_US, Level, Rewriting
from tests.systems import racing
from tests.unit.sim.simulate import kernel, needs_shims

pytestmark = needs_shims

MODULE = "tests.systems.racing"
SEEDS = 100


@contextmanager
def rewritten(level: Level | None, *modules: str) -> Iterator[None]:
    """The modules are imported rewritten inside."""
    if level is None:
        yield
        return
    rewriting = Rewriting(modules or (MODULE,), level)
    rewriting.install()
    try:
        yield
    finally:
        rewriting.uninstall()


def attempt(kind: Callable[[], Any], level: Level | None, seed: int, tape: list[int] | None = None) -> tuple[bool, Any]:
    """Whether one run comes out right, and its kernel."""
    found: list[bool] = []
    with rewritten(level), kernel(seed, preempt=level, tape=tape) as made:
        module: Any = importlib.import_module(MODULE)
        made.start_process("p", lambda: found.append(module.attempt(getattr(module, kind.__name__))))
        made.run()
    return found[0], made


def wrong_seeds(kind: Callable[[], Any], level: Level | None) -> list[int]:
    return [seed for seed in range(SEEDS) if not attempt(kind, level, seed)[0]]


@pytest.mark.parametrize("kind", racing.WRONG)
def test_a_race_is_found_at_level_calls_and_replays(kind: Callable[[], Any]) -> None:
    """Lost update, check-then-act on a breaker and on a record: found from a seed and from its tape, not without."""
    assert wrong_seeds(kind, None) == []
    found = wrong_seeds(kind, "calls")
    assert len(found) > 3
    _, first = attempt(kind, "calls", found[0])
    right, again = attempt(kind, "calls", 12345, list(first.decisions))
    assert not right
    assert (again.decisions, again.steps, again.now_us) == (first.decisions, first.steps, first.now_us)


@pytest.mark.parametrize("kind", racing.WRONG_WITHOUT_GIL)
def test_a_bare_update_is_a_race_without_the_gil_only(kind: Callable[[], Any]) -> None:
    """``self.count += 1`` loses nothing at level calls, and something at level statements."""
    assert wrong_seeds(kind, "calls") == []
    found = wrong_seeds(kind, "statements")
    assert len(found) > 10
    _, made = attempt(kind, "statements", found[0])
    assert made.preemption.struck["statements"] > 0


@pytest.mark.parametrize("kind", racing.RIGHT)
@pytest.mark.parametrize("level", ["calls", "statements"])
def test_what_is_right_is_not_accused(kind: Callable[[], Any], level: Level) -> None:
    """The versions with a lock or an atomic step come out right under every seed."""
    assert wrong_seeds(kind, level) == []


@pytest.mark.parametrize("kind", [*racing.WRONG, *racing.RIGHT, *racing.WRONG_WITHOUT_GIL])
def test_real_threads_agree(kind: Callable[[], Any]) -> None:
    """Outside a run, on real threads: what level calls finds happens, and what it does not find does not."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        if kind in racing.WRONG:
            assert any(not racing.attempt(kind, 30_000) for _ in range(100)), "never in 100 attempts"
        else:
            assert all(racing.attempt(kind, 5_000) for _ in range(5))
    finally:
        sys.setswitchinterval(before)


# -- in a scenario ------------------------------------------------------------------------------------

SHOP = Scenario(
    name="charged-on-threads",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("worker", f"{MODULE}:hasty", environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=8, per_second=None, body=lambda n: {"order_id": n // 2}, key="$.order_id"),
    effects=effects.point("charged"),
    invariants=[*invariants.defaults(), invariants.effects_once()],
    preempt=[MODULE],
)
CAREFUL = dataclasses.replace(
    SHOP, processes=[Process("worker", f"{MODULE}:careful", environ={"QUEUE_URL": "{queue:orders}"})]
)


def violating(scenario: Scenario, level: Level | None, seeds: int = 30) -> list[Any]:
    results = [runner.run(scenario, seed=seed, options=runner.Options(preempt=level)) for seed in range(seeds)]
    assert {result.verdict for result in results} <= {"passed", "failed"}, results[0].reason
    return [result for result in results if result.verdict == "failed"]


def test_a_scenario_is_preempted_where_the_options_say_so() -> None:
    """Two messages of one order on two threads: charged twice under pre-emption alone; the tape gives it again."""
    assert violating(SHOP, None) == []
    found = violating(SHOP, "calls")
    assert found
    first = found[0]
    assert [verdict.name for verdict in first.violated] == ["effects-once"]
    assert first.command.endswith("--preempt calls")
    assert first.history.header["preempt"] == {"level": "calls", "modules": [MODULE]}
    told = first.history.of("preempt")
    assert told
    assert all(event["where"].startswith(f"{MODULE}:") and event["level"] == "calls" for event in told)
    assert first.history.events[-1]["preempt"]["calls"] == len(told)
    again = runner.run(SHOP, seed=first.seed, options=runner.Options(preempt="calls", tape=first.schedule))
    assert first_difference(first.history, again.history) is None
    same = runner.run(SHOP, seed=first.seed, options=runner.Options(preempt="calls"))
    assert first_difference(first.history, same.history) is None


def test_a_finding_is_a_file_that_replays(tmp_path: Path) -> None:
    """A counterexample keeps the level, and its replay gives the same events."""
    first = violating(SHOP, "calls")[0]
    made = Counterexample.of(first.history, first.verdicts, schedule=first.schedule)
    assert made.preempt == "calls"
    saved = made.save(tmp_path, first.history)
    assert Counterexample.load(tmp_path) == saved
    again = replay(tmp_path, scenario=SHOP)
    assert (again.outcome, again.difference) == ("reproduced", None)
    saved.save(tmp_path)
    wrong = json.loads((tmp_path / "counterexample.json").read_text()) | {"preempt": "lines"}
    with pytest.raises(UsageError, match="calls or statements"):
        Counterexample.from_json(wrong)


def test_the_careful_consumer_passes() -> None:
    """The same load, the record taken in one step: nothing at either level."""
    assert violating(CAREFUL, "calls") == []
    assert violating(CAREFUL, "statements", 10) == []


def test_a_finding_at_level_statements_says_so() -> None:
    """Where switches were taken that the GIL forbids, the result says on which Python it can happen."""
    found = violating(SHOP, "statements")
    assert found
    assert any("with the GIL" in note for result in found for note in result.notes)
    assert not any("with the GIL" in note for result in violating(SHOP, "calls", 10) for note in result.notes)


def test_without_it_a_run_with_threads_says_what_was_not_explored() -> None:
    """Off: the note says so. On: it does not."""
    note = "Interleavings inside a block were not explored (pre-emption was off)"
    assert note in runner.run(SHOP).notes
    assert note not in runner.run(SHOP, options=runner.Options(preempt="calls")).notes


def test_what_was_not_rewritten_leaves_the_run_inconclusive() -> None:
    """A module that no process imports was not tested: never passed, and it is named."""
    scenario = dataclasses.replace(CAREFUL, preempt=[MODULE, "tests.systems.nobody"])
    result = runner.run(scenario, options=runner.Options(preempt="calls"))
    assert result.verdict == "inconclusive"
    assert "preempt names 'tests.systems.nobody', which no process imported" in result.unstruck


def test_nothing_to_preempt_is_refused() -> None:
    """Without modules, or at an unknown level, nothing runs."""
    with pytest.raises(ScenarioError, match=r"preempt=\["):
        runner.run(dataclasses.replace(SHOP, preempt=()), options=runner.Options(preempt="calls"))
    with pytest.raises(ScenarioError, match="calls, statements"):
        runner.run(SHOP, options=runner.Options(preempt="lines"))  # type: ignore[arg-type]
    live = dataclasses.replace(SHOP, backends=("memory", "live"))
    with pytest.raises(ScenarioError, match="scheduled by the system"):
        runner.run(live, backend="live", options=runner.Options(preempt="calls"))


# -- importing ----------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package ``shop`` of two modules, one of which holds a function of the other."""
    folder = tmp_path / "shop_for_preempt"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "work.py").write_text("def work():\n    return __name__\n")
    (folder / "main.py").write_text("from shop_for_preempt.work import work\n\n\ndef main():\n    return work()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("shop_for_preempt")]:
        del sys.modules[name]


def marked(module: ModuleType, function: str) -> bool:
    return "__harness_here__" in getattr(module, function).__code__.co_names


def test_who_holds_something_of_a_module_is_imported_anew_too(package: Path) -> None:
    """A module that had imported a function by name calls the rewritten one inside, and its own again afterwards."""
    main = importlib.import_module("shop_for_preempt.main")
    with rewritten("calls", "shop_for_preempt.work"):
        inside = importlib.import_module("shop_for_preempt.main")
        assert inside is not main
        assert marked(sys.modules["shop_for_preempt.work"], "work")
        assert not marked(inside, "main")
        assert marked(inside, "work")
    assert sys.modules["shop_for_preempt.main"] is main
    assert not marked(main, "work")
    with rewritten("calls", "shop_for_preempt.work"):  # the next run: imported once, as modules are
        assert importlib.import_module("shop_for_preempt.main") is inside


def test_no_file_is_written_and_lines_stay(package: Path) -> None:
    """The rewritten code is in no cache file, and errors name the lines of the source."""
    (package / "work.py").write_text(
        '"""Text."""\n\n\ndef work():\n    """More."""\n    x = 1\n\n    raise ValueError(x)\n'
    )
    with rewritten("statements", "shop_for_preempt"), pytest.raises(ValueError, match="1") as caught:
        importlib.import_module("shop_for_preempt.work").work()
    assert caught.traceback[-1].lineno == 7  # counted from 0
    assert not list(package.rglob("*.pyc"))


def test_outside_a_run_and_in_other_threads_rewritten_code_goes_on() -> None:
    """Rewritten code does nothing of its own where no run is in force."""
    with rewritten("statements"):
        module: Any = importlib.import_module(MODULE)
        assert module.attempt(module.LockedUpdate)
        answer: list[bool] = []
        thread = threading.Thread(target=lambda: answer.append(module.attempt(module.LockedUpdate)))
        thread.start()
        thread.join()
        assert answer == [True]


def test_an_actor_is_held_up_for_no_more_than_a_switch_interval() -> None:
    """No delay is longer than CPython's default switch interval."""
    assert max(DELAYS_US) == 5_000
    assert DELAYS_US[0] == 0
    _, made = attempt(racing.LockedUpdate, "calls", 3)
    assert made.preemption.passed > 30
    held = sum(made.preemption.struck.values())
    assert 0 < held < made.preemption.passed
    assert made.now_us <= 5_000 * held


def test_an_empty_tape_holds_nobody_up() -> None:
    """After its end a tape pre-empts no more, so that a shorter one is a simpler run."""
    right, made = attempt(racing.LostUpdate, "calls", 0, [])
    assert right
    assert sum(made.preemption.struck.values()) == 0
