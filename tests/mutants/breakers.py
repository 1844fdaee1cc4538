"""Circuit breakers: one that is right, and the same with one defect each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

THRESHOLD = 5
RECOVERY = 60.0


class Open(Exception):
    """A call was refused."""


class Right:
    """Opens after five ConnectionErrors in a row for a minute; one probe at a time; ValueError is ignored."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state = "closed"
        self.generation = 0
        self.failures = 0
        self.opened = 0.0
        self.probes = 0

    def now(self) -> float:
        return time.monotonic()

    def change(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.failures = self.probes = 0
        if state == "open":
            self.opened = self.now()

    def admit(self) -> int:
        with self.lock:
            if self.state == "open":
                if self.now() - self.opened < RECOVERY:
                    raise Open
                self.change("half-open")
            if self.state == "half-open":
                if self.probes >= 1:
                    raise Open
                self.probes += 1
            return self.generation

    def report(self, generation: int, error: BaseException | None) -> None:
        with self.lock:
            if generation != self.generation:
                return
            if error is None:
                self.succeeded()
            elif isinstance(error, ConnectionError):
                self.failed()
            elif self.state == "half-open":
                self.freed()

    def succeeded(self) -> None:
        if self.state == "half-open":
            self.change("closed")
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1
        if self.state == "half-open" or self.failures >= THRESHOLD:
            self.change("open")

    def freed(self) -> None:
        self.probes -= 1

    def call(self, func: Callable[[], Any]) -> Any:
        generation = self.admit()
        try:
            result = func()
        except BaseException as error:
            self.report(generation, error)
            raise
        self.report(generation, None)
        return result


class UnlimitedProbes(Right):
    def admit(self) -> int:
        with self.lock:
            if self.state == "open":
                if self.now() - self.opened < RECOVERY:
                    raise Open
                self.change("half-open")
            return self.generation


class LateSuccessCloses(Right):
    def report(self, generation: int, error: BaseException | None) -> None:
        if error is None:
            with self.lock:
                self.change("closed")
            return
        super().report(generation, error)


class LateResultDecidesTheProbe(Right):
    """Results are told from each other by the state, not by the generation they began in."""

    def report(self, generation: int, error: BaseException | None) -> None:
        if self.state == "half-open":
            generation = self.generation
        super().report(generation, error)


class WallClock(Right):
    def now(self) -> float:
        return time.time()


class LockHeldWhileCalling(Right):
    def __init__(self) -> None:
        super().__init__()
        self.calling = threading.RLock()

    def call(self, func: Callable[[], Any]) -> Any:
        with self.calling:
            return super().call(func)


class LockNotReentrant(Right):
    def __init__(self) -> None:
        super().__init__()
        self.calling = threading.Lock()

    def call(self, func: Callable[[], Any]) -> Any:
        with self.calling:
            return super().call(func)


class StuckAfterBaseException(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        generation = self.admit()
        try:
            result = func()
        except Exception as error:
            self.report(generation, error)
            raise
        self.report(generation, None)
        return result


class InterruptCloses(Right):
    def freed(self) -> None:
        self.change("closed")


class StuckAfterIgnored(Right):
    def report(self, generation: int, error: BaseException | None) -> None:
        if not isinstance(error, ValueError):
            super().report(generation, error)


class IgnoredCounts(Right):
    def report(self, generation: int, error: BaseException | None) -> None:
        super().report(generation, ConnectionError() if isinstance(error, ValueError) else error)


class OneFailureEarly(Right):
    def failed(self) -> None:
        self.failures += 1
        if self.state == "half-open" or self.failures >= THRESHOLD - 1:
            self.change("open")


class OneFailureLate(Right):
    def failed(self) -> None:
        self.failures += 1
        if self.state == "half-open" or self.failures > THRESHOLD:
            self.change("open")


class NeverForgives(Right):
    """A success does not end a row of failures."""

    def succeeded(self) -> None:
        if self.state == "half-open":
            self.change("closed")


class ProbeFailureCounts(Right):
    """A failed probe is one failure among five."""

    def failed(self) -> None:
        self.failures += 1
        if self.failures >= THRESHOLD:
            self.change("open")
        elif self.state == "half-open":
            self.probes -= 1


class HalfTheTime(Right):
    def now(self) -> float:
        return 2 * time.monotonic()


class OwnException(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        before = self.state
        try:
            return super().call(func)
        except ConnectionError as error:
            if before == "closed" and self.state == "open":
                raise Open from error
            raise


class NothingForFalsy(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        return str(super().call(func)).upper()


class LostUpdate(Right):
    """Reads the count, calls something, writes the count, and holds no lock."""

    def report(self, generation: int, error: BaseException | None) -> None:
        if generation == self.generation and self.state == "closed" and isinstance(error, ConnectionError):
            failures = self.failures
            self.now()
            self.failures = failures + 1
            if self.failures >= THRESHOLD:
                with self.lock:
                    self.change("open")
            return
        super().report(generation, error)


class CheckThenAct(Right):
    """Whether there is a permit is asked outside the lock that takes it."""

    def admit(self) -> int:
        if self.state == "open" and self.now() - self.opened >= RECOVERY:
            with self.lock:
                if self.state == "open":
                    self.change("half-open")
        if self.state == "open" or (self.state == "half-open" and self.probes >= 1):
            raise Open
        self.now()
        with self.lock:
            if self.state == "half-open":
                self.probes += 1
            return self.generation


#: Defect -> the property that has to be found.
WRONG: dict[type[Right], str] = {
    UnlimitedProbes: "half-open-permits",
    LateSuccessCloses: "generations",
    LateResultDecidesTheProbe: "generations",
    WallClock: "wall-clock",
    LockHeldWhileCalling: "not-serialised",
    LockNotReentrant: "comes-to-rest",
    StuckAfterBaseException: "not-stuck",
    InterruptCloses: "base-exceptions",
    StuckAfterIgnored: "not-stuck",
    IgnoredCounts: "ignored-exceptions",
    OneFailureEarly: "counts",
    OneFailureLate: "opens",
    NeverForgives: "counts",
    ProbeFailureCounts: "reopens",
    HalfTheTime: "stays-open",
    OwnException: "exceptions-unchanged",
    NothingForFalsy: "result-unchanged",
}

#: Those that only threads break.
RACES: dict[type[Right], str] = {
    LostUpdate: "no-lost-update",
    CheckThenAct: "half-open-permits",
}
