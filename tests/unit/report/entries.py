"""Entries as a command hands them to the reports, one of each verdict."""

from __future__ import annotations

from typing import Any


def entry(name: str = "calm", verdict: str = "passed", **fields: Any) -> dict[str, Any]:
    """A full entry; *fields* replace its own."""
    base: dict[str, Any] = {
        "name": name,
        "verdict": verdict,
        "seed": 7,
        "backend": "memory",
        "simulated_seconds": 400.0,
        "wall_seconds": 0.25,
        "history": f"reports/latest/{name}/history.jsonl",
        "messages": {
            "sent": 20,
            "processed": 20,
            "dead_lettered": 0,
            "quarantined": 0,
            "in_queue": 0,
            "in_flight": 0,
            "expired": 0,
            "lost": 0,
            "duplicated": 0,
        },
        "recovery_seconds": None,
        "faults": {"aws.sqs.DeleteMessage.after": {"passed": 20, "struck": 1}},
        "invariants": [{"name": "no-message-loss", "verdict": "holds", "detail": "20 of 20", "evidence": []}],
        "objectives": [],
        "unstruck": [],
        "notes": [],
        "reason": "",
        "sentence": "The answer of DeleteMessage is lost.",
        "command": f"harness run {name} --seed 7",
    }
    return {**base, **fields}


def failed(name: str = "lossy") -> dict[str, Any]:
    """A run that lost a message."""
    broken = {"name": "no-message-loss", "verdict": "violated", "detail": "1 of 20 lost: key 3", "evidence": [12, 40]}
    return entry(name, "failed", invariants=[broken])


def one_of_each() -> list[dict[str, Any]]:
    """Every verdict once."""
    doubt = {"name": "at-least-once", "verdict": "inconclusive", "detail": "no effect is declared", "evidence": []}
    return [
        entry(),
        failed(),
        entry("broken", "error", reason="deadlock\nworker.1 waits", invariants=[]),
        entry("vague", "inconclusive", invariants=[doubt], unstruck=["redis.*: refused"]),
        entry("elsewhere", "left out", reason="it needs dramatiq", invariants=[], messages={}, history=None),
    ]
