"""Dead letters: what cannot be processed is put aside soon, whole, once, and comes back once.

A *dead letter* is a message that comes into a dead-letter queue: sent there
by a consumer (an envelope), or moved there by SQS (native redrive).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from harness.history import Event, Header
from harness.invariants.base import Verdict
from harness.invariants.delivery import SHOWN, ExcusingInvariant, plural, some
from harness.invariants.ledger import DEAD_LETTER, SOURCE, Entry, LedgerInvariant

__all__ = ["EnvelopeComplete", "NotProcessedAndDeadLettered", "PoisonContained", "ReplayOnce"]

#: What an envelope must hold beside the original body, in the guide's spelling.
REQUIRED = ("originalMessage", "originalAttributes", "errorReason", "failedAt", "originalMessageId")


class PoisonContained(ExcusingInvariant):
    """A message that never takes effect is dead-lettered or quarantined after at most *within* deliveries.

    Violated at the first delivery beyond them from a queue that is no
    dead-letter queue. By default *within* is the queue's own limit (max
    receives). Without a declared effect a handler that ended well counts.
    """

    name = "poison-contained"

    def __init__(self, within: int | None = None, excused: Sequence[str] = ()) -> None:
        super().__init__(excused)
        self._within = within
        self._limits: dict[str, int] = {}
        self._handled: set[str] = set()
        self._repeated = 0
        self._handlers = False

    def start(self, header: Header) -> None:
        super().start(header)
        for queue in (header.get("system") or {}).get("queues") or ():
            limit = self._within if self._within is not None else queue.get("max_receives")
            if limit is not None:
                self._limits[queue["name"]] = limit

    def on_handler_end(self, event: Event) -> None:
        self._handlers = True
        key = event.get("key")
        if event.get("outcome") == "ok" and key is not None:
            self._handled.add(str(key))

    def on_receive(self, event: Event) -> None:
        count = event.get("receive_count") or 0
        if count < 2:
            return
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.role == DEAD_LETTER:
            return
        entry = copy.entry
        if entry.effects > 0 or entry.quarantined or entry.key in self._handled:
            return
        self._repeated += 1
        limit = self._limits.get(event["queue"], self._within)
        if limit is None or count <= limit or self.violation is not None:
            return
        if not (self.ledger.effect_names or self._handlers):
            return
        if self.excuses.between(entry.sent_n, event["n"], entry.key):
            return
        self.violate(
            f'message "{entry.key}" was delivered {count} times without an effect; at most {limit} allowed before it '
            "is dead-lettered or quarantined",
            copy.first_n,
            event["n"],
        )

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if not (ledger.effect_names or self._handlers):
            return self.inconclusive(ledger.declare_an_effect())
        if not self._limits and self._within is None:
            return self.inconclusive(
                "no queue has max_receives: set Queue(max_receives=...), or say poison_contained(within=...)"
            )
        aside = [entry for entry in ledger.sources() if entry.dead_n or entry.quarantine_n]
        if not aside and not self._repeated:
            return self.inconclusive('no message failed: add Fault("handler", "poison", keys=["3"])')
        return self.holds(
            f"{plural(len(aside))} put aside; no message without an effect was delivered more often than allowed"
        )


class EnvelopeComplete(LedgerInvariant):
    """Each dead letter that a consumer made holds the original body unchanged, its attributes, id, reason and time.

    Judged where the history holds bodies. An envelope is a JSON object with
    ``originalMessage``; a body sent on unchanged is lossless, its context in
    attributes, which histories do not hold. Of one that is a claim-check
    (``payloadReference``) the body is elsewhere, and the rest is judged.
    Messages moved by SQS are whole by themselves. *required*: the fields an envelope must have.
    """

    name = "envelope-complete"

    def __init__(self, required: Sequence[str] = REQUIRED) -> None:
        super().__init__()
        self._required = tuple(required)
        self._bodies: dict[str, tuple[str, int]] = {}  # key -> (body as sent first, event)
        self._ids: dict[str, str] = {}  # message id -> key
        self._judged = 0
        self._unread = 0
        self._moved = 0

    def on_move(self, event: Event) -> None:
        self._moved += self.ledger.roles.get(event["to"]) == DEAD_LETTER

    def on_send(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.sent_n != event["n"]:
            return
        body = event.get("body")
        if copy.role != DEAD_LETTER or event.get("origin") == "workload":
            self._ids[copy.message] = copy.entry.key
            if body is not None:
                self._bodies.setdefault(copy.entry.key, (body, event["n"]))
            return
        if body is None:
            self._unread += 1
            return
        self._judged += 1
        problem = self._problem(body, copy.entry.key)
        if problem:
            original = self._bodies.get(copy.entry.key, ("", 0))
            self.violate(f'the dead letter of message "{copy.entry.key}" {problem}', original[1], event["n"])

    def _problem(self, body: str, key: str) -> str:
        """What is wrong with a dead letter; "" if nothing is."""
        original = self._bodies.get(key)
        if original is not None and body == original[0]:
            return ""
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict) or "originalMessage" not in document:
            return "" if original is None else "holds neither the original body nor an envelope with originalMessage"
        # The whole of it is in a store of the user's; SQS takes no message with an empty body.
        checked = document["originalMessage"] == "" and bool(document.get("payloadReference"))
        missing = [name for name in self._required if document.get(name) in (None, "")]
        if missing and not (checked and missing == ["originalMessage"]):
            return f"lacks {', '.join(missing)}"
        if original is not None and not checked and not _same(document["originalMessage"], original[0]):
            return "holds another body than the message had"
        if "failedAt" in self._required and not _is_time(document["failedAt"]):
            return f"says failedAt {document['failedAt']!r}, which is no time with a zone"
        told = self._ids.get(str(document.get("originalMessageId")))
        if "originalMessageId" in self._required and told != key:
            return f"names the message id {document.get('originalMessageId')!r}, which is not one of that message"
        return ""

    def conclude(self) -> Verdict:
        if self._judged:
            return self.holds(f"{plural(self._judged, 'dead letter')} of a consumer, each whole")
        if self._unread:
            return self.inconclusive(
                f"{plural(self._unread, 'dead letter')} cannot be read in this history: set record_bodies=True"
            )
        if self._moved:
            return self.inconclusive("SQS itself moved every dead letter, so there is no envelope to judge")
        return self.inconclusive('no message was dead-lettered: add Fault("handler", "poison", keys=["3"])')


def _same(value: Any, body: str) -> bool:
    """Whether an envelope's original message is *body*: the text itself, or the JSON value that it says."""
    if isinstance(value, str):
        return value == body
    try:
        return bool(json.loads(body) == value)
    except ValueError:
        return False


def _is_time(value: object) -> bool:
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False


class NotProcessedAndDeadLettered(ExcusingInvariant):
    """At the end no message has both taken effect and a copy in a dead-letter queue.

    *delivered_twice*: excused are messages that SQS delivered once more while
    an earlier delivery was still in force (the fault model sets it where no
    store is declared).
    """

    name = "not-processed-and-dead-lettered"

    def __init__(self, excused: Sequence[str] = (), delivered_twice: bool = False) -> None:
        super().__init__(excused)
        self._hidden: dict[str, float] = {}  # by message: until when its last delivery is in force
        self._twice: set[str] = set()  # keys
        if delivered_twice:
            self.listening += [("receive", self._hide), ("visibility", self._hide), ("delete", self._forget)]

    def _hide(self, event: Event) -> None:
        message = event["message"]
        copy = self.ledger.copies.get(message)
        if copy is not None and event["kind"] == "receive" and self._hidden.get(message, 0.0) > event["t"]:
            self._twice.add(copy.entry.key)
        self._hidden[message] = event.get("visible_at") or 0.0  # not every broker hides

    def _forget(self, event: Event) -> None:
        self._hidden.pop(event["message"], None)

    def _excused(self, entry: Entry) -> bool:
        first, second = sorted((entry.effect_n, entry.dead_n))
        return entry.key in self._twice or self.excuses.between(first, second, entry.key)

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if not ledger.effect_names:
            return self.inconclusive(ledger.declare_an_effect())
        if not ledger.complete:
            return self.inconclusive(ledger.incomplete())
        dead = [entry for entry in ledger.sources() if entry.dead]
        both = [entry for entry in dead if entry.effects > 0 and not self._excused(entry)]
        if both:
            evidence: list[int] = []
            for entry in both[:SHOWN]:
                evidence += [entry.sent_n, entry.effect_n, entry.dead_n]
            first = both[0]
            return self.violate(
                f"{plural(len(both))} both processed and dead-lettered: {some([entry.key for entry in both])}. "
                f'Message "{first.key}" took effect (event {first.effect_n}) and is in the dead-letter queue '
                f"(event {first.dead_n})",
                *evidence,
            )
        if not dead:
            return self.inconclusive('no message was dead-lettered: add Fault("handler", "poison", keys=["3"])')
        forgiven = sum(entry.effects > 0 for entry in dead)
        but = f" but {forgiven} that a fault excuses" if forgiven else ""
        return self.holds(f"{plural(len(dead))} in the dead-letter queue, none of them processed{but}")


class ReplayOnce(LedgerInvariant):
    """A replay returns every dead letter that it takes, exactly once.

    A *return* is a send (of a process) or a move of the message's key from
    dead letters back to a source queue. No key returns more often than it
    was dead-lettered, and a dead letter that is deleted has returned, or its
    key takes effect afterwards. *at_least*: more returns than dead letters
    are allowed (the fault model sets it where a crash makes them unavoidable).
    """

    name = "replay-once"

    def __init__(self, at_least: bool = False) -> None:
        super().__init__()
        self._at_least = at_least
        self._letters: dict[str, int] = {}
        self._returns: dict[str, list[int]] = {}
        self._removed: dict[str, list[int]] = {}
        self._effects: dict[str, int] = {}
        self._dead: dict[str, str] = {}  # messages that are dead letters -> their keys

    def on_send(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.sent_n != event["n"]:
            return
        key = copy.entry.key
        if copy.role == DEAD_LETTER:
            self._letters[key] = self._letters.get(key, 0) + 1
            self._dead[copy.message] = key
        elif copy.role == SOURCE and key in self._letters and event.get("origin") != "workload":
            self._returned(key, event)

    def on_move(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None:
            return
        key = copy.entry.key
        if copy.role == DEAD_LETTER:
            self._letters[key] = self._letters.get(key, 0) + 1
            self._dead[copy.message] = key
        elif self._dead.pop(copy.message, None) is not None:
            self._removed.setdefault(key, []).append(event["n"])
            if copy.role == SOURCE:
                self._returned(key, event)

    def _returned(self, key: str, event: Event) -> None:
        returns = self._returns.setdefault(key, [])
        returns.append(event["n"])
        if len(returns) > self._letters[key] and not self._at_least:
            self.violate(
                f'message "{key}" was dead-lettered {plural(self._letters[key], "time")} and came back '
                f"{plural(len(returns), 'time')}",
                self.ledger.entries[key].dead_n,
                *returns,
            )

    def on_delete(self, event: Event) -> None:
        # The ledger may have forgotten the message already, and the event need not hold its key.
        key = None if event.get("found") is False else self._dead.pop(event["message"], None)
        if key is None:
            return
        self._removed.setdefault(key, []).append(event["n"])

    def on_effect(self, event: Event) -> None:
        self._effects[str(event["key"])] = event["n"]

    def conclude(self) -> Verdict:
        if not self._returns and not self._removed:
            return self.inconclusive("no dead letter was replayed: let a process replay the dead-letter queue")
        if not self.ledger.complete:
            return self.inconclusive(self.ledger.incomplete())
        for key, removed in self._removed.items():
            returns = len(self._returns.get(key, ()))
            if returns < len(removed) and self._effects.get(key, 0) < removed[-1]:
                return self.violate(
                    f'a dead letter of message "{key}" was deleted and did not come back',
                    self.ledger.entries[key].dead_n,
                    removed[-1],
                )
        returned = sum(len(returns) for returns in self._returns.values())
        return self.holds(f"{plural(returned, 'dead letter')} came back, each once")
