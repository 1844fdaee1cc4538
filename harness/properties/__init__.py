"""Property packs: what a retry policy or a circuit breaker has to keep, tried on anybody's component in virtual time.

::

    from harness.properties import RetryContract, check_retry_policy

    def test_our_retries():
        check_retry_policy(RetryContract(call=policy.execute, transient=ConnectionError, permanent=ValueError,
                                         max_attempts=4, delay_bounds=lambda attempt: (0, 2.0 ** (attempt - 2))))

``check_*`` raises one error that tells every property that fails, each with
the smallest example found; :func:`probe` gives the same as a value.

* ``contract``: what a component promises; ``report``: what came of it.
* ``retry``, ``retry_case``: the properties of a policy, and how it is put to work; ``breaker*`` likewise.
* ``bench``: one run in virtual time; ``search``: examples drawn by Hypothesis, and made smaller.
* ``adapters``: ready contracts for known libraries.
"""

from __future__ import annotations

from harness.errors import UsageError
from harness.properties.breaker import probe_breaker
from harness.properties.contract import BreakerContract, RetryContract
from harness.properties.report import Finding, PropertiesFailed, PropertyResult, Report
from harness.properties.retry import probe_retry

__all__ = [
    "BreakerContract",
    "Finding",
    "PropertiesFailed",
    "PropertyResult",
    "Report",
    "RetryContract",
    "check_circuit_breaker",
    "check_retry_policy",
    "probe",
]


def probe(
    contract: RetryContract | BreakerContract, *, seed: int = 0, examples: int = 200, max_seconds: float = 60
) -> Report:
    """Look for examples that break *contract*, in at most about *max_seconds* of real time.

    The same seed, contract and code give the same report, unless the time ran out.

    Raises:
        UsageError: *contract* is no contract.
    """
    if isinstance(contract, RetryContract):
        return probe_retry(contract, seed=seed, examples=examples, max_seconds=max_seconds)
    if isinstance(contract, BreakerContract):
        return probe_breaker(contract, seed=seed, examples=examples, max_seconds=max_seconds)
    raise UsageError(f"{contract!r} is no contract", remedy="Give a RetryContract or a BreakerContract")


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
