"""Which servers a live run uses, and how fast the services' clock runs."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UsageError

__all__ = ["LiveOptions"]


@dataclass(frozen=True)
class LiveOptions:
    """``None`` everywhere: what is started here. Addresses must be on loopback unless ``allow_remote``.

    sqs: an endpoint URL, ``moto`` or ``elasticmq``; redis: a URL, ``server`` (this machine's redis-server) or ``fake``;
    toxiproxy: ``embedded``, ``binary`` or a URL; time_scale: seconds of the services to a second of real time.
    """

    sqs: str | None = None
    redis: str | None = None
    toxiproxy: str | None = None
    time_scale: float = 1.0
    allow_remote: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.time_scale <= 1000:
            raise UsageError(f"must be above 0 and at most 1000, not {self.time_scale!r}", field="--time-scale")
        if self.time_scale != 1.0 and self.sqs is not None:
            raise UsageError(
                "only the harness's own server has a clock that runs faster",
                field="--time-scale",
                remedy="Leave out --sqs, or the time scale.",
            )
