"""Degradation: the level follows the health, without flapping, and its measures are really in force.

Judged from ``degradation.*`` events of any manager that writes them. A
process that ends takes its manager with it: the next one begins at the best
level, and nothing is held against it. What a person decides (a level set by
hand, pinned) is not judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.history import Event, Header
from harness.invariants.base import Book, BookInvariant, Verdict

__all__ = ["LevelFollowsHealth", "Manager", "ManagerBook", "MeasuresApplied", "NoFlapping"]

#: So many looks at the health, at least, that agree: a process that stood still for a while has seen nothing.
_LOOKS_MIN = 4
#: Receives beyond a rate that no limiter can prevent: a batch comes as a whole, and one was asked for before.
_BATCHES = 20.0


@dataclass(slots=True)
class Manager:
    """One degradation manager of one process, as the history has it so far."""

    name: str
    process: str
    created_n: int = 0
    created_t: float = 0.0
    levels: list[str] = field(default_factory=list)
    thresholds: Mapping[str, list[float | None]] = field(default_factory=dict)
    measures: Mapping[str, int] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    breakers: int = 0
    queues: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return f'"{self.name}" of {self.process}'

    def rank(self, level: object) -> int | None:
        """The number of a level; ``None`` where the manager has not said which levels it has."""
        return self.levels.index(str(level)) if level in self.levels else None


def _process(event: Event) -> str:
    return str(event["actor"]).partition("/")[0]


class ManagerBook(Book):
    """Knows every degradation manager of a run that is there now."""

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self.managers: dict[tuple[str, str], Manager] = {}
        self.seen = 0
        self._table: dict[str, Callable[[Event], None]] = {
            "degradation.created": self._on_created,
            "process.start": self._on_process,
            "process.exit": self._on_process,
            "process.crash": self._on_process,
        }

    def handlers(self) -> Mapping[str, Callable[[Event], None]]:
        return self._table

    def of(self, event: Event) -> Manager:
        """The manager that *event* is about."""
        key = (_process(event), str(event["manager"]))
        manager = self.managers.get(key)
        if manager is None:
            self.seen += 1
            manager = self.managers[key] = Manager(key[1], key[0])
        return manager

    def _on_created(self, event: Event) -> None:
        self.managers.pop((_process(event), str(event["manager"])), None)
        manager = self.of(event)
        manager.created_n, manager.created_t = event["n"], event["t"]
        manager.levels = list(event.get("levels") or ())
        manager.thresholds = event.get("thresholds") or {}
        manager.measures = event.get("measures") or {}
        manager.features = list(event.get("features") or ())
        manager.breakers = int(event.get("breakers") or 0)
        manager.queues = frozenset(event.get("queues") or ())

    def _on_process(self, event: Event) -> None:
        process = event.get("process") or event["actor"]
        for key in [key for key in self.managers if key[0] == process]:
            del self.managers[key]


class _DegradationInvariant(BookInvariant[ManagerBook]):
    """A rule about degradation managers."""

    book_type = ManagerBook
    awakened_by = frozenset({"degradation.created", "degradation.health", "degradation.level", "degradation.measure"})

    def unobserved(self) -> str:
        """Why nothing can be judged; "" where a manager was seen."""
        if self.book.seen:
            return ""
        return (
            "no degradation manager was observed: give a consumer ServiceDegradationManager (or write degradation.* "
            "events of your own), or leave this invariant out"
        )


@dataclass(slots=True)
class _Gap:
    """Since when the level has been off what the health asks for, without a break."""

    since_t: float
    since_n: int
    looks: int = 1


class LevelFollowsHealth(_DegradationInvariant):
    """The health is judged by all its metrics, and the level in force follows it, up and down.

    A level below what the health has asked for without a break for *within*
    seconds, or above what it would allow for *lowered_within* seconds,
    violates; so does a judgement that leaves out a metric that is above its
    threshold. A manager that is made anew begins anew.
    """

    name = "level-follows-health"

    def __init__(self, within: float = 60.0, lowered_within: float = 600.0) -> None:
        super().__init__()
        self._within = within
        self._lowered_within = lowered_within
        self._low: dict[tuple[str, str], _Gap] = {}
        self._high: dict[tuple[str, str], _Gap] = {}
        self._looks = 0
        self._changes = 0
        self._worst = 0

    def on_degradation_health(self, event: Event) -> None:
        manager = self.book.of(event)
        level, assessed = manager.rank(event["level"]), manager.rank(event["assessed"])
        if level is None or assessed is None:
            return
        self._looks += 1
        self._judge_metrics(manager, event, assessed)
        key = (manager.process, manager.name)
        if event.get("pinned"):
            self._forget(key)
            return
        self._worst = max(self._worst, assessed)
        allows = manager.rank(event.get("allows", event["assessed"]))
        self._follow(self._low, key, event, level < assessed, self._within, "stays below")
        self._follow(
            self._high,
            key,
            event,
            level > (assessed if allows is None else allows),
            self._lowered_within,
            "is kept above",
        )

    def _judge_metrics(self, manager: Manager, event: Event, assessed: int) -> None:
        for metric, limits in manager.thresholds.items():
            value = (event.get("health") or {}).get(metric)
            if not isinstance(value, (int, float)):
                continue
            asked = sum(limit is not None and value > limit for limit in limits)
            if asked > assessed:
                self.violate(
                    f"{manager.title} judged the health {event['assessed']} although {metric} is {value:g}, "
                    f"which asks for {manager.levels[asked]}",
                    manager.created_n,
                    event["n"],
                )

    def _follow(
        self,
        gaps: dict[tuple[str, str], _Gap],
        key: tuple[str, str],
        event: Event,
        off: bool,
        allowed: float,
        how: str,
    ) -> None:
        if not off:
            gaps.pop(key, None)
            return
        gap = gaps.get(key)
        if gap is None:
            gaps[key] = _Gap(event["t"], event["n"])
            return
        gap.looks += 1
        lasted = event["t"] - gap.since_t
        if lasted > allowed and gap.looks >= _LOOKS_MIN:
            self.violate(
                f'"{key[1]}" of {key[0]}: level {event["level"]} {how} what the health asks for ({event["assessed"]}) '
                f"for {lasted:.0f} s; {allowed:g} s allowed",
                gap.since_n,
                event["n"],
            )

    def on_degradation_level(self, event: Event) -> None:
        """A change is an answer: the time that the level may be off begins anew."""
        manager = self.book.of(event)
        self._changes += 1
        self._forget((manager.process, manager.name))

    def on_degradation_created(self, event: Event) -> None:
        self._forget((_process(event), str(event["manager"])))

    def on_process_start(self, event: Event) -> None:
        self._forget_process(event)

    def on_process_resume(self, event: Event) -> None:
        self._forget_process(event)

    def _forget_process(self, event: Event) -> None:
        process = event.get("process") or event["actor"]
        for gaps in (self._low, self._high):
            for key in [key for key in gaps if key[0] == process]:
                del gaps[key]

    def _forget(self, key: tuple[str, str]) -> None:
        self._low.pop(key, None)
        self._high.pop(key, None)

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if not self._looks:
            return self.inconclusive("no look at the health was observed: let the manager run with a consumer")
        if not self._worst:
            return self.inconclusive(
                f"the health never asked for a level in {self._looks} looks: add load, or a fault on what is called"
            )
        return self.holds(f"{self._looks} looks at the health, {self._changes} changes of level")


class NoFlapping(_DegradationInvariant):
    """The level does not go to and fro.

    A change in the other direction comes at least *apart* seconds after the
    one before it, and there are at most *at_most* of them in any *window*
    seconds, each manager by itself from its making on.
    """

    name = "no-flapping"

    def __init__(self, apart: float = 20.0, at_most: int = 6, window: float = 300.0) -> None:
        super().__init__()
        self._apart = apart
        self._at_most = at_most
        self._window = window
        self._last: dict[tuple[str, str], tuple[int, float, int]] = {}  # direction, t, n
        self._turns: dict[tuple[str, str], deque[tuple[float, int]]] = {}
        self._changes = 0
        self._all_turns = 0

    def on_degradation_level(self, event: Event) -> None:
        manager = self.book.of(event)
        before, after = manager.rank(event["before"]), manager.rank(event["level"])
        key = (manager.process, manager.name)
        if before is None or after is None or before == after:
            return
        if event.get("by_hand"):
            self._last.pop(key, None)
            return
        self._changes += 1
        direction = 1 if after > before else -1
        last = self._last.get(key)
        self._last[key] = (direction, event["t"], event["n"])
        if last is None or last[0] == direction:
            return
        self._all_turns += 1
        lasted = event["t"] - last[1]
        if lasted < self._apart:
            self.violate(
                f"{manager.title} went {'up' if direction > 0 else 'down'} to {event['level']} {lasted:.1f} s after it "
                f"went the other way; at least {self._apart:g} s apart",
                last[2],
                event["n"],
            )
        turns = self._turns.setdefault(key, deque())
        turns.append((event["t"], event["n"]))
        while turns[0][0] < event["t"] - self._window:
            turns.popleft()
        if len(turns) > self._at_most:
            self.violate(
                f"{manager.title} turned round {len(turns)} times in {event['t'] - turns[0][0]:.0f} s; at most "
                f"{self._at_most} times in {self._window:g} s",
                *(n for _, n in turns),
            )

    def on_process_start(self, event: Event) -> None:
        process = event.get("process") or event["actor"]
        for key in [key for key in (*self._last, *self._turns) if key[0] == process]:
            self._forget(key)

    def on_degradation_created(self, event: Event) -> None:
        self._forget((_process(event), str(event["manager"])))

    def _forget(self, key: tuple[str, str]) -> None:
        self._last.pop(key, None)
        self._turns.pop(key, None)

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if not self._changes:
            return self.inconclusive("the level never changed: add load, or a fault on what is called")
        return self.holds(f"{self._changes} changes of level, {self._all_turns} of them in the other direction")


@dataclass(slots=True)
class _State:
    """What is in force, as the history has it."""

    level: int = 0
    level_n: int = 0
    changed_t: float = 0.0
    active: dict[str, int] = field(default_factory=dict)  # measure -> number of the event that applied it
    rate: float | None = None
    rate_n: int = 0
    tokens: float = 0.0  # receives that the rate allows now
    tokens_t: float = 0.0
    receives: deque[int] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def burst(self) -> float:
        return max(1.0, self.rate or 0.0) + _BATCHES

    def limit(self, rate: float | None, event: Event) -> None:
        """Another rate is in force."""
        self.refill(event["t"])
        fresh = self.rate is None
        self.rate, self.rate_n = rate, event["n"]
        self.tokens = self.burst if fresh else min(self.tokens, self.burst)

    def refill(self, t: float) -> None:
        self.tokens = min(self.burst, self.tokens + (self.rate or 0.0) * (t - self.tokens_t))
        self.tokens_t = t


class MeasuresApplied(_DegradationInvariant):
    """The measures of the level in force are applied, those of higher levels are lifted, and they do something.

    *within* seconds after a change of level, or after a manager was made anew,
    exactly its measures are active. An applied rate limit limits (receives from
    the manager's queues are counted), declared features are off, breakers are
    held, intake is not open.
    """

    name = "measures-applied"

    def __init__(self, within: float = 10.0) -> None:
        super().__init__()
        self._within = within
        self._states: dict[tuple[str, str], _State] = {}
        self._of_process: dict[str, list[tuple[Manager, _State]]] = {}
        self._applied = 0
        self._lifted = 0

    def _state(self, manager: Manager) -> _State:
        key = (manager.process, manager.name)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(changed_t=manager.created_t)
            self._of_process.setdefault(manager.process, []).append((manager, state))
        return state

    def on_degradation_level(self, event: Event) -> None:
        manager = self.book.of(event)
        rank = manager.rank(event["level"])
        if rank is None:
            return
        state = self._state(manager)
        self._compare(manager, state, event)
        state.level, state.level_n, state.changed_t = rank, event["n"], event["t"]

    def on_degradation_health(self, event: Event) -> None:
        manager = self.book.of(event)
        self._compare(manager, self._state(manager), event)

    def on_degradation_measure(self, event: Event) -> None:
        manager = self.book.of(event)
        state = self._state(manager)
        measure = str(event["measure"])
        if not event["active"]:
            self._lifted += state.active.pop(measure, None) is not None
        else:
            if measure not in state.active:
                self._applied += 1
            state.active[measure] = event["n"]
            if not event.get("error"):
                self._judge_effect(manager, measure, event)
        if event.get("rate") != state.rate:
            state.limit(event.get("rate"), event)

    def _judge_effect(self, manager: Manager, measure: str, event: Event) -> None:
        """A measure that says it is applied, and by its own account does nothing."""
        idle = ""
        if measure == "processing-rate" and "rate" in event and event["rate"] is None:
            idle = "the rate is not limited"
        elif measure == "features" and manager.features and "off" in event and not event["off"]:
            idle = f"none of {', '.join(manager.features)} is off"
        elif measure == "breakers" and manager.breakers and "breakers" in event and not event["breakers"]:
            idle = f"none of its {manager.breakers} breakers is tightened"
        elif measure == "emergency" and event.get("intake") == "open":
            idle = "intake is open"
        if idle:
            self.violate(f"{manager.title} applied {measure}, but {idle}", event["n"])

    def on_receive(self, event: Event) -> None:
        for manager, state in self._of_process.get(_process(event), ()):
            if state.rate is None or event["queue"] not in manager.queues:
                continue
            state.refill(event["t"])
            state.tokens -= 1
            state.receives.append(event["n"])
            if state.tokens < 0:
                self.violate(
                    f"{manager.title} limits to {state.rate:.2f} messages a second, and {state.burst:.0f} more than "
                    f"that allows were received",
                    state.rate_n,
                    *state.receives,
                )

    def _compare(self, manager: Manager, state: _State, event: Event) -> None:
        """Whether the measures in force are those of the level, once there was time to change them."""
        if event["t"] - state.changed_t <= self._within or not manager.measures:
            return
        wanted = {measure for measure, number in manager.measures.items() if number <= state.level}
        missing = [measure for measure in manager.measures if measure in wanted and measure not in state.active]
        extra = [measure for measure in state.active if measure not in wanted]
        level = manager.levels[state.level]
        lasted = f"{event['t'] - state.changed_t:.0f} s after it went to {level}"
        if missing:
            self.violate(f"{manager.title} has not applied {', '.join(missing)} {lasted}", state.level_n, event["n"])
        if extra:
            applied = (state.active[measure] for measure in extra)
            self.violate(
                f"{manager.title} has not lifted {', '.join(extra)} {lasted}", state.level_n, *applied, event["n"]
            )

    def on_process_start(self, event: Event) -> None:
        process = str(event.get("process") or event["actor"])
        self._of_process.pop(process, None)
        for key in [key for key in self._states if key[0] == process]:
            del self._states[key]

    def on_degradation_created(self, event: Event) -> None:
        """A manager made anew has applied nothing, whatever an earlier one of its name did."""
        process, name = _process(event), str(event["manager"])
        if self._states.pop((process, name), None) is not None:
            others = [one for one in self._of_process[process] if one[0].name != name]
            self._of_process[process] = others

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if not self._applied:
            return self.inconclusive("no measure was applied: add load, or a fault on what is called")
        if not self._lifted:
            return self.inconclusive("no measure was lifted: let the run go on for longer after the trouble is over")
        return self.holds(f"{self._applied} measures applied, {self._lifted} lifted")
