"""JSON paths that say where a message's key stands, and the search for that key in what consumers make of a message.

Plain child paths (``$.order_id``, ``$.order['id']``, ``$.items[0].sku``) are
followed directly; anything else of RFC 9535 is handed to python-jsonpath and
must name one value.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any, Final

from harness.errors import EnvironmentFailed, ScenarioError

__all__ = ["MISSING", "JsonPath", "KeyFinder", "compile_path", "key_text", "parse_json"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


#: What a path gives when there is nothing where it points.
MISSING: Final = _Missing()

_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_-]*)|\['([^'\\]*)'\]|\["([^"\\]*)"\]|\[(0|[1-9][0-9]*)\]""")

#: How deep JSON inside JSON strings is searched: a message in a dead-letter envelope in an SNS notification is three.
_MAX_DEPTH = 3


#: How an object and an array begin in Base64.
_BASE64_OF_JSON = ("e", "W")


def parse_json(text: str | bytes) -> Any:
    """*text* as JSON, else ``MISSING``."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return MISSING


def _parse_wrapped(text: str | bytes) -> Any:
    """*text* as JSON, or as JSON in Base64 (dramatiq-sqs and kombu send that), else ``MISSING``."""
    value = parse_json(text)
    first = text[:1] if isinstance(text, str) else text[:1].decode("latin-1")
    if value is not MISSING or first not in _BASE64_OF_JSON:
        return value
    try:
        return parse_json(b64decode(text, validate=True))
    except ValueError:
        return MISSING


def key_text(value: object) -> str:
    """A key as text: a string as it is, anything else as compact JSON (``7``, ``true``, ``{"a":1}``)."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)  # what json.dumps makes of it, for a tenth of its cost
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class JsonPath:
    """A compiled path. Equal and hashable by its text."""

    __slots__ = ("_find", "text")

    def __init__(self, text: str, *, field: str = "key") -> None:
        """Compile *text*; *field* is what an error says is wrong.

        Raises:
            ScenarioError: it is no JSON path.
        """
        if not isinstance(text, str) or not text.startswith("$"):
            raise ScenarioError(
                f"{text!r} is no JSON path",
                field=field,
                remedy='Write where the key stands in the JSON body, as in key="$.order_id"',
            )
        self.text = text
        self._find: Callable[[Any], Any] = _direct(text) or _general(text, field)

    def find(self, value: Any) -> Any:
        """What the path points at in *value* (parsed JSON), else ``MISSING``."""
        return self._find(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonPath) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"JsonPath({self.text!r})"


def _direct(text: str) -> Callable[[Any], Any] | None:
    """A getter for a plain child path; ``None`` if the path is more than that."""
    steps: list[str | int] = []
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        name = next((group for group in match.groups()[:3] if group is not None), None)
        steps.append(int(match.group(4)) if name is None else name)
        position = match.end()
    if len(steps) == 1 and isinstance(steps[0], str):
        only = steps[0]
        return lambda value: value.get(only, MISSING) if isinstance(value, dict) else MISSING

    def find(value: Any) -> Any:
        for step in steps:
            if isinstance(step, str):
                if not isinstance(value, dict) or step not in value:
                    return MISSING
                value = value[step]
            else:
                if not isinstance(value, list) or step >= len(value):
                    return MISSING
                value = value[step]
        return value

    return find


def _general(text: str, field: str) -> Callable[[Any], Any]:
    try:
        import jsonpath
    except ImportError:
        raise EnvironmentFailed(
            f"{field}: {text!r} needs python-jsonpath: pip install 'resilience-harness[sim]' (plain paths do not)"
        ) from None
    try:
        compiled = jsonpath.compile(text)
    except jsonpath.JSONPathError as error:
        raise ScenarioError(
            f"{text!r} is no JSON path ({str(error).splitlines()[0]})",
            field=field,
            remedy='Write where the key stands in the JSON body, as in key="$.order_id"',
        ) from None

    def find(value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return MISSING
        match = compiled.match(value)
        return MISSING if match is None else match.obj

    return find


class KeyFinder:
    """Finds a workload's key in a message that a consumer may have wrapped.

    The path is tried on the body, then on each string in it that is itself
    JSON, or JSON in Base64 (a dead-letter envelope's ``originalMessage``, an
    SNS notification's ``Message``, a task library's body), down to three levels.
    """

    def __init__(self, path: JsonPath) -> None:
        self.path = path

    def key(self, body: str | bytes) -> str | None:
        """The key in *body* as text; ``None`` if there is none."""
        value = _parse_wrapped(body)
        if value is MISSING:
            return None
        found = self._search(value, _MAX_DEPTH)
        return None if found is MISSING else key_text(found)

    def key_in(self, value: Any) -> str | None:
        """The same for a body that is parsed already."""
        found = self._search(value, _MAX_DEPTH)
        return None if found is MISSING else key_text(found)

    def _search(self, value: Any, depth: int) -> Any:
        found = self.path.find(value)
        if found is not MISSING or depth == 0:
            return found
        for inner in _json_strings(value):
            found = self._search(inner, depth - 1)
            if found is not MISSING:
                return found
        return MISSING

    @staticmethod
    def original(body: str | bytes) -> str | None:
        """The id of the message that *body* carries on (its envelope's ``originalMessageId``), where it says so."""
        value = parse_json(body)
        original = value.get("originalMessageId") if isinstance(value, dict) else None
        return original if isinstance(original, str) else None


def _json_strings(value: Any) -> Iterator[Any]:
    """Every string in *value* that is a JSON object or array, parsed; outer before inner, in order."""
    waiting = [value]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, dict):
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
        elif isinstance(current, str) and current[:1] in ("{", "[", *_BASE64_OF_JSON):
            parsed = _parse_wrapped(current)
            if parsed is not MISSING:
                yield parsed


def compile_path(text: str, *, field: str = "key") -> Callable[[Any], Any]:
    """A function that gives what *text* points at in parsed JSON, ``None`` where there is nothing.

    Raises:
        ScenarioError: it is no JSON path.
    """
    path = JsonPath(text, field=field)

    def find(value: Any) -> Any:
        found = path.find(value)
        return None if found is MISSING else found

    return find
