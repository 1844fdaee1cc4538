"""``harness check``: a saved history judged again."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import json_option, output_file, write_file

__all__ = ["command"]


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="HISTORY...")
@json_option
@click.option(
    "--dead-letter-queue", "dead", multiple=True, metavar="NAME", help="Of spans: a queue that holds dead letters."
)
@click.option("--key", metavar="ATTRIBUTE", help="Of spans: the attribute with the message's key.  [default: its id]")
@click.option("--once", is_flag=True, help="Of spans: no message may be processed twice.")
@click.option("--allow-inconclusive", is_flag=True, help="Exit 0 if nothing is worse than inconclusive.")
def command(
    files: tuple[str, ...],
    json: str | None,
    dead: tuple[str, ...],
    key: str | None,
    once: bool,
    allow_inconclusive: bool,
) -> int:
    """Judge saved histories (history.jsonl) again, from their events and the invariants that their headers name.

    A HISTORY may also be OpenTelemetry spans of a real system by the messaging conventions, as OTLP's JSON (one request
    a line): was every message that was sent processed, and settled?

    Exit code: that of the verdicts, as of `harness run`.
    """
    output_file(json, "--json")
    from harness.cli.judging import entry_of
    from harness.cli.run import exit_code
    from harness.history import History
    from harness.report import json_result, otlp_history
    from harness.report.console import make_console
    from harness.report.entries import with_history
    from harness.report.otlp import KEY
    from harness.report.table import print_report

    entries = []
    for file in files:
        if otlp_history.is_otlp(Path(file)):
            history = otlp_history.load(Path(file), dead_letter_queues=dead, key=key or KEY, once=once)
        else:
            history = History.load(file)
        entries.append(with_history(entry_of(history, file), history.header, history.events))
    print_report(make_console(stderr=json == "-"), entries)
    if json is not None:
        write_file(json, json_result.dumps(entries))
    return exit_code(entries, allow_inconclusive=allow_inconclusive)
