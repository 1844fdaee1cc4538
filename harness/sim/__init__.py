"""Deterministic simulation: virtual time, one thread, seeded."""

from harness import compat as _compat

_compat.check_interpreter()
