"""Built-in methods that somebody kept in a variable before the shims went in: ``now = datetime.now``.

Such a method is an object of its own, bound by C to what it belongs to. It
is found among everything that the garbage collector knows.
"""

from __future__ import annotations

import datetime
import gc
from collections.abc import Iterable
from types import BuiltinMethodType
from typing import Any

__all__ = ["kept_methods"]

_CLOCKS = frozenset({"now", "utcnow"})


def kept_methods(replaced: Iterable[tuple[object, object]]) -> list[tuple[object, object]]:
    """Kept methods of the objects in *replaced*, and of datetime's clock, each with the same method of the shim.

    To be called when ``datetime.now`` is a shim already.
    """
    shims = {id(original): shim for original, shim in replaced}
    found: list[tuple[object, object]] = []
    for thing in gc.get_objects():
        if not issubclass(type(thing), BuiltinMethodType):  # of the type: isinstance() would ask a lazy proxy
            continue
        owner: Any = thing.__self__
        name = thing.__name__
        if id(owner) in shims:
            shim = getattr(shims[id(owner)], name, None)
        elif name in _CLOCKS and isinstance(owner, type) and issubclass(owner, datetime.datetime):
            shim = getattr(owner, name)
        else:
            continue
        if shim is not None:
            found.append((thing, shim))
    return found
