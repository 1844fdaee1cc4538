"""``harness probe``: is a component what its contract says?"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, seed_option, write_file
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.properties import Contract, Report

__all__ = ["command"]

#: What can be probed, and the contract that says what it promises.
_KINDS = {
    "retry": "RetryContract",
    "breaker": "BreakerContract",
    "dead-letter": "DeadLetterContract",
    "idempotency": "IdempotencyContract",
    "lambda": "LambdaContract",
    "consumer": "ConsumerContract",
}


@click.command("probe")
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.argument("target", metavar="MODULE:FACTORY")
@seed_option
@click.option("--examples", type=click.IntRange(1), default=200, show_default=True, help="How many to try.")
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    help="Stop after about so long, with what it has.",
)
@json_option
def command(kind: str, target: str, seed: int | None, examples: int, max_seconds: float, json: str | None) -> int:
    """Try the properties of a component, in virtual time: a retry policy, a circuit breaker, a consumer with dead
    letters, idempotent code, a Lambda function, a whole consumer.

    FACTORY takes no argument and returns a contract of harness.properties (RetryContract, BreakerContract,
    DeadLetterContract, IdempotencyContract, LambdaContract, ConsumerContract). Every property that fails is told with
    its smallest example.

    Exit code: 0 no property fails, 1 one does, 4 nothing could be tried.
    """
    output_file(json, "--json")
    from harness import runner
    from harness.properties import probe

    runner.install()  # before the component is imported
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    contract = _contract(kind, target)
    number = 0 if seed is None else seed
    report = probe(contract, seed=number, examples=examples, max_seconds=max_seconds)
    click.echo(str(report), file=sys.stderr if json == "-" else sys.stdout)
    if json is not None:
        write_file(json, _json(report, f"harness probe {kind} {target} --seed {number} --examples {examples}"))
    if report.findings:
        return 1
    return 0 if any(one.verdict == "holds" for one in report.properties) else 4


def _contract(kind: str, target: str) -> Contract:
    from harness import properties
    from harness.loading import resolve

    wanted: type[Any] = getattr(properties, _KINDS[kind])
    if ":" not in target:
        raise UsageError(f"is {target!r}", field="MODULE:FACTORY", remedy="Give it as package.module:function")
    factory = resolve(target, field="MODULE:FACTORY")
    made = factory() if callable(factory) else factory
    if not isinstance(made, wanted):
        raise UsageError(
            f"gives {type(made).__name__}, not {wanted.__name__}",
            field=target,
            remedy=f"Return a harness.properties.{wanted.__name__}",
        )
    contract: Contract = made
    return contract


def _json(report: Report, replay: str) -> bytes:
    import orjson

    document = report.to_json()
    for finding in document["findings"]:
        finding["replay"] = replay
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
