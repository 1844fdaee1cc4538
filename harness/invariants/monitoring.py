"""Monitoring: each error is counted once, and alarms fire within their period and clear."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.history import Event, Header
from harness.invariants.base import Invariant, Verdict
from harness.invariants.monitoring_truth import EXTRA_PERIODS, MINUTE_S, Depths, Errors, Named, Strikes, minute_of

__all__ = ["AlarmsFireAndClear", "ErrorsCountedOnce"]

_CLOUDWATCH = "aws.cloudwatch."
_PUBLISH = "aws.cloudwatch.PutMetricData"
_SQS = "AWS/SQS"
_DEPTH = "ApproximateNumberOfMessagesVisible"
#: Every metric that SQS sends, by "Available CloudWatch metrics for Amazon SQS".
_SQS_METRICS = frozenset(
    {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfGroupsWithInflightMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfDeduplicatedSentMessages",
        "NumberOfEmptyReceives",
        "NumberOfMessagesDeleted",
        "NumberOfMessagesReceived",
        "NumberOfMessagesSent",
        "SentMessageSize",
    }
)


class ErrorsCountedOnce(Invariant):
    """Every error of the run is in CloudWatch once: none missing, none twice.

    Errors are those that the code under test counts (where its library is
    known), and in any case those that the declared handler ends with. What
    happened in the last *pending* seconds may still be on its way. *lossy*:
    counts may be missing (a process was killed with them); *repeats*: may be
    there twice (the answer of CloudWatch was lost). The metric's data without
    dimensions is taken for the sum of all, where there is any.
    """

    name = "errors-counted-once"

    def __init__(
        self,
        metric: str = "ErrorCount",
        namespace: str | None = None,
        pending: float = 120.0,
        lossy: bool = False,
        repeats: bool = False,
    ) -> None:
        super().__init__()
        self._metric = metric
        self._namespace = namespace
        self._pending = pending
        self._lossy = lossy
        self._repeats = repeats
        self._handlers = _Tally(pending)
        self._tracked = _Tally(pending)
        self._calls_failed = 0
        self._stored: dict[bool, float] = {}  # with dimensions, and without
        self._last_stored_n = 0
        self._refused: deque[int] = deque(maxlen=5)
        self._end: Event | None = None

    def on_handler_end(self, event: Event) -> None:
        if event["outcome"] == "error":
            self._handlers.add(event, 1)

    def on_monitoring_count(self, event: Event) -> None:
        if event["metric"] != self._metric or self._namespace not in (None, event.get("namespace")):
            return
        if event.get("source") == "cloudwatch":
            named = bool(event.get("dimensions"))
            self._stored[named] = self._stored.get(named, 0.0) + event["value"]
            self._last_stored_n = event["n"]
        else:
            self._tracked.add(event, event["value"])

    def on_call_failed(self, event: Event) -> None:
        self._calls_failed += 1
        if event["point"] == _PUBLISH:
            self._refused.append(event["n"])

    def on_run_end(self, event: Event) -> None:
        self._end = event

    def conclude(self) -> Verdict:
        if self._end is None:
            return self.inconclusive("the history has no end: the run was cut off")
        t = self._end["t"]
        tracked, handlers = self._tracked, self._handlers
        if not tracked.total and not handlers.total:
            return self.inconclusive("no error happened that could be counted: add a fault, or declare the handler")
        stored = self._stored.get(False, self._stored.get(True, 0.0))
        told = f"{stored:g} in CloudWatch"
        evidence = (tracked.first_n, handlers.first_n, self._last_stored_n, *self._refused, self._end["n"])
        if tracked.total and not self._lossy and tracked.total < handlers.settled(t):
            return self.violate(
                f"handlers ended with {handlers.total:g} errors, {tracked.total:g} were counted", *evidence
            )
        settled = max(tracked.settled(t), 0.0 if tracked.total else handlers.settled(t))
        if stored < settled and not self._lossy:
            return self.violate(
                f"{settled:g} errors happened more than {self._pending:g} s before the end, {told}: "
                f"{settled - stored:g} are lost",
                *evidence,
            )
        # Of code that nobody can listen to, calls that failed may be among what it counts.
        most = tracked.total if tracked.total else handlers.total + self._calls_failed
        if stored > most and not self._repeats:
            return self.violate(f"{most:g} errors happened, {told}: {stored - most:g} were counted again", *evidence)
        return self.holds(f"{max(tracked.total, handlers.total):g} errors happened, {told}")


class _Tally:
    """How many there are, and how many of them were there some time before."""

    def __init__(self, pending: float) -> None:
        self._pending = pending
        self._recent: deque[tuple[float, float]] = deque()
        self._recent_total = 0.0
        self.total = 0.0
        self.first_n = 0

    def add(self, event: Event, value: float) -> None:
        self.total += value
        self.first_n = self.first_n or event["n"]
        self._recent.append((event["t"], value))
        self._recent_total += value
        self._forget(event["t"])

    def settled(self, t: float) -> float:
        """How many were there *pending* seconds before *t*."""
        self._forget(t)
        return self.total - self._recent_total

    def _forget(self, t: float) -> None:
        recent = self._recent
        while recent and recent[0][0] <= t - self._pending:
            self._recent_total -= recent.popleft()[1]


@dataclass
class _Alarm:
    """One alarm of the run, as it was put last."""

    facts: Event
    made_t: float  # when it was put first
    states: list[tuple[float, str, int]] = field(default_factory=list)  # when, what, event number

    def state(self, t: float) -> str:
        """The state at *t*."""
        found = "INSUFFICIENT_DATA"
        for at, state, _ in self.states:
            if at > t:
                break
            found = state
        return found

    def was(self, state: str, start: float, end: float) -> bool:
        """Whether the alarm was in *state* at some time between."""
        return self.state(start) == state or any(at <= end and one == state for at, one, _ in self.states if at > start)


class AlarmsFireAndClear(Invariant):
    """An alarm whose metric should be over its threshold goes to ALARM, and leaves it when that is over.

    *Judged by* what really happened, not by what CloudWatch was told: errors
    are those that the code counts under the alarm's metric, else, for an
    alarm without dimensions, those that the declared handler ends with (where
    the metric's name has "error" in it, or the alarm is required); the depth
    of a queue follows from its messages, from the alarm's making on.

    *Fires*: from a whole minute at which enough of its evaluation periods are
    over the threshold an alarm has *within* seconds to be in ALARM, if they
    stay so for as long: for what is on its way to CloudWatch, and for the
    evaluation, which is made once a minute. *Clears*: at a whole minute at
    which none of them is, nor of the two before that (CloudWatch looks back
    so far where data is missing), and that stays so for *within* seconds, it
    is not in ALARM at their end. Time in which a fault strikes CloudWatch
    itself, and the minute after, does not count.

    *alarms* must exist (names), and are the ones judged; without names all
    are that the code makes. *stored*: judge by what CloudWatch was told.
    """

    name = "alarms-fire-and-clear"

    def __init__(self, alarms: tuple[str, ...] = (), within: float = 180.0, stored: bool = False) -> None:
        super().__init__()
        self._required = tuple(alarms)
        self._within = within
        self._stored = stored
        self._alarms: dict[str, _Alarm] = {}
        self._errors = Errors()
        self._depths = Depths()
        self._queues: frozenset[str] = frozenset()
        self._struck = Strikes()  # of CloudWatch
        self._refused: deque[int] = deque(maxlen=5)
        self._end: Event | None = None

    def start(self, header: Header) -> None:
        self._queues = frozenset(queue["name"] for queue in header.get("system", {}).get("queues", ()))

    def on_send(self, event: Event) -> None:
        self._depths.step(event)

    on_receive = on_visibility = on_move = on_delete = on_expire = on_purge = on_send
    on_queue_create = on_queue_delete = on_send

    def on_alarm_put(self, event: Event) -> None:
        known = self._alarms.get(event["alarm"])
        if known is None:
            self._alarms[event["alarm"]] = _Alarm(event, event["t"])
        elif _settings(known.facts) != _settings(event):
            self._alarms[event["alarm"]] = _Alarm(event, known.made_t, known.states)

    def on_alarm_delete(self, event: Event) -> None:
        self._alarms.pop(event["alarm"], None)

    def on_alarm_state(self, event: Event) -> None:
        alarm = self._alarms.get(event["alarm"])
        if alarm is not None:
            alarm.states.append((event["t"], event["to"], event["n"]))

    def on_handler_end(self, event: Event) -> None:
        if event["outcome"] == "error":
            self._errors.handler_failed(event)

    def on_monitoring_count(self, event: Event) -> None:
        if (event.get("source") == "cloudwatch") == self._stored:
            self._errors.counted(event)

    def on_call_failed(self, event: Event) -> None:
        if event["point"].startswith(_CLOUDWATCH):
            self._refused.append(event["n"])

    def on_fault_strike(self, event: Event) -> None:
        if event["point"].startswith(_CLOUDWATCH):
            self._struck.add(event["t"])

    def on_run_end(self, event: Event) -> None:
        self._depths.wind(event["t"])
        self._end = event

    # -- the judgement ------------------------------------------------------------------

    def conclude(self) -> Verdict:
        if self._end is None:
            return self.inconclusive("the history has no end: the run was cut off")
        missing = [name for name in self._required if name not in self._alarms]
        if missing:
            return self.violate(f"no alarm {', '.join(missing)} was created", *self._refused, self._end["n"])
        fired: list[str] = []
        open_ends: list[str] = []
        for name, alarm in self._alarms.items():
            if self._required and name not in self._required:
                continue
            blind = self._blind(alarm.facts)
            if blind:
                return self.violate(f"{name} can never fire: {blind}", alarm.facts["n"])
            values = self._truth(alarm)
            if values is None:
                continue
            found = self._judge(name, alarm, values)
            if isinstance(found, Verdict):
                return found
            if found is not None:
                fired.append(name)
                open_ends += [found] if found else []
        if not fired:
            return self.inconclusive(
                "no alarm was due to fire, or none could be judged: let the code create one, and an outage last longer "
                "than its periods"
            )
        if open_ends:
            return self.inconclusive("; ".join(open_ends))
        return self.holds(f"{', '.join(fired)} fired in time and cleared")

    def _blind(self, facts: Event) -> str:
        """Why an alarm's metric can have no data; "" if it can."""
        if facts.get("namespace") != _SQS:
            return ""
        if facts["metric"] not in _SQS_METRICS:
            return f"SQS sends no metric {facts['metric']}"
        dimensions = facts.get("dimensions") or {}
        queue = dimensions.get("QueueName")
        exists = not self._queues or queue in self._queues or (queue is not None and queue in self._depths)
        if set(dimensions) != {"QueueName"} or not exists:
            return f"no queue has the dimensions {dimensions}"
        return ""

    def _truth(self, alarm: _Alarm) -> Mapping[int, float] | None:
        """What the alarm's metric should hold, by the minute; ``None`` if the history cannot tell."""
        facts = alarm.facts
        statistic, metric, namespace = facts["statistic"], facts.get("metric"), facts.get("namespace") or ""
        # Where windows that keep to the wall clock begin is not in the history.
        if facts["period"] % MINUTE_S or metric is None or (facts.get("wall_clock") and facts["period"] > MINUTE_S):
            return None
        if namespace == _SQS:
            gauge = metric == _DEPTH and statistic in ("Maximum", "Minimum", "Average")
            return self._depths.of(facts["dimensions"]["QueueName"]) if gauge else None
        if not facts["comparison"].startswith("Greater"):
            return None
        dimensions: Named = tuple(sorted((facts.get("dimensions") or {}).items()))
        if self._stored and statistic in ("Sum", "SampleCount"):
            return self._errors.told(namespace, metric, dimensions, samples=statistic == "SampleCount")
        if statistic != "Sum":
            return None  # how the code gathers values into samples is its own affair
        found = self._errors.of(namespace, metric, dimensions)
        by_handlers = facts["alarm"] in self._required or "error" in metric.lower()
        if found is None and not dimensions and by_handlers:
            return self._errors.of_handlers
        return found

    def _judge(self, name: str, alarm: _Alarm, values: Mapping[int, float]) -> Verdict | str | None:
        """A violation; else ``None``: never due, "": fired and cleared, or why it is open whether it clears."""
        assert self._end is not None
        facts, end = alarm.facts, self._end["t"]
        needed, periods = facts["datapoints_to_alarm"], facts["evaluation_periods"]
        looked = periods + EXTRA_PERIODS
        # CloudWatch may not have had a queue's depth before anybody asked for it.
        since = minute_of(alarm.made_t) if facts.get("namespace") == _SQS else 0
        recent = {minute: value for minute, value in values.items() if minute >= since}
        moments = range(minute_of(facts["t"]) + MINUTE_S, minute_of(end) + 1, MINUTE_S)
        due = {t: _breaching(facts, recent, t, periods) >= needed for t in moments}
        quiet = {t: _breaching(facts, values, t, looked) == 0 for t in moments}
        fired = False
        for t in moments:
            last = t + self._within
            if last > end or self._struck.between(t - MINUTE_S, last):
                continue
            judged = range(t, minute_of(last) + 1, MINUTE_S)
            if all(due[each] for each in judged):
                if not alarm.was("ALARM", t, last):
                    return self.violate(
                        f"{name} did not fire: from {t} s on its metric was over the threshold "
                        f"({facts['threshold']:g}), {self._within:g} s later it was {alarm.state(last)}",
                        facts["n"],
                        *(number for _, _, number in alarm.states[-3:]),
                        *self._refused,
                    )
                fired = True
            elif all(quiet[each] for each in judged) and alarm.state(last) == "ALARM":
                return self.violate(
                    f"{name} does not clear: it is still in ALARM at {last:g} s, although its metric has not been over "
                    f"the threshold ({facts['threshold']:g}) for {looked} periods",
                    facts["n"],
                    *(number for _, _, number in alarm.states[-3:]),
                )
        if not fired:
            return None
        if alarm.state(end) == "ALARM":
            return f"{name} fired and had not to clear before the run ended: let it go on for longer"
        return ""


def _settings(facts: Event) -> dict[str, Any]:
    """An alarm's configuration without what tells one event from another."""
    return {name: value for name, value in facts.items() if name not in ("n", "t", "actor", "cause", "created")}


def _breaching(facts: Event, values: Mapping[int, float], t: int, periods: int) -> int:
    """How many of the *periods* newest periods that end at *t* are over the alarm's threshold."""
    period, found = facts["period"], 0
    for place in range(periods):
        end = t - place * period
        minutes = [values[minute] for minute in range(end - period, end, MINUTE_S) if minute in values]
        if minutes and _over(facts, minutes):
            found += 1
    return found


def _over(facts: Event, minutes: list[float]) -> bool:
    statistic, threshold = facts["statistic"], facts["threshold"]
    if statistic in ("Sum", "SampleCount"):
        value = sum(minutes)
    elif statistic == "Average":
        value = sum(minutes) / len(minutes)
    else:
        value = max(minutes) if statistic == "Maximum" else min(minutes)
    comparison = facts["comparison"]
    if comparison == "GreaterThanThreshold":
        return bool(value > threshold)
    if comparison == "GreaterThanOrEqualToThreshold":
        return bool(value >= threshold)
    return bool(value < threshold if comparison == "LessThanThreshold" else value <= threshold)
