"""The cases against a server: several at a time, since most of their time is waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.fidelity.bench import Bench, Differs, Overrun, Site, Stopped, remove
from harness.fidelity.rows import Row

__all__ = ["Outcome", "State", "attempt", "runnable", "sweep", "try_all"]

#: ``same``: as AWS; ``differs``; ``error``: no answer that could be compared; ``left out``: not tried.
State: TypeAlias = Literal["same", "differs", "error", "left out"]


#: After so many cases without an answer the others are left out: the server is gone.
ERRORS_MAX = 10

#: What a case runs into where an answer lacks a field, or has one of another type.
_MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class Outcome:
    """What one rule's case found."""

    row: Row
    state: State
    detail: str = ""
    #: How long it took, in seconds.
    took: float = 0.0
    calls: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"number": self.row.number, "id": self.row.id, "rule": self.row.rule}
        found["outcome"] = self.state
        if self.detail:
            found["detail"] = self.detail
        if self.state != "left out":
            found["seconds"] = round(self.took, 3)
        if self.calls:
            found["calls"] = list(self.calls)
        return found


def runnable(row: Row, *, patience: float, http: bool = True) -> str:
    """Why a rule cannot be tried; empty: it can."""
    if row.run is None:
        return f"cannot be tried on a server; proven by {row.tested}"
    if row.http and not http:
        return "is about HTTP itself, which a simulation has not"
    if row.seconds > patience:
        return f"waits {row.seconds:g} s, more than the patience of {patience:g} s"
    return ""


def attempt(row: Row, site: Site) -> Outcome:
    """Try one rule, and delete the queues that it made."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnection

    assert row.run is not None
    bench = Bench(site, row.number, row.seconds)
    began = time.monotonic()
    state: State = "same"
    detail = ""
    try:
        row.run(bench)
    except Differs as found:
        state, detail = "differs", str(found)
    except ClientError as error:
        state, detail = "differs", _refusal(error)
    except _MISSHAPEN as error:
        state, detail = "differs", f"the answer has not AWS's form ({type(error).__name__}: {error})"
    except (Overrun, HTTPClientError, NoConnection) as error:
        state, detail = "error", f"{type(error).__name__}: {error}"
    except BotoCoreError as error:
        state, detail = "differs", f"the answer cannot be read ({type(error).__name__}: {error})"
    finally:
        # An interrupted case, too, leaves nothing behind.
        lost = _clean(bench)
    if lost and state == "same":
        state, detail = "error", lost
    return Outcome(row, state, detail, time.monotonic() - began, tuple(bench.tape.calls))


def _refusal(error: Any) -> str:
    found = error.response["Error"]
    code, text = str(found.get("Code")), " ".join(str(found.get("Message")).split())
    if code.isdigit():  # no error of SQS: a page of some server
        return f"{error.operation_name} is answered with status {code}"
    return f"{error.operation_name} is refused with {code}: {text[:160]}"


def _clean(bench: Bench) -> str:
    """Delete the case's queues; says what kept a queue from it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        bench.clean()
    except (BotoCoreError, ClientError) as error:
        return f"a queue could not be deleted: {error}"
    return ""


def try_all(
    rows: Iterable[Row],
    site: Site,
    *,
    patience: float,
    workers: int,
    http: bool = True,
    report: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Try every rule that can be; the outcomes by number. *report* is called with each as it is known.

    Ctrl-C stops the cases at their next call, deletes their queues, and is raised again. A server that has
    given no answer to :data:`ERRORS_MAX` cases is tried no further.
    """
    stop = threading.Event()
    site.stopped = stop.is_set
    found: list[Outcome] = []
    lock = threading.Lock()

    errors = 0

    def note(outcome: Outcome) -> None:
        nonlocal errors
        with lock:
            errors += outcome.state == "error"
            found.append(outcome)
            if report is not None:
                report(outcome)

    def one(row: Row) -> None:
        if errors >= ERRORS_MAX:
            note(Outcome(row, "left out", f"the server gave no answer to {ERRORS_MAX} cases before"))
            return
        try:
            note(attempt(row, site))
        except Stopped:
            return

    todo: list[Row] = []
    for row in rows:
        reason = runnable(row, patience=patience, http=http)
        if reason:
            note(Outcome(row, "left out", reason))
        else:
            todo.append(row)
    # The longest first: the others fit beside them.
    todo.sort(key=lambda row: -row.seconds)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="case") as pool:
        futures = [pool.submit(one, row) for row in todo]
        try:
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    return sorted(found, key=lambda outcome: outcome.row.number)


def sweep(site: Site) -> Sequence[str]:
    """Delete what cases left behind; the URLs that could not be deleted."""
    from botocore.exceptions import BotoCoreError, ClientError

    left = []
    for url in list(site.made):
        try:
            remove(site, url)
        except (BotoCoreError, ClientError):
            left.append(url)
    return left
