"""Toxics in time: a list of steps, each applied at its second, so that no client has to sleep in between."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from harness.net.reactor import Reactor, Timer
from harness.toxiproxy import errors
from harness.toxiproxy.chain import Toxic
from harness.toxiproxy.collection import Collection
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.go_json import read_fields

__all__ = ["Schedule"]

logger = logging.getLogger("harness.toxiproxy")

_STEP_FIELDS: Final = {
    "at": "float32", "proxy": "string", "enabled": "bool", "add": "object", "remove": "string", "update": "object",
}  # fmt: skip
_LONGEST: Final = 30 * 24 * 3600.0


@dataclass
class _Step:
    at: float
    proxy: str
    enabled: bool | None
    add: Any
    remove: str | None
    update: Any
    done_at: float | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"at": self.at, "proxy": self.proxy}
        for name in ("enabled", "add", "remove", "update", "error"):
            value = getattr(self, name)
            if value is not None:
                document[name] = value
        document["done"] = self.done_at is not None
        return document


class Schedule:
    """One at a time. A step that fails is logged, told by :meth:`to_json`, and the next ones go on.

    A step: ``{"at": seconds from now, "proxy": name}`` and one or more of
    ``"enabled": bool``, ``"add": toxic``, ``"remove": toxic's name``,
    ``"update": {"name", "attributes", "toxicity"}``.
    """

    def __init__(self, reactor: Reactor, collection: Collection) -> None:
        self._reactor = reactor
        self._collection = collection
        self._steps: list[_Step] = []
        self._timers: list[Timer] = []
        self._began = 0.0

    def start(self, document: Any) -> None:
        """Take the place of the last schedule. Raises ApiError (400, 404): then the last one goes on."""
        if not isinstance(document, list):
            raise errors.bad_body("a schedule is an array of steps")
        steps = [self._read(one, number) for number, one in enumerate(document, 1)]
        self.stop()
        self._steps = steps
        self._began = self._reactor.now()
        for step in sorted(steps, key=lambda one: one.at):
            self._timers.append(self._reactor.call_at(self._began + step.at, partial(self._carry_out, step)))

    def stop(self) -> None:
        """Forget what has not been done. What was done stays."""
        for timer in self._timers:
            timer.cancel()
        self._timers, self._steps = [], []

    def to_json(self) -> dict[str, Any]:
        elapsed = self._reactor.now() - self._began if self._steps else 0.0
        return {"elapsed": round(elapsed, 3), "steps": [step.to_json() for step in self._steps]}

    def _read(self, document: Any, number: int) -> _Step:
        fields = read_fields(document, _STEP_FIELDS, of=f"step {number}")
        name = fields.get("proxy", "")
        if name not in self._collection.proxies:
            raise errors.proxy_not_found()
        at = fields.get("at", 0.0)
        if not 0 <= at <= _LONGEST:
            raise errors.invalid(f"step {number}: at must be between 0 and {_LONGEST:.0f} seconds")
        if not fields.keys() & {"enabled", "add", "remove", "update"}:
            raise errors.invalid(f"step {number} does nothing: give enabled, add, remove or update")
        if "add" in fields:
            Toxic.read(fields["add"])  # what is wrong with it is better said now
        if "update" in fields and not isinstance(fields["update"].get("name"), str):
            raise errors.invalid(f"step {number}: update needs the toxic's name")
        return _Step(at, name, fields.get("enabled"), fields.get("add"), fields.get("remove"), fields.get("update"))

    def _carry_out(self, step: _Step) -> None:
        step.done_at = self._reactor.now() - self._began
        try:
            proxy = self._collection.get(step.proxy)
            if step.remove is not None:
                proxy.remove_toxic(step.remove)
            if step.add is not None:
                proxy.add_toxic(Toxic.read(step.add))
            if step.update is not None:
                proxy.update_toxic(step.update["name"], step.update)
            if step.enabled is not None:
                if step.enabled:
                    proxy.enable()
                else:
                    proxy.disable()
        except ApiError as error:
            step.error = error.message
            logger.error("schedule: the step at %.3f s of %s failed: %s", step.at, step.proxy, error.message)
