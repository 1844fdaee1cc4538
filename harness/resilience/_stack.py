"""What an error leaves behind as text: class, words, and a stack that reads the same on every machine."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import dataclass
from types import FrameType

__all__ = ["ErrorDetails", "class_name", "details_of"]

_MAX_STACK = 20_000
_STANDARD = tuple(
    path + "/" for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))
)


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """An error's class (with its module), text, and stack (``None`` where it was not asked for)."""

    error_class: str
    text: str
    stack: str | None = None

    def __str__(self) -> str:
        return f"{self.error_class}: {self.text}" if self.text else self.error_class


def class_name(error: BaseException) -> str:
    """``package.module.Class``, or ``Class`` for a built-in one."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def details_of(error: BaseException, *, stack: bool = True) -> ErrorDetails:
    """The details of *error*. Never raises, whatever the error's ``__str__`` does."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be read)"
    return ErrorDetails(class_name(error), text, _stack(error) if stack else None)


def _stack(error: BaseException) -> str:
    """Frames of the user's code, each library between them as its first frame only; causes first.

    Paths begin at the package, so that neither a home folder is shown nor two
    machines disagree. What a library does inside says little and changes with
    its version.
    """
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 5:
        seen.add(id(current))
        parts.append(_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    text = "\nwhich led to:\n".join(reversed(parts))
    return text if len(text) <= _MAX_STACK else f"…{text[1 - _MAX_STACK :]}"


def _one(error: BaseException) -> str:
    lines: list[str] = []
    in_library = False
    for frame, line in traceback.walk_tb(error.__traceback__):
        library = _is_library(frame)
        if library and in_library:
            continue
        in_library = library
        lines.append(f"  {_place(frame)}, line {line}, in {frame.f_code.co_name}")
    lines.append("".join(traceback.format_exception_only(error)).rstrip())
    return "\n".join(lines)


def _is_library(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] == "harness" or frame.f_code.co_filename.startswith(_STANDARD)


def _place(frame: FrameType) -> str:
    path = frame.f_code.co_filename.replace("\\", "/")
    module = str(frame.f_globals.get("__name__", ""))
    parts = 1 if module in ("", "__main__") else module.count(".") + 1
    if path.endswith("/__init__.py"):
        parts += 1
    return "/".join(path.split("/")[-parts:])
