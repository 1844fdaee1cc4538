"""Invariants of amplification and herds against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, outcome, process_of

# Amplification

_work = st.lists(
    st.tuples(
        st.sampled_from(
            ("send", "receive", "receive", "receive", "effect", "delete", "move", "back", "failed", "poll")
        ),
        st.integers(0, 3),
    ),
    max_size=30,
)


def work(steps: list[tuple[str, int]]) -> HistoryBuilder:
    """Two copies of each of two keys that anything happens to, deliveries of what was deleted too."""
    h = HistoryBuilder()
    places = {"m0": h.queue, "m1": h.queue}
    for message in places:
        h.send(message, key=message[1:])
    for step, number in steps:
        message, key = f"m{number}", str(number % 2)
        if step == "failed":
            h.failed("aws.sqs.DeleteMessage@after" if number else "http.POST /pay")
        elif step == "poll":
            h.failed("aws.sqs.ReceiveMessage@before")
        elif step == "effect":
            h.effect(key)
        elif step == "send" and message not in places:
            places[message] = h.queue
            h.send(message, key=key)
        elif message in places:
            if step == "receive":
                h.receive(message, queue=places[message])
            elif step == "delete":
                h.delete(message, queue=places[message])
            elif step in ("move", "back") and not any(
                e["kind"] == "delete" and e["message"] == message for e in h.events
            ):
                to = h.dlq if step == "move" else h.queue
                h.move(message, queue=places[message], to=to)
                places[message] = to
    h.end()
    return h


def test_amplification() -> None:
    """Deliveries outside dead-letter queues and failing calls other than polls, for each key that was delivered."""
    seen: set[str] = set()

    @settings(max_examples=examples(400))
    @given(_work, st.sampled_from((1.0, 1.5, 2.0, 3.0)))
    def run(steps: list[tuple[str, int]], at_most: float) -> None:
        h = work(steps)
        delivered = [e for e in h.events if e["kind"] == "receive" and e["queue"] != h.dlq]
        failed = [e for e in h.events if e["kind"] == "call.failed" and "ReceiveMessage" not in e["point"]]
        messages = {e["key"] for e in delivered}
        too_many = bool(messages) and len(delivered) + len(failed) > at_most * len(messages)
        compare(invariants.amplification_bounded(at_most), h, outcome(too_many, bool(messages)), seen)

    run()
    assert seen == ALL


# Herds

_WAITS: dict[str, Callable[[random.Random], float]] = {
    "none": lambda _: 1.0,
    "no wait": lambda _: 0.0,
    "full": lambda rng: rng.uniform(0, 1),
    "equal": lambda rng: rng.uniform(0.5, 1),
    "a tenth": lambda rng: rng.uniform(0.9, 1),
    "a third": lambda rng: rng.uniform(0.67, 1),
    "two moments": lambda rng: rng.choice((0.4, 1.0)),
    "some together": lambda rng: 0.7 if rng.random() < 0.12 else rng.uniform(0, 1),
}


def crowded(events: list[Event], spread: float, alpha: float) -> tuple[bool, bool]:
    """Whether some attempt's returns crowd beyond chance, and whether any had clients enough to tell."""
    sleeps = [e for e in events if e["kind"] == "retry.sleep"]
    judged = accused = False
    by_call: dict[tuple[str, int], list[Event]] = {}
    for sleep in sleeps:
        by_call.setdefault((process_of(sleep), sleep["call"]), []).append(sleep)
    for attempt in {e["attempt"] for e in sleeps}:
        cohort = [waits for waits in by_call.values() if any(e["attempt"] == attempt for e in waits)]
        if len(cohort) < 1000:
            continue
        judged = True
        returns = [sum(e["delay"] for e in waits if e["attempt"] <= attempt) for waits in cohort]
        longest = max(e["delay"] for waits in cohort for e in waits if e["attempt"] == attempt)
        if longest == 0:
            accused = True
            continue
        slots = [math.floor(instant / (longest / 20)) for instant in returns]
        number = max(max(slots) - min(slots) + 1, 20)
        clients, chance = len(returns), 1 / (20 * spread)
        for slot in set(slots):
            crowd = slots.count(slot)
            if crowd <= chance * clients:
                continue
            # Chernoff: P(X >= crowd) <= (p n / k)^k ((1 - p) n / (n - k))^(n - k)
            log = crowd * math.log(chance * clients / crowd)
            if crowd < clients:
                log += (clients - crowd) * math.log((1 - chance) * clients / (clients - crowd))
            accused |= log + math.log(number) < math.log(alpha)
    return accused, judged


def test_herds() -> None:
    """Accused exactly where the fullest slot of an attempt is beyond what spread waits would do once in 1/alpha."""
    seen: set[str] = set()
    kinds = st.sampled_from(sorted(_WAITS))

    @settings(max_examples=examples(100))
    @given(kinds, kinds, st.sampled_from((998, 1000, 1150)), st.sampled_from((0.3, 0.5, 1.0)), st.integers(0, 99))
    def run(first: str, second: str, clients: int, spread: float, seed: int) -> None:
        rng = random.Random(seed)
        h = HistoryBuilder()
        rest = rng.choice((0, 900, clients))
        for attempt, kind, many in ((1, first, clients), (2, second, rest)):
            for call in range(many):
                actor = f"worker.{call % 2}"
                h.attempt(call, attempt, actor=actor, at=attempt)
                h.sleep(call, attempt, _WAITS[kind](rng), wait=False, actor=actor, at=attempt)
        h.end()
        expected = outcome(*crowded(h.events, spread, 1e-9))
        compare(invariants.no_herd(spread=spread), h, expected, seen)

    run()
    assert seen == ALL


def test_the_edge_of_a_herd() -> None:
    """One client more or less in the fullest slot decides, and it decides at the same one."""
    seen: set[str] = set()
    for crowd in range(110, 145):
        h = HistoryBuilder()
        for call in range(1000):
            h.sleep(call, 1, 0.52 if call < crowd else (call % 20 + 1) / 20 - 0.001, wait=False, at=1)
        h.end()
        compare(invariants.no_herd(), h, outcome(*crowded(h.events, 0.5, 1e-9)), seen)
    assert seen == {"holds", "violated"}
