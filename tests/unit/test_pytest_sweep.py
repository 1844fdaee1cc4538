"""What ``pytest --chaos-sweep`` takes and tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.pytest_sweep import Budget, _is_test, _kinds, _Swept, told


def test_budgets() -> None:
    """What, how long, or both."""
    assert Budget.parse("first,10m") == Budget(whole=False, seconds=600)
    assert Budget.parse("all") == Budget(whole=True, seconds=600)
    assert Budget.parse("1.5h") == Budget(whole=False, seconds=5_400)
    assert Budget.parse("all, 90s") == Budget(whole=True, seconds=90)


@pytest.mark.parametrize("text", ["", "soon", "10", "0s", "-1m", "infs", "nanm", "all,", "10d"])
def test_what_is_no_budget(text: str) -> None:
    """One message with the option, what was given, and what may be."""
    with pytest.raises(pytest.UsageError, match=r"--chaos-sweep-budget: .* is no budget\. Give first or all"):
        Budget.parse(text)


def test_kinds() -> None:
    """Names of kinds, or all of them; an unknown one with the nearest."""
    assert _kinds(None) is None
    assert _kinds("timeout,throttled") == frozenset({"timeout", "throttled"})
    with pytest.raises(pytest.UsageError, match=r"'throtled' is no kind of fault\. Did you mean 'throttled'"):
        _kinds("throtled")


def test_which_files_are_tests() -> None:
    """By name, conftest.py, or a folder of tests; what is elsewhere is code."""
    root, patterns = Path("/project"), ["test_*.py", "*_test.py"]
    for name in ("test_it.py", "src/it_test.py", "conftest.py", "tests/helpers.py", "test/a/b.py"):
        assert _is_test(root / name, root, patterns), name
    for name in ("app.py", "src/latest.py", "attest/it.py"):
        assert not _is_test(root / name, root, patterns), name
    assert not _is_test(Path("/elsewhere/tests/it.py"), root, patterns)


def test_the_report() -> None:
    """Calls in order, the same finding of several tests once, then what was not swept and why, and the totals."""
    call = "aws.s3.PutObject at app.py:3 in put"
    lost = (call, "aws.s3.PutObject.before access-denied #1", "message lost", "'a' is gone")
    swept = [
        _Swept("t.py::a", calls=2, own=3, tried=[lost, (call, "aws.s3.PutObject.before throttled #1", "handled", "")]),
        _Swept("t.py::b[1 2]", calls=1, tried=[lost], left=4),
        _Swept("t.py::c", where="outside", why="a real socket"),
        _Swept("t.py::d", where=""),
        _Swept("t.py::e"),
        _Swept("t.py::f", where="", slow=True),
    ]
    lines = told(swept, Budget(seconds=90))
    assert lines[0] == f"{call}: 1 handled, 2 message lost"
    assert lines[1] == "  ✗ message lost: aws.s3.PutObject.before access-denied: 'a' is gone (and 1 more)"
    assert lines[2].endswith(
        "again: pytest t.py::a --chaos-sweep --chaos-sweep-fault 'aws.s3.PutObject.before access-denied #1'"
    )
    rest = "\n".join(lines[3:])
    assert "Outside the kernel, which refuses them (at most 30 s each):\n    t.py::c: a real socket" in rest
    assert "not swept: 1 test\n" in rest
    assert "Not swept, for they take longer than 30 s: t.py::f\n" in rest
    assert "nothing to strike: 2 tests" in rest
    assert (
        "Left out for want of time (90 s; --chaos-sweep-budget): 4 repetitions of 1 test, such as t.py::b[1 2]" in rest
    )
    assert lines[-1] == (
        "6 tests, 3 calls of the code under test (3 of the tests' own left alone): 1 of 3 faults handled; "
        "2 message lost, 0 hang, 0 test fails"
    )
