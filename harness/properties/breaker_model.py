"""What a circuit breaker may do: a reference model that knows where good breakers differ.

The model is a set of states in which a right breaker may be. Each decision
(a call reaches the function, a call is refused) and each end of a call
removes the states in which it is impossible and leads the others on; where
none is left, the breaker is wrong. Where breakers rightly differ (does an
ignored exception end a row of failures? does a late failure begin the open
time anew?) the set branches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from harness.properties.contract import BreakerContract

__all__ = ["TOLERANCE_US", "Model", "State"]

TOLERANCE_US = 2_000  # timers of event loops round; a breaker may compare with < or <=


@dataclass(frozen=True, slots=True)
class State:
    """One state. ``failures`` are the times of those that count; ``under_way``: call -> generation it began in."""

    name: str = "closed"
    generation: int = 0
    failures: tuple[int, ...] = ()
    since_us: int = 0
    reopened: bool = False
    probes: frozenset[int] = frozenset()
    successes: int = 0
    under_way: tuple[tuple[int, int], ...] = ()

    def to(self, name: str, at_us: int, *, reopened: bool = False) -> State:
        """A new generation in another state."""
        return State(name, self.generation + 1, (), at_us, reopened, under_way=self.under_way)

    def generation_of(self, call: int) -> int:
        return dict(self.under_way).get(call, -1)


class Model:
    """The states in which a right breaker of *contract* may be."""

    def __init__(self, contract: BreakerContract) -> None:
        self.contract = contract
        self.states: tuple[State, ...] = (State(),)
        self._recovery_us = round(contract.recovery_timeout * 1e6)
        self._window_us = None if contract.window is None else round(contract.window * 1e6)

    def enters(self, call: int, at_us: int, *, inside: bool = False) -> bool:
        """A call reaches the function; false if no right breaker lets it. A call *inside* a probe may be part of it."""
        return self._take(self._enter(state, call, at_us, inside) for state in self.states)

    def refuses(self, at_us: int) -> bool:
        """A call is refused; false if no right breaker refuses it."""
        return self._take(self._refuse(state, at_us) for state in self.states)

    def leaves(self, call: int, at_us: int, outcome: str) -> None:
        """A call ends in *outcome*."""
        self._take(self._leave(state, call, at_us, outcome) for state in self.states)

    def late(self, call: int) -> bool:
        """Whether *call* began in an earlier generation, in every state."""
        return all(state.generation_of(call) not in (-1, state.generation) for state in self.states)

    def _take(self, following: Iterable[Iterator[State]]) -> bool:
        states = tuple(dict.fromkeys(state for some in following for state in some))
        if states:
            self.states = states
        return bool(states)

    def _enter(self, state: State, call: int, at_us: int, inside: bool) -> Iterator[State]:
        if state.name == "open":
            if at_us - state.since_us < self._recovery_us - TOLERANCE_US:
                return
            state = state.to("half-open", at_us)
        if state.name == "half-open":
            if len(state.probes) >= self.contract.half_open_permits and not inside:
                return
            state = replace(state, probes=state.probes | {call})
        yield replace(state, under_way=(*state.under_way, (call, state.generation)))

    def _refuse(self, state: State, at_us: int) -> Iterator[State]:
        if state.name == "open" and at_us - state.since_us <= self._recovery_us + TOLERANCE_US:
            yield state
        elif state.name == "half-open" and state.probes:
            yield state  # fewer than permitted may be let in: some count permits in all, others at once

    def _leave(self, state: State, call: int, at_us: int, outcome: str) -> Iterator[State]:
        generation = state.generation_of(call)
        state = replace(state, under_way=tuple(pair for pair in state.under_way if pair[0] != call))
        if generation != state.generation:
            yield from self._leave_late(state, at_us, outcome)
        elif state.name == "closed":
            yield from self._leave_closed(state, at_us, outcome)
        else:
            yield from self._leave_probe(replace(state, probes=state.probes - {call}), at_us, outcome)

    def _leave_late(self, state: State, at_us: int, outcome: str) -> Iterator[State]:
        """The result of an earlier generation: nothing follows from a success; a failure is at least recent news."""
        yield state
        if outcome in ("failure", "interrupt", "cancelled"):
            if state.name == "open":
                yield replace(state, since_us=at_us)
            elif state.name == "closed":
                yield self._failed(state, at_us)
        elif state.name == "closed":
            yield self._succeeded(state)

    def _leave_closed(self, state: State, at_us: int, outcome: str) -> Iterator[State]:
        if outcome == "failure":
            yield self._failed(state, at_us)
        elif outcome in ("success", "nested"):
            yield self._succeeded(state)
        else:
            yield state
            yield self._succeeded(state)
            if outcome != "ignored":
                yield self._failed(state, at_us)

    def _leave_probe(self, state: State, at_us: int, outcome: str) -> Iterator[State]:
        if outcome == "failure":
            yield state.to("open", at_us, reopened=True)
        elif outcome in ("success", "nested"):
            yield self._probe_succeeded(state, at_us)
        else:
            yield state
            yield (
                self._probe_succeeded(state, at_us) if outcome == "ignored" else state.to("open", at_us, reopened=True)
            )

    def _probe_succeeded(self, state: State, at_us: int) -> State:
        if state.successes + 1 >= self.contract.success_threshold:
            return state.to("closed", at_us)
        return replace(state, successes=state.successes + 1)

    def _succeeded(self, state: State) -> State:
        return replace(state, failures=()) if self._window_us is None else state

    def _failed(self, state: State, at_us: int) -> State:
        failures = (*state.failures, at_us)
        if self._window_us is not None:
            failures = tuple(at for at in failures if at > at_us - self._window_us)
        if len(failures) >= self.contract.failure_threshold:
            return state.to("open", at_us)
        return replace(state, failures=failures)
