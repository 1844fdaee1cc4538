"""``harness compare``: two reports side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.cli.options import json_option, markdown_option, output_file, write_file

if TYPE_CHECKING:
    from harness.report.changes import Changes

__all__ = ["command"]


@click.command("compare")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--fail-on",
    "limits",
    multiple=True,
    metavar="FIGURE=+LIMIT",
    help="Exit 1 if a figure of a scenario has risen by more: recovery=+20%, recovery=+1.5 (seconds), duplicates=+0. "
    "Figures in virtual time only. May be given several times; `failing` means a newly failing scenario.",
)
@json_option
@markdown_option
def command(old: str, new: str, limits: tuple[str, ...], json: str | None, markdown: str | None) -> int:
    """Compare two reports of `harness run`, sweep or search: verdicts, recovery times, messages lost and handled twice.

    OLD and NEW are report folders (or results.json). A scenario that ran live is compared by its figures only where
    each side has at least five runs of it and their ranges do not overlap.

    Exit code: 0 compared, 1 a limit of --fail-on was passed, 2 wrong input.
    """
    import orjson

    from harness.cli.gathering import entries_of
    from harness.report.changes import changes, parse_limit
    from harness.report.markdown import comparison

    output_file(json, "--json")
    output_file(markdown, "--markdown")
    asked = [parse_limit(text) for text in limits if text != "failing"]
    found = changes(entries_of(old), entries_of(new))
    broken = [f"{limit.text}: {change}" for limit in asked for change in found.figures if limit.broken_by(change)]
    if "failing" in limits:
        broken += [f"failing: {name} ({was} before, {now} now)" for name, was, now in found.newly_failing]
    if json is not None:
        document = {**found.to_json(), "past_limits": broken}
        write_file(json, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if markdown is not None:
        write_file(markdown, comparison(found, broken).encode("utf-8"))
    if "-" not in (json, markdown):
        _show(found, broken)
    return 1 if broken else 0


def _show(found: Changes, broken: list[str]) -> None:
    for name, was, now in found.newly_failing:
        click.echo(f"✗ newly failing: {name} ({was} before, {now} now)")
    for name, was, _ in found.newly_passing:
        click.echo(f"✓ newly passing: {name} ({was} before)")
    for name, was, now in found.other_verdicts:
        click.echo(f"  {name}: {was} before, {now} now")
    for what, rows in (("new", found.appeared), ("no longer there", found.gone)):
        if rows:
            click.echo(f"  {what}: " + ", ".join(f"{name} ({verdict})" for name, verdict in rows))
    for change in found.figures:
        click.echo(f"  {change}" + (f" ({change.note})" if change.note else ""))
    for reason in found.unjudged:
        click.echo(f"  {reason}")
    if found.nothing:
        click.echo("nothing changed: same scenarios, same verdicts, same figures")
    for line in broken:
        click.echo(f"✗ past the limit {line}")
