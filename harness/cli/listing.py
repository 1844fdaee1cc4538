"""``harness list``: which scenarios there are, and what each stands for."""

from __future__ import annotations

from typing import Any

import click

from harness.cli.options import json_option, output_file, write_file

__all__ = ["command"]


@click.command("list")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option("--catalogue", is_flag=True, help="The built-in catalogue, whatever else is here.")
@json_option
def command(names: tuple[str, ...], catalogue: bool, json: str | None) -> int:
    """List scenarios: name, what outage it stands for, where it can run, and its file."""
    from harness import config
    from harness.cli.selection import select

    output_file(json, "--json")
    scenarios = [_described(one.scenario) for one in select(names, config.load(), catalogue=catalogue)]
    if json is not None:
        import orjson

        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        write_file(json, orjson.dumps({"scenarios": scenarios}, option=options))
    if json != "-":
        _show(scenarios)
    return 0


def _described(scenario: Any) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "sentence": scenario.sentence,
        "file": scenario.file,
        "backends": list(scenario.backends),
        "needs": list(scenario.needs),
        "faults": [str(fault) for fault in scenario.plan],
    }


def _show(scenarios: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("scenario", "stands for", "runs on"):
        table.add_column(name, overflow="fold")
    for one in scenarios:
        needs = f" (needs {', '.join(one['needs'])})" if one["needs"] else ""
        table.add_row(Text(one["name"]), Text(one["sentence"] or "–"), Text(", ".join(one["backends"]) + needs))
    console = Console()
    console.print(table)
    console.print(Text(f"{len(scenarios)} {'scenario' if len(scenarios) == 1 else 'scenarios'}"))
