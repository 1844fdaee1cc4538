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

    def sent(self, event: Event) -> None:
        """A message was accepted by a queue (a ``send`` event)."""
        key = event.get("key")
        if key is not None:
            self._by_id[event["message"]] = key

    def workload_sends(self, body: str, key: str, *, spoiled: bool) -> None:
        """The workload is about to send *body* under *key*. *spoiled*: a fault changed it, the key may be gone."""
        if spoiled or not self._finders:
            self._by_body[body] = key

    def of_send(self, queue: str, body: str, attributes: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Key and original id of a message that a process sends: ``SqsService.key_of``.

        The original's id may stand in an envelope in the body, in one in an
        attribute (a body too large for an envelope), or in an attribute of
        its own.
        """
        original = KeyFinder.original(body) if "originalMessageId" in body else None
        if original is None and attributes:
            original = self._original_in(attributes)
        if original is not None and original in self._by_id:
            return self._by_id[original], original
        return self.of_body(body), original

    def _original_in(self, attributes: Mapping[str, Any]) -> str | None:
        for attribute in attributes.values():
            text = attribute.get("StringValue")
            if not isinstance(text, str):
                continue
            if text in self._by_id:
                return text
            if "originalMessageId" in text:
                original = KeyFinder.original(text)
                if original is not None:
                    return original
        return None

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
