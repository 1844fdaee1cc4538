"""The page of all kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.faults.kinds import LAYERS, all_kinds, for_layer, layer_kinds
from harness.faults.reference import markdown

ROOT = Path(__file__).parents[3]

#: Kinds and parameters as they were published: plans of users name them.
PUBLISHED = {
    "workload": "malformed foreign empty oversized",
    "handler": "transient(error) permanent(error) slow(seconds) hang poison(keys)",
    "aws": "throttled unavailable internal-error timeout access-denied expired-token clock-skew(seconds)",
    "sqs": "partial-failure(share) duplicate reorder delay(seconds) empty-receive stale-attributes",
    "redis": "refused timeout loading readonly out-of-memory flushed failover(lost_seconds)",
    "dependency": "status(code,retry_after) slow(seconds) reset timeout",
    "process": "crash(restart_after) sigterm(grace) pause(seconds) slow-start(seconds)",
    "clock": "jump(seconds) drift(rate)",
}


def test_the_page_is_current() -> None:
    """docs/faults.md is what the code says: python -m harness.faults.kinds > docs/faults.md."""
    assert (ROOT / "docs" / "faults.md").read_text(encoding="utf-8") == markdown()


def test_the_module_prints_the_page() -> None:
    """The command of the page works."""
    printed = subprocess.run(
        [sys.executable, "-m", "harness.faults.kinds"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert printed.stdout == markdown()


def test_published_kinds_stay() -> None:
    """No published kind or parameter has gone or changed its name."""
    for layer, published in PUBLISHED.items():
        assert {
            kind.name + (f"({','.join(one.name for one in kind.parameters)})" if kind.parameters else "")
            for kind in layer_kinds(layer)
        } == set(published.split())


def test_every_kind_is_on_the_page() -> None:
    """Each kind has a row, a summary that is a sentence, and defaults that its parameters accept."""
    page = markdown()
    for kind in all_kinds():
        assert f"| `{kind.name}` |" in page
        assert kind.summary.endswith((".", ")"))
        assert len(kind.check_parameters({})) == len(kind.parameters)
    assert all(for_layer(layer) for layer in LAYERS)
