"""One exception class for each invariant, so that a search keeps several findings apart.

Hypothesis tells failures apart by their class and the line that raises; with
one class for all invariants it would report one finding of many.
"""

from __future__ import annotations

from harness.errors import InvariantViolated

__all__ = ["exception_for"]

_classes: dict[str, type[InvariantViolated]] = {}


def exception_for(name: str) -> type[InvariantViolated]:
    """The subclass of :class:`~harness.errors.InvariantViolated` for the invariant called *name*.

    The same class every time; ``no-message-loss`` gives ``NoMessageLossViolated``,
    which is also an attribute of this module, so that it can be pickled.
    """
    found = _classes.get(name)
    if found is None:
        title = "".join(part.capitalize() for part in name.replace("_", "-").split("-") if part) + "Violated"
        found = type(title, (InvariantViolated,), {"__module__": __name__, "__doc__": f"A run broke {name}."})
        _classes[name] = globals()[title] = found
    return found


def __getattr__(title: str) -> type[InvariantViolated]:
    """``NoMessageLossViolated`` and its like, made on demand (a pickle asks for them by name)."""
    if title.endswith("Violated") and title[0].isupper():
        words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in title[: -len("Violated")])
        return exception_for(words.lstrip("-"))
    raise AttributeError(f"module {__name__!r} has no attribute {title!r}")
