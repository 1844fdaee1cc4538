"""What the code under test asserts of itself: ``points.always``."""

from __future__ import annotations

from harness.history import Event
from harness.invariants.base import Invariant, Verdict

__all__ = ["AssertionsHold"]


class AssertionsHold(Invariant):
    """Every condition that the code under test hands to ``points.always`` holds each time."""

    name = "assertions-hold"
    awakened_by = frozenset({"assert.always"})

    def __init__(self) -> None:
        super().__init__()
        self._held = 0

    def on_assert_always(self, event: Event) -> None:
        if event.get("held"):
            self._held += 1
        else:
            self.violate(f"points.always({event['name']!r}) did not hold", event["n"])

    def conclude(self) -> Verdict:
        if self._held:
            return self.holds(f"{self._held} assertions held")
        return self.inconclusive("the history holds no points.always that failed; those that hold are not written")
