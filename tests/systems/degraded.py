"""The shop of degradation-under-overload with one thing about its degradation broken each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from harness.resilience import CircuitBreaker, ConsumerOptions, Hysteresis, ResilientConsumer, json_body
from harness.resilience.degradation import ServiceDegradationManager

SETTINGS: dict[str, Any] = {
    "features": ["recommendations"],
    "thresholds": {"queue_depth": (50, 100, 400, 10_000)},
    "name": "shop",
}


def _run(env: Any, degradation: ServiceDegradationManager) -> None:
    shop = env.http_url("shop")

    def handle(message: dict[str, Any]) -> None:
        if degradation.features.enabled("recommendations"):
            requests.get(f"{shop}/recommendations", timeout=5).raise_for_status()
        requests.post(f"{shop}/charges", json=json_body(message), timeout=5).raise_for_status()

    ResilientConsumer(
        env.queue_url("orders"),
        handle,
        dlq_url=env.queue_url("orders-dlq"),
        degradation=degradation,
        breaker=CircuitBreaker(failure_threshold=8, recovery_timeout=5, name="shop"),
        max_receives=50,
        retry_delay=lambda receives: min(60, 2**receives),
        options=ConsumerOptions(concurrency=4),
    ).run()


class EmptyStubs(ServiceDegradationManager):
    """Its measures have names, and nothing in them."""

    def _reduce_message_processing_rate(self) -> None:
        """Nothing."""

    def _disable_non_critical_features(self) -> None:
        """Nothing."""


def measures_that_are_empty(env: Any) -> None:
    _run(env, EmptyStubs(**SETTINGS))


class LeakyBucket(ServiceDegradationManager):
    """Says that it limits the rate, and charges nothing to it."""

    def listener(self, event: Any) -> None:
        """Nothing."""


def a_limit_that_nobody_keeps(env: Any) -> None:
    _run(env, LeakyBucket(**SETTINGS))


class NeverLifts(ServiceDegradationManager):
    """The second half of the job was never written."""

    def _enable_non_critical_features(self) -> None:
        raise NotImplementedError


def measures_that_are_not_lifted(env: Any) -> None:
    _run(env, NeverLifts(**SETTINGS))


def a_level_that_comes_too_late(env: Any) -> None:
    """Waits ten minutes for the health to get better by itself."""
    _run(env, ServiceDegradationManager(**SETTINGS, hysteresis=Hysteresis(rise_seconds=600)))


def a_level_that_stays(env: Any) -> None:
    """Emergency mode with a lid on it: half a day of calm before anything is lifted."""
    _run(env, ServiceDegradationManager(**SETTINGS, hysteresis=Hysteresis(fall_seconds=43_200)))


class BlindToTheQueue(ServiceDegradationManager):
    """Judges by errors alone."""

    def assess_system_health(self, metrics: Mapping[str, float | None]) -> str:
        return super().assess_system_health({"error_rate": metrics.get("error_rate")})


def a_judgement_that_leaves_out_a_metric(env: Any) -> None:
    _run(env, BlindToTheQueue(**SETTINGS))
