"""What earlier searches found, kept in a Hypothesis example database and tried first by the next one.

A database of Hypothesis is used as it is: a folder (``.hypothesis/examples``
by default, where ``@given`` keeps its own), a Redis server, or the artifact of
a CI job on GitHub. An entry is a candidate as JSON. One that breaks nothing
any more is deleted.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Final

from hypothesis import database as databases
from hypothesis.database import ExampleDatabase

from harness.errors import PlanError, UsageError
from harness.explore.minimise import Candidate
from harness.explore.schedules import Schedule
from harness.faults.plan import FaultPlan
from harness.sim.preempt_rewrite import LEVELS

__all__ = ["DEFAULT", "Remembered", "database_of"]

#: Hypothesis's own place.
DEFAULT: Final = ".hypothesis/examples"
_VERSION = 1


class Remembered:
    """The findings of one scenario, by name, in *database*."""

    def __init__(self, database: ExampleDatabase, scenario: str) -> None:
        self._database = database
        self._key = f"harness search/{scenario}".encode()

    def fetch(self) -> list[Candidate]:
        """What is there, in a fixed order; entries of another version are deleted."""
        found = []
        for value in sorted(self._database.fetch(self._key)):
            candidate = _read(value)
            if candidate is None:
                self._database.delete(self._key, value)
            else:
                found.append(candidate)
        return found

    def save(self, candidate: Candidate) -> None:
        """Keep *candidate* for the next search."""
        self._database.save(self._key, _written(candidate))

    def delete(self, candidate: Candidate) -> None:
        """Forget *candidate*: it breaks nothing any more."""
        self._database.delete(self._key, _written(candidate))


def database_of(text: str) -> ExampleDatabase | None:
    """The database that *text* names: a folder, ``redis://HOST:PORT``, ``github:OWNER/REPO``, or ``none``.

    What a CI job left on GitHub is read only, beside the folder of this machine.

    Raises:
        UsageError: it names none.
    """
    kind, _, rest = text.partition(":")
    if text == "none":
        return None
    if kind in ("redis", "rediss", "unix"):
        if importlib.util.find_spec("redis") is None:  # pragma: no cover  # an extra that search needs brings it
            raise UsageError("needs redis", field="--database", remedy="Install redis")
        import redis
        from hypothesis.extra.redis import RedisExampleDatabase

        try:
            return RedisExampleDatabase(redis.Redis.from_url(text))
        except ValueError as error:
            raise _wrong(text, str(error)) from None
    if kind == "github":
        owner, _, repo = rest.partition("/")
        if not owner or not repo or "/" in repo:
            raise _wrong(text, "it names no repository")
        theirs = databases.ReadOnlyDatabase(databases.GitHubArtifactDatabase(owner, repo))
        return databases.MultiplexedDatabase(databases.DirectoryBasedExampleDatabase(Path(DEFAULT)), theirs)
    if "://" in text or not text or Path(text).is_file():
        raise _wrong(text, "it is no folder")
    return databases.DirectoryBasedExampleDatabase(Path(text))


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(
        f"is {text!r}: {why}",
        field="--database",
        remedy="Give a folder, redis://HOST:PORT, github:OWNER/REPO, or none",
    )


def _written(candidate: Candidate) -> bytes:
    return json.dumps(
        {
            "version": _VERSION,
            "plan": candidate.plan.to_json(),
            "seed": candidate.seed,
            "messages": candidate.messages,
            "schedule": list(candidate.schedule.tape),
            "preempt": candidate.preempt,
        },
        sort_keys=True,
    ).encode()


def _read(value: bytes) -> Candidate | None:
    """The candidate in an entry; ``None`` where it was written by another version, or is none."""
    try:
        entry: dict[str, Any] = json.loads(value)
        tape, messages, preempt = entry["schedule"], entry["messages"], entry["preempt"]
        whole = all(isinstance(one, int) and one >= 0 for one in (*tape, entry["seed"], messages or 0))
        if entry["version"] != _VERSION or not whole or preempt not in (None, *LEVELS):
            return None
        plan = FaultPlan.from_json(entry["plan"])
    except (ValueError, TypeError, KeyError, PlanError):
        return None
    return Candidate(plan, entry["seed"], messages, Schedule("tape", tape=tuple(tape)), preempt)
