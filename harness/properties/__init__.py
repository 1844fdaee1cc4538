"""Property packs: what a component has to keep, tried on anybody's in virtual time.

::

    from harness.properties import RetryContract, check_retry_policy

    def test_our_retries():
        check_retry_policy(RetryContract(call=policy.execute, transient=ConnectionError, permanent=ValueError,
                                         max_attempts=4, delay_bounds=lambda attempt: (0, 2.0 ** (attempt - 2))))

``check_*`` raises one error that tells every property that fails, each with
the smallest example found; :func:`probe` gives the same as a value.

* ``contract``, ``system_contract``: what a component promises; ``report``: what came of it.
* ``retry``, ``retry_case``: the properties of a policy, and how it is put to work; ``breaker*`` likewise.
* ``bench``: one run in virtual time; ``search``: examples drawn by Hypothesis, and made smaller.
* ``dead_letter``, ``idempotency``, ``lambdas``, ``consumer``: the properties of what works on queues, and the settings
  in which it is tried; ``rules``: invariants of their own; ``letters``: dead letters in any shape.
* ``stage``: what stands round such a component in a run; ``hunt``: the search through faults, plans and schedules.
* ``adapters``: ready contracts for known libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.errors import UsageError
from harness.properties.breaker import probe_breaker
from harness.properties.consumer import probe_consumer
from harness.properties.contract import BreakerContract, RetryContract
from harness.properties.dead_letter import probe_dead_letter
from harness.properties.idempotency import probe_idempotency
from harness.properties.lambdas import probe_lambda
from harness.properties.report import Finding, PropertiesFailed, PropertyResult, Report
from harness.properties.retry import probe_retry
from harness.properties.system_contract import (
    ConsumerContract,
    DeadLetterContract,
    IdempotencyContract,
    LambdaContract,
)

__all__ = [
    "BreakerContract",
    "ConsumerContract",
    "Contract",
    "DeadLetterContract",
    "Finding",
    "IdempotencyContract",
    "LambdaContract",
    "PropertiesFailed",
    "PropertyResult",
    "Report",
    "RetryContract",
    "check_circuit_breaker",
    "check_consumer",
    "check_dead_letter_handler",
    "check_idempotency",
    "check_lambda",
    "check_retry_policy",
    "probe",
]

#: What can be probed.
Contract: TypeAlias = (
    RetryContract | BreakerContract | DeadLetterContract | IdempotencyContract | LambdaContract | ConsumerContract
)

_PROBES: dict[type[Any], Callable[..., Report]] = {
    RetryContract: probe_retry,
    BreakerContract: probe_breaker,
    DeadLetterContract: probe_dead_letter,
    IdempotencyContract: probe_idempotency,
    LambdaContract: probe_lambda,
    ConsumerContract: probe_consumer,
}


def probe(contract: Contract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60) -> Report:
    """Look for examples that break *contract*, in at most about *max_seconds* of real time.

    Of *examples* that are drawn; what strikes alone is tried besides, at every
    point. The same seed, contract and code give the same report, unless the
    time ran out.

    Raises:
        UsageError: *contract* is no contract, or its parts do not fit one another.
    """
    for kind, one in _PROBES.items():
        if isinstance(contract, kind):
            return one(contract, seed=seed, examples=examples, max_seconds=max_seconds)
    known = ", ".join(kind.__name__ for kind in _PROBES)
    raise UsageError(f"{contract!r} is no contract", remedy=f"Give one of {known}")


def check_retry_policy(contract: RetryContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60) -> None:
    """Raise one report of all properties of a retry policy that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()


def check_circuit_breaker(
    contract: BreakerContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60
) -> None:
    """Raise one report of all properties of a circuit breaker that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()


def check_dead_letter_handler(
    contract: DeadLetterContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60
) -> None:
    """Raise one report of all properties of a consumer with dead letters that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()


def check_idempotency(
    contract: IdempotencyContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60
) -> None:
    """Raise one report of all properties of idempotent code that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()


def check_lambda(contract: LambdaContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60) -> None:
    """Raise one report of all properties of a Lambda function behind a queue that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()


def check_consumer(contract: ConsumerContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60) -> None:
    """Raise one report of all properties of a consumer that fail.

    Raises:
        PropertiesFailed: some do.
    """
    probe(contract, seed=seed, examples=examples, max_seconds=max_seconds).raise_for_findings()
