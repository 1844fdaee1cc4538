"""Changes to a JSON value, as data: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PatchError", "apply_patch"]


class PatchError(ValueError):
    """A patch is none, or does not fit the value that it is applied to."""


def apply_patch(value: Any, patch: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
    """*value* with *patch* applied; *value* itself stays as it was.

    A list is a JSON Patch (``[{"op": "replace", "path": "/currency", "value": "EUR"}]``), an object a merge patch
    (``{"currency": "EUR", "note": null}``: null removes).

    Raises:
        PatchError: it is neither, names a place that is not there, or a test in it fails.
    """
    if isinstance(patch, Mapping):
        return _merge(copy.deepcopy(value), patch)
    if isinstance(patch, str | bytes) or not isinstance(patch, Sequence):
        raise PatchError("a patch is a list of operations or an object")
    document = copy.deepcopy(value)
    for number, operation in enumerate(patch):
        if not isinstance(operation, Mapping) or not isinstance(operation.get("path"), str):
            raise PatchError(f"operation {number} is no object with a path")
        document = _operate(document, operation, number)
    return document


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _operate(document: Any, operation: Mapping[str, Any], number: int) -> Any:
    kind, path = operation.get("op"), _pointer(operation["path"])
    if kind in ("add", "replace", "test") and "value" not in operation:
        raise PatchError(f"operation {number} ({kind}) has no value")
    if kind == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if kind == "remove":
        return _remove(document, path)
    if kind == "replace":
        if not path:
            return copy.deepcopy(operation["value"])
        return _add(_remove(document, path), path, copy.deepcopy(operation["value"]))
    if kind == "test":
        if not _equal(_get(document, path), operation["value"]):
            raise PatchError(f"the test of {operation['path']!r} fails")
        return document
    if kind in ("move", "copy"):
        source = operation.get("from")
        if not isinstance(source, str):
            raise PatchError(f"operation {number} ({kind}) has no from")
        origin = _pointer(source)
        moved = copy.deepcopy(_get(document, origin))
        if kind == "move":
            if path[: len(origin)] == origin and path != origin:
                raise PatchError(f"operation {number} moves {source!r} into itself")
            document = _remove(document, origin)
        return _add(document, path, moved)
    raise PatchError(f"operation {number} has no op that is known: {kind!r}")


def _pointer(text: str) -> list[str]:
    """The parts of a JSON Pointer (RFC 6901)."""
    if not text:
        return []
    if not text.startswith("/"):
        raise PatchError(f"the path {text!r} does not begin with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document) - 1)]
        else:
            raise PatchError(f"there is no /{'/'.join(path)}")
    return document


def _index(part: str, last: int) -> int:
    if not part.isascii() or not part.isdigit() or (part != "0" and part.startswith("0")) or int(part) > last:
        raise PatchError(f"{part!r} is no index of the list")
    return int(part)


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent)), value)
    else:
        raise PatchError(f"nothing can be added at /{'/'.join(path)}")
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    if not path:
        raise PatchError("the whole document cannot be removed")
    parent = _get(document, path[:-1])
    _get(parent, path[-1:])
    if isinstance(parent, list):
        del parent[int(path[-1])]
    else:
        del parent[path[-1]]
    return document


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON values: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
