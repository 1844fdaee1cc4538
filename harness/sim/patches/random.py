"""Randomness from the run's seed: ``random``, ``Random()``, ``os.urandom``; uuids and ``secrets`` follow.

Each process has a ``random`` state of its own, as real ones do. Ids
(``os.urandom`` and what stands on it) come from a stream of their own, so
that a library that draws a uuid for itself moves no retry's jitter.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable
from typing import Any

from harness.sim import real, world
from harness.sim.kernel import EPOCH_US
from harness.sim.patches.swap import keep

__all__ = ["attributes", "pairs"]

_get_ident = real.get_ident
_NODE = 0x02_00_00_00_00_01  # a locally administered address: the same on every machine
_UUID_EPOCH = 0x01B21DD213814000  # 1582-10-15 to 1970-01-01 in units of 100 ns (RFC 9562)


def _generator() -> random.Random | None:
    """The ``random`` of the process that runs; ``None`` outside a run and in the hub."""
    run = world._world
    if run is None or run.thread_id != _get_ident():
        return None
    actor = run.kernel.current
    return run.kernel.hub_random if actor is None else actor.process.random


class _Functions:
    """The shims of the functions of module ``random``; bound methods, as the originals are."""


def _function(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def shim(self: object, /, *args: Any, _original: Callable[..., Any] = original, **kwargs: Any) -> Any:
        generator = _generator()
        if generator is None:
            return _original(*args, **kwargs)
        return getattr(generator, name)(*args, **kwargs)

    shim.__name__ = shim.__qualname__ = name
    keep(shim.__kwdefaults__)  # the original in it is to stay
    return shim


_NAMES = tuple(
    name
    for name in random.__all__
    if name not in ("Random", "SystemRandom") and getattr(getattr(random, name), "__self__", None) is not None
)
_ORIGINALS = keep({name: getattr(random, name) for name in _NAMES})
for _name in _NAMES:
    setattr(_Functions, _name, _function(_name, _ORIGINALS[_name]))
_functions = _Functions()
_SHIMS = keep({name: getattr(_functions, name) for name in _NAMES})


class _Entropy:
    """The shims of what reads the machine's entropy."""

    def urandom(self, size: int, /) -> bytes:
        run = world.current()
        if run is None:
            return real.urandom(size)
        if size < 0:
            raise ValueError("negative argument not allowed")
        return run.kernel.ids.randbytes(size)

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        if world.current() is None:
            found: bytes = real.getrandom(size, flags)
            return found
        return self.urandom(size)

    def rand_bytes(self, num: int, /) -> bytes:
        if world.current() is None:
            return real.RAND_bytes(num)
        return self.urandom(num)

    def uuid1(self, node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
        run = world.current()
        if run is None:
            return real.uuid1(node, clock_seq)
        kernel = run.kernel
        actor = kernel.current
        wall_us = EPOCH_US + kernel.now_us if actor is None else actor.process.wall_clock_us(kernel.now_us)
        stamp = max(wall_us * 10 + _UUID_EPOCH, kernel.last_uuid1 + 1)  # never the same twice
        kernel.last_uuid1 = stamp
        sequence = kernel.ids.getrandbits(14) if clock_seq is None else clock_seq
        fields = (
            stamp & 0xFFFFFFFF,
            (stamp >> 32) & 0xFFFF,
            (stamp >> 48) & 0x0FFF,
            (sequence >> 8) & 0x3F,
            sequence & 0xFF,
            _NODE if node is None else node,
        )
        return uuid.UUID(fields=fields, version=1)

    def getnode(self) -> int:
        if world.current() is None:
            return real.getnode()
        return _NODE


_entropy = _Entropy()


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    """``Random.seed``: without a seed it asks the machine for entropy; inside a run the process's own."""
    if a is None:
        run = world.current()
        if run is not None:
            actor = run.kernel.current
            entropy = run.kernel.hub_random if actor is None else actor.process.entropy
            a = entropy.getrandbits(128)
    real.random_seed(self, a, version)


_seed.__name__ = "seed"


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    found: list[tuple[object, object]] = [(_ORIGINALS[name], _SHIMS[name]) for name in _NAMES]
    found += [(os.urandom, _entropy.urandom), (uuid.uuid1, _entropy.uuid1), (uuid.getnode, _entropy.getnode)]
    found.append((real.RAND_bytes, _entropy.rand_bytes))
    if real.getrandom is not None:
        found.append((real.getrandom, _entropy.getrandom))
    return found


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    return [(random.Random, "seed", _seed)]
