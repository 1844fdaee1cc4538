"""Pages of the documentation that are made from the code: written, or compared with what is there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["keep"]


def keep(name: str, text: str, module: str, arguments: Sequence[str] | None = None) -> int:
    """Write *text* as ``docs/<name>``, or with ``--check`` say whether it is up to date (exit code 1 if not).

    *arguments* are those of the command line of *module* (``sys.argv`` if not
    given): ``--check``, and another path than the one in the checkout.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    paths = [argument for argument in arguments if not argument.startswith("-")]
    path = Path(paths[0]) if paths else Path(__file__).parents[1] / "docs" / name
    if "--check" in arguments:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path} is out of date: run python -m {module}", file=sys.stderr)
            return 1
        return 0
    path.write_text(text, encoding="utf-8")
    print(path)
    return 0
