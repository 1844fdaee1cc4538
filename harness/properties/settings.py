"""The settings that the probes of whole consumers share: queues, workers, messages, and what else may strike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.explore.plans import Possible
from harness.faults.plan import Fault, FaultPlan
from harness.properties.stage import MAIN, SQLITE, Stage
from harness.properties.watching import BEFORE, EFFECT
from harness.scenario import Workload

__all__ = ["ATTRIBUTES", "KEEPER", "POLL_S", "messages", "poison", "rounds", "spoilt", "strikes", "worth"]

#: A receive that does not say how long it waits, waits so many seconds.
POLL_S: Final = 20
#: The process that holds what workers share.
KEEPER: Final = "keeper"

#: As many attributes as SQS allows (10), of every type.
ATTRIBUTES: Final[Mapping[str, Mapping[str, Any]]] = {
    **{
        f"field{number}": {"DataType": "String", "StringValue": f"value {number} of {{field}} é"}
        for number in range(1, 8)
    },
    "amount": {"DataType": "Number", "StringValue": "12.5"},
    "version": {"DataType": "Number.int", "StringValue": "7"},
    "checksum": {"DataType": "Binary", "BinaryValue": b"\x00\xff\xfe\x80"},
}

_HANDLER_KINDS: Final = frozenset({"transient", "permanent", "slow", "hang", "poison"})
_QUIET_S: Final = 300
_FAILURES: Final = frozenset({"transient", "permanent", "hang", "poison"})
_SPOILT: Final = ("malformed", "foreign", "empty")


def messages(stage: Stage, number: int, *, per_second: float | None = None, attributes: bool = False) -> Workload:
    """*number* messages to the main queue, all at once or *per_second*."""
    return Workload(
        to=MAIN,
        messages=number,
        per_second=per_second,
        body=stage.body,
        key=stage.path,
        attributes=(lambda number: ATTRIBUTES) if attributes else None,
    )


def poison(stage: Stage, point: str = BEFORE, *, number: int = 1) -> FaultPlan:
    """The effect of message *number*, from 1, fails each time that it is tried."""
    return FaultPlan([Fault(point, "poison", keys=[stage.message(number)])])


def spoilt(kind: str) -> FaultPlan:
    """The first message is one that cannot be read."""
    return FaultPlan([Fault(f"workload.{MAIN}", kind, nth=1)])


def rounds(max_receives: int | None, visibility: float) -> float:
    """The visibility timeout of the dead-letter queue: three times the longest one is how long a run goes on.

    That has to be enough for a call without an answer (a minute), and for every delivery that a message may have.
    """
    return min(43_200, max(_QUIET_S / 3, (2 + (max_receives or 3) // 3) * visibility))


def strikes(number: int, *, attributes: bool = False) -> tuple[Possible, ...]:
    """What the outside world may do to *number* messages, beside what a search draws by itself.

    *attributes*: the messages have as many as SQS allows already, so that no foreign ones come.
    """
    kinds = [kind for kind in _SPOILT if not (attributes and kind == "foreign")]
    return tuple(Possible(f"workload.{MAIN}", kind, "before", number, ("nth",), ({},)) for kind in kinds)


def worth(*, handler: bool, for_ever: bool = False) -> Callable[[Possible], bool]:
    """What is tried: nothing of the keeper, and nothing that raises in the middle of a library.

    *handler*: whether the effect may fail in the component's hands; *for_ever*: again and again for one message.
    """

    def keep(possible: Possible) -> bool:
        target, kind = possible.target, possible.kind
        if target.endswith(f".{KEEPER}"):
            return False
        if kind == "poison" and possible.side != "before":
            return False  # the effect happens and the handler fails for ever: nobody can tell
        if target == SQLITE:
            return kind not in _HANDLER_KINDS
        if target == EFFECT:
            return kind in ("crash", "sigterm", "pause")
        if target == BEFORE:
            return (handler and (for_ever or kind != "poison")) or kind not in _FAILURES
        return True

    return keep
