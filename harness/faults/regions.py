"""Regions of AWS in targets: ``aws.sqs.*@eu-west-1`` strikes what is called there, and nothing elsewhere.

A target that names no region strikes in all of them. In reports a point of
another region than the run's own has it at its end
(``aws.sqs.SendMessage@eu-west-1.after``); those of the run's own region are
named without it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from harness.errors import PlanError
from harness.faults.names import did_you_mean
from harness.sim.world import HOME_REGION

__all__ = ["check", "of_point", "split"]


def split(name: str) -> tuple[str, str]:
    """What follows ``aws.`` in a target, and the region that it names ("" for none)."""
    name, _, region = name.partition("@")
    return name, region


def of_point(point: str) -> tuple[str, str]:
    """A point without its region, and its region."""
    point, _, region = point.partition("@")
    return point, region or HOME_REGION


def check(text: str, region: str) -> None:
    """Whether the region that the target *text* names is one of AWS's; patterns are not looked at.

    Raises:
        PlanError: it is none.
    """
    if not region or "*" in region or region in _regions():
        return
    hint = did_you_mean(region, _regions())
    raise PlanError(
        f"{text!r} names no region of AWS",
        field="target",
        remedy=hint or f"Write a region as boto3.client(region_name=...) takes it, such as {HOME_REGION}",
    )


@functools.cache
def _regions() -> frozenset[str]:
    """The regions that botocore knows. Its own data file is read, once."""
    from botocore.loaders import create_loader

    partitions: Iterable[dict[str, dict[str, object]]] = create_loader().load_data("endpoints")["partitions"]
    return frozenset(region for partition in partitions for region in partition["regions"])
