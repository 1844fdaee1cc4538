"""What the observers of one run share: where to write, and the names of what they see."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from harness.resilience.errors import Classification, classify

__all__ = ["Context", "Record", "error_name", "is_permanent", "is_transient"]


class Record(Protocol):
    """Writes one event of the history; returns its number."""

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int: ...


class Context:
    """One run as the observers see it.

    Names are given in order of first sight, so that they are the same in
    every run of the same seed: the user's name, or ``breaker-1``, ``retry-1``.
    A second breaker of the same name (another process has one) is ``name-2``.

    A breaker belongs to the process that first uses it. Where processes of a
    simulation share a module, they share what it made: the events of the
    others name its ``owner``. (Not the process that made it: a module that
    outlives a run makes nothing in the next one.)
    """

    def __init__(
        self,
        record: Record,
        active: Callable[[], bool],
        process: Callable[[], str],
        key_of: Callable[[str], str | None] | None = None,
    ) -> None:
        self.record = record
        self.active = active
        self._process = process
        self._key_of = key_of
        self._taken: dict[str, int] = {}
        self._breakers: WeakKeyDictionary[object, str] = WeakKeyDictionary()  # their names
        self._shared: dict[tuple[str, str, str], str] = {}  # names of states that processes share
        self._owners: dict[str, str] = {}  # of breakers, by name
        self._policies: dict[Hashable, str] = {}
        self._announced: set[tuple[str, str]] = set()
        self._calls: dict[str, int] = {}

    def key_of(self, message: str | None) -> dict[str, str]:
        """The field that says which message of the workload the one with this id is, where that is known."""
        key = self._key_of(message) if self._key_of is not None and message else None
        return {} if key is None else {"key": key}

    def made(self, breaker: object, given: str | None) -> None:
        """Name *breaker*, which was just made. It is announced when it is first used: limits may be set before."""
        self._breakers[breaker] = self.new_name(given, "breaker")

    def breaker(self, breaker: object, given: str | None, limits: Callable[[], dict[str, Any]]) -> dict[str, str]:
        """The fields that name *breaker* in its events. At its first use *limits* are written."""
        if breaker not in self._breakers:
            self.made(breaker, given)
        return self._named(self._breakers[breaker], limits)

    def shared_breaker(
        self, store: str, given: str, epoch: str, limits: Callable[[], dict[str, Any]]
    ) -> dict[str, str]:
        """The fields that name the state that breakers called *given* share in *store*: one breaker, however many."""
        key = (store, given, epoch)
        name = self._shared.get(key)
        if name is None:
            name = self._shared[key] = self.new_name(given, "breaker")
        return self._named(name, limits)

    def renew(self, breaker: object) -> None:
        """*breaker* begins anew: its limits are written again at its next use."""
        name = self._breakers.get(breaker)
        if name is not None:
            self._owners.pop(name, None)

    def _named(self, name: str, limits: Callable[[], dict[str, Any]]) -> dict[str, str]:
        process = self._process()
        owner = self._owners.get(name)
        if owner is None:
            self._owners[name] = process
            self.record("breaker.created", breaker=name, **limits())
        elif owner != process:
            return {"breaker": name, "owner": owner}
        return {"breaker": name}

    def policy(self, key: Hashable, given: str | None, limits: Callable[[], dict[str, Any]]) -> str:
        """The name of the policy that *key* stands for. At its first use in a process *limits* are written.

        Policies of the same limits are one policy, however many objects stand
        for it: many programs make one for each call.
        """
        name = self._policies.get(key)
        if name is None:
            name = self._policies[key] = self.new_name(given, "retry")
        place = (name, self._process())
        if place not in self._announced:
            self._announced.add(place)
            self.record("retry.policy", policy=name, **limits())
        return name

    def next_call(self, name: str) -> int:
        """A number for one more call of the breaker or policy called *name*, from 1."""
        number = self._calls[name] = self._calls.get(name, 0) + 1
        return number

    def new_name(self, given: str | None, kind: str) -> str:
        """A name that nothing else in this run has: *given*, or *kind* with a number."""
        base = given or kind
        number = self._taken[base] = self._taken.get(base, 0) + 1
        if given:
            return given if number == 1 else f"{given}-{number}"
        return f"{kind}-{number}"


def error_name(error: BaseException | None) -> str | None:
    """The AWS code of a botocore ``ClientError``, else the name of the class."""
    if error is None:
        return None
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and isinstance(response.get("Error"), Mapping):
        code = response["Error"].get("Code")
        if code:
            return str(code)
    return type(error).__name__


def is_transient(classification: Classification | None) -> bool | None:
    """True, False (permanent) or ``None`` (unknown), as ``breaker.call`` says it."""
    if classification is None or classification is Classification.UNKNOWN:
        return None
    return classification is Classification.TRANSIENT


def is_permanent(error: BaseException | None) -> bool | None:
    """True, False (transient) or ``None`` (unknown), as ``retry.attempt`` says it."""
    if error is None:
        return None
    transient = is_transient(classify(error))
    return None if transient is None else not transient
