"""How components tell what happened: plain functions that take one frozen details object."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["logger", "notify"]

logger = logging.getLogger("harness.resilience")

E = TypeVar("E")


def notify(listeners: Iterable[Callable[[E], object]], event: E) -> None:
    """Hand *event* to each listener. One that fails is logged and changes nothing for the caller or the others."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            logger.exception("listener %r failed on %s", listener, type(event).__name__)
