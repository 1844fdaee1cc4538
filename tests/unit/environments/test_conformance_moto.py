"""moto in a simulation differs from AWS where the table says so, and nowhere else."""

from __future__ import annotations

from importlib import metadata

import pytest

from harness.environments.conformance import try_simulated
from harness.fidelity.known import known
from harness.fidelity.table import rows
from tests.unit.environments.test_conformance import found


@pytest.mark.skipif(
    metadata.version("moto") != known()["moto"].version,
    reason=f"the table is of moto {known()['moto'].version}: python -m benchmarks.fidelity --try",
)
def test_moto_differs_as_the_table_says() -> None:
    """On moto, on virtual time, the same cases differ as the table has it. Its query protocol needs its server."""
    tried = [row for row in rows() if row.family != "The wire" and "StartMessageMoveTask" not in known_text(row.id)]
    here = found(try_simulated(tried, backend="moto"))
    table = known()["moto"].rows
    assert {id: bool(detail) for id, detail in here.items()} == {id: bool(table[id]) for id in here}
    assert len(here) > 200


def known_text(id: str) -> str:
    return known()["moto"].rows.get(id, "")
