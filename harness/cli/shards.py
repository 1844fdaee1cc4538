"""``--shard I/N``: one of N jobs of a CI matrix, which together do all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

__all__ = ["Shard", "shard_option"]

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """The *number*-th (from 1) of *count* parts."""

    number: int
    count: int

    def of(self, things: Sequence[T]) -> list[T]:
        """Every *count*-th thing, beginning with the *number*-th: neighbours, which tend to be alike, are spread."""
        return list(things[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


class _ShardType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer versions
    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        if isinstance(value, Shard):
            return value
        number, _, count = str(value).partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            self.fail(f"{value!r} is no part: give I/N with I from 1 to N, such as 2/4", param, ctx)
        return Shard(int(number), int(count))


shard_option = click.option(
    "--shard", type=_ShardType(), metavar="I/N", help="Only the I-th of N parts: one job of a CI matrix of N."
)
