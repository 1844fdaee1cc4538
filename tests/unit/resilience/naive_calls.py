"""Retries and circuit breakers as they are usually written: every trap of theirs in a few lines."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from harness.resilience import CircuitBreakerOpenException, CircuitState, PermanentError


class NaiveRetry:
    """Counts in an attribute, keeps a copy of the last error, looks at the deadline before it sleeps past it."""

    def __init__(
        self,
        max_retries: int = 3,
        base_delay: float = 1,
        max_delay: float = 60,
        jitter: bool = True,
        deadline: float | None = None,
    ) -> None:
        self.max_retries = max_retries
        self.base_delay = base_delay
        self.max_delay = max_delay
        self.jitter = jitter
        self.deadline = deadline
        self.attempt = 0

    def execute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        begun = time.time()
        last: Any = None
        self.attempt = 0
        while self.attempt <= self.max_retries:
            try:
                return func(*args, **kwargs)
            except PermanentError:
                raise
            except BaseException as error:
                last = type(error)(*error.args)
            self.attempt += 1
            delay = min(self.base_delay * 2 ** (self.attempt - 1), self.max_delay)
            if self.jitter:
                delay *= random.uniform(0.5, 1.5)
            if self.deadline is not None and time.time() - begun > self.deadline:
                break
            time.sleep(delay)
        raise last


class NaiveRetryOfItsOwnErrors(NaiveRetry):
    """Retries what is of its own taxonomy; no library raises that."""

    def execute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        from harness.resilience import TransientError

        for _ in range(self.max_retries):
            try:
                return func(*args, **kwargs)
            except TransientError:
                time.sleep(self.base_delay)
        return func(*args, **kwargs)


class NaiveBreaker:
    """Wall clock, everybody a probe, and the last result decides, whenever its call began."""

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60,
        expected_exception: type[Exception] = Exception,
    ) -> None:
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.expected_exception = expected_exception
        self.state = CircuitState.CLOSED
        self.failure_count = 0
        self.last_failure_time = 0.0

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.let_in()
        try:
            result = func(*args, **kwargs)
        except self.expected_exception:
            self.failed()
            raise
        self.succeeded()
        return result

    def let_in(self) -> None:
        if self.state is CircuitState.OPEN:
            if time.time() - self.last_failure_time < self.recovery_timeout:
                raise CircuitBreakerOpenException("open")
            self.state = CircuitState.HALF_OPEN

    def failed(self) -> None:
        self.failure_count += 1
        self.last_failure_time = time.time()
        if self.failure_count >= self.failure_threshold:
            self.state = CircuitState.OPEN

    def succeeded(self) -> None:
        self.failure_count = 0
        self.state = CircuitState.CLOSED


class NaiveBreakerWithOnePermit(NaiveBreaker):
    """One probe at a time, whose permit comes back by two of the three ways in which a call ends."""

    probing = False

    def let_in(self) -> None:
        super().let_in()
        if self.state is CircuitState.HALF_OPEN:
            if self.probing:
                raise CircuitBreakerOpenException("a probe is under way")
            self.probing = True

    def failed(self) -> None:
        self.probing = False
        super().failed()

    def succeeded(self) -> None:
        self.probing = False
        super().succeeded()
