"""``harness audit``: the settings of queues against what AWS says of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from harness.cli.conformance import loopback
from harness.cli.operating import json_bytes, region_of
from harness.cli.options import json_option, output_file, write_file
from harness.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.audit import Audit, Estate

__all__ = ["command"]


@click.command("audit")
@click.argument("sources", nargs=-1, required=True, metavar="QUEUE_URL...|TEMPLATE")
@click.option(
    "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the template. Repeatable."
)
@click.option("--region", metavar="NAME", help="The region.  [default: of the queue's URL, or your settings]")
@click.option("--profile", metavar="NAME", help="The profile of your AWS settings.")
@click.option("--allow-remote", is_flag=True, help="The queue may be on another machine, or on AWS. It is only read.")
@json_option
def command(
    sources: tuple[str, ...],
    parameters: tuple[str, ...],
    region: str | None,
    profile: str | None,
    allow_remote: bool,
    json: str | None,
) -> int:
    """What do the settings of queues do to messages when something fails?

    Reads a CloudFormation or SAM template, the output of `terraform show
    -json`, or queues themselves by their URLs, and tries about twenty rules.
    Each finding names what is at stake, AWS's own page, the command that
    shows the damage in a simulation, and the exact change.

    Exit code: 0 nothing found, 1 something found, 3 the queue could not be read, 4 something could not be judged.
    """
    from rich.console import Console

    from harness.audit import audit

    output_file(json, "--json")
    found = audit(_read(sources, parameters, region, profile, allow_remote=allow_remote))
    _show(found, Console(file=sys.stderr if json == "-" else sys.stdout, highlight=False, soft_wrap=True))
    if json is not None:
        write_file(json, json_bytes(found.to_json()))
    if found.findings:
        return 1
    return 4 if found.unjudged or found.estate.remarks else 0


# -- what is read -----------------------------------------------------------------------------------


def _read(
    sources: tuple[str, ...],
    parameters: tuple[str, ...],
    region: str | None,
    profile: str | None,
    *,
    allow_remote: bool,
) -> Estate:
    from harness.audit.queues import read_file

    given = dict(map(_pair, parameters))
    urls = [source for source in sources if "://" in source]
    if not urls:
        if len(sources) > 1:
            raise UsageError("one template at a time", remedy="Run it for each of them")
        return read_file(sources[0], given)
    if len(urls) < len(sources):
        raise UsageError("a template and a queue's URL do not go together", remedy="Run it for each of them")
    if given:
        raise UsageError("a queue has no parameters", field="--parameter")
    return _read_queues(urls, region, profile, allow_remote=allow_remote)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"{text!r} is no parameter", field="--parameter", remedy="Give NAME=VALUE")
    return name, value


def _read_queues(urls: list[str], region: str | None, profile: str | None, *, allow_remote: bool) -> Estate:
    from botocore.exceptions import BotoCoreError, ClientError

    from harness.audit.aws import read_queues

    hosts = {urlsplit(url).netloc for url in urls}
    if len(hosts) > 1:
        raise UsageError("the queues are not on the same server", remedy="Run it for each of them")
    try:
        return read_queues(urls, _clients(urls[0], region, profile, allow_remote=allow_remote))
    except ClientError as error:
        raise EnvironmentFailed(f"{urls[0]} cannot be read: {error}") from None
    except BotoCoreError as error:
        raise EnvironmentFailed(f"no SQS answers at {urls[0]}: {error}") from None


def _clients(url: str, region: str | None, profile: str | None, *, allow_remote: bool) -> Callable[[str], Any]:
    """Makes clients for the server of a queue's URL. Raises UsageError where it may not be spoken to."""
    import boto3
    from botocore.config import Config

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(parts.path) < 2:
        raise UsageError(f"{url!r} is no queue's URL", remedy="Give one like http://127.0.0.1:9324/000000000000/orders")
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    if loopback(parts.hostname):
        session = boto3.Session(
            aws_access_key_id="audit", aws_secret_access_key="audit"
        )  # a local server asks for none
        where = {"region_name": region or "us-east-1", "endpoint_url": f"{parts.scheme}://{parts.netloc}"}
        return lambda service: session.client(service, config=config, **where)
    if not allow_remote:
        raise UsageError(
            f"{parts.hostname} is not this machine", field=url, remedy="Give --allow-remote if it may be read"
        )
    session = boto3.Session(profile_name=profile)
    region = region or region_of(url) or session.region_name
    if region is None:
        raise UsageError("no region is known", remedy="Give --region NAME")
    return lambda service: session.client(service, config=config, region_name=region)


# -- what is said ------------------------------------------------------------------------------------


def _show(found: Audit, console: Console) -> None:
    from rich.text import Text

    from harness.audit import RULES

    for finding in found.findings:
        rule, seen = finding.rule, finding.seen
        head = Text.assemble(("✗ ", "red"), (rule.id, "bold"), f" ({rule.stake})  {seen.resource}: {seen.seen}")
        console.print(head)
        console.print(Text(f"  why     {seen.why}"))
        lines = finding.change.splitlines()
        console.print(Text(f"  change  {lines[0]}", style="green"))
        for line in lines[1:]:
            console.print(Text(f"          {line}", style="green"))
        if seen.where:
            console.print(Text(f"  where   {seen.where}", style="dim"))
        console.print(Text(f"  shown   {rule.shown_by}", style="dim"))
        console.print(Text(f"  source  {rule.source}", style="dim"))
    for one in found.unjudged:
        console.print(Text(f"? {one.rule.id}  {one.resource}: not judged, {one.why}", style="yellow"))
    for remark in found.estate.remarks:
        console.print(Text(f"? {remark}", style="yellow"))
    number = len(found.estate.queues)
    console.print(
        Text(
            f"{found.estate.source}: {number} queue{'' if number == 1 else 's'}, {len(RULES)} rules, "
            f"{len(found.findings)} found, {len(found.unjudged)} not judged"
        )
    )
