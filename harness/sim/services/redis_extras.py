"""Commands that fakeredis lacks and clients or their frameworks ask at start: INFO, ROLE, CONFIG GET, TOUCH."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from harness.sim.wire.resp import Error

if TYPE_CHECKING:
    from harness.sim.services.redis_engine import Session

__all__ = ["UNKNOWN", "answer"]

#: Redis's defaults (redis.conf of 7.4) of what clients look at.
_CONFIG = {
    "appendonly": "no",
    "databases": "16",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "notify-keyspace-events": "",
    "save": "3600 1 300 100 60 10000",
    "timeout": "0",
}

#: What `answer` gives for every command that is not one of these.
UNKNOWN = object()


def answer(session: Session, fields: list[bytes]) -> Any:
    """The reply to one of these commands; ``UNKNOWN`` for every other command."""
    name = fields[0].upper()
    if name == b"INFO":
        return _info(session)
    if name == b"ROLE":
        return [b"master", 0, []]
    if name == b"TOUCH":
        return sum(1 for key in fields[1:] if key in session._db) if len(fields) > 1 else _arity("touch")
    if name == b"CONFIG" and len(fields) > 1 and fields[1].upper() == b"GET":
        return _config(fields[2:]) if len(fields) > 2 else _arity("config|get")
    return UNKNOWN


def _arity(command: str) -> Error:
    return Error(f"ERR wrong number of arguments for '{command}' command")


def _config(patterns: list[bytes]) -> dict[bytes, bytes]:
    wanted = [pattern.decode("utf-8", "replace").lower() for pattern in patterns]
    return {
        name.encode(): value.encode()
        for name, value in _CONFIG.items()
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    }


def _info(session: Session) -> bytes:
    """Every section, whichever was asked for: what a client reads out of it is there."""
    engine = session.engine
    keys: dict[int, int] = {}
    for index, _ in engine.live_keys():
        keys[index] = keys.get(index, 0) + 1
    lines = [
        "# Server",
        "redis_version:7.4.0",
        "redis_mode:standalone",
        f"uptime_in_seconds:{(engine.now_us() - engine.began_us) // 1_000_000}",
        "# Clients",
        f"connected_clients:{len(engine.sockets)}",
        f"blocked_clients:{len(engine.blocked)}",
        "# Memory",
        "maxmemory:0",
        "maxmemory_policy:noeviction",
        "# Persistence",
        "loading:0",
        "# Replication",
        "role:master",
        "connected_slaves:0",
        "# Keyspace",
        *(f"db{index}:keys={count},expires=0,avg_ttl=0" for index, count in sorted(keys.items())),
    ]
    return "\r\n".join(lines).encode() + b"\r\n"
