"""Code that handles a message once: right ones, on SQLite and on Redis, and the same with one defect each."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping
from typing import Any

import redis

from harness import points

Message = Mapping[str, Any]


def key_of(message: Message) -> str:
    return str(json.loads(message["Body"])["order_id"])


def charge(key: str) -> None:
    points.effect("charged", key)


class Refused(Exception):
    """Somebody else has it: let it come again."""


class Right:
    """A claim in Redis with an owner and a lease, then the effect, then the record."""

    lease_s = 120
    kept_s = 86_400

    def __init__(self) -> None:
        self.redis: Any = redis.Redis()

    def key(self, message: Message) -> str:
        return key_of(message)

    def process(self, message: Message) -> None:
        key, owner = self.key(message), uuid.uuid4().hex
        name = f"charge:{key}"
        if not self.claim(name, owner):
            if self.redis.get(name) == b"done":
                return
            self.taken(name)
            return
        try:
            charge(key)
        except Exception:
            self.release(name, owner)
            raise
        self.redis.set(name, "done", ex=self.kept_s)

    def claim(self, name: str, owner: str) -> bool:
        return bool(self.redis.set(name, owner, nx=True, ex=self.lease_s))

    def release(self, name: str, owner: str) -> None:
        if self.redis.get(name) == owner.encode():
            self.redis.delete(name)

    def taken(self, name: str) -> None:
        raise Refused(name)


class LeftInProgressForEver(Right):
    def claim(self, name: str, owner: str) -> bool:
        return bool(self.redis.set(name, owner, nx=True))

    def release(self, name: str, owner: str) -> None:
        """Nobody lets go."""


class InProgressIsDone(Right):
    def taken(self, name: str) -> None:
        """As if it had been handled."""


class LeaseShorterThanTheWork(Right):
    lease_s = 2


class RecordThatExpires(Right):
    kept_s = 300


class KeyOfTheDelivery(Right):
    def process(self, message: Message) -> None:
        name = f"charge:{message['ReceiptHandle']}"
        if self.redis.set(name, "done", nx=True, ex=self.kept_s):
            charge(self.key(message))


class CheckThenActInRedis(Right):
    def process(self, message: Message) -> None:
        name = f"charge:{self.key(message)}"
        if self.redis.get(name) is None:
            charge(self.key(message))
            self.redis.set(name, "done", ex=self.kept_s)


class RecordBeforeEffectInRedis(Right):
    def process(self, message: Message) -> None:
        if self.redis.set(f"charge:{self.key(message)}", "done", nx=True, ex=self.kept_s):
            charge(self.key(message))


class NoRecord(Right):
    def process(self, message: Message) -> None:
        charge(self.key(message))


#: Mutant -> the property that it breaks.
WRONG: dict[type[Right], str] = {
    LeftInProgressForEver: "at-least-once",
    InProgressIsDone: "at-least-once",
    LeaseShorterThanTheWork: "effects-once",
    RecordThatExpires: "effects-once",
    KeyOfTheDelivery: "effects-once",
    CheckThenActInRedis: "effects-once",
    RecordBeforeEffectInRedis: "at-least-once",
    NoRecord: "effects-once",
}


def table(path: str) -> sqlite3.Connection:
    """A connection to the file that has the records."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY)")
    connection.commit()
    return connection


def unique_constraint(message: Message, records: sqlite3.Connection) -> None:
    """Right: the row is written with the effect in one transaction, and the database lets one only write it."""
    key = key_of(message)
    with records:
        try:
            records.execute("INSERT INTO done VALUES (?)", (key,))
        except sqlite3.IntegrityError:
            return
        charge(key)


def check_then_act(message: Message, records: sqlite3.Connection) -> None:
    """Wrong: two workers look, neither sees a row, and both act."""
    key = key_of(message)
    if records.execute("SELECT 1 FROM done WHERE key = ?", (key,)).fetchone():
        return
    charge(key)
    with records:
        records.execute("INSERT OR IGNORE INTO done VALUES (?)", (key,))


def record_before_effect(message: Message, records: sqlite3.Connection) -> None:
    """Wrong: what dies between the row and the effect is never made good."""
    key = key_of(message)
    try:
        with records:
            records.execute("INSERT INTO done VALUES (?)", (key,))
    except sqlite3.IntegrityError:
        return
    charge(key)
