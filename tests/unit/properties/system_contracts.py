"""Contracts of the mutants that work on queues, and of what is right beside them."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import effects
from harness.properties import ConsumerContract, DeadLetterContract, IdempotencyContract, LambdaContract
from tests.mutants import consumers, dead_letters, functions, once

CHARGED = effects.point("charged")


def dead_letter_contract(kind: type[dead_letters.Right]) -> DeadLetterContract:
    """What every consumer of the mutants promises."""

    def run(sqs: Any, main: str, dlq: str, handler: dead_letters.Handler) -> None:
        kind(sqs, main, dlq, handler).run()

    return DeadLetterContract(run, dead_letters.MAX_RECEIVES, name=kind.__name__)


def once_contract(kind: type[once.Right]) -> IdempotencyContract:
    """What everything on Redis promises."""
    return IdempotencyContract(lambda message: kind().process(message), once.key_of, CHARGED, name=kind.__name__)


def sqlite_contract(process: Callable[[once.Message, sqlite3.Connection], None], path: Path) -> IdempotencyContract:
    """What everything on SQLite promises."""
    store = functools.partial(once.table, str(path))
    return IdempotencyContract(process, once.key_of, CHARGED, store=store, name=process.__name__)


def lambda_contract(name: str) -> LambdaContract:
    """What every function of the mutants promises."""
    return LambdaContract(
        f"{functions.__name__}:{name}", CHARGED, name=name, timeout=10, report_batch_item_failures=True
    )


def consumer_contract(kind: type[consumers.Right]) -> ConsumerContract:
    """What every consumer of the mutants promises."""

    def start(sqs: Any, main: str, dlq: str) -> None:
        kind(sqs, main, dlq).run()

    return ConsumerContract(start, CHARGED, redrive=consumers.MAX_RECEIVES, name=kind.__name__)


def wrong_dead_letter() -> DeadLetterContract:
    """A factory, for the command line."""
    return dead_letter_contract(dead_letters.NeverAsksForTheCount)


def wrong_idempotency() -> IdempotencyContract:
    """A factory, for the command line."""
    return once_contract(once.CheckThenActInRedis)


def wrong_lambda() -> LambdaContract:
    """A factory, for the command line."""
    return lambda_contract("swallows_then_acknowledges")


def wrong_consumer() -> ConsumerContract:
    """A factory, for the command line."""
    return consumer_contract(consumers.AcknowledgesOnError)
