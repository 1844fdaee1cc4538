"""Options and outputs that several commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.errors import UsageError

__all__ = ["json_option", "markdown_option", "output_file", "seed_option", "write_file"]

seed_option = click.option("--seed", type=click.IntRange(0), metavar="N", help="The seed of every run.  [default: 0]")
json_option = click.option("--json", metavar="FILE", help="Write the result as JSON there (- for standard output).")

markdown_option = click.option(
    "--markdown", metavar="FILE", help="Write a summary in Markdown there, for a pull request (- for standard output)."
)


def output_file(target: str | None, option: str) -> None:
    """Refuse an output that could not be written, before anything runs.

    Raises:
        UsageError: *target* is a folder, or its folder is not there.
    """
    if target is None or target == "-":
        return
    path = Path(target)
    if path.is_dir():
        raise UsageError("is a folder", file=target, field=option, remedy="Give the path of a file, or -")
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"cannot be written: the folder {path.parent} is not there",
            file=target,
            field=option,
            remedy="Make it first",
        )


def write_file(target: str, data: bytes) -> None:
    """Write *data* to standard output (``-``) or to a file, which is then whole or not there."""
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(target).absolute()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"cannot be written ({error.strerror})", file=target, remedy="Give another path") from None
