"""What alarms ought to know, from events alone."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.invariants.monitoring_truth import Depths, Errors, Strikes


@pytest.mark.parametrize(
    ("minute", "end", "struck"),
    [(60, 119.9, False), (60, 121.0, True), (60, 120.5, True), (120, 120.4, False), (180, 500.0, False)],
)
def test_strikes_by_the_second(minute: int, end: float, struck: bool) -> None:
    """From a whole minute to a moment that may be within one, both of which count; the first strike decides."""
    strikes = Strikes()
    for t in (120.5, 130.0, 179.0):
        strikes.add(t)
    assert strikes.between(minute, end) is struck


class TestErrors:
    def _errors(self) -> Errors:
        errors = Errors()
        for t, value, dimensions in ((1, 2, {"S": "a"}), (61, 3, {"S": "a", "Z": "1"}), (62, 4, {})):
            facts = {"namespace": "Shop", "metric": "ErrorCount", "samples": 1}
            errors.counted({**facts, "t": t, "value": value, "dimensions": dimensions})
        return errors

    def test_all_that_was_counted_with_these_dimensions(self) -> None:
        """What really happened under a dimension is all that has it among its own."""
        errors = self._errors()
        assert errors.of("Shop", "ErrorCount", (("S", "a"),)) == {0: 2, 60: 3}
        assert errors.of("Shop", "ErrorCount", ()) == {0: 2, 60: 7}

    def test_a_metric_that_nobody_counts(self) -> None:
        """Unknown is not the same as none."""
        assert self._errors().of("Shop", "Failures", ()) is None
        assert self._errors().of("Shop", "ErrorCount", (("S", "b"),)) == {}

    def test_what_cloudwatch_was_told(self) -> None:
        """CloudWatch adds nothing up over dimensions, and knows values from samples."""
        errors = self._errors()
        assert errors.told("Shop", "ErrorCount", (("S", "a"),), samples=False) == {0: 2}
        assert errors.told("Shop", "ErrorCount", (), samples=True) == {60: 1}
        assert errors.told("Shop", "Failures", (), samples=False) == {}


class TestDepths:
    def _step(self, depths: Depths, t: float, kind: str, **fields: Any) -> None:
        depths.step({"t": t, "kind": kind, "queue": "q", "message": "m", **fields})

    def test_at_the_end_of_each_minute(self) -> None:
        """A message counts where it is visible at a whole minute, before anything happens at that very moment."""
        depths = Depths()
        self._step(depths, 30, "send", delay=40.0)
        self._step(depths, 120, "receive", visible_at=150.0)
        self._step(depths, 200, "delete", found=True)
        depths.wind(300)
        assert depths.of("q") == {0: 0, 60: 1, 120: 1, 180: 0, 240: 0}

    def test_in_flight_for_good(self) -> None:
        """A delivery that does not say when it ends hides its message; a delete that found nothing leaves it."""
        depths = Depths()
        self._step(depths, 1, "send")
        self._step(depths, 2, "delete", found=False)
        self._step(depths, 61, "receive", visible_at=None)
        depths.wind(120)
        assert depths.of("q") == {0: 1, 60: 0}

    def test_moved_and_gone(self) -> None:
        """A move takes a message to another queue, and a queue that is deleted takes its messages along."""
        depths = Depths()
        self._step(depths, 1, "send")
        self._step(depths, 2, "move", to="dead")
        depths.step({"t": 61, "kind": "queue.delete", "queue": "dead", "messages": ["m"]})
        depths.wind(math.nextafter(120, 121))
        assert (depths.of("q"), depths.of("dead")) == ({0: 0, 60: 0}, {0: 1, 60: 0})
        assert ("dead" in depths, "other" in depths) == (True, False)
        assert depths.of("other") == {0: 0, 60: 0}
