"""One sentence for each event of a story: who did what, in the past tense, for somebody who reads it the first time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from harness.explore.plot import Plot, process_of
from harness.faults.wording import ordinal
from harness.history import Event

__all__ = ["call", "effect_name", "failure", "fate", "seconds", "sentence"]

#: Waits from this long on are told: shorter ones are the latency of a call.
_WAIT_TOLD_S = 1.0

_TEMPLATE = re.compile(r"\{http:([^{}]+)\}")


def sentence(event: Event, plot: Plot) -> str:
    """What *event* says; ``""`` for one that says nothing by itself."""
    teller = _TELLERS.get(event["kind"])
    return teller(event, plot) if teller is not None else _plain(event)


def effect_name(text: object) -> str:
    """The names of effects in *text* as people say them: ``payments/charges`` for ``{http:payments}/charges``."""
    return _TEMPLATE.sub(r"\1", str(text))


def seconds(value: float) -> str:
    """``30 s``, ``5.2 s``, ``0.25 s``: one decimal, three below a second."""
    return f"{round(value, 1 if value >= 1 else 3):g} s"


def call(point: str) -> str:
    """``DeleteMessage`` for ``aws.sqs.DeleteMessage``, ``Redis INCR``, ``call to payments``."""
    layer, _, name = point.partition(".")
    if layer == "aws":
        return name.rpartition(".")[2]
    if layer == "redis":
        return f"Redis {name}"
    if layer == "dependency":
        return f"call to {name}"
    return point


def _who(event: Event) -> str:
    return process_of(str(event["actor"]))


def _queue(event: Event) -> str:
    return str(event.get("queue", "a queue"))


# messages


def _send(event: Event, plot: Plot) -> str:
    key = plot.key if plot.key is not None else event.get("key") or event.get("message")
    if event.get("origin") == "workload":
        return f"the workload sent message {key} to {_queue(event)}"
    what = "it" if plot.key is not None else f"message {key}"
    return f"{_who(event)} sent {what} to {_queue(event)}"


def _receive(event: Event, plot: Plot) -> str:
    count = event.get("receive_count", 1)
    got = f"{_who(event)} received it from {_queue(event)}"
    hidden = event.get("visible_at")
    if count == 1:
        again = any(other["n"] > event["n"] for other in plot.of("receive"))
        shown = again and isinstance(hidden, (int, float))
        return f"{got}, which hid it from other consumers until {hidden:.3f} s" if shown else got
    return f"{got}{_why_again(event, plot)} ({ordinal(count)} delivery)"


def _why_again(event: Event, plot: Plot) -> str:
    """Why a queue delivered the message once more, as far as the history tells."""
    before = [other for other in plot.of("receive") if other["n"] < event["n"]]
    if not before:
        return ""
    last = before[-1]
    if any(other.get("found") for other in plot.between(last["n"], event["n"], "delete")):
        return " although it had been deleted, as standard queues may deliver"
    changed = plot.between(last["n"], event["n"], "visibility")
    visible = (changed[-1] if changed else last).get("visible_at")
    if not isinstance(visible, (int, float)):
        return ""
    if event["t"] < visible:
        return " too, as standard queues may deliver"
    return ", made visible again" if changed else f", since nobody had deleted it within {seconds(visible - last['t'])}"


def _delete(event: Event, plot: Plot) -> str:
    did = f"{_who(event)} deleted it from {_queue(event)}"
    if event.get("found") is False:
        return f"{did}, where it was no more"
    received = [other["n"] for other in plot.of("receive") if other["n"] < event["n"]]
    if not received or any(other["n"] < event["n"] for other in plot.of("effect")):
        return did
    failed = [
        other
        for other in plot.between(received[-1], event["n"], "fault.strike", "call.failed", "handler.end")
        if other["kind"] != "handler.end" or other.get("outcome") == "error"
    ]
    if failed:
        return f"{did} as if it had been handled, but nothing had been done for it"
    return f"{did} before anything had been done for it"


_METHODS = ("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")


def _effect(event: Event, plot: Plot) -> str:
    times = sum(
        other["n"] <= event["n"] and other.get("name") == event.get("name") and other.get("key") == event.get("key")
        for other in plot.of("effect")
    )
    name = effect_name(event.get("name"))
    again = "" if times <= 1 else f" for the {ordinal(times)} time"
    if name.startswith(_METHODS):
        return f"{_who(event)} called {name} for it, which took effect{again}"
    return f'"{name}" happened for it{again}, by {_who(event)}'


# faults


def _strike(event: Event, plot: Plot) -> str:
    point, did, kind = str(event.get("point", "?")), str(event.get("did", "")), str(event.get("fault_kind"))
    layer, _, rest = point.partition(".")
    if layer == "workload":
        return f"fault: {did}"
    if layer == "clock":
        return f"{rest}'s {did}"
    if layer == "process":
        return f"{rest} {_done_to(kind, did)}"
    if kind in _DONE_TO:
        return f"{_who(event)} {_done_to(kind, did, _place(point))}"
    if layer in ("aws", "redis", "dependency") and not did.startswith("raised"):
        name, _, side = point.rpartition(".")
        return f"{_who(event)}'s {call(name)} {fate(did, side)}{_silence(event, plot, did)}"
    return f"the work of {_who(event)} failed {_place(point)}: {did}"


#: What strikes a process or its work, whatever point it passes: verb, and what of "did" the verb already says.
_DONE_TO = {
    "crash": ("was killed", "killed"),
    "sigterm": ("got SIGTERM", "SIGTERM"),
    "pause": ("stood still", "stood still"),
    "hang": ("did not go on", "never returned"),
}


def _done_to(kind: str, did: str, place: str = "") -> str:
    verb, known = _DONE_TO.get(kind, ("was struck", ""))
    rest = did.removeprefix(known).lstrip(", ")
    between = f" {place}" if place else ""
    if rest.startswith("for "):
        return f"{verb} {rest}{between}"
    return f"{verb}{between} ({rest})" if rest else f"{verb}{between}"


#: What became of a call whose request (before) or answer (after) was struck.
_FATES = {
    ("no answer came", "before"): "was lost on its way and had no effect",
    ("no answer came", "after"): "took effect, but its answer was lost",
    ("connection reset", "before"): "had no effect: the connection broke",
    ("connection reset", "after"): "took effect, but the connection broke before the answer",
}


def fate(did: str, side: str) -> str:
    """What became of a call that was struck, as a predicate."""
    known = _FATES.get((did, side))
    if known is not None:
        return known
    if did.startswith("took "):
        return did
    if side == "after":
        return f"took effect, but was {did}" if did.startswith("answered") else f"took effect, but: {did}"
    return f"was {did} and had no effect" if did.startswith("answered") else f"had no effect: {did}"


def _silence(event: Event, plot: Plot, did: str) -> str:
    """How long the caller waited for the answer that never came."""
    waited = plot.waits.get(event["n"], 0.0)
    if did != "no answer came" or waited < _WAIT_TOLD_S or any(one is event for one, _ in plot.seen()):
        return ""
    return f"; {_who(event)} waited {seconds(waited)} for an answer"


def _place(point: str) -> str:
    """Where in the code a point is, for somebody who reads a story."""
    name, _, side = point.rpartition(".")
    if point.startswith("handler"):
        return {"before": "at the start of the handler", "after": "at the end of the handler"}.get(
            side, "in the middle of the handler"
        )
    if point.startswith("point."):
        return f"at {point.partition('.')[2]}"
    if point.startswith("lambda."):
        return f"at the {'end' if side == 'after' else 'start'} of a call of function {name.partition('.')[2]}"
    return f"just after its {call(name)} had taken effect" if side == "after" else f"just before its {call(name)}"


def failure(event: Event, strike: Event) -> str:
    """What a caller saw of a call that *strike* had struck, as a clause after that; and what it then believed."""
    did, point, error = str(strike.get("did", "")), str(strike.get("point", "")), event.get("error")
    later = event["t"] - strike["t"]
    when = f"{seconds(later)} later " if later >= _WAIT_TOLD_S else ""
    if point.endswith(".after"):
        return f"; {when}{_who(event)} saw {error} and believed that it had failed"
    return "" if did.startswith("answered") else f"; {when}{_who(event)} saw {error}"


def _call_failed(event: Event, plot: Plot) -> str:
    return f"{_who(event)} saw {event.get('error')} from its {call(str(event.get('point', '?')))}"


def _handler_end(event: Event, plot: Plot) -> str:
    if event.get("outcome") == "ok":
        return f"the handler of {_who(event)} was done"
    return f"the handler of {_who(event)} failed: {event.get('error')}"


# Lambda


def _function(event: Event) -> str:
    return f"function {event.get('function')}"


def _invoke(event: Event, plot: Plot) -> str:
    others = len(event.get("messages") or ()) - 1
    beside = f" and {others} more" if others > 0 else ""
    how = ", a cold start" if event.get("cold") else ""
    return f"Lambda called {_function(event)} with it{beside} (in {event.get('sandbox')}{how})"


_ANSWERS = {
    "success": "succeeded, so that Lambda deletes the whole batch",
    "timeout": "ran into its timeout and was killed, so that Lambda deletes nothing of the batch",
    "crash": "died, so that Lambda deletes nothing of the batch",
}


def _answer(event: Event, plot: Plot) -> str:
    outcome, error = str(event.get("outcome")), event.get("error")
    known = _ANSWERS.get(outcome)
    if known is not None:
        return f"{_function(event)} {known}"
    if outcome == "partial":
        mine = {other.get("message") for other in plot.of("receive")}
        named = not mine.isdisjoint(event.get("failed") or ())
        return f"{_function(event)} {'reported it as failed' if named else 'reported others of its batch as failed'}"
    if outcome == "malformed":
        return f"{_function(event)} gave an answer that Lambda takes for a failure of the whole batch: {error}"
    return f"{_function(event)} failed ({error}), so that Lambda deletes nothing of the batch"


def _throttled(event: Event, plot: Plot) -> str:
    then = "tries again" if event.get("again") else "gives the batch up, its receive spent"
    return f"Lambda's call of {_function(event)} came to nothing ({event.get('reason')}); it {then}"


def _exit(event: Event, plot: Plot) -> str:
    error = event.get("error")
    how = f"by an error: {error}" if event.get("outcome") == "error" else f"({event.get('outcome')})"
    return f"{event.get('process')} ended {how}"


def _plain(event: Event) -> str:
    """An event without a sentence of its own: its kind and what it says."""
    left_out = ("n", "t", "actor", "kind", "cause", "handle", "message")
    fields = ", ".join(f"{name} {value}" for name, value in event.items() if name not in left_out)
    return f"{_who(event)}: {event['kind']} ({fields})" if fields else f"{_who(event)}: {event['kind']}"


_TELLERS: Mapping[str, Callable[[Event, Plot], str]] = {
    "send": _send,
    "receive": _receive,
    "delete": _delete,
    "effect": _effect,
    "effect.lost": lambda event, plot: f'the store of "{effect_name(event.get("name"))}" lost it again',
    "fault.strike": _strike,
    "call.failed": _call_failed,
    "handler.start": lambda event, plot: "",
    "handler.end": _handler_end,
    "run.end": lambda event, plot: f"the run was over ({event.get('reason')})",
    "visibility": lambda event, plot: f"{_who(event)} hid it from the others until {event.get('visible_at')} s",
    "move": lambda event, plot: f"SQS moved it from {event.get('queue')} to {event.get('to')}",
    "message.lost": lambda event, plot: f"the server that held it in {event.get('queue')} lost it",
    "expire": lambda event, plot: f"its retention in {event.get('queue')} ran out: it was gone",
    "quarantine": lambda event, plot: f"{_who(event)} put it in quarantine: {event.get('reason')}",
    "release": lambda event, plot: f"{_who(event)} let it out of quarantine",
    "process.crash": lambda event, plot: f"{event.get('process')} was killed",
    "process.sigterm": lambda event, plot: f"{event.get('process')} got SIGTERM",
    "process.pause": lambda event, plot: f"{event.get('process')} stood still until {event.get('until')} s",
    "process.exit": _exit,
    "process.start": lambda event, plot: f"{event.get('process')} started again and remembered nothing",
    "lambda.invoke": _invoke,
    "lambda.answer": _answer,
    "lambda.throttled": _throttled,
    "lambda.filtered": lambda event, plot: (
        f"the filters of {_function(event)} did not let it through ({event.get('reason')}): Lambda deletes it unread"
    ),
    "breaker.transition": lambda event, plot: (
        f"breaker {event.get('breaker')} went from {event.get('from')} to {event.get('to')} ({event.get('reason')})"
    ),
    "breaker.call": lambda event, plot: (
        f"a call through breaker {event.get('breaker')}, {event.get('state')}: {event.get('outcome')}"
    ),
    "retry.sleep": lambda event, plot: (
        f"{_who(event)} waited {event.get('delay')} s after attempt {event.get('attempt')} "
        f"(allowed: {event.get('low')} to {event.get('high')} s)"
    ),
    "retry.attempt": lambda event, plot: (
        f"{_who(event)}, attempt {event.get('attempt')}: {event.get('outcome')} {event.get('error') or ''}".rstrip()
    ),
}
