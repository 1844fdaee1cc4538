"""Nanoseconds that each resilience library adds to a successful call, in one run.

    python benchmarks/overhead.py [--seconds 0.2] [--json FILE]

The figures of one machine are comparable with each other and with nothing
else, so each is shown as a ratio to ours too. A library that is not installed
is left out and named. Each figure is the best of many short rounds, taken in
turn: what disturbs a round only makes it slower.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from harness.resilience import CircuitBreaker, CountWindow, ExponentialBackoffRetry, Retry, RetryQuota

Function = Callable[[], Any]


def work() -> int:
    """The call that is protected: as little as a call can be."""
    return 1


async def work_async() -> int:
    return 1


# Each maker gives the protected function. What is imported inside may be missing.


def _hand_written_retry() -> Function:
    def call() -> int:
        for attempt in range(4):
            try:
                return work()
            except ConnectionError:
                time.sleep(2**attempt)
        return work()

    return call


def _hand_written_breaker() -> Function:
    import threading

    lock = threading.Lock()
    state = {"failures": 0, "opened_at": 0.0}

    def call() -> int:
        with lock:
            if state["failures"] >= 5 and time.monotonic() - state["opened_at"] < 60:
                raise RuntimeError
        try:
            result = work()
        except Exception:
            with lock:
                state["failures"] += 1
                state["opened_at"] = time.monotonic()
            raise
        with lock:
            state["failures"] = 0
        return result

    return call


def _tenacity(function: Any = work) -> Function:
    tenacity = importlib.import_module("tenacity")
    return tenacity.retry(stop=tenacity.stop_after_attempt(4), wait=tenacity.wait_random_exponential())(function)  # type: ignore[no-any-return]


def _stamina(function: Any = work) -> Function:
    return importlib.import_module("stamina").retry(on=ConnectionError, attempts=4)(function)  # type: ignore[no-any-return]


def _backoff(function: Any = work) -> Function:
    backoff = importlib.import_module("backoff")
    return backoff.on_exception(backoff.expo, ConnectionError, max_tries=4)(function)  # type: ignore[no-any-return]


def _pybreaker() -> Function:
    return importlib.import_module("pybreaker").CircuitBreaker()(work)  # type: ignore[no-any-return]


def _circuitbreaker(function: Any = work) -> Function:
    return importlib.import_module("circuitbreaker").circuit(function)  # type: ignore[no-any-return]


def _purgatory(function: Any = work) -> Function:
    purgatory = importlib.import_module("purgatory")
    if function is work_async:
        return purgatory.AsyncCircuitBreakerFactory()("bench")(function)  # type: ignore[no-any-return]
    return purgatory.SyncCircuitBreakerFactory()("bench")(function)  # type: ignore[no-any-return]


RETRIES: dict[str, Callable[[], Function]] = {
    "ours: ExponentialBackoffRetry, decorator": lambda: ExponentialBackoffRetry()(work),
    "ours: execute": lambda: _bound(ExponentialBackoffRetry().execute),
    "ours: with a deadline and the AWS quota": lambda: Retry(deadline=10, budget=RetryQuota())(work),
    "a loop written by hand": _hand_written_retry,
    "tenacity": _tenacity,
    "stamina": _stamina,
    "backoff": _backoff,
}
BREAKERS: dict[str, Callable[[], Function]] = {
    "ours: CircuitBreaker, decorator": lambda: CircuitBreaker()(work),
    "ours: call": lambda: _bound(CircuitBreaker().call),
    "ours: with a count window": lambda: CircuitBreaker(window=CountWindow())(work),
    "a breaker with a lock, written by hand": _hand_written_breaker,
    "pybreaker": _pybreaker,
    "circuitbreaker": _circuitbreaker,
    "purgatory": _purgatory,
}
ASYNC: dict[str, Callable[[], Callable[[], Awaitable[Any]]]] = {
    "ours: ExponentialBackoffRetry, decorator": lambda: ExponentialBackoffRetry()(work_async),
    "ours: CircuitBreaker, decorator": lambda: CircuitBreaker()(work_async),
    "tenacity": lambda: _tenacity(work_async),
    "stamina": lambda: _stamina(work_async),
    "backoff": lambda: _backoff(work_async),
    "circuitbreaker": lambda: _circuitbreaker(work_async),
    "purgatory": lambda: _purgatory(work_async),
}

#: Libraries of others, as they are called in the groups and where they are installed from.
PEERS = ("tenacity", "stamina", "backoff", "pybreaker", "circuitbreaker", "purgatory")


def _bound(method: Callable[[Function], Any]) -> Function:
    def call() -> Any:
        return method(work)

    return call


def measure(functions: dict[str, Function], seconds: float) -> dict[str, float]:
    """Best nanoseconds a call of each, measured in turn, so that what disturbs the machine disturbs them alike."""
    clock = time.perf_counter_ns
    numbers = dict.fromkeys(functions, 1)
    best = dict.fromkeys(functions, float("inf"))
    for name, function in functions.items():
        took = 0
        while took < 1_000_000:  # batches of a millisecond: short enough to fall between disturbances
            numbers[name] *= 2
            begun = clock()
            for _ in range(numbers[name]):
                function()
            took = clock() - begun
    for _ in range(max(1, int(seconds * 1000))):
        for name, function in functions.items():
            number = numbers[name]
            begun = clock()
            for _ in range(number):
                function()
            best[name] = min(best[name], (clock() - begun) / number)
    return best


async def measure_async(functions: dict[str, Callable[[], Awaitable[Any]]], seconds: float) -> dict[str, float]:
    """As :func:`measure`, awaited."""
    clock = time.perf_counter_ns
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(max(1, int(seconds * 1000))):
        for name, function in functions.items():
            begun = clock()
            for _ in range(100):
                await function()
            best[name] = min(best[name], (clock() - begun) / 100)
    return best


def _made(makers: dict[str, Callable[[], Any]], missing: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except ModuleNotFoundError:
            if name not in missing:
                missing.append(name)
    return made


def collect(seconds: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Nanoseconds by group and name, and what is not installed."""
    missing: list[str] = []
    groups = {
        group: measure({"the call itself": work, **_made(makers, missing)}, seconds)
        for group, makers in (("retry", RETRIES), ("breaker", BREAKERS))
    }
    protected = {"the call itself": work_async, **_made(ASYNC, missing)}
    groups["async"] = asyncio.run(measure_async(protected, seconds))
    return groups, missing


def table(groups: dict[str, dict[str, float]], missing: list[str]) -> str:
    """The figures as text: nanoseconds, and the ratio to the first line of the group."""
    lines = [f"Python {sys.version.split()[0]}: ns per successful call, and the ratio to the group's first line"]
    for group, figures in groups.items():
        lines.append(f"\n{group}")
        first = next((ns for name, ns in figures.items() if name.startswith("ours")), None)
        for name, ns in figures.items():
            ratio = f"{ns / first:8.2f} x" if first else ""
            lines.append(f"  {name:<44}{ns:10,.0f} ns {ratio}")
    lines.append("")
    for group, figures in groups.items():
        lines.append(f"{group}: {verdict(figures)}")
    installed = [f"{name} {importlib.metadata.version(name)}" for name in PEERS if name not in missing]
    lines.append(f"peers: {', '.join(installed)}" if installed else "peers: none is installed")
    if missing:
        lines.append(f"not installed, left out: {', '.join(missing)} (pip install -e '.[bench]')")
    return "\n".join(lines)


def verdict(figures: dict[str, float]) -> str:
    """What is ours against what is others', in a group: every one of ours below every peer, or which is not."""
    peers = {name: ns for name, ns in figures.items() if name in PEERS}
    if not peers:
        return "no peer to compare with"
    fastest = min(peers, key=peers.__getitem__)
    slower = [name for name, ns in figures.items() if name.startswith("ours") and ns >= peers[fastest]]
    if slower:
        return f"not below {fastest} ({peers[fastest]:,.0f} ns): {', '.join(slower)}"
    return f"everything of ours is below every peer; the fastest of them is {fastest} ({peers[fastest]:,.0f} ns)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each figure (default 0.2)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    groups, missing = collect(arguments.seconds)
    print(table(groups, missing))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"ns": groups, "missing": missing}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
