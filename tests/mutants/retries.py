"""Retry policies: one that is right, and the same with one defect each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

ATTEMPTS = 4
BASE = 1.0
CAP = 4.0


class Right:
    """Up to four attempts of what fails with ConnectionError; equal jitter, capped."""

    def delay(self, attempt: int) -> float:
        """Seconds after *attempt* failed."""
        return min(CAP, BASE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def call(self, func: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return func()
            except ConnectionError:
                if attempt == ATTEMPTS:
                    raise
            self.wait(self.delay(attempt))
        raise AssertionError("unreachable")


class JitterOverTheCap(Right):
    def delay(self, attempt: int) -> float:
        return min(CAP, BASE * 2 ** (attempt - 1)) * random.uniform(0.5, 1.2)


class OneTooMany(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        attempt = 0
        while True:
            try:
                return func()
            except ConnectionError:
                if attempt >= ATTEMPTS:
                    raise
            attempt += 1
            self.wait(self.delay(attempt))


class PermanentRetriedAfterTransient(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        seen = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return func()
            except Exception as error:
                seen = seen or isinstance(error, ConnectionError)
                if attempt == ATTEMPTS or not seen:
                    raise
            self.wait(self.delay(attempt))
        raise AssertionError("unreachable")


class SleepsAfterTheLast(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return func()
            except ConnectionError as error:
                last = error
            self.wait(self.delay(attempt))
        raise last


class TracebackLost(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        last: BaseException | None = None
        try:
            return super().call(func)
        except ConnectionError as error:
            last = error
        raise last.with_traceback(None)


class FirstExceptionRaised(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        seen: list[BaseException] = []

        def kept() -> Any:
            try:
                return func()
            except ConnectionError as error:
                seen.append(error)
                raise

        try:
            return super().call(kept)
        except ConnectionError:
            raise seen[0] from None


class BaseExceptionSwallowed(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return func()
            except (ValueError, TimeoutError):
                raise
            except BaseException:
                if attempt == ATTEMPTS:
                    raise
            self.wait(self.delay(attempt))
        raise AssertionError("unreachable")


class FalsyValueRetried(Right):
    def call(self, func: Callable[[], Any]) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            value = super().call(func)
            if value or attempt == ATTEMPTS:
                return value
        raise AssertionError("unreachable")


class BusyLoop(Right):
    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            continue


class SharedCount(Right):
    """The number of the attempt is the policy's, not the call's."""

    def __init__(self) -> None:
        self.attempt = 0

    def call(self, func: Callable[[], Any]) -> Any:
        self.attempt = 0
        while True:
            self.attempt += 1
            try:
                return func()
            except ConnectionError:
                if self.attempt >= ATTEMPTS:
                    raise
            self.wait(self.delay(min(self.attempt, ATTEMPTS)))


class WallClockDeadline(Right):
    """Waits until a time of day."""

    def wait(self, seconds: float) -> None:
        end = time.time() + seconds
        while (left := end - time.time()) > 0:
            time.sleep(left)


class FullWaits(Right):
    """No jitter, though the contract allows it."""

    def delay(self, attempt: int) -> float:
        return float(min(CAP, BASE * 2 ** (attempt - 1)))


#: Defect -> the property that has to be found.
WRONG: dict[type[Right], str] = {
    JitterOverTheCap: "delay-bounds",
    OneTooMany: "attempts-bounded",
    PermanentRetriedAfterTransient: "permanent-not-retried",
    SleepsAfterTheLast: "no-wait-after-last",
    TracebackLost: "traceback-kept",
    FirstExceptionRaised: "last-exception",
    BaseExceptionSwallowed: "base-exceptions-pass",
    FalsyValueRetried: "value-unchanged",
    BusyLoop: "comes-to-rest",
    SharedCount: "calls-independent",
    FullWaits: "no-herd",
}
