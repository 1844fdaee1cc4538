"""Which rules of SQS the verdict of an invariant rests on, by the ids of ``docs/sqs-fidelity.md``.

A verdict of a simulation says something about production only as far as SQS
does there what it does here. Named are the rules without which the verdict
could be another one; a report shows those among them that nobody has
recorded on AWS. An invariant of one's own may name its rules by a class
attribute ``rests_on``; its spec tells them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["RULES"]

_DELIVERY = ("hidden-after-receive", "delete", "delete-with-superseded-handle", "delete-after-expiry-standard")
_DEAD_LETTERS = ("moves-at-the-next-receive", "dead-letter-keeps-itself", "receive-gives-the-others")
_RETENTION = ("retention", "retention-in-flight", "retention-runs-on-standard")
_BACKLOG = ("hidden-after-receive", "long-poll-returns-at-once", "back-after-three-receives")

RULES: Mapping[str, tuple[str, ...]] = {
    "no-message-loss": (*_DELIVERY, *_DEAD_LETTERS, *_RETENTION),
    "at-least-once": ("hidden-after-receive", "change-to-zero", *_DEAD_LETTERS, *_RETENTION),
    "effects-once": (*_DELIVERY, "change-counts-from-the-call"),
    "duplicates-bounded": (*_DELIVERY, "receive-with-its-own-timeout", "change-counts-from-the-call"),
    "fifo-order": (
        "group-in-order",
        "group-in-flight-gives-nothing",
        "group-again-after-timeout",
        "second-extended",
        "first-set-to-zero",
        "partial-delete",
        "delete-after-expiry-fifo",
        "fifo-never-reorders",
        "fifo-group-free-after-move",
    ),
    "batch-integrity": (
        "batch-answer",
        "batch-all-failed",
        "batch-oversized-entry",
        "batch-forbidden-character",
        "batch-bad-delay",
        "delete-batch",
        "delete-batch-bad-handle",
    ),
    "not-stuck": ("hidden-after-receive", "change-holds-once", "long-poll-wakes", "back-after-three-receives"),
    "poison-contained": (
        *_DEAD_LETTERS,
        "receive-with-timeout-zero",
        "receive-count-goes-on",
        "back-with-redrive-policy",
    ),
    "envelope-complete": ("ten-attributes", "eleven-attributes", "size-over-1-mib", "size-of-attributes"),
    "not-processed-and-dead-lettered": (*_DELIVERY, *_DEAD_LETTERS),
    "replay-once": (*_DELIVERY, "moved-message-is-new", "move-back-to-source"),
    "recovers-within": _BACKLOG,
    "backlog-drains": _BACKLOG,
    "throughput-returns": _BACKLOG,
    "not-metastable": _BACKLOG,
    "amplification-bounded": ("hidden-after-receive", "moves-at-the-next-receive", "long-poll-empty"),
}
