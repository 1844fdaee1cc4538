"""Where the shop keeps dead letters that are too large for a message: a folder, for the runbook's sake."""

from __future__ import annotations

import uuid
from pathlib import Path


class Folder:
    """A store of payloads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, payload: bytes) -> str:
        name = uuid.uuid4().hex
        (self._path / name).write_bytes(payload)
        return name

    def get(self, reference: str) -> bytes:
        return (self._path / reference).read_bytes()


def bucket() -> Folder:
    """The store of this shop."""
    return Folder(Path.cwd())
