"""The group of commands. Each command's module is imported only when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

__all__ = ["COMMANDS", "root"]

#: Command -> (module, one line for ``--help``).
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "See what it finds: the usual tutorial consumer loses a message and handles one twice."),
    "run": ("run", "Run scenarios and write a report."),
    "list": ("listing", "List scenarios."),
    "search": ("search", "Look for faults, workloads and schedules that break a scenario."),
    "sweep": ("sweep", "Every single fault at every point of a scenario, one run each."),
    "probe": ("probe", "Is a retry policy or a circuit breaker what its contract says?"),
    "check": ("check", "Judge a saved history again."),
    "report": ("report", "One report of saved runs."),
    "compare": ("compare", "Two reports side by side: newly failing, recovery times, duplicates."),
    "explain": ("explain", "Why a counterexample breaks: what it takes, what led to it, its story as a chart."),
    "export": ("export", "A history as a Perfetto trace, OpenTelemetry spans or a picture."),
    "replay": ("replay", "Run a saved history or counterexample again and compare."),
    "init": ("init", "A project to start from: a consumer, a scenario, a test and a CI workflow."),
    "audit": ("audit", "What the settings of queues do to messages when something fails, and the change."),
    "conformance": ("conformance", "Try on a server what AWS does, rule by rule."),
    "dlq": ("dlq", "Look into a dead-letter queue, and send dead letters back."),
    "quarantine": ("quarantine", "Look at messages in quarantine, release and erase them."),
    "proxy": ("proxy", "A Toxiproxy server: network faults for any TCP client, by its HTTP API."),
    "sqs-server": ("sqs_server", "SQS and CloudWatch for any language, with faults, a clock and a judge."),
    "doctor": ("doctor", "Check what is installed and can run here."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from harness.config import nearest

            raise click.UsageError(f"No such command {args[0]!r}. {nearest(args[0], list(COMMANDS))}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _version(ctx: click.Context, _: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from harness import __version__

        click.echo(f"harness {__version__}")
        ctx.exit()


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def root() -> None:
    """Chaos testing for SQS and Redis consumers: simulated, judged with evidence, replayed byte for byte."""
