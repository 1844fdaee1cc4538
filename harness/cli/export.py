"""``harness export``: a saved history for the viewers of others."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import output_file, write_file

__all__ = ["command"]

_SUFFIXES = {"perfetto": ".perfetto-trace", "otlp": ".otlp.jsonl", "svg": ".svg", "png": ".png"}


@click.command("export")
@click.argument("file", metavar="HISTORY")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_SUFFIXES)),
    required=True,
    help="perfetto: a trace for ui.perfetto.dev; otlp: OpenTelemetry spans as OTLP's JSON; svg, png: the timeline.",
)
@click.option("--out", metavar="FILE", help="Where to (- for standard output).  [default: beside the history]")
def command(file: str, form: str, out: str | None) -> int:
    """Write a history.jsonl as a Perfetto trace, as OpenTelemetry spans, or as a picture.

    Exit code: 0 written, 2 wrong input.
    """
    output_file(out, "--out")
    from harness.history import History

    history = History.load(file)
    if form == "perfetto":
        from harness.report import perfetto

        data = perfetto.dumps(history.header, history.events)
    elif form == "otlp":
        from harness.report import otlp

        data = otlp.dumps(history.header, history.events)
    else:
        from harness.report.timeline import render

        data = render(history.header, history.events, format=form)
    target = out or str(Path(file).with_suffix(_SUFFIXES[form]))
    write_file(target, data)
    if target != "-":
        click.echo(f"{target}: {len(data):,} bytes, {len(history):,} events")
    return 0
