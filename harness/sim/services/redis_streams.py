"""Messages in a Redis stream, as one consumer group sees them: its pending entries list says who has what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fakeredis.model._stream import MIN_KEY, PelEntry, StreamEntryKey

from harness.redis_queues import RedisStream
from harness.sim.services.redis_delivery import Clerk, Message

if TYPE_CHECKING:
    from harness.sim.services.redis import RedisServer

__all__ = ["StreamWatch"]

_ACKNOWLEDGING = frozenset({"XACK", "XACKDEL"})

#: Commands after which entries may be missing.
_REMOVING = frozenset({"XDEL", "XDELEX", "XACKDEL", "DEL", "UNLINK", "FLUSHDB", "FLUSHALL", "RENAME"})
_TRIMMING = frozenset({"XADD", "XTRIM"})


class StreamWatch:
    """One declared stream."""

    def __init__(self, server: RedisServer, queue: RedisStream, clerk: Clerk, now: Callable[[], float]) -> None:
        self._server = server
        self._queue = queue
        self._key = (queue.database, queue.name.encode())
        self._group_name = queue.group.encode()
        self._clerk = clerk
        self._now = now
        self._messages: dict[StreamEntryKey, Message] = {}  # not acknowledged, in the order of sending
        self._pending: dict[StreamEntryKey, PelEntry] = {}
        self._seen = MIN_KEY  # the last entry that was told
        self._read = MIN_KEY  # the last entry that the group was given

    def _stream(self) -> Any:
        item = self._server.engine.dbs[self._key[0]]._dict.get(self._key[1])
        return item.value if item is not None and hasattr(item.value, "group_get") else None

    def look(self, touched: Iterable[tuple[int, bytes]], commands: frozenset[str]) -> None:
        """Compare the stream and the group with what they were."""
        clerk = self._clerk
        if not clerk.losing and self._key not in touched and not any(name.startswith("X") for name in commands):
            return
        stream = self._stream()
        group = None if stream is None else stream.group_get(self._group_name)
        if clerk.losing:
            self._lost(stream, group)
            return
        if stream is not None:
            self._sent(stream)
        if group is not None:
            self._delivered(stream, group, commands)
        self._acknowledged({} if group is None else group.pel, commands)
        if commands & _REMOVING or stream is None:
            self._removed(stream, list(self._messages))
        elif commands & _TRIMMING:
            self._removed(stream, self._head(stream))
        self._pending = {} if group is None else dict(group.pel)
        self._read = self._read if group is None else group.last_delivered_key

    def _sent(self, stream: Any) -> None:
        for entry in stream.stream_read(self._seen, None):
            self._send(stream, entry)
            self._seen = entry

    def _send(self, stream: Any, entry: StreamEntryKey) -> Message:
        name = entry.encode()
        message_id = f"{self._queue.name}/{name.decode()}"
        if entry in self._messages or entry <= self._seen:
            message_id = self._clerk.number(message_id)  # a copy beyond the first
        message = self._clerk.send(self._queue, name, message_id, self._body(stream.format_record(entry)[1]))
        self._messages[entry] = message
        return message

    def _body(self, fields: list[bytes]) -> bytes:
        if self._queue.field is not None and (name := self._queue.field.encode()) in fields[::2]:
            return fields[2 * fields[::2].index(name) + 1]
        texts = [part.decode("utf-8", "replace") for part in fields]
        entry = dict(zip(texts[::2], texts[1::2], strict=True))
        return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()

    def _delivered(self, stream: Any, group: Any, commands: frozenset[str]) -> None:
        for entry, now in list(group.pel.items()):
            before = self._pending.get(entry)
            if before == now:
                continue
            message = self._messages.get(entry)
            if not now.consumer_name:
                if message is not None and before is not None and before.consumer_name:
                    self._clerk.back(message, self._queue, self._now())
                continue
            if before is None or now.consumer_name != before.consumer_name or now[2] > before[2]:
                if message is None:
                    if entry not in stream:
                        continue
                    message = self._send(stream, entry)  # acknowledged before, and yet to be had again
                self._clerk.receive(message, self._queue, now.consumer_name.decode("utf-8", "replace"))
        if "XREADGROUP" in commands and group.last_delivered_key > self._read:
            self._given_away(stream, group)

    def _given_away(self, stream: Any, group: Any) -> None:
        """XREADGROUP with NOACK: what was read is acknowledged with that."""
        for entry in stream.stream_read(self._read, None):
            if entry > group.last_delivered_key:
                return
            message = self._messages.get(entry)
            if entry not in group.pel and message is not None:
                self._clerk.receive(message, self._queue, "")
                self._gone(entry, self._clerk.delete, "")

    def _acknowledged(self, pending: dict[StreamEntryKey, PelEntry], commands: frozenset[str]) -> None:
        for entry, before in self._pending.items():
            if entry in pending or entry not in self._messages:
                continue
            if commands & _ACKNOWLEDGING:
                self._gone(entry, self._clerk.delete, before.consumer_name.decode("utf-8", "replace"))
            else:
                self._gone(entry, self._clerk.purge)  # its consumer or its group was deleted, or itself

    def _head(self, stream: Any) -> list[StreamEntryKey]:
        """Those of the oldest messages that may have been trimmed: up to the first that is still there."""
        found: list[StreamEntryKey] = []
        for entry in self._messages:
            if entry in stream:
                break
            found.append(entry)
        return found

    def _removed(self, stream: Any, entries: list[StreamEntryKey]) -> None:
        """What is in the stream no more and was nobody's. What somebody has may still be acknowledged."""
        pending = {} if stream is None else getattr(stream.group_get(self._group_name), "pel", {})
        for entry in entries:
            if entry not in pending and (stream is None or entry not in stream):
                self._gone(entry, self._clerk.purge)

    def _gone(self, entry: StreamEntryKey, tell: Callable[..., None], *handle: str) -> None:
        tell(self._messages.pop(entry), self._queue, entry.encode(), *handle)

    def _lost(self, stream: Any, group: Any) -> None:
        """The server lost data: entries are gone, or were acknowledged and are to be had again."""
        for entry in list(self._messages):
            if stream is None or entry not in stream:
                self._gone(entry, self._clerk.purge)
        pending = {} if group is None else dict(group.pel)
        read = MIN_KEY if group is None else group.last_delivered_key
        if stream is not None:
            for entry in stream.stream_read(MIN_KEY, None):
                if entry not in self._messages and (entry in pending or entry > read):
                    self._send(stream, entry)
        for entry in self._pending:
            if entry not in pending and entry in self._messages and entry > read:
                self._clerk.back(self._messages[entry], self._queue, self._now())
        self._pending, self._read = pending, read
        self._seen = MIN_KEY if stream is None else max(stream.last_id, MIN_KEY)

    def inventory(self) -> dict[str, dict[str, int]]:
        stream = self._stream()
        group = None if stream is None else stream.group_get(self._group_name)
        pending = {} if group is None else group.pel
        read = MIN_KEY if group is None else group.last_delivered_key
        unread = 0
        if stream is not None:
            unread = len(stream.stream_read(read, None))
            unread += sum(1 for entry in self._messages if entry <= read and entry not in pending and entry in stream)
        return {self._queue.name: {"visible": unread, "in_flight": len(pending), "delayed": 0}}
