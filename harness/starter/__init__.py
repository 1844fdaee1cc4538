"""The project that ``harness init`` writes: a consumer, a scenario, a test, and the workflow of a CI."""

from __future__ import annotations

from importlib import resources
from typing import Final, Literal

__all__ = ["CI", "files"]

CI = Literal["github", "gitlab", "none"]

#: Where each file goes -> its template in ``files/``.
_PROJECT: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "shop/__init__.py": "shop_init.py.txt",
    "shop/worker.py": "worker.py.txt",
    "scenarios/orders.py": "scenario.py.txt",
    "tests/test_orders.py": "test.py.txt",
}
_WORKFLOWS: Final = {
    "github": {".github/workflows/chaos.yml": "github.yml.txt"},
    "gitlab": {".gitlab-ci.yml": "gitlab.yml.txt"},
    "none": {},
}


def files(ci: CI = "github") -> dict[str, str]:
    """Path (with slashes, relative) -> text of everything that is written."""
    folder = resources.files("harness.starter") / "files"
    return {
        path: (folder / template).read_text(encoding="utf-8")
        for path, template in {**_PROJECT, **_WORKFLOWS[ci]}.items()
    }
