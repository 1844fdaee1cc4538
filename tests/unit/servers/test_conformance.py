"""The server does what AWS does, by every rule of the table."""

from __future__ import annotations

import pytest

from benchmarks.fidelity import on_server
from harness.fidelity.known import known
from harness.fidelity.table import rows
from harness.servers.aws_server import AwsServer


def differences(patience: float) -> list[tuple[str, str]]:
    """What differs, on a server of its own; its queues are gone afterwards."""
    with AwsServer(seed=1) as server:
        outcomes = on_server(server.url, list(rows()), patience)
        assert server.call(lambda: server.sqs.inventory()) == {}
    assert sum(outcome.state == "same" for outcome in outcomes) > 200
    return [(outcome.row.id, outcome.detail) for outcome in outcomes if outcome.state not in ("same", "left out")]


def test_what_need_not_wait() -> None:
    """Each case that waits a second at most passes over HTTP, those of the query protocol and of GET among them."""
    assert differences(patience=1) == []


def test_the_table_says_so() -> None:
    """In the table the harness does as AWS on every rule with a case: simulated, or by HTTP on its server."""
    assert known()["memory"].rows == {row.id: "" for row in rows() if row.run is not None}


@pytest.mark.slow
def test_the_whole_table() -> None:
    """Each case passes, those that wait for minutes too."""
    assert differences(patience=400) == []
