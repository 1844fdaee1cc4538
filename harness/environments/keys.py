"""Which message of the workload is this? By the key in its body, by the message it carries on, by equal bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.history import Event
from harness.jsonpath import JsonPath, KeyFinder
from harness.scenario import Scenario

__all__ = ["KeyBook"]


class KeyBook:
    """The keys of a run's messages, by message id and by body."""

    def __init__(self, scenario: Scenario) -> None:
        paths = dict.fromkeys(work.key for work in scenario.workloads if work.key is not None)
        self._finders = [KeyFinder(JsonPath(path, field="workload.key")) for path in paths]
        self._by_id: dict[str, str] = {}
        self._by_body: dict[str, str] = {}
        self._remember_bodies = any(work.key is None for work in scenario.workloads)

    def sent(self, event: Event) -> None:
        """A message was accepted by a queue (a ``send`` event)."""
        key = event.get("key")
        if key is not None:
            self._by_id[event["message"]] = key

    def workload_sends(self, body: str, key: str) -> None:
        """The workload is about to send *body* under *key*."""
        if self._remember_bodies:
            self._by_body[body] = key

    def of_send(self, queue: str, body: str, message_id: str) -> tuple[str | None, str | None]:
        """Key and original id of a message that a process sends: ``SqsService.key_of``."""
        original = None
        if "originalMessageId" in body:
            original = KeyFinder.original(body)
            if original in self._by_id:
                return self._by_id[original], original
        return self.of_body(body), original

    def of_body(self, body: str) -> str | None:
        """The key of a message with this body, if it can be told."""
        for finder in self._finders:
            key = finder.key(body)
            if key is not None:
                return key
        return self._by_body.get(body)

    def of_message(self, body: Mapping[str, Any] | str | None, message_id: str | None) -> str | None:
        """The key of the message that a handler was given."""
        if message_id is not None and message_id in self._by_id:
            return self._by_id[message_id]
        if isinstance(body, str):
            return self.of_body(body)
        if body is not None:
            for finder in self._finders:
                key = finder.key_in(body)
                if key is not None:
                    return key
        return None
