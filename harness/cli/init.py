"""``harness init``: a project to start from, all of which runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError

__all__ = ["command"]


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "none"]),
    default="github",
    show_default=True,
    help="Whose workflow file to write.",
)
def command(folder: Path, ci: Any) -> int:
    """Write a consumer, a scenario, a test and a CI workflow into FOLDER: all of it runs at once and passes.

    Nothing that is there is overwritten: a pyproject.toml that is there is left as it is, and what belongs into it is
    said; any other file that is in the way ends the command before it writes anything.
    """
    from harness.starter import files

    wanted = files(ci)
    settings = wanted.pop("pyproject.toml")
    taken = [path for path in wanted if (folder / path).exists()]
    if taken:
        raise UsageError(
            f"{', '.join(taken)}: already there", file=str(folder), remedy="Give another folder, or move them first"
        )
    kept = (folder / "pyproject.toml").exists()
    if not kept:
        wanted = {"pyproject.toml": settings, **wanted}
    _write(folder, wanted)
    for path in wanted:
        click.echo(f"wrote {folder / path}")
    if kept:
        click.echo(f"\n{folder / 'pyproject.toml'} is yours; add to it what is not there yet:\n\n{settings.rstrip()}")
    step = "" if folder == Path() else f"cd {folder}\n    "
    click.echo(
        f"\nNext:\n    {step}harness run\n    pytest\n    harness search scenarios/orders.py --max-seconds 10\n\n"
        "Then take the sign off the marked line in shop/worker.py, and run it again: that is what a finding looks like."
    )
    return 0


def _write(folder: Path, wanted: dict[str, str]) -> None:
    """All of the files, or none of them."""
    made: list[Path] = []
    try:
        for name, text in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        raise UsageError(f"cannot be written ({error.strerror})", file=str(error.filename or folder)) from None
