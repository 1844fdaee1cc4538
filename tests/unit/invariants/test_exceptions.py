"""One exception class for each invariant."""

from __future__ import annotations

import pickle

import pytest

from harness import invariants
from harness.errors import InvariantViolated
from harness.invariants import exceptions
from harness.invariants.exceptions import exception_for


@pytest.mark.parametrize("name", invariants.NAMES)
def test_each_name_has_its_own(name: str) -> None:
    """Every invariant has one class, always the same, that says which it is."""
    cls = exception_for(name)
    assert issubclass(cls, InvariantViolated)
    assert exception_for(name) is cls
    assert getattr(exceptions, cls.__name__) is cls
    assert cls(name, "it broke", [3]).evidence == (3,)


def test_no_two_share_one() -> None:
    """Classes differ, so that a search tells findings apart."""
    assert len({exception_for(name) for name in invariants.NAMES}) == len(invariants.NAMES)


def test_it_can_be_pickled() -> None:
    """A finding crosses to another process whole, the class made there on demand."""
    error = exception_for("no-message-loss")("no-message-loss", "one is gone", (1, 2), "harness run x")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.invariant, copy.detail, copy.evidence, copy.command, str(copy)) == (
        error.invariant,
        error.detail,
        error.evidence,
        error.command,
        str(error),
    )


def test_other_attributes_are_missing_as_usual() -> None:
    """The module makes classes of violations and nothing else."""
    with pytest.raises(AttributeError):
        _ = exceptions.Nonsense  # type: ignore[attr-defined]
