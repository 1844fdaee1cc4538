"""Tests of the self-checks of private names."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import compat
from harness.errors import EnvironmentFailed

ROOT = Path(__file__).resolve().parents[2]


def test_this_interpreter_is_served() -> None:
    """The interpreter that the tests run on passes both checks."""
    compat.check_interpreter()
    compat.check_threading()


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (4, 0)])
def test_another_version_is_refused_in_one_sentence(version: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the versions that are served and the one that is there."""
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    with pytest.raises(
        EnvironmentFailed, match=rf"CPython 3\.11, 3\.12, 3\.13; this is cpython {version[0]}\."
    ) as error:
        compat.check_interpreter()
    assert "\n" not in str(error.value)


def test_a_free_threaded_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the GIL the kernel's switches would not be the only ones."""
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: 1 if name == "Py_GIL_DISABLED" else None)
    with pytest.raises(EnvironmentFailed, match="free-threaded"):
        compat.check_interpreter()


def test_another_implementation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy has other greenlets and other clocks."""
    monkeypatch.setattr(sys, "implementation", SimpleNamespace(name="pypy"))
    with pytest.raises(EnvironmentFailed, match="this is pypy"):
        compat.check_interpreter()


def test_the_refusal_comes_with_the_import_and_not_for_production_code() -> None:
    """`import harness.sim` is refused; `harness.resilience` and `harness.points` can be imported."""
    program = (
        "import sys, sysconfig\n"
        "real = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else real(name)\n"
        "import harness.resilience, harness.points\n"
        "from harness.errors import EnvironmentFailed\n"
        "try:\n    import harness.sim\nexcept EnvironmentFailed as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("harness.sim needs an interpreter with the GIL"), done.stderr


def test_importing_the_package_of_the_simulation_is_light() -> None:
    """`import harness.sim` alone loads neither greenlet nor asyncio nor boto3."""
    program = (
        "import sys, harness.sim; print([m for m in ('greenlet', 'asyncio', 'boto3', 'redis') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_environ_is_swapped_and_given_back() -> None:
    """swap_environ shows another environment, and returns what to show afterwards."""
    before = dict(os.environ)
    real = compat.swap_environ(compat.environ_data({"ONLY": "this"}))
    try:
        assert dict(os.environ) == {"ONLY": "this"}
        if os.supports_bytes_environ:
            assert dict(os.environb) == {b"ONLY": b"this"}
    finally:
        compat.swap_environ(real)
    assert dict(os.environ) == before


def test_a_method_of_a_type_of_c_is_replaced_and_put_back() -> None:
    """Instances begin by the function, heirs' too; afterwards the type has its own method again, the same object."""

    class Heir(collections.deque[int]):
        pass

    before = collections.deque.__dict__["__init__"]
    restore = compat.set_method((collections.deque,), "__init__", lambda self, items: before(self, [*items, 7]))
    try:
        assert [list(collections.deque([1])), list(Heir([2]))] == [[1, 7], [2, 7]]
    finally:
        restore()
    assert collections.deque.__dict__["__init__"] is before
    assert [list(collections.deque([1])), list(Heir([2]))] == [[1], [2]]


def test_an_interpreter_that_keeps_a_method_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written where the pointer is not known to be; the sentence names type, method and version."""
    version = sys.version.split()[0]
    for place in (16, 36):  # tp_call, tp_dictoffset
        monkeypatch.setattr(compat, "_SLOTS", {"__init__": place})
        with pytest.raises(EnvironmentFailed, match=rf"Python {version}: deque\.__init__ is not in its place"):
            compat.set_method((collections.deque,), "__init__", lambda self: None)
    assert list(collections.deque([1])) == [1]
