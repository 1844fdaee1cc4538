"""``harness check``: a saved history judged again."""

from __future__ import annotations

import click

from harness.cli.options import json_option, output_file, write_file

__all__ = ["command"]


@click.command("check")
@click.argument("files", nargs=-1, required=True, metavar="HISTORY...")
@json_option
@click.option("--allow-inconclusive", is_flag=True, help="Exit 0 if nothing is worse than inconclusive.")
def command(files: tuple[str, ...], json: str | None, allow_inconclusive: bool) -> int:
    """Judge saved histories (history.jsonl) again, from their events and the invariants that their headers name.

    Exit code: that of the verdicts, as of `harness run`.
    """
    output_file(json, "--json")
    from harness.cli.judging import entry_of
    from harness.cli.run import exit_code
    from harness.history import History
    from harness.report import json_result
    from harness.report.console import make_console
    from harness.report.entries import with_history
    from harness.report.table import print_report

    entries = []
    for file in files:
        history = History.load(file)
        entries.append(with_history(entry_of(history, file), history.header, history.events))
    print_report(make_console(stderr=json == "-"), entries)
    if json is not None:
        write_file(json, json_result.dumps(entries))
    return exit_code(entries, allow_inconclusive=allow_inconclusive)
