"""The one operation of STS that code asks for everywhere: who am I."""

from __future__ import annotations

from typing import Any

from harness.sim.services.errors import ServiceError
from harness.sim.verdicts import Verdict

__all__ = ["StsService"]


class StsService:
    """Answers GetCallerIdentity with the run's account."""

    def __init__(self, account: str = "000000000000") -> None:
        self.account = account

    def call(
        self, operation: str, parameters: dict[str, Any], *, region: str, twist: Verdict | None = None
    ) -> dict[str, Any]:
        """Carry out an operation. Raises ServiceError for any other than GetCallerIdentity."""
        if operation != "GetCallerIdentity":
            raise ServiceError(
                "InvalidAction", "InvalidAction", f"The simulation's STS does not have the operation {operation}."
            )
        return {
            "UserId": "AIDASIMULATEDCALLER01",
            "Account": self.account,
            "Arn": f"arn:aws:iam::{self.account}:user/harness",
        }
