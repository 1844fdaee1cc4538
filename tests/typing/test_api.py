"""The public API as a type checker sees it: decorators keep signatures, misuse is refused, protocols fit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from harness.resilience import _MODULES
from tests.requirements import module

ROOT = Path(__file__).resolve().parents[2]


def test_typed_use_passes_the_strict_type_checker() -> None:
    """``api.py`` has no error, and none of the misuses that it marks goes unnoticed."""
    module("mypy", "dev")
    # The cache is that of `make lint`, which has looked at the same modules: without it this takes ten seconds more.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "tests/typing/api.py"]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert not outcome.stderr
    # What is wrong in the modules themselves is lint's to say.
    assert [line for line in outcome.stdout.splitlines() if line.startswith("tests/")] == []


def test_every_name_for_users_is_used() -> None:
    """What the modules of retries, breakers, budgets, idempotency and composition export stands in the typed file."""
    used = set(re.findall(r"\w+", (ROOT / "tests/typing/api.py").read_text()))
    modules = "backoff breaker breaker_store budget consumer errors idempotency producer retry windows"
    assert [name for module in modules.split() for name in _MODULES[module] if name not in used] == []
