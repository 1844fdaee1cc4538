"""Errors counted in CloudWatch, and alarms, against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, where

# Errors in CloudWatch

_ERRORS = ("handler", "tracked", "stored", "stored", "of a service", "other metric", "failed call")
_errors = st.lists(
    st.tuples(st.sampled_from(_ERRORS), st.integers(1, 3), st.sampled_from((0, 10, 60, 120))), max_size=10
)


def test_errors_counted_once() -> None:
    """Violated where errors are missing that had their time, or where there are more than happened."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(_errors, st.sampled_from((0, 60, 119, 120, 300)), st.booleans(), st.booleans())
    def run(steps: list[Any], rest: int, lossy: bool, repeats: bool) -> None:
        h = HistoryBuilder()
        now = 1
        for step, value, wait in steps:
            now += wait + 1
            counted = {"namespace": "Shop", "metric": "ErrorCount", "dimensions": {}, "value": value, "at": now}
            if step == "handler":
                h.handler("1", "error", at=now)
            elif step == "tracked":
                h.add("monitoring.count", **counted, source="tracked")
            elif step == "failed call":
                h.failed("aws.sqs.ReceiveMessage", at=now)
            else:
                counted["dimensions"] = {"Service": "orders"} if step == "of a service" else {}
                counted["metric"] = "Other" if step == "other metric" else "ErrorCount"
                h.add("monitoring.count", **counted, source="cloudwatch", samples=1)
        h.end(at=now + rest)
        spec = invariants.errors_counted_once().with_parameters(lossy=lossy, repeats=repeats)
        compare(spec, h, counted_once(h.events, lossy, repeats), seen)

    run()
    assert seen == ALL


def counted_once(events: list[Event], lossy: bool, repeats: bool) -> str:
    """Errors counted once, from its definition, with the default two minutes on the way."""
    due = events[-1]["t"] - 120
    ended = [e["t"] for e in events if e["kind"] == "handler.end" and e["outcome"] == "error"]
    counts = [e for e in events if e["kind"] == "monitoring.count" and e["metric"] == "ErrorCount"]
    tracked = [e for e in counts if e["source"] == "tracked"]
    told = [e for e in counts if e["source"] == "cloudwatch"]
    sums = [e for e in told if not e["dimensions"]]
    stored = sum(e["value"] for e in sums or told)
    if not ended and not tracked:
        return "inconclusive"
    happened_early = sum(1 for t in ended if t <= due)
    if tracked:
        all_tracked = sum(e["value"] for e in tracked)
        unseen = happened_early > all_tracked
        missing = unseen or stored < sum(e["value"] for e in tracked if e["t"] <= due)
        too_many = stored > all_tracked
    else:
        missing = stored < happened_early
        too_many = stored > len(ended) + sum(e["kind"] == "call.failed" for e in events)
    return "violated" if (missing and not lossy) or (too_many and not repeats) else "holds"


# Alarms

MINUTE = 60
#: CloudWatch looks two periods further back than an alarm's own.
FURTHER = 2

_alarm = st.fixed_dictionaries(
    {
        "period": st.sampled_from((60, 60, 120)),
        "evaluation_periods": st.integers(1, 3),
        "needed": st.integers(0, 2),
        "threshold": st.sampled_from((0.0, 1.0, 3.0)),
        "comparison": st.sampled_from(("GreaterThanThreshold", "GreaterThanOrEqualToThreshold")),
    }
)
#: An outage: minutes that it lasts, errors in each; seconds until the alarm fires (after it is due, as of its first
#: minute) and clears (after the end), ``None``: never; and whether CloudWatch is struck, at which second.
_outages = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(1, 9),
        st.sampled_from((1, 3, 4)),
        st.sampled_from((None, 0, 75, 75, 95, 170, 190, 300)),
        st.sampled_from((None, 30, 75, 170, 290, 310, 420)),
        st.sampled_from((None, None, None, 0, 250, 500)),
    ),
    min_size=1,
    max_size=3,
)


class Alarms:
    """An alarm and what it watches, put together from moments in any order."""

    def __init__(self, facts: dict[str, Any], made: float = 1, **more: Any) -> None:
        self.moments: list[tuple[float, int, str, dict[str, Any]]] = []
        needed = max(1, facts["evaluation_periods"] - facts["needed"])
        self.facts = {key: value for key, value in facts.items() if key != "needed"}
        self.facts |= {"alarm": "A", "created": True, "datapoints_to_alarm": needed, **more}
        self.facts |= {"missing_data": "notBreaching", "actions": 0}
        self.put(made)

    def at(self, t: float, kind: str, **fields: Any) -> None:
        self.moments.append((t, len(self.moments), kind, fields))

    def put(self, t: float, **changes: Any) -> None:
        self.at(t, "alarm.put", **{**self.facts, **changes})

    def state(self, t: float, to: str) -> None:
        self.at(t, "alarm.state", actor="cloudwatch", alarm="A", to=to, reason="", **{"from": ""})

    def strike(self, t: float) -> None:
        fields = {"fault": 0, "point": "aws.cloudwatch.PutMetricData", "fault_kind": "throttled"}
        self.at(t, "fault.strike", actor="faults", **fields)

    def answers(self, start: int, end: int, fires: int | None, clears: int | None) -> None:
        """The alarm changes its state: so long after it is due, and after the last of its periods."""
        if fires is not None:
            first = start // MINUTE * MINUTE + self.facts["datapoints_to_alarm"] * self.facts["period"]
            self.state(first + fires, "ALARM")
        if clears is not None:
            self.state(end + (self.facts["evaluation_periods"] + FURTHER - 1) * self.facts["period"] + clears, "OK")

    def history(self, rest: int) -> HistoryBuilder:
        h = HistoryBuilder()
        for t, _, kind, fields in sorted(self.moments, key=lambda moment: moment[:2]):
            h.add(kind, at=t, **fields)
        h.end(at=h.t + rest)
        return h


def minutes_of_errors(h: HistoryBuilder, alarm: Event, stored: bool) -> dict[int, list[float]] | None:
    """The errors of each minute (by when it begins) that an alarm is about; ``None``: nothing tells."""
    counts = [e for e in h.events if e["kind"] == "monitoring.count" and e["metric"] == alarm["metric"]]
    of_metric = [e for e in counts if e["source"] == ("cloudwatch" if stored else "tracked")]
    if stored:
        about = [e for e in of_metric if e["dimensions"] == alarm["dimensions"]]
    else:
        about = [e for e in of_metric if alarm["dimensions"].items() <= e["dimensions"].items()]
    errors = [(e["t"], e["value"]) for e in about]
    if not of_metric and not stored:
        if alarm["dimensions"] or "error" not in alarm["metric"].lower():
            return None
        errors = [(e["t"], 1) for e in h.events if e["kind"] == "handler.end" and e["outcome"] == "error"]
    return {m: [value for t, value in errors if m <= t < m + MINUTE] for m in range(0, int(h.t) + 1, MINUTE)}


def visible_at(h: HistoryBuilder, queue: str, t: int) -> int:
    """How many messages of a queue can be received at *t*, after all that came before it."""
    so_far = [e for e in h.events if e["t"] < t]
    messages = {e["message"] for e in so_far if e["kind"] == "send"}
    found = 0
    for message in messages:
        own = [e for e in so_far if e.get("message") == message and e["kind"] in ("send", "receive", "move")]
        if any(message in e["messages"] for e in so_far if e["kind"] == "purge"):
            continue
        shown = own[-1]["visible_at"] if own[-1]["kind"] == "receive" else own[-1]["t"] + own[-1].get("delay", 0)
        found += where(so_far, message, len(so_far) + 1) == queue and shown <= t
    return found


def minutes_of_depth(h: HistoryBuilder, alarm: Event) -> dict[int, list[float]]:
    """The depth of the watched queue at the end of each minute (by when it begins)."""
    queue = alarm["dimensions"]["QueueName"]
    return {m: [visible_at(h, queue, m + MINUTE)] for m in range(0, int(h.t) - MINUTE + 1, MINUTE)}


def over(alarm: Event, minutes: dict[int, list[float]], t: int, periods: int) -> int:
    """How many of the last periods before *t* are over the threshold."""
    found = 0
    for place in range(periods):
        end = t - place * alarm["period"]
        values = [value for m in range(end - alarm["period"], end, MINUTE) for value in minutes.get(m, [])]
        if not values:
            continue
        sums = {
            "Sum": sum(values),
            "Average": sum(values) / len(values),
            "Maximum": max(values),
            "Minimum": min(values),
        }
        value, threshold = sums[alarm["statistic"]], alarm["threshold"]
        found += {
            "GreaterThanThreshold": value > threshold,
            "GreaterThanOrEqualToThreshold": value >= threshold,
            "LessThanThreshold": value < threshold,
            "LessThanOrEqualToThreshold": value <= threshold,
        }[alarm["comparison"]]
    return found


def fires_and_clears(h: HistoryBuilder, minutes: dict[int, list[float]] | None, since: int, within: float) -> str:
    """An alarm fires and clears, from its definition; data for firing begins at *since*."""
    puts = [e for e in h.events if e["kind"] == "alarm.put"]
    alarm = next(e for e in puts if e["threshold"] == puts[-1]["threshold"])  # from when on it is as it was put last
    end = h.events[-1]["t"]
    strikes = [e["t"] for e in h.events if e["kind"] == "fault.strike"]
    changes = [(0.0, "INSUFFICIENT_DATA"), *((e["t"], e["to"]) for e in h.events if e["kind"] == "alarm.state")]

    def state(t: float) -> str:
        return [to for at, to in changes if at <= t][-1]

    if minutes is None:
        return "inconclusive"
    recent = {m: values for m, values in minutes.items() if m >= since}
    grid = [t for t in range(MINUTE, int(end) + 1, MINUTE) if t > alarm["t"]]
    due = {t for t in grid if over(alarm, recent, t, alarm["evaluation_periods"]) >= alarm["datapoints_to_alarm"]}
    quiet = {t for t in grid if not over(alarm, minutes, t, alarm["evaluation_periods"] + FURTHER)}
    fired = False
    for t in grid:
        stretch = {each for each in grid if t <= each <= t + within}
        if t + within > end or any(t - MINUTE <= strike <= t + within for strike in strikes):
            continue
        if stretch <= due:
            fired = True
            if state(t) != "ALARM" and not any(t < at <= t + within and to == "ALARM" for at, to in changes):
                return "violated"
        if stretch <= quiet and state(t + within) == "ALARM":
            return "violated"
    return "holds" if fired and state(end) != "ALARM" else "inconclusive"


def test_alarms_on_errors() -> None:
    """An alarm that is silent, late or stays is found, with counted errors, handlers' errors and what is stored."""
    seen: set[str] = set()
    sources = st.sampled_from(("tracked", "tracked", "handlers", "stored", "others"))
    names = st.sampled_from(({}, {}, {"Service": "orders"}))

    @settings(max_examples=examples(600))
    @given(
        _alarm,
        _outages,
        sources,
        names,
        st.sampled_from((60.0, 90.0, 180.0)),
        st.sampled_from((0, 200, 1_000)),
        st.sampled_from((None, None, 250.5)),
    )
    def run(facts: Any, outages: Any, source: str, name: Any, within: float, rest: int, anew: float | None) -> None:
        run = Alarms(facts, statistic="Sum", namespace="Shop", metric="ErrorCount", dimensions=name)
        now = 0
        for gap, minutes, number, fires, clears, struck in outages:
            now += gap
            for minute in range(minutes):
                count = {"namespace": "Shop", "metric": "ErrorCount", "value": number, "dimensions": name}
                at = now + MINUTE * minute + gap % 7
                if source == "handlers":
                    for _ in range(number):
                        run.at(at, "handler.end", key="1", outcome="error", took=0.1, error="ValueError")
                elif source == "stored":
                    run.at(at, "monitoring.count", **count, source="cloudwatch", samples=1)
                elif source == "others":
                    run.at(at, "monitoring.count", **{**count, "dimensions": {"Service": "stock"}}, source="tracked")
                else:
                    more = {"Zone": "a"} if minute % 3 == 1 else {}
                    run.at(at, "monitoring.count", **{**count, "dimensions": {**name, **more}}, source="tracked")
            end = now + MINUTE * minutes
            run.answers(now, end, fires, clears)
            if struck is not None:
                run.strike(now + struck + 0.5)
            now = end
        if anew is not None:
            run.put(anew, created=False, threshold=2.0)
        h = run.history(rest)
        last = [e for e in h.events if e["kind"] == "alarm.put"][-1]
        stored = source == "stored"
        expected = fires_and_clears(h, minutes_of_errors(h, last, stored), 0, within)
        spec = invariants.alarms_fire_and_clear(within=within).with_parameters(stored=stored)
        compare(spec, h, expected, seen)

    run()
    assert seen == ALL


def test_alarms_on_a_queue_s_depth() -> None:
    """The same for the depth of a queue: letters that come, are hidden, deleted, purged and moved back."""
    seen: set[str] = set()
    letters = st.lists(
        st.tuples(
            st.integers(0, 6),
            st.integers(0, 300),
            st.sampled_from(("letter", "move", "hide", "hide long", "delete", "purge", "purge", "back", "delay")),
        ),
        min_size=2,
        max_size=12,
    )

    @settings(max_examples=examples(500))
    @given(
        _alarm,
        letters,
        st.sampled_from(("Maximum", "Minimum", "Average")),
        st.sampled_from((None, "LessThanThreshold", "LessThanOrEqualToThreshold")),
        st.tuples(st.sampled_from((0, 0, 170, 190, 250, None)), st.sampled_from((0, 0, 30, 170, 190, None))),
        st.sampled_from((1, 400.5)),
        st.sampled_from((200, 1_000)),
        st.sampled_from((None, None, 450.5)),
    )
    def run(
        facts: Any, letters: Any, statistic: str, less: str | None, answers: Any, made: float, rest: int, anew: Any
    ) -> None:
        facts = {**facts, "comparison": less or facts["comparison"], "statistic": statistic}
        watched = {"metric": "ApproximateNumberOfMessagesVisible", "dimensions": {"QueueName": "orders-dlq"}}
        run = Alarms(facts, made=made, namespace="AWS/SQS", **watched)
        depths(run, letters)
        follow(run, minutes_of_depth(run.history(rest), run.facts), *answers)
        if anew is not None:
            run.put(anew, created=False, threshold=2.0)
        h = run.history(rest)
        last = [e for e in h.events if e["kind"] == "alarm.put"][-1]
        expected = fires_and_clears(h, minutes_of_depth(h, last), int(made) // MINUTE * MINUTE, 180.0)
        compare(invariants.alarms_fire_and_clear(), h, expected, seen)

    run()
    assert seen == ALL


def follow(run: Alarms, minutes: dict[int, list[float]], fires: int | None, clears: int | None) -> None:
    """The alarm does what it should, but so many seconds later; ``None``: never."""
    facts, in_alarm = run.facts, False
    for t in range(int(run.moments[0][0]) // MINUTE * MINUTE + MINUTE, max(minutes, default=0) + MINUTE + 1, MINUTE):
        due = over(facts, minutes, t, facts["evaluation_periods"]) >= facts["datapoints_to_alarm"]
        quiet = not over(facts, minutes, t, facts["evaluation_periods"] + FURTHER)
        for delay, wanted, to in ((fires, due and not in_alarm, "ALARM"), (clears, quiet and in_alarm, "OK")):
            if wanted and delay is not None:
                in_alarm = to == "ALARM"
                run.state(t + delay, to)


def depths(run: Alarms, letters: list[tuple[int, int, str]]) -> None:
    """Messages of two queues, whatever happens to them, each as long as it is there."""
    places: dict[str, str] = {}
    now = 2.0
    for number, wait, what in letters:
        now += wait
        message = f"m{number}"
        place = places.get(message)
        if what in ("letter", "delay") and place is None:
            for more in range(1 + number % 3):
                message = f"m{number}" if not more else f"m{number}-{more}-{now}"
                places[message] = "orders-dlq"
                fields = {"origin": "process", "bytes": 1, "delay": 100.0 if what == "delay" else 0.0}
                run.at(now, "send", message=message, queue="orders-dlq", **fields)
        elif what == "move" and place is None:
            places[message] = "orders-dlq"
            run.at(now, "send", message=message, queue="orders", origin="workload", bytes=1)
            now += 0.5
            run.at(now, "move", message=message, queue="orders", to="orders-dlq", receive_count=3)
        elif place is not None and what.startswith("hide"):
            until = now + (400 if what == "hide long" else 30)
            run.at(now, "receive", message=message, queue=place, receive_count=1, handle="h", visible_at=until)
        elif place is not None and what == "delete":
            places[message] = ""
            run.at(now, "delete", message=message, queue=place, handle="h", found=True)
        elif what == "purge":
            gone = [message for message, place in places.items() if place == "orders-dlq"]
            places |= dict.fromkeys(gone, "")
            run.at(now, "purge", queue="orders-dlq", messages=gone)
        elif place == "orders-dlq" and what == "back":
            places[message] = "orders"
            run.at(now, "move", message=message, queue="orders-dlq", to="orders", receive_count=0)
