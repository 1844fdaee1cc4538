"""Who calls: the line of somebody's code that led to a service call, and whether it is a test's own.

A test prepares and looks at things with the same clients that the code under
test uses. A fault in such a call says nothing about that code, so it must be
known whose call it is: the test's own is one with no other code between the
test and the library.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FrameType

__all__ = ["Callers"]

#: Packages that carry a call and are not where it comes from: clients, mocks, test tools, and what they stand on.
_CARRIERS = frozenset(
    (
        *("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "s3transfer", "urllib3", "requests", "httpx"),
        *("redis", "valkey", "fakeredis", "moto", "responses", "werkzeug", "mock", "freezegun", "time_machine"),
        *("hypothesis", "parameterized", "anyio", "greenlet", "wrapt", "decorator", "harness"),
    )
)
#: What is installed stands in such a folder.
_INSTALLED = re.compile(r"/(?:site|dist)-packages/")

#: Where a test's own stack begins: what is further out called the test.
_RUNNERS = frozenset(("_pytest", "pytest", "pluggy", "xdist", "execnet"))


class Callers:
    """*is_test* says whether a file is a test's; *root* is where paths are told from."""

    def __init__(self, root: Path, is_test: Callable[[Path], bool]) -> None:
        self._root = root
        self._is_test = is_test
        self._known: dict[
            str, tuple[str, str]
        ] = {}  # by file name: "carrier", "runner", "test" or "code"; and its path as told
        own = Path(__file__).resolve().parent.parent
        self._libraries = tuple(
            {f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")} | {f"{own}/", "<"}
        )

    def now(self) -> tuple[str, bool]:
        """The innermost line that is neither a library's nor a mock's; true: only a test's lines lead to it."""
        frame: FrameType | None = sys._getframe(1)
        site, own = "", True
        while frame is not None:
            what, path = self._of(frame.f_code.co_filename)
            if what == "runner":
                break
            if what != "carrier":
                if not site:
                    site = f"{path}:{frame.f_lineno} in {frame.f_code.co_name}"
                own = own and what == "test"
            frame = frame.f_back
        return site or "?", own and bool(site)

    def _of(self, name: str) -> tuple[str, str]:
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._classify(name)
        return found

    def _classify(self, name: str) -> tuple[str, str]:
        installed = _INSTALLED.split(name)[-1]
        if installed != name:  # wherever a path or a .pth file has it
            package = installed.partition("/")[0].removesuffix(".py")
            if package in _RUNNERS:
                return "runner", installed
            return ("carrier" if package in _CARRIERS or package.startswith("pytest_") else "code"), installed
        if name.startswith(self._libraries):
            return "carrier", name
        path = Path(name)
        try:
            told = str(path.resolve().relative_to(self._root))
        except ValueError:
            told = name
        return ("test" if self._is_test(path) else "code"), told
