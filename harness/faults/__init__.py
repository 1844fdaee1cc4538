"""Faults: what can break, where and when, and the engine that lets it.

* ``plan``: :class:`Fault` and :class:`FaultPlan`, values with JSON and words (``wording``);
* ``points``: targets, and which points they match;
* ``kinds`` and one file a layer (``workload``, ``handler``, ``aws``, ``redis``, ``dependency``, ``network``,
  ``process``, ``clock``): what each kind takes and decides; ``reference`` writes ``docs/faults.md`` from them;
* ``acts``: what the engine carries out itself; ``engine``: decides at each passing, counts, records, acts;
* ``model``: which invariants hold under which faults.

To add a kind: one :class:`~harness.faults.kinds.Kind` in its layer's
``KINDS``, its test in ``tests/unit/faults/test_layers.py``, and
``python -m harness.faults.kinds > docs/faults.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.faults.plan import Fault as Fault
    from harness.faults.plan import FaultPlan as FaultPlan

__all__ = ["Fault", "FaultPlan"]


def __getattr__(name: str) -> Any:
    # On first use, so that ``python -m harness.faults.kinds`` does not import its own module twice.
    if name in __all__:
        from harness.faults import plan

        return getattr(plan, name)
    raise AttributeError(f"module 'harness.faults' has no attribute {name!r}")
