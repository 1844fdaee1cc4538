"""The project's degradation manager, observed."""

from __future__ import annotations

from harness.resilience.breaker import CircuitBreaker
from harness.resilience.degradation import ServiceDegradationManager
from tests.unit.observe.helpers import observed


def test_levels_and_measures_are_written() -> None:
    """The manager once, then each change of level with its measures and what they have in force."""
    manager = ServiceDegradationManager(
        features=["recommendations"],
        breakers=[CircuitBreaker(failure_threshold=6, name="payments")],
        processing_rate=8,
        thresholds={"queue_depth": (1, 2, 3, float("inf")), "error_rate": None, "processing_latency": None},
    )
    with observed() as record:
        manager.apply_degradation(3)
        manager.apply_degradation(0)
    (created,) = record.of("degradation.created")
    assert created["thresholds"] == {"queue_depth": [1, 2, 3, None]}
    assert created["measures"] == {"processing-rate": 1, "features": 2, "breakers": 3, "emergency": 4}
    assert (created["features"], created["breakers"], created["queues"]) == (["recommendations"], 1, [])
    up, down = record.of("degradation.level")
    assert (up["before"], up["level"], up["by_hand"]) == ("normal", "severe_degradation", True)
    assert down["level"] == "normal"
    measures = record.of("degradation.measure")
    assert [(one["measure"], one["active"]) for one in measures] == [
        ("processing-rate", True),
        ("features", True),
        ("breakers", True),
        ("breakers", False),
        ("features", False),
        ("processing-rate", False),
    ]
    assert (measures[2]["rate"], measures[2]["off"], measures[2]["breakers"], measures[2]["intake"]) == (
        2.0,
        ["recommendations"],
        ["payments"],
        "open",
    )
    tight, loose = record.of("breaker.limits")
    assert (tight["failure_threshold"], loose["failure_threshold"]) == (3, 6)
    assert {one["manager"] for one in record.events if one["kind"].startswith("degradation")} == {"degradation-1"}


def test_health_is_written_at_each_look() -> None:
    """Each look gives the metrics, what they ask for and what is in force; outside a run nothing is written."""
    manager = ServiceDegradationManager(gauges={"lag": lambda: 1 / 3}, thresholds={"lag": (0.3, 1, 2, 3)}, name="shop")
    with observed() as record:
        manager.tick()
        record.running = False
        manager.tick()
    (health,) = record.of("degradation.health")
    assert health == {
        "kind": "degradation.health",
        "manager": "shop",
        "health": {"error_rate": None, "queue_depth": None, "processing_latency": None, "lag": 0.333333},
        "assessed": "light_degradation",
        "allows": "light_degradation",
        "level": "normal",
        "pinned": False,
    }


def test_a_measure_that_failed_is_named() -> None:
    """The error's class stands in the event of a measure that could not be applied."""

    class Own(ServiceDegradationManager):
        def _reduce_message_processing_rate(self) -> None:
            raise RuntimeError("no")

    manager = Own()
    with observed() as record:
        manager.apply_degradation(1)
    (measure,) = record.of("degradation.measure")
    assert (measure["active"], measure["error"]) == (False, "RuntimeError")
