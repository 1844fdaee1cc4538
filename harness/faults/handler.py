"""Handler faults: the code that works on a message fails, dawdles or never returns.

They strike inside the handler (``handler``, at its start, at its first
service call, sleep or point, or at its end), and inside whoever passes any
other point at which they are given.
"""

from __future__ import annotations

import importlib
from typing import Any

from harness.errors import PlanError
from harness.faults.acts import Decision, Hang, Raise, Sleep
from harness.faults.kinds import SIDES, Kind, Parameter, Passing

__all__ = ["KINDS", "make_error"]


def _raise(passing: Passing) -> Decision:
    return Raise(passing.parameters["error"])


def _slow(passing: Passing) -> Decision:
    return Sleep(passing.parameters["seconds"])


def _hang(passing: Passing) -> Decision:
    return Hang()


def _poison(passing: Passing) -> Decision | None:
    """Always for the chosen messages; without keys, whichever the fault strikes first stays poisonous."""
    keys = passing.parameters["keys"]
    if passing.key is None:
        return None
    if keys is None:
        passing.remembered.add(passing.key)
    elif passing.key not in keys:
        return None
    return Raise("builtins:ValueError")


KINDS = (
    Kind(
        name="transient",
        layer="handler",
        summary="The work fails in a way that may pass: an exception is raised that a retry may cure.",
        phrase="fails with {error}, which may pass",
        decide=_raise,
        parameters=(
            Parameter("error", "error", "builtins:ConnectionError", "the exception's class, as `module:Class`"),
        ),
        sides=SIDES,
    ),
    Kind(
        name="permanent",
        layer="handler",
        summary="The work fails in a way that no retry cures.",
        phrase="fails with {error}, which no retry cures",
        decide=_raise,
        parameters=(Parameter("error", "error", "builtins:ValueError", "the exception's class, as `module:Class`"),),
        sides=SIDES,
    ),
    Kind(
        name="slow",
        layer="handler",
        summary="The work takes this much longer, in virtual time; nothing fails by itself.",
        phrase="takes {seconds} s longer",
        decide=_slow,
        parameters=(Parameter("seconds", "positive", 45, "how much longer, in seconds"),),
        sides=SIDES,
    ),
    Kind(
        name="hang",
        layer="handler",
        summary="The work never returns and never fails; its process lives on.",
        phrase="never returns",
        decide=_hang,
        sides=SIDES,
    ),
    Kind(
        name="poison",
        layer="handler",
        summary="The chosen messages fail each time that they are handled, with ValueError; others do not. "
        "Without keys, each message that window, nth and probability choose is poison from then on.",
        phrase="always fails for messages {keys}",
        decide=_poison,
        parameters=(
            Parameter("keys", "keys", None, "the keys of the messages; none: those that the fault strikes", True),
        ),
        sides=SIDES,
    ),
)


def make_error(name: str, text: str, field: str = "parameters.error") -> BaseException:
    """An exception of the class *name* (``module:Class``) with *text*.

    The module is looked up each time: an isolated process has its own copy
    of its modules, and its ``except`` clauses know only those classes.

    Raises:
        PlanError: there is no such class, or it cannot be made from a text or from nothing.
    """
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise PlanError(
            f"is {name!r}, which cannot be imported ({error})", field=field, remedy="Name it module:Class"
        ) from None
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise PlanError(f"is {name!r}, which is no exception class", field=field, remedy="Name an exception class")
    for arguments in ((text,), ()):
        try:
            made: BaseException = found(*arguments)
        except TypeError:
            continue
        return made
    raise PlanError(
        f"is {name!r}, which cannot be made from one text or from nothing",
        field=field,
        remedy="Write a subclass of it that can, and name that",
    )
