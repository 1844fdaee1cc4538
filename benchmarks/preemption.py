"""What pre-emption costs: nanoseconds a marked place, microseconds a switch, and plans per second with it.

    python -m benchmarks.preemption

A place is passed far more often than somebody is held up at one: both are
measured on the same loop, plain and rewritten, inside a run. CPU seconds, the
best of several rounds.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel
    from harness.sim.preempt import Level

NAME = "benchmarks.preemption"
LOOPS = 20_000
ROUNDS = 7
PLANS = 40


def busy(loops: int) -> int:
    """Three places a loop at level calls: two calls and the jump back."""
    total = 0
    for number in range(loops):
        total += abs(number)
        total -= abs(number)
    return total


def _best(function: Callable[[], object]) -> float:
    """The best CPU seconds of several rounds."""
    from harness.sim import real

    seconds = []
    for _ in range(ROUNDS):
        begun = real.process_time()
        function()
        seconds.append(real.process_time() - begun)
    return min(seconds)


@contextmanager
def _loaded(level: Level | None) -> Iterator[Any]:
    """This module, as it is or rewritten."""
    from harness.sim.preempt import Rewriting

    rewriting = None if level is None else Rewriting([NAME], level)
    if rewriting is not None:
        rewriting.install()
    try:
        yield importlib.import_module(NAME)
    finally:
        if rewriting is not None:
            rewriting.uninstall()


def _run(level: Level | None, seed: int = 0, tape: list[int] | None = None) -> Kernel:
    """Two actors that are busy, in one run."""
    from harness.seeds import Seeds
    from harness.sim import world
    from harness.sim.kernel import Kernel

    nobody: Any = None
    with _loaded(level) as module:
        kernel = Kernel(Seeds(seed), preempt=level, tape=tape)
        world.enter(world.World(kernel, nobody, nobody))
        try:
            for name in ("one", "other"):
                kernel.start_process(name, lambda: module.busy(LOOPS))
            kernel.run()
        finally:
            kernel.close()
            world.leave()
    return kernel


def measure() -> dict[str, float]:
    """The figures of this process."""
    from harness import runner

    runner.install()
    seed = max(range(20), key=lambda seed: _struck(_run("calls", seed)))  # one that holds up often
    plain, passed = _best(lambda: _run(None)), _best(lambda: _run("calls", tape=[]))
    held = _best(lambda: _run("calls", seed))
    kernel = _run("calls", tape=[])
    assert kernel.preemption is not None
    return {
        "ns_a_place": (passed - plain) / kernel.preemption.passed * 1e9,
        "us_a_switch": (held - passed) / _struck(_run("calls", seed)) * 1e6,
        "slower": passed / plain,
        **plans(),
    }


def _struck(kernel: Kernel) -> int:
    assert kernel.preemption is not None
    return sum(kernel.preemption.struck.values())


def plans() -> dict[str, float]:
    """Plans per second of the small scenario, its consumer pre-empted and not."""
    from benchmarks.scenarios import small
    from harness import runner
    from harness.sim.preempt import LEVELS

    module = "benchmarks.scenarios"
    scenario = replace(small(), preempt=(module,), processes=[_named(one, module) for one in small().processes])
    found: dict[str, float] = {}
    for level in (None, *LEVELS):
        options = runner.Options(preempt=level)
        for seed in range(5):
            runner.run(scenario, seed=seed, options=options)

        def batch(options: Any = options) -> None:
            for seed in range(PLANS):
                runner.run(scenario, seed=seed, options=options)

        found[f"plans_per_second_{level or 'off'}"] = PLANS / _best(batch)
    return found


def _named(process: Any, module: str) -> Any:
    target = process.target
    return process if isinstance(target, str) else replace(process, target=f"{module}:{target.__qualname__}")


def show(found: dict[str, float]) -> None:
    """Print the figures."""
    print(
        f"  a marked place that is passed  {found['ns_a_place']:>7,.0f} ns; a loop of nothing but calls takes "
        f"{found['slower']:.1f} x as long"
    )
    print(f"  a place where somebody is held {found['us_a_switch']:>7,.2f} us, with the switch to another actor")
    off, calls, statements = (found[f"plans_per_second_{level}"] for level in ("off", "calls", "statements"))
    print(f"  twenty messages, 4 consumers   {off:>7,.0f} plans/s without, {calls:,.0f} at level calls,")
    print(f"                                 {statements:>7,.0f} at level statements", flush=True)


if __name__ == "__main__":
    print(json.dumps(measure()))
