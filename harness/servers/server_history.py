"""What happened on a server, as a history: kept in memory, read as JSON Lines, judged on demand."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from typing import Any, Final

import orjson

from harness import invariants
from harness.faults.plan import FaultPlan
from harness.history import SCHEMA, VERSION
from harness.invariants.base import Spec, Verdict
from harness.invariants.judge import Judge
from harness.jsonpath import JsonPath, KeyFinder
from harness.redact import redact_text

__all__ = ["Keys", "ServerHistory", "specs_named", "still_open"]

_FREE_TEXT: Final = frozenset(("body", "error", "reason"))


class Keys:
    """Which message is this? By a JSON path in its body; without one, by its id, which its copies carry along."""

    def __init__(self, path: str | None = None) -> None:
        self._finder: KeyFinder | None = None
        self.path: str | None = None
        self._by_id: dict[str, str] = {}
        self._by_body: dict[str, str] = {}
        self.set_path(path)

    def set_path(self, path: str | None) -> None:
        """Raises UsageError for a path that is none."""
        self._finder = None if path is None else KeyFinder(JsonPath(path, field="key"))
        self.path = path

    def of_send(self, queue: str, body: str, attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Key and original id of a message that is sent: ``SqsService.key_of``."""
        original = KeyFinder.original(body) if "originalMessageId" in body else None
        if original is None and attributes:
            original = self._original_in(attributes)
        if original is not None and original in self._by_id:
            return self._by_id[original], original
        key = None if self._finder is None else self._finder.key(body)
        return (key if key is not None else self._by_body.get(body)), original

    def _original_in(self, attributes: Mapping[str, Any]) -> str | None:
        for attribute in attributes.values():
            text = attribute.get("StringValue")
            if isinstance(text, str):
                if text in self._by_id:
                    return text
                if "originalMessageId" in text:
                    return KeyFinder.original(text)
        return None

    def learn_body(self, body: str, key: str) -> None:
        """Messages of this body have this key, where their body does not say another one."""
        self._by_body[body] = key

    def learn(self, message: str, key: str) -> None:
        """The message with this id has this key."""
        self._by_id.setdefault(message, key)

    def of(self, message: str) -> str:
        """The key of a message: its id, where nothing else is known."""
        return self._by_id.get(message, message)

    def clear(self) -> None:
        self._by_id.clear()
        self._by_body.clear()


class ServerHistory:
    """Numbered events from the server's start, or its last reset. ``limit``: after so many it keeps no more.

    Args:
        now_us: the services' clock.
        keys: tells each message's key.
    """

    def __init__(self, now_us: Callable[[], int], keys: Keys, *, limit: int = 1_000_000) -> None:
        self._now_us = now_us
        self.keys = keys
        self.limit = limit
        self.actor = "server"
        self.count = 0
        self.effects: dict[str, None] = {}
        self._began_us = now_us()
        self._lines: list[bytes] = []
        self.readers: list[Callable[[], object]] = []

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self.count += 1
        event: dict[str, Any] = {
            "n": self.count,
            "t": (self._now_us() - self._began_us) / 1_000_000,
            "actor": self.actor,
            "kind": kind,
        }
        if message is not None:
            event["message"] = message
            key = fields.get("key")
            if key is None:
                fields["key"] = self.keys.of(message)
            elif kind == "send":
                self.keys.learn(message, key)
        event.update(fields)
        for name in _FREE_TEXT & fields.keys():
            if isinstance(fields[name], str):
                event[name] = redact_text(fields[name])
        if len(self._lines) < self.limit:
            self._lines.append(_line(event))
            for reader in self.readers:
                reader()
        return self.count

    def effect(self, name: str, key: str) -> int:
        """The outside world changed for a message's key."""
        self.effects.setdefault(name)
        return self("effect", name=name, key=redact_text(key), source="point")

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return (self._now_us() - self._began_us) / 1_000_000

    @property
    def cut(self) -> int:
        """How many events were not kept."""
        return self.count - len(self._lines)

    def lines(self, after: int = 0) -> list[bytes]:
        """The events after the *after*-th, one JSON text each."""
        return self._lines[after:]

    def clear(self) -> None:
        """Begin anew."""
        self.count = 0
        self._lines = []
        self.effects.clear()
        self.keys.clear()
        self._began_us = self._now_us()

    def header(self, plan: FaultPlan, queues: Iterable[Mapping[str, Any]], specs: Iterable[Spec]) -> dict[str, Any]:
        """What judging and drawing need to know beside the events."""
        listed = list(queues)
        dead_letter = {queue["dead_letter"] for queue in listed if queue["dead_letter"]}
        named = [spec.to_json() for spec in specs]
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "scenario": "sqs-server",
            "file": None,
            "sentence": "What clients did on a server.",
            "seed": 0,
            "backend": "server",
            "plan": plan.to_json(),
            "environment": {
                "python": platform.python_version(),
                "implementation": platform.python_implementation().lower(),
            },
            "versions": {"resilience-harness": metadata.version("resilience-harness")},
            "retry_mode": "",
            "latency_model": "measured",
            "system": {
                "queues": listed,
                "sources": [queue["name"] for queue in listed if queue["name"] not in dead_letter],
                "dead_letter_queues": sorted(dead_letter),
                "processes": [],
                "effects": [{"name": name, "source": "point", "key": None} for name in self.effects],
                "handler": None,
                "idempotent": any(one["name"] == "effects-once" for one in named),
            },
            "workload": [],
            "duration": self.seconds,
            "objectives": {},
            "invariants": named,
            "weakened": [],
        }

    def judge(
        self, plan: FaultPlan, queues: Iterable[Mapping[str, Any]], inventory: Mapping[str, Any], specs: list[Spec]
    ) -> list[Verdict]:
        """The verdicts as of now, as if the run ended here. Nothing that was cut off can pass."""
        judge = Judge(specs, self.header(plan, queues, specs))
        for line in self._lines:
            judge.step(orjson.loads(line))
        last = {"n": self.count + 1, "t": self.seconds, "actor": "-", "kind": "run.end", "reason": "quiet"}
        judge.step({**last, "queues": dict(inventory), "points": {}, "steps": 0})
        verdicts = judge.finish()
        if not self.cut:
            return verdicts
        reason = f"{self.cut} events were not kept (the limit is {self.limit}): reset the history or raise the limit"
        return [one if one.status == "violated" else Verdict(one.name, "inconclusive", reason, ()) for one in verdicts]


def _line(event: Mapping[str, Any]) -> bytes:
    """An event as JSON. Half a surrogate pair, which a client may write in JSON, becomes a question mark."""
    try:
        return orjson.dumps(event)
    except TypeError:
        return orjson.dumps({name: _whole(value) for name, value in event.items()})


def _whole(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def specs_named(names: Iterable[str] | None) -> list[Spec]:
    """The invariants of these names; without names those of delivery that every run is judged by.

    Raises:
        UsageError: there is none of a name.
    """
    return invariants.defaults() if names is None else invariants.from_json(names)


#: What is only known when nothing more is going to happen.
_AT_THE_END: Final = frozenset(("at-least-once", "not-stuck"))


def still_open(verdicts: Iterable[Verdict], inventory: Mapping[str, Mapping[str, int]]) -> list[Verdict]:
    """*verdicts* while messages are in queues: that one was not handled yet is no violation yet."""
    left = sum(sum(counts.values()) for counts in inventory.values())
    if not left:
        return list(verdicts)
    reason = f'{left} messages are still in queues; say "final": true when nobody is going to handle them'
    return [
        Verdict(one.name, "inconclusive", reason, one.evidence)
        if one.name in _AT_THE_END and one.status == "violated"
        else one
        for one in verdicts
    ]
