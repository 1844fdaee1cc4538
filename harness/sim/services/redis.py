"""The run's one Redis server: fakeredis on virtual time, with a past that can be lost.

Any host and port that a client names leads here. The wire
(:mod:`harness.sim.wire.redis`) brings the commands; faults that strike the
server as a whole (``flush``, ``failover``) are methods of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from harness.sim.services.redis_delivery import RedisDelivery
    from harness.sim.services.redis_engine import Engine, Session
    from harness.sim.world import World

__all__ = ["Loss", "LossObserver", "RedisObserver", "RedisServer", "refuses"]

#: Told each command that was carried out, those inside transactions and scripts included:
#: ``(command, arguments, reply, database)``; the command in capitals, with its sub-command where it has one.
RedisObserver = Callable[[str, "list[bytes]", Any, int], None]


@dataclass(frozen=True, slots=True)
class Loss:
    """Data that the server has lost.

    ``since_us``: every write after this virtual time is undone (a flush undoes
    all: -1). ``keys``: the keys, as (database, key), that were there before
    and are not there any more.
    """

    kind: Literal["flush", "failover"]
    since_us: int
    keys: frozenset[tuple[int, bytes]]


LossObserver = Callable[[Loss], None]

#: Called with each new server: how the wire forgets connections to a real server or to an earlier run's.
on_new_server: list[Callable[[RedisServer], None]] = []


class RedisServer:
    """One Redis server for one run.

    ``history_seconds``: how far back ``failover`` may reach; ``None`` (no
    journal) is the cheap default for runs whose plan has no failover.
    """

    HOST = "redis.internal"
    PORT = 6379

    def __init__(self, world: World, chance: random.Random, *, history_seconds: float | None = None) -> None:
        from harness.sim.kernel import EPOCH_US

        self._kernel = world.kernel
        self._epoch_us = EPOCH_US
        self._chance = chance
        self._history_seconds = history_seconds
        self._engine: Engine | None = None
        self._next_port = 40_000
        #: Whether data may be lost in this run; if not, nobody need remember what was written.
        self.may_lose = True
        #: What messages in declared lists and streams are told to, if the scenario has any.
        self.delivery: RedisDelivery | None = None
        self.observers: list[RedisObserver] = []
        self.loss_observers: list[LossObserver] = []
        for renew in list(on_new_server):
            renew(self)

    def url(self, database: int = 0) -> str:
        """What a client is given as the server's address."""
        return f"redis://{self.HOST}:{self.PORT}/{database}"

    @property
    def engine(self) -> Engine:
        """The fakeredis server, made when the first client connects."""
        if self._engine is None:
            from harness.sim.services.redis_engine import Engine

            self._engine = Engine(
                self._now_us,
                self._call_later,
                self._chance,
                self._commanded,
                self._history_seconds,
                who=lambda: self._kernel.current,
                after_command=None if self.delivery is None else self.delivery.carried_out,
            )
        return self._engine

    def _now_us(self) -> int:
        return self._epoch_us + self._kernel.now_us

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        self._kernel.call_at(self._kernel.now_us + max(1, round(seconds * 1_000_000)), function)

    def _commanded(self, command: str, arguments: list[bytes], reply: Any, database: int) -> None:
        for observer in self.observers:
            observer(command, arguments, reply, database)

    def local_port(self) -> int:
        """A port number for the client's end of a new connection: the same in every run."""
        self._next_port += 1
        return self._next_port

    def session(
        self,
        send: Callable[[bytes], None],
        closed: Callable[[], None],
        alive: Callable[[], bool],
        address: tuple[str, int],
    ) -> Session:
        """The server's end of a new connection."""
        from harness.sim.services.redis_engine import Session

        return Session(self.engine, send, closed, alive, address)

    def command(self, *parts: str | bytes | int | float, db: int = 0) -> Any:
        """Carry out one command from outside the run's clients (a scenario's set-up, a test). No points, no latency.

        Returns the reply as bytes, numbers, lists and ``None``.

        Raises:
            RuntimeError: the server answered with an error.
        """
        from harness.sim.services.redis_engine import PlainSession
        from harness.sim.wire.resp import Error

        session = PlainSession(self.engine)
        try:
            if db:
                session.execute([b"SELECT", b"%d" % db])
                session.replies.clear()
            session.execute([part if isinstance(part, bytes) else str(part).encode() for part in parts])
        finally:
            session.close()
        if not session.replies:
            raise RuntimeError(f"{parts[0]!r} would wait: nobody can answer it here")
        reply = session.replies[0]
        if isinstance(reply, Error):
            raise RuntimeError(str(reply))
        return reply

    # -- faults of the server as a whole

    def drop_connections(self) -> None:
        """The server ends every connection, as a restart or failover does."""
        for session in list(self.engine.sockets):
            session.kill()

    def flush(self) -> Loss:
        """Every key is gone (FLUSHALL by an operator, a restart without persistence). Connections live on."""
        keys = frozenset(self.engine.live_keys())
        self.engine.clear()
        self.engine.serve()
        return self._lost(Loss("flush", -1, keys))

    def failover(self, lost_seconds: float) -> Loss:
        """A replica takes over that had not yet got the writes of the last *lost_seconds* (asynchronous replication).

        Connections break and cached scripts are gone, as on a promoted
        replica.

        Raises:
            ValueError: the journal does not reach back so far; the server was made with a shorter ``history_seconds``.
        """
        engine = self.engine
        journal = engine.journal
        if journal is None or lost_seconds > journal.seconds:
            kept = 0 if journal is None else journal.seconds
            raise ValueError(
                f"failover cannot lose the writes of {lost_seconds:g} s: the journal keeps {kept:g} s; "
                "make RedisServer with history_seconds of the plan's longest failover"
            )
        since_us = self._kernel.now_us - round(lost_seconds * 1_000_000)
        keys = frozenset(journal.undo(self._now_us() - round(lost_seconds * 1_000_000)))
        engine.script_cache.clear()
        self.drop_connections()
        return self._lost(Loss("failover", since_us, keys))

    def _lost(self, loss: Loss) -> Loss:
        for observer in list(self.loss_observers):
            observer(loss)
        return loss


#: Commands that fakeredis's table lacks and Redis flags ``loading``.
_NOT_IN_THE_TABLE = frozenset(
    {"CONFIG", "DEBUG", "INFO", "LATENCY", "MONITOR", "REPLICAOF", "ROLE", "SHUTDOWN", "SLOWLOG"}
)


def refuses(line: str, command: str) -> bool:
    """Whether a real server in the state that the error *line* tells of refuses *command* with it.

    A replica serves reads (``READONLY`` is for writes and scripts), a full
    server only refuses what takes memory (``OOM``), and a loading one
    serves what Redis's own table flags as allowed while loading.
    """
    from harness.sim.services.redis_engine import command_flags

    code = line.split(" ", 1)[0]
    flags = command_flags(command)
    scripts = "script_runner" in flags or command.startswith(("EVAL", "FCALL"))
    if code == "READONLY":
        return "write" in flags or scripts
    if code == "OOM":
        return "denyoom" in flags or scripts
    if code == "LOADING":
        return "loading" not in flags and command not in _NOT_IN_THE_TABLE
    return True
