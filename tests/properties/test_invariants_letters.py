"""Dead letters, their replay and their envelopes against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare, where


def own_key(events: list[Event], message: str) -> str:
    """The key of a message: its own, else that of the one it carries on, else its id."""
    sent = next(e for e in events if e["kind"] == "send" and e["message"] == message)
    if sent.get("key") is not None:
        return str(sent["key"])
    return own_key(events, sent["original"]) if sent.get("original") else message


# Dead letters, replay, and whether anybody tried

_LETTERS = (
    "send",
    "send",
    "return",
    "dead letter",
    "move",
    "move",
    "move back",
    "delete",
    "delete",
    "effect",
    "receive",
    "start",
    "invoke",
    "throttle",
)
_letters = st.lists(
    st.tuples(st.sampled_from(_LETTERS), st.integers(0, 4), st.sampled_from(("a", "b", None))), max_size=22
)


def dead_letters(actions: list[tuple[str, int, str | None]], kinds: tuple[str, ...], reason: str) -> HistoryBuilder:
    """Messages of two keys, and some without one, that go to the dead-letter queue, come back and are deleted."""
    h = HistoryBuilder()
    messages: list[str] = []
    for action, number, key in actions:
        message = messages[number % len(messages)] if messages else ""
        place = where(h.events, message, len(h.events) + 1)
        if action in ("send", "return", "dead letter"):
            own: dict[str, Any] = {"original": message} if key is None and place and action != "send" else {}
            messages.append(f"m{len(messages)}")
            if action == "dead letter":
                h.dead_letter(messages[-1], key, **own)
            else:
                h.send(messages[-1], key, origin="workload" if action == "send" else "process", **own)
        elif not message or action not in kinds:
            continue
        elif action == "effect":
            h.effect(own_key(h.events, message))
        elif action == "start":
            h.add("handler.start", key=own_key(h.events, message))
        elif action == "invoke":
            h.add("lambda.invoke", function="fn", request="r", sandbox="s", cold=False, messages=[message])
        elif action == "throttle":
            h.add("lambda.throttled", function="fn", messages=[message], attempt=1, again=False, reason="rate")
        elif action == "move" and place == h.queue:
            h.move(message)
        elif action == "move back" and place == h.dlq:
            h.move(message, queue=h.dlq, to=h.queue)
        elif action in ("delete", "receive") and place:
            getattr(h, action)(message, queue=place)
    h.end(reason=reason)
    return h


def replayed(h: HistoryBuilder) -> str:
    """Replay once, from its definition."""
    letters: dict[str, list[int]] = {}
    returns: dict[str, list[int]] = {}
    removed: dict[str, list[int]] = {}
    for event in h.events:
        if event["kind"] not in ("send", "move", "delete"):
            continue
        key, n = own_key(h.events, event["message"]), event["n"]
        was_dead = where(h.events, event["message"], n) == h.dlq
        if h.dlq in (event.get("to"), event["queue"] if event["kind"] == "send" else None):
            letters.setdefault(key, []).append(n)
        by_process = event["kind"] == "send" and event["origin"] == "process" and event["queue"] == h.queue
        if (by_process and key in letters) or (event["kind"] == "move" and event["to"] == h.queue):
            returns.setdefault(key, []).append(n)
            if len(returns[key]) > len(letters[key]):
                return "violated"
        if was_dead:
            removed.setdefault(key, []).append(n)
    if not (returns or removed) or h.events[-1]["reason"] != "quiet":
        return "inconclusive"
    for key, gone in removed.items():
        later = any(e["kind"] == "effect" and e["key"] == key and e["n"] > gone[-1] for e in h.events)
        if len(gone) > len(returns.get(key, [])) and not later:
            return "violated"
    return "holds"


def test_replay_once() -> None:
    """Violated where a key returns more often than it was dead-lettered, or a deleted dead letter left nothing."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(_letters, st.sampled_from(("quiet", "quiet", "quiet", "budget")))
    def run(actions: list[Any], reason: str) -> None:
        h = dead_letters(actions, ("move", "move back", "delete", "effect"), reason)
        compare(invariants.replay_once(), h, replayed(h), seen)

    run()
    assert seen == ALL


def tried(h: HistoryBuilder) -> str:
    """Tried before dead-lettered, from its definition."""
    attempts = [e for e in h.events if e["kind"] in ("handler.start", "lambda.invoke")]
    if (
        not h.header["system"]["handler"]
        and not attempts
        and not any(e["kind"] == "lambda.throttled" for e in h.events)
    ):
        return "inconclusive"
    for move in h.events:
        if move["kind"] != "move" or move["to"] != h.dlq:
            continue
        key = own_key(h.events, move["message"])
        if not any(
            attempt["n"] < move["n"]
            and (
                attempt.get("key") == key
                or key in [own_key(h.events, message) for message in attempt.get("messages", ())]
            )
            for attempt in attempts
        ):
            return "violated"
    return "holds"


def test_tried_before_dead_lettered() -> None:
    """Violated where SQS moves a message whose key no handler began and no function was given before."""
    seen: set[str] = set()

    @settings(max_examples=examples(400))
    @given(_letters, st.sampled_from((None, None, "app:handle")))
    def run(actions: list[Any], handler: str | None) -> None:
        h = dead_letters(actions, ("move", "move back", "receive", "start", "invoke", "throttle"), "quiet")
        h.header["system"]["handler"] = handler
        compare(invariants.tried_before_dead_lettered(), h, tried(h), seen)

    run()
    assert seen == ALL


# Envelopes

BODY = '{"order_id": 1}'
_whole: dict[str, Any] = {
    "originalMessage": BODY,
    "originalAttributes": {},
    "errorReason": "no such product",
    "failedAt": "2030-01-01T00:00:01+00:00",
    "originalMessageId": "m0",
}
_changes: list[tuple[str, Any]] = [
    ("originalMessage", {"order_id": 1}),
    ("originalMessage", {"order_id": 2}),
    ("originalMessage", ""),
    ("payloadReference", "letters/1"),
    ("failedAt", "2030-01-01T00:00:01"),
    ("failedAt", "2030-01-01T00:00:01Z"),
    ("originalMessageId", "m1"),
    ("originalMessageId", "m2"),
    ("note", "more"),
    *((name, value) for name in _whole for value in (None, "")),
    *((name, ...) for name in _whole),
]
_letter = st.one_of(
    st.sampled_from(("missing", "same", "junk", "moved")), st.lists(st.sampled_from(_changes), max_size=2)
)


def whole(envelope: dict[str, Any]) -> bool:
    """Whether an envelope of the message m0 (sent again as m1) holds all it must."""
    elsewhere = envelope.get("originalMessage") == "" and envelope.get("payloadReference")
    for name in _whole:
        if envelope.get(name) in (None, "") and not (name == "originalMessage" and elsewhere):
            return False
    return (
        (elsewhere or envelope["originalMessage"] in (BODY, {"order_id": 1}))
        and (envelope["failedAt"].endswith(("+00:00", "Z")))
        and envelope["originalMessageId"] in ("m0", "m1")
    )


def test_envelopes() -> None:
    """Violated where one field of an envelope is missing, empty or wrong; what cannot be read is inconclusive."""
    seen: set[str] = set()

    @settings(max_examples=examples(400))
    @given(st.lists(_letter, max_size=3))
    def run(letters: list[Any]) -> None:
        h = HistoryBuilder()
        h.send("m0", key="1", body=BODY)
        h.send("m1", key="1", body=BODY)
        h.send("m2", key="2", body="{}")
        good: list[bool] = []
        for number, letter in enumerate(letters):
            body: str | None = (
                {"missing": None, "same": BODY, "junk": "junk"}.get(letter) if isinstance(letter, str) else ""
            )
            if letter == "moved":
                h.move("m2")
                continue
            if isinstance(letter, list):
                envelope = {name: value for name, value in {**_whole, **dict(letter)}.items() if value is not ...}
                body = json.dumps(envelope)
                good.append(bool(whole(envelope)))
            elif body is not None:
                good.append(letter == "same")
            h.dead_letter(f"d{number}", key="1", **({} if body is None else {"body": body}))
        compare(
            invariants.envelope_complete(),
            h,
            "inconclusive" if not good else "holds" if all(good) else "violated",
            seen,
        )

    run()
    assert seen == ALL
