"""Why a finding came about, in one sentence, from the events of its message.

Each reason looks for one well-known course of events, the plainest first. A
reason that does not fit says nothing; where none fits, the last fault that
struck is named, or that none did.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from harness.explore.plot import Plot, process_of
from harness.explore.sentences import call, effect_name, fate
from harness.history import Event, History
from harness.invariants.base import Verdict

__all__ = ["because"]

Reason = Callable[[Plot, int, int], str]

_TWICE = frozenset({"effects-once", "duplicates-bounded"})
_LOST = frozenset({"no-message-loss", "at-least-once"})
_OF_PROCESSES = frozenset({"crash", "sigterm", "pause", "hang", "slow-start"})


def because(history: History, verdict: Verdict, plot: Plot) -> str:
    """The reason for *verdict*, as one sentence without a full stop."""
    found = ""
    if verdict.name in _TWICE:
        found = _twice(plot)
    elif verdict.name in _LOST:
        found = _lost(plot)
    elif verdict.name == "not-stuck":
        found = _stuck(history, plot)
    return found or _last_strike(history, plot)


def _twice(plot: Plot) -> str:
    effects = [event for event in plot.of("effect") if event["n"] in plot.evidence] or plot.of("effect")
    if len(effects) < 2:
        return ""
    first, second = effects[-2]["n"], effects[-1]["n"]
    for reason in _WHY_TWICE:
        found = reason(plot, first, second)
        if found:
            return f"{found}, and {_unhindered(plot, effects[-2], effects[-1])}"
    return ""


def _unhindered(plot: Plot, first: Event, second: Event) -> str:
    """Why nobody noticed that it had happened before."""
    one, other = process_of(first["actor"]), process_of(second["actor"])
    if one != other:
        return f"{other} did not know what {one} had done"
    if any(event.get("process") == one for event in plot.between(first["n"], second["n"], "process.start")):
        return f"{one}, started again, did not know what it had done before"
    return "nothing kept it from happening again"


def _answer_lost(plot: Plot, first: int, second: int) -> str:
    """Within one delivery: the call took effect, its answer was lost, the caller did it again."""
    if plot.between(first, second, "receive"):
        return ""
    for event in plot.between(first, second, "fault.strike"):
        if str(event.get("point", "")).endswith(".after"):
            return f"{_failed(event, process_of(event['actor']))}, and it was made again"
    return ""


def _killed_between(plot: Plot, first: int, second: int) -> str:
    for event in plot.between(first, second, "process.crash"):
        if not plot.between(first, event["n"], "delete"):
            return (
                f"{event.get('process')} was killed after it had done the work and before it had deleted the message, "
                "so the queue delivered it again"
            )
    return ""


def _batch_came_back(plot: Plot, first: int, second: int) -> str:
    """A Lambda function did not delete what it had handled: its batch failed as a whole."""
    for event in plot.between(first, second, "lambda.answer"):
        function = f"function {event.get('function')}"
        if event.get("outcome") == "timeout":
            return f"{function} ran into its timeout after it had done the work, so the queue delivered the batch again"
        if event.get("outcome") == "malformed":
            return f"the answer of {function} was malformed ({event.get('error')}), so the whole batch came again"
        if event.get("outcome") == "error":
            return f"{function} failed ({event.get('error')}), so its whole batch came again, done or not"
    return ""


def _delete_failed(plot: Plot, first: int, second: int) -> str:
    for event in plot.between(first, second, "fault.strike"):
        point = str(event.get("point", ""))
        refused = event.get("fault_kind") not in _OF_PROCESSES and point.endswith(".before")
        if ".DeleteMessage" in point and refused:
            again = [other for other in plot.between(first, second, "receive") if other["n"] > event["n"]]
            to = f" to {process_of(again[0]['actor'])}" if again else ""
            return (
                f"{_failed(event, process_of(event['actor']))}, so the message was still in the queue "
                f"and was delivered again{to}"
            )
    return ""


def _paused(plot: Plot, first: int, second: int) -> str:
    for event in plot.of("process.pause"):
        if event["n"] < second and plot.between(event["n"], second, "receive"):
            return f"{event.get('process')} stood still for longer than the message was hidden from others"
    return ""


def _hidden_too_short(plot: Plot, first: int, second: int) -> str:
    """The message became visible again while somebody still worked on it."""
    receives = [event for event in plot.of("receive") if event["n"] < second]
    if len(receives) < 2:
        return ""
    earlier, later = receives[-2], receives[-1]
    deleted = [event for event in plot.of("delete") if earlier["n"] < event["n"] < later["n"] and event.get("found")]
    visible = earlier.get("visible_at")
    if deleted or not isinstance(visible, (int, float)) or later["t"] < visible:
        return ""
    length = visible - earlier["t"]
    worker, other = process_of(earlier["actor"]), process_of(later["actor"])
    if later["n"] < first:
        return (
            f"the visibility timeout ({length:g} s) ran out while {worker} still worked on the message, "
            f"and {other} received it too"
        )
    return f"{worker} did not delete the message within its visibility timeout ({length:g} s), so {other} received it"


def _delivered_twice(plot: Plot, first: int, second: int) -> str:
    for event in plot.of("fault.strike"):
        if event["n"] < second and event.get("fault_kind") == "duplicate":
            return "the queue delivered the message twice, as standard queues may"
    receives = [event for event in plot.of("receive") if event["n"] < second]
    for earlier, later in pairwise(receives):
        visible = earlier.get("visible_at")
        hidden = isinstance(visible, (int, float)) and later["t"] < visible
        if hidden and not plot.between(earlier["n"], later["n"], "delete", "visibility"):
            return "the queue delivered the message twice, as standard queues may"
    deleted = [event for event in plot.between(first, second, "delete") if event.get("found")]
    if deleted and plot.between(deleted[0]["n"], second, "receive"):
        return "the queue delivered the message again although it was deleted, as standard queues may"
    return ""


def _store_lost(plot: Plot, first: int, second: int) -> str:
    if any(event["n"] < second for event in plot.of("effect.lost")):
        return "the store had lost the memory of the first time"
    return ""


def _sent_twice(plot: Plot, first: int, second: int) -> str:
    copies = {event.get("message") for event in plot.of("send") if event["n"] < second}
    return "the message was sent twice under one key" if len(copies) > 1 else ""


_WHY_TWICE: tuple[Reason, ...] = (
    _answer_lost,
    _batch_came_back,
    _killed_between,
    _delete_failed,
    _paused,
    _store_lost,
    _delivered_twice,
    _hidden_too_short,
    _sent_twice,
)


def _lost(plot: Plot) -> str:
    """Why every copy of a message is gone although nothing happened for it."""
    undone = plot.of("effect.lost")
    if undone:
        name = effect_name(undone[-1].get("name"))
        return f'the store of "{name}" lost what had happened, after the message was deleted'
    if plot.of("message.lost"):
        return "Redis had accepted the message, and lost it"
    if plot.of("expire"):
        return "its retention ran out before anybody had handled it"
    deletes = [event for event in plot.of("delete") if event.get("found", True)]
    if not deletes:
        return ""
    delete = deletes[-1]
    by_lambda = [event for event in plot.of("lambda.answer", "lambda.filtered") if event["n"] < delete["n"]]
    if by_lambda:
        return _given_away(by_lambda[-1])
    worker = process_of(delete["actor"])
    failed = [event for event in plot.of("handler.end") if event["n"] < delete["n"] and event.get("outcome") == "error"]
    if failed:
        return f"the handler had failed ({failed[-1].get('error')}), and {worker} deleted the message all the same"
    struck = _strike_on(plot, delete, worker)
    if struck is not None and struck["n"] < delete["n"]:
        return f"{_failed(struck, worker)}, and {worker} deleted the message all the same"
    killed = [event for event in plot.of("process.crash") if event["n"] > delete["n"]]
    if killed:
        return f"{worker} deleted the message before it had done the work, and was killed between the two"
    if struck is not None:
        return f"{worker} deleted the message before it had done the work, and then {_failed(struck, worker)}"
    if not plot.of("handler.start", "handler.end"):
        return f"{worker} deleted the message and did nothing for it"
    return f"{worker} deleted the message although nothing had happened for it"


def _given_away(event: Event) -> str:
    """Why Lambda deleted a message for which nothing had happened."""
    function = f"function {event.get('function')}"
    if event["kind"] == "lambda.filtered":
        return f"the filters of {function} did not let it through ({event.get('reason')}), and Lambda deleted it unread"
    if event.get("outcome") == "partial":
        return f"{function} reported others of the batch as failed and not this one, so Lambda deleted it"
    return f"{function} ended without an error, so Lambda deleted the whole batch, whatever had come of it"


def _failed(strike: Event, worker: str) -> str:
    """What failed and how: ``worker.1's call to payments was answered 503 and had no effect``, ``the work failed``."""
    point, did = str(strike.get("point", "")), str(strike.get("did", ""))
    name, _, side = point.rpartition(".")
    of_call = point.startswith(("aws.", "redis.", "dependency.")) and strike.get("fault_kind") not in _OF_PROCESSES
    if of_call and not did.startswith("raised"):
        return f"{worker}'s {call(name)} {fate(did, side)}"
    return f"the work failed ({did})"


def _strike_on(plot: Plot, delete: Event, worker: str) -> Event | None:
    """The fault that struck the worker between its receive and the end, other than on the delete itself."""
    received = max((event["n"] for event in plot.of("receive") if event["n"] < delete["n"]), default=0)
    for event in plot.of("fault.strike"):
        on_delete = ".DeleteMessage" in str(event.get("point", ""))
        if event["n"] > received and process_of(event["actor"]) == worker and not on_delete:
            return event
    return None


def _stuck(history: History, plot: Plot) -> str:
    receives = plot.of("receive")
    if not receives:
        return "nobody received it" + _dead_processes(history)
    last = receives[-1]
    visible = last.get("visible_at")
    end = history.events[-1]["t"] if history.events else 0.0
    if isinstance(visible, (int, float)) and visible > end:
        return f"{process_of(last['actor'])} has it and will keep it from others until {visible:.3f} s"
    return f"{process_of(last['actor'])} received it last and never deleted it" + _dead_processes(history)


def _dead_processes(history: History) -> str:
    """Which processes had ended for good by the end of the run, as a clause."""
    down: dict[str, str] = {}
    for event in history.events:
        if event["kind"] in ("process.exit", "process.crash"):
            down[event["process"]] = "was killed" if event["kind"] == "process.crash" else "had ended"
        elif event["kind"] == "process.start":
            down.pop(event["process"], None)
    return "".join(f"; {name} {how} and was not started again" for name, how in sorted(down.items()))


def _last_strike(history: History, plot: Plot) -> str:
    last = max(plot.evidence, default=0)
    if not last and history.events:
        last = history.events[-1]["n"] + 1
    strikes = plot.of("fault.strike") or [
        event for event in history.events if event["kind"] == "fault.strike" and event["n"] < last
    ]
    if not strikes:
        return "no fault was needed: it happens without any"
    return _named(strikes[-1])


def _named(strike: Event) -> str:
    return f"{strike.get('fault_kind')} struck at {strike.get('point')} ({strike.get('did')})"
