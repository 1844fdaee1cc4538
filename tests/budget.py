"""How much a test run may cost: all of it in nightly (``HARNESS_NIGHTLY=1``), a fixed part elsewhere."""

from __future__ import annotations

import os

#: Whether everything is run, the tests marked ``slow`` too.
NIGHTLY = os.environ.get("HARNESS_NIGHTLY") == "1"


def examples(nightly: int) -> int:
    """How many examples Hypothesis tries: *nightly* in nightly, a fifth of it (at least 10) elsewhere."""
    return nightly if NIGHTLY else max(10, nightly // 5)
