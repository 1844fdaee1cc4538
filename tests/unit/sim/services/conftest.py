"""The shims and cuts, for tests that drive a service through a real client."""

from tests.unit.sim.wire.conftest import cuts

__all__ = ["cuts"]
