"""A skip is honest: by name where something is missing, a failure where it was promised."""

from __future__ import annotations

import pytest

from tests.requirements import require, require_elasticmq


def test_what_is_missing_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program the test that needs it is skipped and says what is missing."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("HARNESS_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="redis-server"):
        require("redis")


def test_what_was_promised_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """HARNESS_REQUIRE turns that skip into a failure."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HARNESS_REQUIRE", "toxiproxy, redis")
    with pytest.raises(pytest.fail.Exception, match="HARNESS_REQUIRE names redis"):
        require("redis")


def test_elasticmq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its jars are somewhere, or the test is skipped, or fails where they were promised."""
    monkeypatch.delenv("ELASTICMQ_JARS", raising=False)
    monkeypatch.delenv("HARNESS_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ELASTICMQ_JARS"):
        require_elasticmq()
    monkeypatch.setenv("HARNESS_REQUIRE", "elasticmq")
    with pytest.raises(pytest.fail.Exception, match="HARNESS_REQUIRE names elasticmq"):
        require_elasticmq()
