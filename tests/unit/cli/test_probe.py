"""``harness probe``: contracts by name, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run_command
from harness.cli.probe import _contract
from harness.errors import UsageError

CONTRACTS = "tests.unit.properties.contracts"
SYSTEMS = "tests.unit.properties.system_contracts"


def run(*arguments: str) -> int:
    return run_command(["probe", *arguments, "--examples", "10"])


def test_a_right_policy_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing found: exit code 0, and what could not be tried is named."""
    assert run("retry", f"{CONTRACTS}:right_retry") == 0
    out = capsys.readouterr().out
    assert "Right: no property fails" in out
    assert "deadline-kept: nothing could be tried" in out


@pytest.mark.parametrize(
    ("kind", "factory", "broken"),
    [("retry", "wrong_retry", "attempts-bounded"), ("breaker", "wrong_breaker", "half-open-permits")],
)
def test_a_finding_ends_with_1_and_is_in_the_json(
    kind: str, factory: str, broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; the JSON has every property with its verdict, and each finding with the command that repeats it."""
    file = tmp_path / "probe.json"
    assert run(kind, f"{CONTRACTS}:{factory}", "--json", str(file), "--seed", "3") == 1
    assert f"✗ {broken}" in capsys.readouterr().out
    document: dict[str, Any] = json.loads(file.read_text())
    assert (document["kind"], document["seed"]) == (kind, 3)
    assert {one["name"]: one["verdict"] for one in document["properties"]}[broken] == "fails"
    (finding,) = document["findings"]
    assert finding["property"] == broken
    assert finding["example"]
    assert finding["evidence"]
    assert finding["level"] == "plain"
    assert finding["replay"] == f"harness probe {kind} {CONTRACTS}:{factory} --seed 3 --examples 10"


@pytest.mark.parametrize("kind", ["dead-letter", "idempotency", "lambda", "consumer"])
def test_each_kind_takes_its_contract_and_no_other(kind: str) -> None:
    """A factory of each kind is taken; one of another kind is refused with both names."""
    assert _contract(kind, f"{SYSTEMS}:wrong_{kind.replace('-', '_')}").name
    with pytest.raises(UsageError, match=r"gives RetryContract, not \w+Contract"):
        _contract(kind, f"{CONTRACTS}:right_retry")


def test_a_consumer_is_probed(tmp_path: Path) -> None:
    """Likewise with what works on queues: exit code 1, and the story of the smallest example as evidence."""
    file = tmp_path / "probe.json"
    assert run_command(["probe", "consumer", f"{SYSTEMS}:wrong_consumer", "--examples", "1", "--json", str(file)]) == 1
    document: dict[str, Any] = json.loads(file.read_text())
    assert document["kind"] == "consumer"
    finding = next(one for one in document["findings"] if one["property"] == "no-message-loss")
    assert "was deleted and the effect" in finding["example"]
    assert finding["evidence"][-1].startswith("because: ")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere_at_all:factory", "which is not there"),
        (f"{CONTRACTS}:nothing", "which tests.unit.properties.contracts does not have"),
        (CONTRACTS, "Give it as package.module:function"),
        (f"{CONTRACTS}:wrong_breaker", "gives BreakerContract, not RetryContract"),
    ],
)
def test_what_is_no_contract_ends_with_2(target: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 2."""
    assert run("retry", target) == 2
    assert message in capsys.readouterr().err
