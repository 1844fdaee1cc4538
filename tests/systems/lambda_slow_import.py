"""A module whose import waits: as long as INIT_SECONDS says."""

from __future__ import annotations

import os
import time
from typing import Any

from harness.points import effect

time.sleep(float(os.environ["INIT_SECONDS"]))


def handler(event: dict[str, Any], context: Any) -> None:
    """Tells that it was reached, and what time is left."""
    effect("reached", context.get_remaining_time_in_millis())
