"""What a circuit breaker gives a call that it lets in."""

from __future__ import annotations

from harness.resilience._breaker_events import CircuitState

__all__ = ["Ticket"]


class Ticket:
    """A call that was let in.

    ``call``: its name in the store of a shared breaker, empty where the breaker
    decided alone. ``epoch``: of the state in the store; ``episode``: during which
    of its times without the store.
    """

    __slots__ = ("began", "call", "episode", "epoch", "generation", "number", "state")

    def __init__(
        self, state: CircuitState, generation: int, number: int, began: float | None, *, call: str = "", epoch: str = ""
    ) -> None:
        self.state = state
        self.generation = generation
        self.number = number
        self.began = began
        self.call = call
        self.epoch = epoch
        self.episode = 0
