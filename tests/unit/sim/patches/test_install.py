"""Tests of installing and removing the shims, and of what was made before they went in."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from harness.errors import EnvironmentFailed
from harness.sim import patches
from harness.sim.patches import sockets
from tests.unit.sim.simulate import simulate

ROOT = Path(__file__).resolve().parents[4]

#: Every name and class attribute of every module, as identities.
SNAPSHOT = """
def snapshot():
    import builtins, ctypes, datetime, gc, sys
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith(("harness", "__main__", "__mp_main__")) or not hasattr(module, "__dict__"):
            continue
        for key, value in list(vars(module).items()):
            found[name, key] = id(value)
            if type(value) is type and value.__module__ == name:
                for attribute, inner in list(vars(value).items()):
                    found[name, key, attribute] = id(inner)
            if hasattr(value, "__defaults__") and type(value).__name__ == "function":
                for number, inner in enumerate(value.__defaults__ or ()):
                    found[name, key, "default", number] = id(inner)
    return found
"""


def run(program: str) -> str:
    """What *program* prints, in a fresh interpreter."""
    text = textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNAPSHOT + text], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def bare() -> object:
    """The shims are out during the test, and afterwards as they were."""
    before = patches.installed()
    patches.uninstall()
    yield
    patches.uninstall()
    if before:
        patches.install()


def test_uninstall_leaves_every_name_as_it_was() -> None:
    """All names, class attributes and default arguments of all modules are the same objects before and after."""
    program = """
    import asyncio, concurrent.futures, datetime, logging, multiprocessing, queue, random, secrets, select, selectors
    import signal, socket, subprocess, threading, time, uuid
    import boto3, botocore.session, botocore.retries.standard, botocore.retries.adaptive, redis
    from harness.sim import patches
    from tests.unit.sim.simulate import simulate

    before = snapshot()
    replaced = []
    for _ in range(2):
        patches.install()
        patches.install()
        inside = snapshot()
        simulate(lambda: (time.sleep(5), threading.Thread(target=time.sleep, args=(1,)).start(), random.random()))
        patches.uninstall()
        patches.uninstall()
        after = snapshot()
        changed = {key for key in before if before[key] != after.get(key)} | (set(after) - set(before))
        # weakref.finalize has registered its exit function with the interpreter, as its first use does.
        print(sorted(str(key) for key in changed if key[:2] != ("weakref", "finalize")))
        replaced.append({key for key in before if before[key] != inside.get(key)})
    print(len(replaced[0]) > 100, replaced[0] ^ replaced[1])
    """
    assert run(program) == "[]\n[]\nTrue set()\n"


@pytest.mark.slow
def test_uninstall_works_after_an_exception(bare: None) -> None:
    """A run that ended by an error leaves nothing that uninstall() does not take out."""
    before = time.sleep, time.time, threading.Lock, os._exit

    def fails() -> None:
        raise ZeroDivisionError

    patches.install()
    with pytest.raises(ZeroDivisionError):
        simulate(fails)
    patches.uninstall()
    assert (time.sleep, time.time, threading.Lock, os._exit) == before


@pytest.mark.slow
def test_a_failing_install_takes_back_what_it_did(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that breaks in the middle leaves the names as they were."""
    before = time.sleep, threading.Lock, threading.Thread.__hash__

    def breaks() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.sim.patches.audit.arm", breaks)
    with pytest.raises(ZeroDivisionError):
        patches.install()
    assert not patches.installed()
    assert (time.sleep, threading.Lock, threading.Thread.__hash__) == before


def test_an_unknown_threading_is_refused(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that lacks a private name is refused by name and version before anything is replaced."""
    monkeypatch.delattr("threading._limbo")
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.\d+\.\d+.*: threading\._limbo is not there"):
        patches.install()
    assert not patches.installed()


def test_what_was_made_before_the_installation_works_inside() -> None:
    """Locks, conditions, events, queues, pools, thread-locals, logging: made first, used in actors."""
    program = """
    import concurrent.futures, functools, logging, queue, threading, time
    from queue import SimpleQueue
    from threading import local

    LOCK, RLOCK, EVENT, LOCAL, SIMPLE = threading.Lock(), threading.RLock(), threading.Event(), local(), SimpleQueue()
    CONDITION, SEMAPHORE, QUEUE = threading.Condition(), threading.Semaphore(1), queue.Queue()
    POOL = concurrent.futures.ThreadPoolExecutor(2)
    LOCAL.value = "outside"

    class Keeps:
        def __init__(self):
            self.lock = threading.Lock()
            self.nap = functools.partial(time.sleep, 2)
        __slots__ = ("lock", "nap")
    KEEPS = Keeps()
    LOG = []
    class Handler(logging.Handler):
        def emit(self, record):
            LOG.append("begins")
            time.sleep(1)
            LOG.append("ends")
    logging.getLogger("early").addHandler(Handler())

    from harness.sim import patches
    from tests.unit.sim.simulate import answer, kernel
    patches.install()

    def together(*functions):
        threads = [threading.Thread(target=function) for function in functions]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

    def excludes(lock):
        inside, most = [], []
        def work():
            with lock:
                inside.append(1); most.append(len(inside)); time.sleep(1); inside.pop()
        together(work, work, work)
        return max(most)

    def main():
        found = [excludes(lock) for lock in (LOCK, RLOCK, SEMAPHORE, CONDITION, KEEPS.lock)]
        found.append(hasattr(LOCAL, "value"))
        together(lambda: (time.sleep(3), SIMPLE.put("simple"), QUEUE.put("queue"), EVENT.set()))
        found += [SIMPLE.get(), QUEUE.get(), EVENT.wait()]
        try:
            SIMPLE.get(timeout=3)
        except queue.Empty:
            found.append("empty")
        def notifies():
            time.sleep(1)
            with CONDITION: CONDITION.notify()
        threading.Thread(target=notifies).start()
        with CONDITION: found.append(CONDITION.wait(10))
        start = time.monotonic(); KEEPS.nap(); found.append(round(time.monotonic() - start))
        together(*[lambda: logging.getLogger("early").error("x")] * 2)
        found.append(LOG)
        return found

    print(answer(main))
    patches.uninstall()
    print(LOCAL.value, LOCK.acquire(timeout=1), RLOCK.acquire(timeout=1), POOL.submit(lambda: 5).result(timeout=5))
    SIMPLE.put(1); print(SIMPLE.get(timeout=1), type(SIMPLE).__module__, type(LOCK).__name__)
    """
    first, second, third = run(program).splitlines()
    assert first == str(
        [1, 1, 1, 1, 1, False, "simple", "queue", True, "empty", True, 2, ["begins", "ends", "begins", "ends"]]
    )
    assert second == "outside True True 5"
    assert third == "1 _queue lock"


def test_what_was_bound_before_the_installation_is_virtual() -> None:
    """By name, default argument, keyword default, partial, static method, class attribute, slot, closure, dataclass."""
    program = """
    import dataclasses, datetime, functools, os, random, socket, time, uuid
    from os import urandom
    from random import randint, random as draw
    from time import monotonic, sleep, time as now
    from uuid import uuid4

    def by_default(wait=time.sleep, clock=time.time): wait(1); return clock()
    def by_keyword(*, clock=time.monotonic_ns): return clock()
    PARTIAL = functools.partial(time.sleep, 1)
    NESTED = functools.partial(by_default, time.sleep)
    @dataclasses.dataclass
    class Stamped:
        at: float = dataclasses.field(default_factory=time.time)
    class Holder:
        clock = time.time
        static = staticmethod(time.time)
        @classmethod
        def of(cls, clock=time.time): return clock()
    class Slotted:
        __slots__ = ("clock",)
        def __init__(self): self.clock = time.time
    class Plain:
        def __init__(self): self.clock = time.time
    SLOTTED, PLAIN = Slotted(), Plain()
    TABLE = {"a": [time.time, (time.time, (time.time,))]}
    def closure():
        clock = time.time
        return lambda: clock()
    CLOSURE = closure()

    from harness.sim import patches
    from tests.unit.sim.simulate import answer
    patches.install()

    def main():
        sleep(1); by_default(); PARTIAL(); NESTED()
        clocks = [now(), by_default() - 1, Stamped().at, Holder.clock(), Holder().clock(), Holder.static(), Holder.of(),
                  SLOTTED.clock(), PLAIN.clock(), TABLE["a"][0](), TABLE["a"][1][0](), TABLE["a"][1][1][0](), CLOSURE()]
        return [{round(clock) - 1893456000 for clock in clocks}, round(monotonic()) - 100000, by_keyword() // 10**9]
    print(answer(main))
    def ids(): return [draw(), randint(0, 99), uuid4(), urandom(4), datetime.datetime.now()]
    print(answer(ids, seed=1) == answer(ids, seed=1))
    patches.uninstall()
    print({abs(clock() - time.time()) < 5 for clock in (now, Holder.clock, Holder.static, SLOTTED.clock, CLOSURE)})
    print(by_default.__defaults__[0] is time.sleep, PARTIAL.func is time.sleep, type(time.sleep).__name__)
    """
    assert run(program).splitlines() == [
        "[{4, 5}, 5, 100005]",
        "True",
        "{True}",
        "True True builtin_function_or_method",
    ]


def test_built_in_methods_kept_before_the_installation_are_virtual() -> None:
    """A lock's acquire, a queue's put, and datetime.now in a variable or a default argument; all given back."""
    program = """
    import datetime, queue, threading, time
    class Own(datetime.datetime): pass
    now, own_now, TABLE = datetime.datetime.now, Own.now, {"utcnow": [datetime.datetime.now]}
    def by_default(clock=datetime.datetime.now): return clock()
    LOCK = threading.Lock()
    take, leave = LOCK.acquire, LOCK.release
    LINE = queue.SimpleQueue()
    put, get = LINE.put, LINE.get

    from harness.sim import patches
    from tests.unit.sim.simulate import answer
    patches.install()

    def main():
        def holds():
            take()
            time.sleep(5)
            leave()
            put("handed over")
        threading.Thread(target=holds).start()
        time.sleep(1)
        assert LOCK.locked()
        assert take(timeout=10)
        leave()
        clocks = [now(), own_now(), TABLE["utcnow"][0](), by_default()]
        return get(), {(clock.year, clock.second) for clock in clocks}, type(clocks[1]).__name__
    print(answer(main))
    patches.uninstall()
    print({abs(clock().timestamp() - time.time()) < 5 for clock in (now, own_now, by_default)}, take(), leave())
    print(type(now).__name__, type(take).__name__, put("x"), get())
    """
    assert run(program).splitlines() == [
        "('handed over', {(2030, 5)}, 'Own')",
        "{True} True None",
        "builtin_function_or_method builtin_function_or_method None x",
    ]


def test_a_lock_that_escaped_ends_the_run_with_a_clear_error() -> None:
    """A C lock that was held when the shims went in blocks for real: Stalled, not a hang."""
    program = """
    import threading, time
    lock = threading.Lock()
    lock.acquire()
    from harness.errors import Stalled
    from harness.sim import patches
    from tests.unit.sim.simulate import kernel
    patches.install()
    with kernel(watchdog_seconds=0.3) as k:
        k.start_process("worker", lock.acquire)
        try:
            k.run()
        except Stalled as error:
            print(str(error).partition(". ")[0]); print("import harness first" in str(error))
    """
    first, second = run(program).splitlines()
    assert first.startswith("worker has blocked or span for 0.3 s of real time")
    assert second == "True"


def test_modules_of_the_test_runner_keep_the_real_clock() -> None:
    """What pytest, hypothesis, coverage and the harness imported by name is not replaced; the components are."""
    program = """
    import sys, types, time
    for name in ("hypothesis.x", "_pytest.x", "coverage.x", "harness.cli.x", "harness.resilience.x", "hypothesisy"):
        module = sys.modules[name] = types.ModuleType(name)
        module.clock = time.perf_counter
        module.__spec__ = None
    from harness.sim import patches
    patches.install()
    for name in ("hypothesis.x", "_pytest.x", "coverage.x", "harness.cli.x", "harness.resilience.x", "hypothesisy"):
        print(name, type(sys.modules[name].clock).__name__ == "builtin_function_or_method")
    """
    assert run(program).splitlines() == [
        "hypothesis.x True",
        "_pytest.x True",
        "coverage.x True",
        "harness.cli.x True",
        "harness.resilience.x False",
        "hypothesisy False",
    ]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="time.sleep raises an audit event since Python 3.13")
@pytest.mark.usefixtures("shims")
def test_a_real_sleep_that_escaped_is_refused() -> None:
    """An audit hook sees a real time.sleep whatever name it was kept under, and names the remedy."""
    from harness.errors import RealWorld
    from harness.sim import real

    def main() -> None:
        with pytest.raises(RealWorld, match="chaos = true"):
            real.sleep(0.01)

    simulate(main)
    real.sleep(0)
    patches.uninstall()
    real.sleep(0)
    patches.install()


@pytest.mark.usefixtures("shims")
def test_a_real_connect_by_the_c_type_is_refused() -> None:
    """The C socket type below socket.socket cannot reach the network either."""
    import _socket

    from harness.errors import RealWorld

    def main() -> None:
        bare = _socket.socket()
        try:
            with pytest.raises(RealWorld, match="a real connection"):
                bare.connect(("127.0.0.1", 1))
        finally:
            bare.close()

    simulate(main)


def test_the_connector_and_the_resolver_are_given_back() -> None:
    """set_connector and set_resolver return what was in force."""
    before = sockets.set_connector(None)
    assert sockets.set_connector(before) is None
    resolver = sockets.set_resolver(None)
    assert sockets.set_resolver(resolver) is None
