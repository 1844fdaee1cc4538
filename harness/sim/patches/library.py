"""State that the standard library keeps in modules, and that would make one run differ from the next."""

from __future__ import annotations

import logging
import sys
import tempfile
from typing import Any

from harness.sim.kernel import EPOCH_US, Kernel

__all__ = ["begin_step", "close_step"]

_tempfile: Any = tempfile
_logging: Any = logging
_before: dict[str, Any] = {}


def begin_step(kernel: Kernel) -> None:
    """Names of temporary files are drawn anew, log records count their time from the start of the run.

    numpy's global generator starts from the run's seed: one for all processes.
    """
    _before["names"] = _tempfile._name_sequence
    _before["start"] = _logging._startTime
    _tempfile._name_sequence = None
    # Seconds as a float until Python 3.12, nanoseconds since 3.13.
    nanoseconds = isinstance(_logging._startTime, int)
    _logging._startTime = EPOCH_US * 1000 if nanoseconds else EPOCH_US / 1e6
    numpy_random: Any = sys.modules.get("numpy.random")
    _before["numpy"] = None
    if numpy_random is not None:  # its generator is C code's; who imports numpy only in the run has it from the ids
        _before["numpy"] = numpy_random.get_state()
        numpy_random.seed(kernel.seeds.stream("numpy").getrandbits(32))


def close_step(kernel: Kernel) -> None:
    """Give both back."""
    _tempfile._name_sequence = _before["names"]
    _logging._startTime = _before["start"]
    if _before["numpy"] is not None:
        sys.modules["numpy.random"].set_state(_before["numpy"])
