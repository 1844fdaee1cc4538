"""Alarms: put, describe, delete, set, enable and disable; their evaluation, history and actions."""

from __future__ import annotations

import copy
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from harness.sim.services.cloudwatch_alarm import ACTION_LISTS, Alarm, check_alarm
from harness.sim.services.cloudwatch_core import MINUTE_S, SECOND_US, Parameters, dimensions_of, moment, seconds_of
from harness.sim.services.cloudwatch_errors import not_in_enum, resource_not_found, validation_error
from harness.sim.services.cloudwatch_evaluation import EXTRA_PERIODS, STATES, State, next_state
from harness.sim.services.cloudwatch_metrics import Queries

__all__ = ["ActionObserver", "Alarms"]

#: Told each action that an alarm runs: its ARN, and the message as AWS would send it.
ActionObserver = Callable[[str, dict[str, Any]], object]

_HISTORY_MAX = 10_000
#: How often an alarm of a period under a minute is evaluated, in seconds.
_FINE_S = 10
_NAMES_MAX = 100


class _Item(NamedTuple):
    """One entry of the alarm history."""

    region: str
    alarm: str
    at_us: int
    kind: str
    summary: str
    data: str


class Alarms(Queries):
    """The operations on alarms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.action_observers: list[ActionObserver] = []
        self._alarms: dict[tuple[str, str], Alarm] = {}  # by region and name
        self._history: deque[_Item] = deque(maxlen=_HISTORY_MAX)
        self._ticks_us: int | None = None  # when the next tick is due
        #: Called at each whole minute before alarms are evaluated, with the time in seconds.
        self._by_the_minute: list[Callable[[int], object]] = []

    # -- operations -----------------------------------------------------------------

    def _put_metric_alarm(self, parameters: Parameters, region: str) -> dict[str, Any]:
        check_alarm(parameters)
        now_us = self._timebase.now_us()
        name: str = parameters["AlarmName"]
        alarm = self._alarms.get((region, name))
        created = alarm is None
        if alarm is None:
            alarm = self._alarms[region, name] = Alarm(copy.deepcopy(parameters), region, self.account, now_us)
        else:
            alarm.configure(copy.deepcopy(parameters), now_us)
        self._remember(alarm, "ConfigurationUpdate", f'Alarm "{name}" {"created" if created else "updated"}', {})
        self._record("alarm.put", created=created, **alarm.facts())
        self._wind()
        return {}

    def _delete_alarms(self, parameters: Parameters, region: str) -> dict[str, Any]:
        for name in self._names(parameters):
            alarm = self._alarms.pop((region, name), None)
            if alarm is not None:
                self._remember(alarm, "ConfigurationUpdate", f'Alarm "{name}" deleted', {})
                self._record("alarm.delete", alarm=name)
        return {}

    def _enable_alarm_actions(self, parameters: Parameters, region: str) -> dict[str, Any]:
        return self._switch(parameters, region, enabled=True)

    def _disable_alarm_actions(self, parameters: Parameters, region: str) -> dict[str, Any]:
        return self._switch(parameters, region, enabled=False)

    def _switch(self, parameters: Parameters, region: str, *, enabled: bool) -> dict[str, Any]:
        for name in self._names(parameters):
            alarm = self._alarms.get((region, name))
            if alarm is not None and alarm.enabled is not enabled:
                alarm.enabled = enabled
                alarm.configured_us = self._timebase.now_us()
                self._remember(alarm, "ConfigurationUpdate", f'Alarm "{name}" updated', {})
        return {}

    def _set_alarm_state(self, parameters: Parameters, region: str) -> dict[str, Any]:
        value = parameters["StateValue"]
        if value not in STATES:
            raise not_in_enum(value, "stateValue", STATES)
        alarm = self._alarms.get((region, parameters["AlarmName"]))
        if alarm is None:
            raise resource_not_found()
        self._change(alarm, value, parameters["StateReason"], parameters.get("StateReasonData"))
        return {}

    def _describe_alarms(self, parameters: Parameters, region: str) -> dict[str, Any]:
        names: list[str] | None = parameters.get("AlarmNames")
        prefix = parameters.get("AlarmNamePrefix")
        if names is not None and prefix:
            raise validation_error("AlarmNames and AlarmNamePrefix are mutually exclusive.")  # not recorded
        if names is not None:
            self._names(parameters)
        types = parameters.get("AlarmTypes")
        action = parameters.get("ActionPrefix")
        related = parameters.get("ChildrenOfAlarmName") or parameters.get("ParentsOfAlarmName")
        found = []
        for (place, name), alarm in sorted(self._alarms.items()):
            if place != region or related or (types is not None and "MetricAlarm" not in types):
                continue
            if (names is not None and name not in names) or not name.startswith(prefix or ""):
                continue
            if parameters.get("StateValue") not in (None, alarm.state):
                continue
            if action and not any(arn.startswith(action) for arn in self._arns(alarm)):
                continue
            found.append(alarm.described())
        size = 50 if parameters.get("MaxRecords") is None else _NAMES_MAX
        page, token = self._page(found, parameters, size, parameter="MaxRecords")
        return {"CompositeAlarms": [], "MetricAlarms": list(page), **token}

    def _describe_alarms_for_metric(self, parameters: Parameters, region: str) -> dict[str, Any]:
        dimensions = dimensions_of(parameters.get("Dimensions"))
        found = []
        for (place, _), alarm in sorted(self._alarms.items()):
            metric = alarm.metric
            if place != region or metric is None:
                continue
            if (metric.namespace, metric.name) != (parameters["Namespace"], parameters["MetricName"]):
                continue
            if metric.dimensions != dimensions:
                continue
            given = alarm.given
            narrowing = ("Statistic", "ExtendedStatistic", "Period", "Unit")
            if all(parameters.get(name) in (None, given.get(name)) for name in narrowing):
                found.append(alarm.described())
        return {"MetricAlarms": found}

    def _describe_alarm_history(self, parameters: Parameters, region: str) -> dict[str, Any]:
        start, end = parameters.get("StartDate"), parameters.get("EndDate")
        types = parameters.get("AlarmTypes")
        found = []
        for item in self._history:
            if item.region != region or (types is not None and "MetricAlarm" not in types):
                continue
            if parameters.get("AlarmName") not in (None, item.alarm):
                continue
            if parameters.get("HistoryItemType") not in (None, item.kind):
                continue
            if start is not None and item.at_us < seconds_of(start) * SECOND_US:
                continue
            if end is not None and item.at_us >= (seconds_of(end) + 1) * SECOND_US:
                continue
            found.append(
                {
                    "AlarmName": item.alarm,
                    "AlarmType": "MetricAlarm",
                    "Timestamp": moment(item.at_us),
                    "HistoryItemType": item.kind,
                    "HistorySummary": item.summary,
                    "HistoryData": item.data,
                }
            )
        if parameters.get("ScanBy") != "TimestampAscending":
            found.reverse()
        page, token = self._page(found, parameters, 100, parameter="MaxRecords")
        return {"AlarmHistoryItems": list(page), **token}

    @staticmethod
    def _names(parameters: Parameters) -> list[str]:
        names: list[str] = parameters["AlarmNames"]
        if len(names) > _NAMES_MAX:
            raise validation_error(f"AlarmNames must not have more than {_NAMES_MAX} entries.")  # not recorded
        return names

    @staticmethod
    def _arns(alarm: Alarm) -> Iterable[str]:
        for actions in ACTION_LISTS.values():
            yield from alarm.given.get(actions) or ()

    # -- time passes ------------------------------------------------------------------

    def _wind(self) -> None:
        """Set the timer of the next tick: a whole minute, or ten seconds while an alarm has a shorter period."""
        if not self._alarms and not self._by_the_minute:
            return
        step_us = MINUTE_S * SECOND_US
        if any(alarm.period < MINUTE_S for alarm in self._alarms.values()):
            step_us = _FINE_S * SECOND_US
        now_us = self._timebase.now_us()
        due_us = now_us - now_us % step_us + step_us
        if self._ticks_us is None or due_us < self._ticks_us:
            self._ticks_us = due_us
            self._timebase.call_at(due_us, lambda: self._tick(due_us))

    def _tick(self, due_us: int) -> None:
        if due_us != self._ticks_us:
            return  # another one was set for an earlier time since
        self._ticks_us = None
        now_s = due_us // SECOND_US
        if now_s % MINUTE_S == 0:
            for function in self._by_the_minute:
                function(now_s)
        for alarm in list(self._alarms.values()):
            if now_s % (MINUTE_S if alarm.period >= MINUTE_S else _FINE_S) == 0:
                self._evaluate(alarm, now_s)
        self._wind()

    def _evaluate(self, alarm: Alarm, now_s: int) -> None:
        """Look at the alarm's metric, and change its state if that has changed."""
        period = alarm.period
        end_s = now_s - now_s % period if alarm.aligned else now_s
        number = alarm.periods + EXTRA_PERIODS
        begins = [end_s - (place + 1) * period for place in range(number)]
        samples: dict[int, float] = {}
        values: dict[int, float] = {}
        if alarm.metric is not None:
            unit = alarm.given.get("Unit")
            for begin_s in begins:
                window = self.store.window(alarm.metric, unit, begin_s, begin_s + period)
                value = window.get(alarm.statistic) if window is not None else None
                if window is not None and value is not None:
                    samples[begin_s], values[begin_s] = window.count, value
        else:
            queries = alarm.given["Metrics"]
            watched = next(query["Id"] for query in queries if query.get("ReturnData") is not False)
            values = self.query(queries, alarm.region, begins[-1], end_s)[watched]
        points = [(begin_s, values.get(begin_s)) for begin_s in begins]
        breaching = [None if value is None else alarm.breaches(value, alarm.threshold) for _, value in points]
        state = next_state(breaching, alarm.periods, alarm.to_alarm, alarm.treatment, alarm.state)
        if state != alarm.state:
            now_us = self._timebase.now_us()
            self._change(alarm, state, alarm.why(state, points), alarm.why_data(points, samples, now_us))

    def _change(self, alarm: Alarm, state: State, reason: str, reason_data: str | None) -> None:
        """Give the alarm a state. A state that differs from the one before goes on record and runs actions."""
        before, before_reason, before_data = alarm.state, alarm.reason, alarm.reason_data
        alarm.state, alarm.reason, alarm.reason_data = state, reason, reason_data
        alarm.updated_us = self._timebase.now_us()
        if state == before:
            return
        alarm.transitioned_us = alarm.updated_us
        data: dict[str, Any] = {"version": "1.0"}
        for name, told in (
            ("oldState", (before, before_reason, before_data)),
            ("newState", (state, reason, reason_data)),
        ):
            data[name] = {"stateValue": told[0], "stateReason": told[1]}
            if told[2] is not None:
                data[name]["stateReasonData"] = _parsed(told[2])
        self._remember(alarm, "StateUpdate", f"Alarm updated from {before} to {state}", data)
        fields: dict[str, Any] = {"alarm": alarm.name, "from": before, "to": state, "reason": reason}
        self._record("alarm.state", **fields)
        if alarm.enabled:
            self._act(alarm, before)

    def _act(self, alarm: Alarm, before: State) -> None:
        """Run the actions of the state that the alarm is in now."""
        for arn in alarm.given.get(ACTION_LISTS[alarm.state]) or ():
            message = alarm.notification(before)
            data = {"actionState": "Succeeded", "notificationResource": arn, "publishedMessage": message}
            self._remember(alarm, "Action", f"Successfully executed action {arn}", data)
            self._record("alarm.action", alarm=alarm.name, state=alarm.state, action=arn)
            for observer in self.action_observers:
                observer(arn, message)

    def _remember(self, alarm: Alarm, kind: str, summary: str, data: dict[str, Any]) -> None:
        text = json.dumps(data or {"version": "1.0", "type": "Update"}, separators=(",", ":"))
        self._history.append(_Item(alarm.region, alarm.name, self._timebase.now_us(), kind, summary, text))


def _parsed(text: str) -> Any:
    """StateReasonData inside the history's JSON: as JSON if it is JSON, as SetAlarmState takes any text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
