"""What the probes of whole consumers ask for beside the invariants of every scenario.

Like those they are folds over a history; a run in which there was nothing to
judge is inconclusive, which a probe counts as not tried.
"""

from __future__ import annotations

from collections import Counter

from harness.history import Event
from harness.invariants.base import Invariant, Spec, Verdict, make_spec
from harness.invariants.ledger import DEAD_LETTER, LedgerInvariant

__all__ = ["contained", "envelope_lossless", "no_needless_redelivery", "response_well_formed", "stops"]

#: Kinds of strikes that a message may suffer without any delivery being wasted by them.
_OF_THE_MESSAGE = frozenset({"poison", "transient", "permanent", "malformed", "foreign", "empty", "oversized"})
#: Kinds that say nothing against the consumer where it is asked to have no trouble with good messages.
_BAD_MESSAGE = frozenset({"poison", "malformed", "foreign", "empty", "oversized"})


class Contained(LedgerInvariant):
    """A message without an effect is set aside after *within* deliveries, and as many more as faults took.

    Each strike (a call that failed, a crash, a delivery made twice) may cost
    one delivery that is no attempt, and no more than one: who keeps counts
    where a crash or a failover takes them all away tries a message too often.
    """

    name = "contained"

    def __init__(self, within: int) -> None:
        super().__init__()
        self._within = within
        self._strikes = 0
        self._strikes_at: dict[str, int] = {}  # by key, when it was sent
        self._counts: Counter[str] = Counter()

    def on_fault_strike(self, event: Event) -> None:
        self._strikes += event["fault_kind"] not in _OF_THE_MESSAGE

    def on_call_failed(self, event: Event) -> None:
        self._strikes += event.get("fault") is not None  # what the service itself refused was asked wrongly

    def on_lambda_throttled(self, event: Event) -> None:
        self._strikes += 1

    def on_send(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is not None:
            self._strikes_at.setdefault(copy.entry.key, self._strikes)

    def on_receive(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.role == DEAD_LETTER:
            return
        entry = copy.entry
        if entry.effects > 0 or entry.quarantined:
            return
        self._counts[entry.key] += 1
        count, spent = self._counts[entry.key], self._strikes - self._strikes_at.get(entry.key, 0)
        if count > self._within + spent:
            but = f", and {spent} that faults may have cost" if spent else ""
            self.violate(
                f'message "{entry.key}" was delivered {count} times without an effect; at most {self._within} '
                f"deliveries are allowed{but}, before it is set aside",
                copy.first_n,
                event["n"],
            )

    def conclude(self) -> Verdict:
        tried = [entry for entry in self.ledger.sources() if entry.dead_n or entry.quarantine_n]
        if not tried:
            return self.inconclusive("no message failed")
        return self.holds("every message that failed was set aside in time")


class NoNeedlessRedelivery(LedgerInvariant):
    """As long as nothing goes wrong but with bad messages, a good one is delivered once."""

    name = "no-needless-redelivery"

    def __init__(self) -> None:
        super().__init__()
        self._struck = False
        self._bad: set[str] = set()  # keys
        self._good = 0

    def on_fault_strike(self, event: Event) -> None:
        if event["fault_kind"] in _BAD_MESSAGE and event.get("key") is not None:
            self._bad.add(str(event["key"]))
        else:
            self._struck = True

    def on_handler_end(self, event: Event) -> None:
        if event.get("outcome") == "error" and event.get("key") is not None:
            self._bad.add(str(event["key"]))

    def on_lambda_throttled(self, event: Event) -> None:
        self._struck = True

    def on_receive(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.role == DEAD_LETTER or self._struck or copy.entry.key in self._bad:
            return
        if copy.receives <= 1:
            self._good += 1
            return
        among = f"; message {_some(self._bad)} had failed" if self._bad else ""
        done = " although it had been handled" if copy.entry.effects > 0 else ""
        self.violate(
            f'message "{copy.entry.key}", with which nothing was wrong, was delivered again{done}{among}',
            copy.first_n,
            copy.entry.effect_n,
            event["n"],
        )

    def conclude(self) -> Verdict:
        if self._struck or not self._good:
            return self.inconclusive("something went wrong, or no good message was delivered")
        return self.holds("each good message was delivered once")


def _some(keys: set[str]) -> str:
    return ", ".join(f'"{key}"' for key in sorted(keys)[:3])


class Stops(Invariant):
    """A consumer that handles SIGTERM ends within the grace, where nothing else strikes meanwhile."""

    name = "stops"

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[str, int] = {}  # process -> event
        self._ended = 0

    def on_process_sigterm(self, event: Event) -> None:
        if event.get("handled"):
            self._asked.setdefault(event["process"], event["n"])

    def on_process_exit(self, event: Event) -> None:
        self._ended += self._asked.pop(event["process"], None) is not None

    def on_fault_strike(self, event: Event) -> None:
        if event["fault_kind"] != "sigterm":
            self._asked.clear()

    def on_call_failed(self, event: Event) -> None:
        self._asked.clear()

    def on_process_crash(self, event: Event) -> None:
        asked = self._asked.pop(event["process"], None)
        if asked is not None:
            self.violate(
                f"{event['process']} took SIGTERM and went on: it was killed when the grace was over",
                asked,
                event["n"],
            )

    def conclude(self) -> Verdict:
        if not self._ended:
            return self.inconclusive("nobody who handles SIGTERM was sent it")
        return self.holds("who was told to stop did")


class EnvelopeLossless(Invariant):
    """What a message held is in its dead letter; the stage says where something is not."""

    name = "envelope-lossless"

    def __init__(self) -> None:
        super().__init__()
        self._letters = 0

    def on_assert_always(self, event: Event) -> None:
        name = str(event["name"])
        if name.startswith("envelope: ") and not event["held"]:
            self.violate(name.removeprefix("envelope: "), event["n"])

    def on_send(self, event: Event) -> None:
        self._letters += event.get("origin") != "workload"

    def conclude(self) -> Verdict:
        if not self._letters:
            return self.inconclusive("the consumer sent no dead letter")
        return self.holds("each dead letter holds the whole message")


class ResponseWellFormed(Invariant):
    """Where nothing strikes but bad messages, what the function returns is of the form that Lambda reads."""

    name = "response-well-formed"

    def __init__(self) -> None:
        super().__init__()
        self._struck = False
        self._answers = 0

    def on_fault_strike(self, event: Event) -> None:
        self._struck = self._struck or event["fault_kind"] not in _BAD_MESSAGE

    def on_lambda_answer(self, event: Event) -> None:
        self._answers += event["outcome"] in ("success", "partial", "malformed")
        if event["outcome"] == "malformed" and not self._struck:
            self.violate(
                f"the function returned what Lambda cannot read ({event.get('error')}): the whole batch comes again",
                event["n"],
            )

    def conclude(self) -> Verdict:
        if not self._answers:
            return self.inconclusive("the function never returned")
        return self.holds("what the function returned could be read")


def contained(within: int) -> Spec:
    """A message that never takes effect is put aside after *within* deliveries and as many as strikes took."""
    return make_spec(Contained, within=within)


def no_needless_redelivery() -> Spec:
    """A good message is delivered once where nothing but other messages is bad."""
    return make_spec(NoNeedlessRedelivery)


def stops() -> Spec:
    """Who handles SIGTERM ends within its grace."""
    return make_spec(Stops)


def envelope_lossless() -> Spec:
    """A dead letter holds all that the message held."""
    return make_spec(EnvelopeLossless)


def response_well_formed() -> Spec:
    """What a Lambda function returns can be read."""
    return make_spec(ResponseWellFormed)
