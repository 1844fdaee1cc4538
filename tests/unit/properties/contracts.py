"""Contracts of the mutants and of the components beside them."""

from __future__ import annotations

from harness.properties import BreakerContract, RetryContract
from tests.mutants import breakers, retries


def retry_contract(kind: type[retries.Right]) -> RetryContract:
    """What every policy of the mutants promises."""

    def bounds(attempt: int) -> tuple[float, float]:
        longest = min(retries.CAP, retries.BASE * 2 ** (attempt - 2))
        return longest / 2, longest

    return RetryContract(
        call=kind().call,
        transient=ConnectionError,
        permanent=ValueError,
        max_attempts=retries.ATTEMPTS,
        delay_bounds=bounds,
        name=kind.__name__,
    )


def breaker_contract(kind: type[breakers.Right]) -> BreakerContract:
    """What every breaker of the mutants promises."""
    return BreakerContract(
        make=kind,
        call=kind.call,
        open_error=breakers.Open,
        failure=ConnectionError,
        failure_threshold=breakers.THRESHOLD,
        recovery_timeout=breakers.RECOVERY,
        ignored=ValueError,
        name=kind.__name__,
    )


def right_retry() -> RetryContract:
    """A factory, for the command line."""
    return retry_contract(retries.Right)


def wrong_retry() -> RetryContract:
    """A factory of a policy with a defect."""
    return retry_contract(retries.OneTooMany)


def wrong_breaker() -> BreakerContract:
    """A factory of a breaker with a defect."""
    return breaker_contract(breakers.UnlimitedProbes)
