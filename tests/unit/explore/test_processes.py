"""Processes that run one scenario again and again: they stay small."""

from __future__ import annotations

import gc
import weakref

from harness.explore import processes


class Ring:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.me = self


def test_old_cycles_are_collected_now_and_then() -> None:
    """What only a full collection frees is gone after so many runs, though the collector is off in each."""
    ring = Ring()
    gc.collect()  # it belongs to the oldest now
    seen = weakref.ref(ring)
    gc.disable()
    try:
        del ring
        for _ in range(processes._COLLECT_EVERY):
            processes.tidy()
    finally:
        gc.enable()
    assert seen() is None
