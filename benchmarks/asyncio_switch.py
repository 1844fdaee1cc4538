"""What giving way costs: an actor's sleep, a task's, a call of a thread from a loop, and a loop's await of a service.

    python -m benchmarks.asyncio_switch [--json FILE]

CPU microseconds for each, the best of several rounds, in virtual time; the
same task's sleep on a real event loop stands beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from harness.seeds import Seeds
from harness.sim import patches, real, world
from harness.sim.aside import aside
from harness.sim.kernel import Kernel

__all__ = ["report", "show"]

_ROUNDS = 5
_TIMES = 4_000


def _cpu_us(main: Callable[[], object], times: int) -> float:
    """CPU microseconds of one of *times* repetitions that *main* makes as a process of a run."""
    best = float("inf")
    for _ in range(_ROUNDS):
        missing: Any = None  # no hook and no recorder: nothing here passes a point
        kernel = Kernel(Seeds(0))
        world.enter(world.World(kernel, missing, missing))
        try:
            kernel.start_process("worker", main)
            begin = real.process_time()
            kernel.run()
            best = min(best, real.process_time() - begin)
            assert kernel.processes[0].exit_error is None
        finally:
            kernel.close()
            world.leave()
    return best / times * 1e6


def _actors(count: int) -> Callable[[], object]:
    """So many threads that sleep in turn."""
    import threading

    def main() -> None:
        def sleeper() -> None:
            for _ in range(_TIMES // count):
                time.sleep(0.001)

        threads = [threading.Thread(target=sleeper) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return main


def _tasks(count: int, step: Callable[[], Coroutine[Any, Any, object]], times: int = _TIMES) -> Callable[[], object]:
    """So many tasks that take *step* in turn."""

    async def run() -> None:
        async def worker() -> None:
            for _ in range(times // count):
                await step()

        await asyncio.gather(*(worker() for _ in range(count)))

    return lambda: asyncio.run(run())


def _on_a_real_loop(count: int) -> float:
    async def run() -> None:
        async def worker() -> None:
            for _ in range(_TIMES // count):
                await asyncio.sleep(0)

        await asyncio.gather(*(worker() for _ in range(count)))

    best = float("inf")
    for _ in range(_ROUNDS):
        begin = real.process_time()
        asyncio.run(run())
        best = min(best, real.process_time() - begin)
    return best / _TIMES * 1e6


def report() -> dict[str, float]:
    """CPU microseconds by what is done."""
    installed = patches.installed()
    found = {"real: await asyncio.sleep(0), 10 tasks": _on_a_real_loop(10)}
    patches.install()
    try:
        found["threads: time.sleep, 10 actors"] = _cpu_us(_actors(10), _TIMES)
        found["tasks: await asyncio.sleep(0), 10 tasks"] = _cpu_us(_tasks(10, lambda: asyncio.sleep(0)), _TIMES)
        found["tasks: await asyncio.sleep(1 ms), 1 task"] = _cpu_us(_tasks(1, lambda: asyncio.sleep(0.001)), _TIMES)
        found["tasks: await asyncio.sleep(1 ms), 10 tasks"] = _cpu_us(_tasks(10, lambda: asyncio.sleep(0.001)), _TIMES)
        few = _TIMES // 4
        found["await asyncio.to_thread(time.sleep)"] = _cpu_us(
            _tasks(10, lambda: asyncio.to_thread(time.sleep, 0.001), few), few
        )
        found["await of a call that a courier carries"] = _cpu_us(
            _tasks(10, lambda: aside(lambda: time.sleep(0.001)), few), few
        )
    finally:
        if not installed:
            patches.uninstall()
    return found


def show(found: dict[str, float]) -> None:
    """Print it."""
    for what, us in found.items():
        print(f"  {what:45} {us:7.1f} us", flush=True)


def main() -> None:
    """Measure and print; write JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    found = report()
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
