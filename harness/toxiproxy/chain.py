"""The toxics of one proxy, by direction and in order, and how they are written as JSON."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from harness.toxiproxy import errors
from harness.toxiproxy.go_json import read_fields
from harness.toxiproxy.toxics import TOXICS
from harness.toxiproxy.toxics.base import ToxicType

__all__ = ["DIRECTIONS", "Chain", "Toxic"]

#: Upstream: from the client to the server; downstream: back.
DIRECTIONS: Final = ("upstream", "downstream")

_FIELDS: Final = {
    "name": "string", "type": "string", "stream": "string", "toxicity": "float32", "attributes": "object",
}  # fmt: skip
_UPDATE_FIELDS: Final = {"toxicity": "float32", "attributes": "object"}


class Toxic:
    """One toxic of one proxy. ``version`` grows with each update."""

    __slots__ = ("direction", "name", "stream", "toxicity", "type", "values", "version")

    def __init__(self, name: str, kind: ToxicType, stream: str, toxicity: float, values: Mapping[str, Any]) -> None:
        self.name = name
        self.type = kind
        self.stream = stream
        self.direction = stream.lower()
        self.toxicity = toxicity
        self.values: dict[str, Any] = dict(values)
        self.version = 0

    @classmethod
    def read(cls, document: Any, among: Iterable[Toxic] = ()) -> Toxic:
        """A new one from the JSON of a request, to be added to those *among* which it comes.

        Raises:
            ApiError: in Toxiproxy's order: the body (400), the stream, the type, a name that is taken (409),
                the attributes (400).
        """
        fields = read_fields(document, _FIELDS, of="toxics.ToxicWrapper")
        stream = fields.get("stream") or "downstream"
        if stream.lower() not in DIRECTIONS:
            raise errors.invalid_stream()
        kind = TOXICS.get(fields.get("type", ""))
        if kind is None:
            raise errors.invalid_type()
        name = fields.get("name") or f"{kind.name}_{stream}"
        if "/" in name:
            raise errors.invalid(f"name {name!r} has a slash: no route would lead to it")
        if any(other.name == name for other in among):
            raise errors.toxic_exists()
        toxic = cls(name, kind, stream, fields.get("toxicity", 1.0), kind.defaults())
        toxic._take(fields)
        return toxic

    def updated(self, document: Any) -> None:
        """Take over the attributes and the toxicity of a request: all of it or nothing.

        Raises:
            ApiError: 400.
        """
        self._take(read_fields(document, _UPDATE_FIELDS, of="toxics.ToxicWrapper", path=""))
        self.version += 1

    def rng(self, seed: str) -> random.Random:
        """Its random stream on a connection, or on one direction of it, whose seed is *seed*."""
        return random.Random(f"{seed}/{self.name}/{self.version}")

    def drawn(self, rng: random.Random) -> bool:
        """Whether it strikes a connection: drawn from the connection's own stream."""
        return rng.random() < self.toxicity

    def to_json(self) -> dict[str, Any]:
        return {
            "attributes": self.values,
            "name": self.name,
            "type": self.type.name,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def _take(self, fields: Mapping[str, Any]) -> None:
        path = f"{self.type.go_name}.attributes"
        given = read_fields(fields.get("attributes"), self.type.types(), of=self.type.go_name, path=path)
        values = {**self.values, **given}
        self.type.validate(values)
        toxicity = fields.get("toxicity", self.toxicity)
        if not 0 <= toxicity <= 1:
            raise errors.invalid(f"toxicity must be between 0 and 1, not {toxicity!r}")
        self.values, self.toxicity = values, toxicity


class Chain:
    """In the order in which they were added; upstream ones are listed first."""

    def __init__(self) -> None:
        self._toxics: dict[str, list[Toxic]] = {direction: [] for direction in DIRECTIONS}

    def __iter__(self) -> Iterator[Toxic]:
        for direction in DIRECTIONS:
            yield from self._toxics[direction]

    def of(self, direction: str) -> tuple[Toxic, ...]:
        """Those of one direction."""
        return tuple(self._toxics[direction])

    def find(self, name: str) -> Toxic:
        """Raises ApiError (404)."""
        for toxic in self:
            if toxic.name == name:
                return toxic
        raise errors.toxic_not_found()

    def add(self, toxic: Toxic) -> None:
        """Raises ApiError (409) if there is one of that name."""
        if any(other.name == toxic.name for other in self):
            raise errors.toxic_exists()
        self._toxics[toxic.direction].append(toxic)

    def remove(self, toxic: Toxic) -> None:
        self._toxics[toxic.direction].remove(toxic)

    def one_of_type(self, *names: str) -> Toxic | None:
        """The first toxic of one of these types, in either direction."""
        return next((toxic for toxic in self if toxic.type.name in names), None)

    def to_json(self) -> list[dict[str, Any]]:
        return [toxic.to_json() for toxic in self]
