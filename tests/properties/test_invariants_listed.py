"""Every published invariant is held against a slow definition somewhere in this directory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness import invariants

#: The test that holds each invariant against a slow definition: its file in this directory, and its name.
BRUTE_FORCE: dict[str, tuple[str, str]] = {
    "no-message-loss": ("test_invariants", "test_counts_and_loss"),
    "at-least-once": ("test_invariants_recovery", "test_given_up_or_done"),
    "effects-once": ("test_invariants", "test_effects_once"),
    "duplicates-bounded": ("test_invariants_retry", "test_repetitions"),
    "fifo-order": ("test_invariants", "test_fifo_order"),
    "batch-integrity": ("test_invariants_batches", "test_batch_integrity"),
    "not-stuck": ("test_invariants", "test_counts_and_loss"),
    "breaker-transitions": ("test_invariants", "test_breakers"),
    "breaker-opens": ("test_invariants", "test_breakers"),
    "breaker-stays-open": ("test_invariants", "test_breakers"),
    "breaker-half-open-permits": ("test_invariants", "test_breakers"),
    "breaker-generations": ("test_invariants_breakers", "test_late_results"),
    "breaker-ignores-permanent": ("test_invariants_breakers", "test_permanent_errors"),
    "backoff-bounds": ("test_invariants_retry", "test_retries"),
    "attempts-bounded": ("test_invariants_retry", "test_retries"),
    "deadline-kept": ("test_invariants_retry", "test_retries"),
    "permanent-not-retried": ("test_invariants_retry", "test_retries"),
    "retry-budget": ("test_invariants_retry", "test_the_budget"),
    "no-herd": ("test_invariants_calls", "test_herds"),
    "poison-contained": ("test_invariants_recovery", "test_poison"),
    "envelope-complete": ("test_invariants_letters", "test_envelopes"),
    "not-processed-and-dead-lettered": ("test_invariants_recovery", "test_given_up_or_done"),
    "replay-once": ("test_invariants_letters", "test_replay_once"),
    "tried-before-dead-lettered": ("test_invariants_letters", "test_tried_before_dead_lettered"),
    "recovers-within": ("test_invariants_recovery", "test_the_first_success"),
    "backlog-drains": ("test_invariants_recovery", "test_a_backlog"),
    "throughput-returns": ("test_invariants_rates", "test_throughput_returns"),
    "not-metastable": ("test_invariants_rates", "test_not_metastable"),
    "amplification-bounded": ("test_invariants_calls", "test_amplification"),
    "level-follows-health": ("test_invariants_degradation", "test_levels"),
    "no-flapping": ("test_invariants_degradation", "test_flapping"),
    "measures-applied": ("test_invariants_degradation", "test_measures"),
    "errors-counted-once": ("test_invariants_monitoring", "test_errors_counted_once"),
    "alarms-fire-and-clear": ("test_invariants_monitoring", "test_alarms_on_errors"),
    "assertions-hold": ("test_invariants_retry", "test_assertions"),
}


def unheld(published: set[str], listed: dict[str, tuple[str, str]]) -> list[str]:
    """What is wrong with the list, a sentence each: an invariant without a test, or a test that does not judge it."""
    wrong = [f"{name}: no test holds it against a slow definition" for name in sorted(published - set(listed))]
    wrong += [f"{name}: no such invariant" for name in sorted(set(listed) - published)]
    for name, (file, test) in listed.items():
        path = Path(__file__).with_name(f"{file}.py")
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == test]
        if not found:
            wrong.append(f"{name}: {file}.py has no {test}")
        elif f"invariants.{name.replace('-', '_')}(" not in (ast.get_source_segment(text, found[0]) or ""):
            wrong.append(f"{name}: {test} does not judge it")
    return wrong


def test_every_invariant_has_a_slow_definition() -> None:
    """No published invariant is without a test against brute force, and the test named here is there and judges it."""
    assert unheld(set(invariants.NAMES), BRUTE_FORCE) == []


@pytest.mark.parametrize(
    ("published", "listed", "wrong"),
    [
        ({"fifo-order", "new-one"}, {}, "new-one: no test holds it"),
        (set(), {"gone": ("test_invariants", "test_fifo_order")}, "gone: no such invariant"),
        ({"no-herd"}, {"no-herd": ("test_invariants_calls", "test_gone")}, "test_invariants_calls.py has no test_gone"),
        ({"no-herd"}, {"no-herd": ("test_invariants_gone", "test_herds")}, "test_invariants_gone.py has no test_herds"),
        ({"no-herd"}, {"no-herd": ("test_invariants_calls", "test_amplification")}, "does not judge it"),
    ],
)
def test_what_the_list_lacks_is_told(published: set[str], listed: dict[str, tuple[str, str]], wrong: str) -> None:
    """A new invariant without a test, a test that is gone, and one that is about something else are each found."""
    assert any(wrong in line for line in unheld(published, listed))
