"""The check of botocore's private names."""

from __future__ import annotations

from collections.abc import Iterator

import botocore
import pytest

from harness.errors import EnvironmentFailed
from harness.sim.wire import botocore as wire
from harness.sim.wire import botocore_privates as privates


@pytest.fixture
def wire_out() -> Iterator[None]:
    """The wire is out, whoever put it in before; afterwards it is as it was."""
    before = wire.installed()
    wire.uninstall()
    yield
    if before:
        wire.install()


def test_this_version_has_them() -> None:
    """The installed version of botocore has every private name."""
    privates.check()


@pytest.mark.usefixtures("wire_out")
@pytest.mark.parametrize("owner", [owner for owner, names in privates._NEEDED if names])
def test_a_missing_name_is_refused(monkeypatch: pytest.MonkeyPatch, owner: object) -> None:
    """A version that lacks a name is refused with version and name, before anything is patched."""
    name = next(names[0] for known, names in privates._NEEDED if known is owner)
    send = vars(privates.httpsession.URLLib3Session).get("send")
    monkeypatch.delattr(owner, name)
    with pytest.raises(EnvironmentFailed) as caught:
        wire.install()
    assert botocore.__version__ in str(caught.value)
    assert name in str(caught.value)
    if name != "send":
        assert vars(privates.httpsession.URLLib3Session)["send"] is send
