"""The Redis serialisation protocol as a server speaks it: requests in, replies out (RESP2 and RESP3).

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import Any

__all__ = ["Error", "Push", "RequestParser", "Simple", "encode"]


class Simple(bytes):
    """A reply that goes out as a simple string (``+OK``)."""


class Error(str):
    """A reply that goes out as an error line; begins with its code (``WRONGTYPE ...``)."""


class Push(list[Any]):
    """A message that no request asked for (pub/sub): ``>`` in RESP3, an array in RESP2."""


class ProtocolError(Exception):
    """The bytes are no request."""


class RequestParser:
    """Takes bytes as they come, gives whole requests: lists of byte strings."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The requests that *data* completes, in order.

        Raises:
            ProtocolError: what came is neither an array of bulk strings nor an inline command.
        """
        buffer = self._buffer + data if self._buffer else data
        requests: list[list[bytes]] = []
        start = 0
        while start < len(buffer):
            parsed = _request(buffer, start)
            if parsed is None:
                break
            fields, start = parsed
            if fields:
                requests.append(fields)
        self._buffer = buffer[start:]
        return requests


def _line(buffer: bytes, start: int) -> tuple[bytes, int] | None:
    end = buffer.find(b"\r\n", start)
    return None if end < 0 else (buffer[start:end], end + 2)


def _length(text: bytes, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ProtocolError(f"Protocol error: invalid {what} length") from None


def _request(buffer: bytes, start: int) -> tuple[list[bytes], int] | None:
    head = _line(buffer, start)
    if head is None:
        return None
    line, position = head
    if not line.startswith(b"*"):
        return line.split(), position  # an inline command, as from telnet
    fields: list[bytes] = []
    for _ in range(_length(line[1:], "multibulk")):
        head = _line(buffer, position)
        if head is None:
            return None
        line, position = head
        if not line.startswith(b"$"):
            raise ProtocolError(f"Protocol error: expected '$', got '{chr(line[0]) if line else ' '}'")
        end = position + _length(line[1:], "bulk")
        if len(buffer) < end + 2:
            return None
        fields.append(buffer[position:end])
        position = end + 2
    return fields, position


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(data), data)


def encode(value: Any, protocol: int) -> bytes:
    """One reply as bytes of RESP2 (*protocol* 2) or RESP3 (3).

    Sets go out in sorted order: their own order would depend on the hash seed.
    """
    kind = type(value)
    if kind is bytes:
        return _bulk(value)
    if value is None:
        return b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if kind is int:
        if -(2**63) <= value < 2**63:
            return b":%d\r\n" % value
        return b"(%d\r\n" % value if protocol == 3 else _bulk(b"%d" % value)
    if kind is Simple:
        return b"+%s\r\n" % value
    if isinstance(value, Error):
        return b"-%s\r\n" % value.replace("\r", " ").replace("\n", " ").encode()
    if kind is bool:
        return (b"#t\r\n" if value else b"#f\r\n") if protocol == 3 else (b":1\r\n" if value else b":0\r\n")
    if kind is float:
        return b",%s\r\n" % repr(value).encode() if protocol == 3 else _bulk(b"%.17g" % value)
    if isinstance(value, str):
        return _bulk(value.encode())
    if isinstance(value, (bytes, bytearray)):
        return _bulk(bytes(value))
    return _aggregate(value, protocol)


def _aggregate(value: Any, protocol: int) -> bytes:
    if isinstance(value, dict):
        items = [part for pair in value.items() for part in pair]
        head = b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(items)
    elif isinstance(value, (set, frozenset)):
        items = sorted(value)
        head = (b"~%d\r\n" if protocol == 3 else b"*%d\r\n") % len(items)
    elif isinstance(value, (list, tuple)):
        items = list(value)
        head = (b">%d\r\n" if protocol == 3 and isinstance(value, Push) else b"*%d\r\n") % len(items)
    else:
        raise TypeError(f"a reply of type {type(value).__name__} has no form in RESP")
    return head + b"".join([encode(item, protocol) for item in items])
