"""reset_after: the connection is reset (RST) when ``bytes`` bytes have passed in this direction: in mid-answer."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import Attribute, ToxicType, at_least
from harness.toxiproxy.toxics.limit_data import CountingStage

__all__ = ["RESET_AFTER"]

_DELIVERY_SECONDS = 0.02  # a reset takes away what the peer has not read: let it have the part that passed


class ResetAfterStage(CountingStage):
    """As limit_data, with a reset for an end."""

    def spent(self) -> None:
        if self._timer is None:
            self._after(_DELIVERY_SECONDS if self.passed else 0.0, self._reset)

    def removed(self) -> None:
        if self._timer is not None:
            self._reset()  # bytes are missing already

    def _reset(self) -> None:
        self.carrier.close(reset=True)


RESET_AFTER = ToxicType("reset_after", ResetAfterStage, (Attribute("bytes", check=at_least(0)),), extra=True)
