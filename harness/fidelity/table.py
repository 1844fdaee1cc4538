"""The table: every rule of SQS that stands in ``docs/sqs-fidelity.md``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping

from harness.fidelity.rows import Row, registered

__all__ = ["MODULES", "by_id", "rows", "unconfirmed"]

#: Where the rules are, one module a family.
MODULES = (
    "sqs_queues",
    "sqs_tags",
    "sqs_attributes",
    "sqs_sending",
    "sqs_batches",
    "sqs_receiving",
    "sqs_visibility",
    "sqs_fifo_sending",
    "sqs_fifo_order",
    "sqs_dead_letters",
    "sqs_moves",
    "sqs_wire",
)


@functools.cache
def rows() -> tuple[Row, ...]:
    """Every rule, by number."""
    for module in MODULES:
        importlib.import_module(f"harness.fidelity.{module}")
    return registered()


@functools.cache
def by_id() -> Mapping[str, Row]:
    """Every rule by its id."""
    return {row.id: row for row in rows()}


def unconfirmed(ids: Iterable[str]) -> list[Row]:
    """Those of the rules that nobody has recorded on AWS yet, by number.

    Raises:
        KeyError: there is no rule of that id.
    """
    table = by_id()
    return sorted((row for row in {table[id] for id in ids} if not row.source.confirmed), key=lambda row: row.number)
