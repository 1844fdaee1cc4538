"""Observes :class:`harness.resilience.poison.PoisonMessageDetector`: what goes into quarantine and comes out."""

from __future__ import annotations

from collections.abc import Callable

from harness.observe.context import Context
from harness.resilience.poison import PoisonEvent, watch_quarantines

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write every message that is quarantined or released to the context's record."""

    def listen(event: PoisonEvent) -> None:
        if event.kind not in ("quarantined", "released") or not context.active():
            return
        key = context.key_of(event.message_id)
        if event.kind == "quarantined":
            context.record("quarantine", event.message_id, **key, reason=event.reason)
        else:
            context.record("release", event.message_id, **key)

    return watch_quarantines(listen)
