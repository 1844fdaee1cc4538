"""SQLite inside a run: waiting for a lock takes virtual time, crashed processes let go, inserted rows can be watched.

``sqlite3.connect`` gives a subclass of the connection that was asked for:

* A locked database is waited for in virtual time, for the connection's
  ``timeout``; SQLite's own busy handler would block the whole run.
* A connection of a process that was killed is closed and rolled back when
  somebody needs its lock, as the operating system would do it; when the run
  ends, its ``finally`` blocks write nothing.
* Rows of watched tables are reported once they are committed. A TEMP trigger
  (it lives in the connection, never in the file) writes each inserted row's
  key into a TEMP table, so that ROLLBACK, savepoints and failed statements
  undo exactly what SQLite undoes.

A statement takes no time. What a run puts under :data:`BEFORE` in
``world.wires`` is called before each statement and each commit, in the actor
that asks for it: it may let others go first there, as between processes that
share a file.

Code that took ``connect`` by name before :func:`install` is not seen.
"""

from __future__ import annotations

import functools
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import ScenarioError
from harness.sim import world as _world

if TYPE_CHECKING:
    from harness.sim.kernel import Process
    from harness.sim.world import World

__all__ = ["BEFORE", "install", "uninstall", "watch"]

#: The name in ``world.wires`` of what is called before each statement and each commit.
BEFORE = "sqlite.before"

#: SQLite's own delays between two tries, in milliseconds, the last one repeated (main.c, sqliteDefaultBusyCallback).
_DELAYS_MS = (1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100)

_BUSY = 5  # SQLITE_BUSY; its extended form SQLITE_BUSY_SNAPSHOT (517) is never waited for

_SEEN = "temp.harness_seen_rows"


@dataclass(eq=False)
class _Watch:
    """One watched table, and who is told the value of its key column."""

    table: str
    column: str
    inserted: Callable[[object], None]


_watches: list[_Watch] = []


def watch(table: str, column: str, inserted: Callable[[object], None]) -> Callable[[], None]:
    """Call *inserted* with the value of *column* for each row committed to *table*, in any database, by any process.

    Returns the function that ends it. The cut must be installed.
    """
    if _original is None:
        raise RuntimeError("harness.sim.wire.sqlite.install() was not called")
    entry = _Watch(table, column, inserted)
    _watches.append(entry)
    return lambda: _watches.remove(entry)


class _Life:
    """What the harness keeps beside one connection."""

    def __init__(self, connection: Any, world: World, process: Process | None, timeout: float) -> None:
        self.world = world
        self.process = process
        self.timeout_us = round(timeout * 1_000_000)
        self._connection = weakref.ref(connection)
        self._armed: dict[_Watch, int] = {}
        self._last_row = 0

    def _rows(self, sql: str, *values: object) -> list[Any]:
        connection = self._connection()
        if connection is None:
            return []
        cursor = sqlite3.Cursor(connection)
        cursor.row_factory = None
        try:
            return sqlite3.Cursor.execute(cursor, sql, values).fetchall()
        finally:
            cursor.close()

    def arm(self) -> None:
        """Put the triggers on the watched tables that are there by now."""
        for number, entry in enumerate(_watches):
            if not self._is_armed(entry) and self._exists(entry):
                self._arm(entry, number)

    def _is_armed(self, entry: _Watch) -> bool:
        number = self._armed.get(entry)
        if number is None:
            return False
        # A rollback takes a trigger that was made in the transaction with it.
        return bool(self._rows("SELECT 1 FROM sqlite_temp_master WHERE name = ?", f"harness_insert_{number}"))

    def _exists(self, entry: _Watch) -> bool:
        sql = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        return bool(self._rows(sql, entry.table))

    def _arm(self, entry: _Watch, number: int) -> None:
        columns = [row[1].lower() for row in self._rows(f'PRAGMA main.table_info("{entry.table}")')]
        if entry.column.lower() not in columns:
            raise ScenarioError(
                f"the table {entry.table} has no column {entry.column}",
                field="effects.sqlite: key",
                remedy=f"Name one of its columns: {', '.join(columns)}",
            )
        self._rows(f"CREATE TABLE IF NOT EXISTS {_SEEN} (id INTEGER PRIMARY KEY AUTOINCREMENT, entry, value)")
        self._rows(
            f"CREATE TEMP TRIGGER IF NOT EXISTS harness_insert_{number} "
            f'AFTER INSERT ON main."{entry.table}" BEGIN '
            f'INSERT INTO harness_seen_rows (entry, value) VALUES ({number}, NEW."{entry.column}"); END'
        )
        self._armed[entry] = number

    def settle(self) -> None:
        """Report what is committed by now."""
        connection = self._connection()
        if not self._armed or connection is None or connection.in_transaction:
            return
        if not self._rows("SELECT 1 FROM sqlite_temp_master WHERE name = 'harness_seen_rows'"):
            return
        entries = {number: entry for entry, number in self._armed.items()}
        for row, number, value in self._rows(f"SELECT id, entry, value FROM {_SEEN} WHERE id > ?", self._last_row):
            self._last_row = row
            if entries[number] in _watches:
                entries[number].inserted(value)

    def check_open(self) -> None:
        """Nothing is written while the end of the run unwinds what was killed or still waits."""
        kernel = self.world.kernel
        if kernel.closing and _world.current() is self.world:
            kernel.refuse()

    def is_over(self) -> bool:
        """Whether the process that opened the connection is at its end, or the run is."""
        return self.process is None or not self.process.alive or self.world.kernel.closing

    def patiently(self, call: Callable[[], Any]) -> Any:
        """Do *call*, waiting for locks in virtual time for as long as the connection's timeout allows."""
        kernel = self.world.kernel
        waited_us = tries = 0
        while True:
            try:
                return call()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != _BUSY or kernel.current is None:
                    raise
                if _close_dead():
                    continue
                delay_us = 1_000 * _DELAYS_MS[min(tries, len(_DELAYS_MS) - 1)]
                if waited_us + delay_us > self.timeout_us:
                    raise
                kernel.sleep_us(delay_us)
                waited_us += delay_us
                tries += 1

    def begin(self) -> None:
        """A statement or a commit is about to be carried out: whoever asked for it is told."""
        told = self.world.wires.get(BEFORE)
        if told is not None and self.world.kernel.current is not None:
            told()

    def around(self, call: Callable[[], Any]) -> Any:
        """One statement of the user's: triggers first, then the statement, then the report."""
        self.check_open()
        self.begin()
        if _watches:
            self.patiently(self.arm)
        result = self.patiently(call)
        if _watches:
            self.settle()
        return result


_open: weakref.WeakSet[Any] = weakref.WeakSet()


def _close_dead() -> bool:
    """Close the connections of processes that were killed; whether there were any."""
    dead = [each for each in _open if each.harness_life.process is not None and not each.harness_life.process.alive]
    for connection in dead:
        _open.discard(connection)
        connection.close()
    return bool(dead)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one; triggers stay whole."""
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip(" \t\r\n;"):
        yield pending.rstrip(";")


@functools.cache
def _cursor_class(base: type[sqlite3.Cursor]) -> type[sqlite3.Cursor]:
    """*base* with its executions watched over."""

    class Cursor(base):  # type: ignore[valid-type, misc]
        def execute(self, sql: str, *parameters: Any) -> Any:
            return _life(self).around(lambda: super(Cursor, self).execute(sql, *parameters))

        def executemany(self, sql: str, rows: Iterable[Any], /) -> Any:
            known = list(rows)  # a second try must not find a generator used up
            return _life(self).around(lambda: super(Cursor, self).executemany(sql, known))

        def executescript(self, script: str, /) -> Any:
            connection = self.connection
            if getattr(connection, "autocommit", -1) != -1:  # not the legacy transaction control
                return _life(self).around(lambda: super(Cursor, self).executescript(script))
            connection.commit()
            level = connection.isolation_level
            connection.isolation_level = None
            try:
                for statement in _statements(script):
                    self.execute(statement)
            finally:
                connection.isolation_level = level
            return self

    Cursor.__name__, Cursor.__qualname__ = base.__name__, base.__qualname__
    return Cursor


def _life(cursor: Any) -> _Life:
    life: _Life = cursor.connection.harness_life
    return life


@functools.cache
def _connection_class(base: type[sqlite3.Connection]) -> type[sqlite3.Connection]:
    """*base* with its transactions watched over; ``execute`` and its kin go through the cursor."""

    class Connection(base):  # type: ignore[valid-type, misc]
        harness_life: _Life

        def cursor(self, factory: type[sqlite3.Cursor] = sqlite3.Cursor) -> Any:
            return super().cursor(_cursor_class(factory) if isinstance(factory, type) else factory)

        def execute(self, sql: str, *parameters: Any) -> Any:
            return self.cursor().execute(sql, *parameters)

        def executemany(self, sql: str, rows: Iterable[Any], /) -> Any:
            return self.cursor().executemany(sql, rows)

        def executescript(self, script: str, /) -> Any:
            return self.cursor().executescript(script)

        def commit(self) -> None:
            self.harness_life.check_open()
            self.harness_life.begin()
            self.harness_life.patiently(super().commit)
            self.harness_life.settle()

        def __exit__(self, *error: Any) -> Any:
            if error[0] is None:
                self.harness_life.check_open()
                self.harness_life.begin()
            result = self.harness_life.patiently(lambda: super(Connection, self).__exit__(*error))
            self.harness_life.settle()
            return result

        def close(self) -> None:
            _open.discard(self)
            super().close()

        def __del__(self) -> None:
            # The operating system closes what a process leaves behind; CPython 3.13 would warn of each.
            life = vars(self).get("harness_life")
            if life is not None and life.is_over():
                super().close()
                return
            warn = getattr(super(), "__del__", None)
            if warn is not None:
                warn()

    Connection.__name__, Connection.__qualname__ = base.__name__, base.__qualname__
    return Connection


_original: Callable[..., Any] | None = None


def install() -> None:
    """Put the cut in, once for the process. Outside a run ``sqlite3.connect`` does what it always did."""
    global _original
    if _original is None:
        _original = sqlite3.connect
        sqlite3.connect = sqlite3.dbapi2.connect = connect


def uninstall() -> None:
    """Give sqlite3 its own function back."""
    global _original
    if _original is not None:
        sqlite3.connect = sqlite3.dbapi2.connect = _original
        _original = None


def connect(database: Any, *arguments: Any, **named: Any) -> Any:
    """Stands for ``sqlite3.connect``."""
    real = _original if _original is not None else sqlite3.dbapi2.connect
    world = _world.current()
    names = ("timeout", "detect_types", "isolation_level", "check_same_thread", "factory", "cached_statements", "uri")
    options = {**dict(zip(names, arguments, strict=False)), **named}
    factory = options.get("factory", sqlite3.Connection)
    if world is None or world.kernel.current is None or not isinstance(factory, type):
        return real(database, *arguments, **named)
    timeout = options.get("timeout", 5.0)
    connection = real(database, **{**options, "timeout": 0.0, "factory": _connection_class(factory)})
    connection.harness_life = _Life(connection, world, world.kernel.current.process, timeout)
    _open.add(connection)
    return connection
