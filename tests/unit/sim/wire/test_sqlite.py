"""SQLite inside a run."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.sim.wire import sqlite as wire
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")


@pytest.fixture
def seen() -> Iterator[list[object]]:
    """The keys of rows committed to ``orders``."""
    values: list[object] = []
    end = wire.watch("orders", "order_id", values.append)
    yield values
    end()


def database(path: Path) -> str:
    """A database with the table, made outside the run."""
    name = str(path / "shop.db")
    connection = sqlite3.connect(name)
    connection.execute("CREATE TABLE orders (order_id INTEGER PRIMARY KEY, note TEXT NOT NULL)")
    connection.close()
    return name


def simulate(*mains: Callable[[Run], object]) -> Run:
    with Run() as run:
        for number, main in enumerate(mains):
            run.actor(lambda main=main: main(run), f"p{number}")
        run.go()
    return run


def test_a_row_is_seen_when_it_is_committed_and_not_before(tmp_path: Path, seen: list[object]) -> None:
    """commit() makes it an effect; until then there is none."""
    name = database(tmp_path)

    def main(run: Run) -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (?, ?)", (7, "x"))
        assert seen == []
        connection.commit()
        assert seen == [7]
        connection.close()

    simulate(main)


def test_what_is_rolled_back_was_never_there(tmp_path: Path, seen: list[object]) -> None:
    """rollback(), an exception in a with block, a savepoint and a failed statement undo their rows, others stay."""
    name = database(tmp_path)

    def main(run: Run) -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        connection.rollback()
        with contextlib.suppress(KeyError), connection:
            connection.execute("INSERT INTO orders VALUES (2, 'x')")
            raise KeyError
        with connection:
            connection.execute("INSERT INTO orders VALUES (3, 'x')")
            connection.execute("SAVEPOINT s")
            connection.execute("INSERT INTO orders VALUES (4, 'x')")
            connection.execute("ROLLBACK TO s")
            with pytest.raises(sqlite3.IntegrityError):
                connection.executemany("INSERT INTO orders VALUES (?, ?)", [(5, "x"), (6, None)])
        connection.close()

    simulate(main)
    assert seen == [3, 5]  # executemany is one statement a row: the first one stood


def test_every_way_to_insert_is_seen(tmp_path: Path, seen: list[object]) -> None:
    """Autocommit, executemany, a script that makes the table, a trigger of the user's, INSERT ... SELECT."""

    def main(run: Run) -> None:
        connection = sqlite3.connect(str(tmp_path / "new.db"), isolation_level=None)
        connection.executescript(
            """
            CREATE TABLE orders (order_id TEXT, note TEXT);
            INSERT INTO orders VALUES ('script; with semicolon', 'x');
            CREATE TABLE inbox (id TEXT);
            CREATE TRIGGER accept AFTER INSERT ON inbox BEGIN
                INSERT INTO orders VALUES (NEW.id, 'from trigger');
            END;
            """
        )
        connection.execute("INSERT INTO orders VALUES ('auto', '')")
        connection.cursor().executemany(
            "INSERT INTO orders VALUES (?, '')", (pair for pair in [("many1",), ("many2",)])
        )
        connection.execute("INSERT INTO inbox VALUES ('trigger')")
        connection.execute("INSERT INTO orders SELECT 'select', note FROM orders LIMIT 1")
        connection.execute("UPDATE orders SET note = 'changed'")
        connection.execute("INSERT OR IGNORE INTO orders VALUES ('last', '')")
        connection.close()

    simulate(main)
    assert seen == ["script; with semicolon", "auto", "many1", "many2", "trigger", "select", "last"]


def test_the_users_own_factories_and_rows_still_work(tmp_path: Path, seen: list[object]) -> None:
    """A connection class, a cursor class and a row factory of the user's are kept."""
    name = database(tmp_path)

    class Mine(sqlite3.Connection):
        def hello(self) -> str:
            return "hello"

    def main(run: Run) -> None:
        connection = sqlite3.connect(name, factory=Mine)
        connection.row_factory = sqlite3.Row
        assert isinstance(connection, Mine)
        assert connection.hello() == "hello"
        with connection:
            connection.execute("INSERT INTO orders VALUES (1, 'x')")
        assert connection.execute("SELECT * FROM orders").fetchone()["note"] == "x"
        assert [row["order_id"] for row in connection.execute("SELECT order_id FROM orders")] == [1]
        assert connection.total_changes >= 1
        connection.close()

    simulate(main)
    assert seen == [1]


def test_a_lock_is_waited_for_in_virtual_time(tmp_path: Path, seen: list[object]) -> None:
    """The second writer waits for the first one's commit, three virtual seconds later, and no real ones."""
    name = database(tmp_path)

    def first(run: Run) -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        run.kernel.sleep_us(3_000_000)
        connection.commit()
        connection.close()

    def second(run: Run) -> None:
        run.kernel.sleep_us(1_000_000)
        connection = sqlite3.connect(name)
        with connection:
            connection.execute("INSERT INTO orders VALUES (2, 'x')")
        assert 3 <= run.kernel.now < 3.2
        connection.close()

    simulate(first, second)
    assert seen == [1, 2]


def test_a_lock_that_stays_ends_in_the_drivers_own_error(tmp_path: Path) -> None:
    """After the connection's timeout, as real SQLite does."""
    name = database(tmp_path)

    def first(run: Run) -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        run.kernel.sleep_us(60_000_000)
        connection.close()

    def second(run: Run) -> None:
        run.kernel.sleep_us(1_000_000)
        connection = sqlite3.connect(name, timeout=2)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("INSERT INTO orders VALUES (2, 'x')")
        assert run.kernel.now == pytest.approx(3, abs=0.15)
        connection.close()

    simulate(first, second)


def test_a_killed_process_lets_its_lock_go_and_its_rows_are_undone(tmp_path: Path, seen: list[object]) -> None:
    """As the operating system would: nobody waits for the dead, and what it had not committed is not there."""
    name = database(tmp_path)

    def victim() -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        run.kernel.sleep_us(60_000_000)

    def second() -> None:
        connection = sqlite3.connect(name)
        with connection:
            connection.execute("INSERT INTO orders VALUES (2, 'x')")
        assert connection.execute("SELECT order_id FROM orders").fetchall() == [(2,)]
        assert run.kernel.now < 2.1
        connection.close()

    with Run() as run:
        process = run.actor(victim, "victim")
        run.kernel.call_at(1_000_000, lambda: run.kernel.crash(process))
        run.actor(second, "second", at=2)
        run.go()
    assert seen == [2]


def test_nothing_is_written_when_the_end_of_the_run_unwinds_a_killed_process(
    tmp_path: Path, seen: list[object]
) -> None:
    """Its finally blocks run in the end, and their commit is refused."""
    name = database(tmp_path)
    unwound = []

    def victim() -> None:
        connection = sqlite3.connect(name)
        connection.execute("INSERT INTO orders VALUES (1, 'x')")
        try:
            run.kernel.sleep_us(60_000_000)
        finally:
            unwound.append(True)
            connection.commit()

    with Run() as run:
        process = run.actor(victim, "victim")
        run.kernel.call_at(1_000_000, lambda: run.kernel.crash(process))
        run.go()
    connection = sqlite3.connect(name)
    assert (unwound, connection.execute("SELECT * FROM orders").fetchall(), seen) == ([True], [], [])
    connection.close()


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Instead of a statement that fails for a reason of ours."""
    name = database(tmp_path)
    end = wire.watch("orders", "nothing", lambda value: None)

    def main(run: Run) -> None:
        connection = sqlite3.connect(name)
        with pytest.raises(ScenarioError, match=r"no column nothing.*order_id, note"):
            connection.execute("SELECT 1")
        connection.close()

    try:
        simulate(main)
    finally:
        end()


def test_the_file_is_left_as_it_was(tmp_path: Path, seen: list[object]) -> None:
    """No table and no trigger of ours is in the database afterwards; outside a run connect() is untouched."""
    name = database(tmp_path)

    def main(run: Run) -> None:
        with sqlite3.connect(name) as connection:
            connection.execute("INSERT INTO orders VALUES (1, 'x')")
        connection.close()

    simulate(main)
    connection = sqlite3.connect(name)
    assert type(connection) is sqlite3.Connection
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("orders",)]
    connection.close()


def test_who_asks_for_a_statement_or_a_commit_is_told_before(tmp_path: Path) -> None:
    """What stands under BEFORE is called in the actor that asks, and may let another one go first."""
    name = database(tmp_path)
    order: list[str] = []

    def main(run: Run, who: str) -> None:
        def before() -> None:
            run.kernel.sleep_us(10)

        run.world.wires[wire.BEFORE] = before
        connection = sqlite3.connect(name)
        for _ in range(2):
            connection.execute("SELECT 1")
            order.append(who)
        with connection:
            pass
        connection.close()

    simulate(lambda run: main(run, "one"), lambda run: main(run, "two"))
    assert sorted(order[:2]) == sorted(order[2:]) == ["one", "two"]
