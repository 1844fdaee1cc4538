"""What a server answered: the calls of a case, and the file of a whole run.

A recording may be made on AWS and shown to others: account numbers, IAM ids
and receipt handles are replaced, long values are cut.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.fidelity.run import Outcome

__all__ = ["VERSION", "Tape", "document", "dumps"]

#: Of the file's format.
VERSION = 1
#: Longer texts are cut.
TEXT_MAX = 400

_ACCOUNT = re.compile(r"\b\d{12}\b")


class Tape:
    """The calls of one case, in order."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._handles: dict[str, str] = {}

    def answer(self, operation: str, parameters: dict[str, Any], answer: dict[str, Any]) -> None:
        self._add(operation, parameters, answer=answer)

    def refusal(self, operation: str, parameters: dict[str, Any], response: dict[str, Any]) -> None:
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        self._add(operation, parameters, error=response.get("Error"), status=status)

    def raw(self, what: str, request: Any, status: int, headers: dict[str, str], body: str) -> None:
        """A request made by hand."""
        kept = {name: value for name, value in headers.items() if name in ("content-type", "x-amzn-query-error")}
        self._add(what, request, status=status, headers=kept, body=body)

    def _add(self, operation: str, parameters: Any, **fields: Any) -> None:
        call = {"operation": operation, "parameters": self._plain(parameters)}
        call.update({name: self._plain(value) for name, value in fields.items() if value is not None})
        self.calls.append(call)

    def _plain(self, value: Any, name: str = "") -> Any:
        """*value* as JSON can hold it and others may see it."""
        if isinstance(value, dict):
            return {key: self._plain(item, key) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        if isinstance(value, bytes):
            value = b64encode(value).decode("ascii")
        if not isinstance(value, str):
            return value
        if name == "ReceiptHandle":
            return self._handles.setdefault(value, f"handle-{len(self._handles) + 1}")
        if name == "SenderId":
            return "a number" if value.isdigit() else f"{value[:4]}…"
        for handle, label in self._handles.items():
            value = value.replace(handle, label)
        value = _ACCOUNT.sub("000000000000", value)
        return value if len(value) <= TEXT_MAX else f"{value[:TEXT_MAX]}… ({len(value)} characters)"


def document(
    outcomes: Iterable[Outcome], *, date: str, endpoint: str, region: str, versions: dict[str, str]
) -> dict[str, Any]:
    """A run as an object: when and where, and each case with its calls."""
    return {
        "version": VERSION,
        "service": "sqs",
        "date": date,
        "endpoint": endpoint,
        "region": region,
        "versions": versions,
        "cases": [outcome.to_json() for outcome in outcomes],
    }


def dumps(recording: dict[str, Any]) -> bytes:
    """The file's bytes."""
    return json.dumps(recording, indent=1, ensure_ascii=False).encode("utf-8") + b"\n"
