"""What a history says of retries: the calls of each policy, or, of unknown code, its failing calls in a row.

Two sources. ``retry.*`` events come from listeners of known libraries and
say attempts, delays and their bands. Without them the wire's ``call.failed``
events remain: consecutive failures of one actor at one point, with nothing
else done in between, are the attempts of one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.history import Event, Header
from harness.invariants.base import Book, BookInvariant

__all__ = ["Chain", "RetriedCall", "RetryBook", "RetryInvariant"]

#: Receiving is a loop: its failures in a row are polls, not attempts of one call.
_POLLS = frozenset({"aws.sqs.ReceiveMessage"})

#: What an actor does when a call has succeeded; it ends a chain of failures.
_PROGRESS = ("send", "receive", "delete", "visibility", "effect", "handler.start", "handler.end", "quarantine")


@dataclass(slots=True)
class RetriedCall:
    """One call of a policy. ``first_t`` is the end of its first attempt: its start is not later."""

    policy: str
    process: str
    first_t: float
    first_n: int
    attempts: int = 0
    last_n: int = 0
    permanent_n: int = 0  # the attempt that ended in a permanent error
    sleep: Event | None = None  # the wait since the last attempt
    slept: Event | None = None  # the wait before the last attempt
    waited: float = 0.0  # seconds asked for since the first attempt


@dataclass(slots=True)
class Chain:
    """Failing calls of one actor at one point, one after the other.

    ``last_t`` is when the last one ended, ``gap`` the seconds between the
    end of the one before and its begin.
    """

    point: str
    numbers: list[int]
    last_t: float
    gap: float = 0.0


class RetryBook(Book):
    """Follows every call of every policy, and every chain of failing calls."""

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self.policies: dict[tuple[str, str], Event] = {}
        self.calls: dict[tuple[str, str, Any], RetriedCall] = {}
        self.call: RetriedCall | None = None  # that of the latest retry.attempt or retry.sleep
        self.attempts = 0
        self.retries = 0
        self.chains: dict[str, Chain] = {}
        self._table: dict[str, Callable[[Event], None]] = {
            "retry.policy": self._on_policy,
            "retry.attempt": self._on_attempt,
            "retry.sleep": self._on_sleep,
            "retry.end": self._on_end,
            "process.start": self._on_process_start,
            "call.failed": self._on_failed,
            **dict.fromkeys(_PROGRESS, self._on_progress),
        }

    def handlers(self) -> Mapping[str, Callable[[Event], None]]:
        return self._table

    def policy_of(self, event: Event) -> Mapping[str, Any]:
        """The ``retry.policy`` event of the policy that *event* is about; empty where there was none."""
        process = event["actor"].partition("/")[0]
        return self.policies.get((process, event["policy"])) or {}

    def _on_policy(self, event: Event) -> None:
        self.policies[(event["actor"].partition("/")[0], event["policy"])] = event

    def _of(self, event: Event) -> RetriedCall:
        process = event["actor"].partition("/")[0]
        key = (process, event["policy"], event.get("call"))
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = RetriedCall(event["policy"], process, event["t"], event["n"])
        return call

    def _on_attempt(self, event: Event) -> None:
        if event.get("attempt") == 1:
            # Numbers begin anew where a process does.
            self.calls.pop((event["actor"].partition("/")[0], event["policy"], event.get("call")), None)
        call = self.call = self._of(event)
        call.attempts = max(call.attempts + 1, event.get("attempt") or 0)
        call.last_n = event["n"]
        call.slept, call.sleep = call.sleep, None
        self.attempts += 1
        self.retries += call.attempts > 1

    def _on_sleep(self, event: Event) -> None:
        call = self.call = self._of(event)
        call.sleep = event
        call.waited += event["delay"]

    def _on_end(self, event: Event) -> None:
        self.calls.pop((event["actor"].partition("/")[0], event["policy"], event.get("call")), None)

    def _on_process_start(self, event: Event) -> None:
        process = event.get("process") or event["actor"]
        for key in [key for key in self.calls if key[0] == process]:
            del self.calls[key]

    def _on_failed(self, event: Event) -> None:
        actor, point = event["actor"], event["point"]
        if point.partition("@")[0] in _POLLS:
            return
        chain = self.chains.get(actor)
        if chain is None or chain.point != point:
            self.chains[actor] = Chain(point, [event["n"]], event["t"])
            return
        chain.numbers.append(event["n"])
        chain.gap = event["t"] - (event.get("took") or 0.0) - chain.last_t
        chain.last_t = event["t"]

    def _on_progress(self, event: Event) -> None:
        if self.chains:
            self.chains.pop(event["actor"], None)


class RetryInvariant(BookInvariant[RetryBook]):
    """A rule about retries."""

    book_type = RetryBook
    awakened_by = frozenset({"retry.policy", "retry.attempt", "retry.sleep"})

    def unobserved(self) -> str:
        """Why nothing can be judged where no policy was seen; "" where one was."""
        if self.book.attempts:
            return ""
        return (
            "no retry policy was observed: use one that harness.observe knows (ours, tenacity), or leave this "
            "invariant out"
        )
