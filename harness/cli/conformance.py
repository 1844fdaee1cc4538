"""``harness conformance``: does a server do what AWS does?"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from harness.cli.options import json_option, output_file, write_file
from harness.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from harness.fidelity.bench import Site
    from harness.fidelity.rows import Row
    from harness.fidelity.run import Outcome

__all__ = ["command", "exit_code", "local_site", "loopback", "sqs"]

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,29}")
_AWS_HOST = re.compile(r"(?:sqs\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.(?:queue\.)?amazonaws\.com(?:\.cn)?")
#: How long a call may take before its answer is given up, in seconds; the longest poll is 10.
_READ_TIMEOUT_S = 30
_WORKERS_REMOTE = 4


@click.group("conformance")
def command() -> None:
    """Try on a server what AWS does, rule by rule."""


@command.command("sqs")
@click.option("--endpoint", metavar="URL", help="The server, for example http://127.0.0.1:5000.")
@click.option("--simulated", is_flag=True, help="No server: try the harness's own SQS, on virtual time.")
@click.option("--only", multiple=True, metavar="RULE", help="A rule's number or id, or a pattern (fifo-*). Repeatable.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="Leave out cases that have to wait longer; the longest waits 301 s.",
)
@click.option("--workers", type=click.IntRange(1, 32), default=8, show_default=True, help="Cases at the same time.")
@click.option("--region", metavar="NAME", help="The region.  [default: of the endpoint, or us-east-1 on loopback]")
@click.option(
    "--allow-remote", is_flag=True, help="The endpoint may be another machine, or AWS itself (needs --prefix)."
)
@click.option("--prefix", metavar="NAME", help="In front of the name of every queue that is made.")
@json_option
def sqs(
    endpoint: str | None,
    simulated: bool,
    only: tuple[str, ...],
    patience: float,
    workers: int,
    region: str | None,
    allow_remote: bool,
    prefix: str | None,
    json: str | None,
) -> int:
    """Try the rules of docs/sqs-fidelity.md on a server, through boto3.

    Every case makes queues of its own and deletes them. --json writes a
    recording: date, region, and what each call was answered, without account
    numbers and receipt handles.

    Exit code: 0 as AWS, 1 something differs, 3 the server gave no answer, 4 nothing could be tried.
    """
    output_file(json, "--json")
    if simulated == (endpoint is not None):
        raise UsageError("one of --endpoint URL and --simulated is needed", field="conformance sqs")
    rows = _selected(only)
    screen = sys.stderr if json == "-" else sys.stdout
    began = datetime.now(UTC)
    if endpoint is None:
        from harness.environments.conformance import try_simulated

        where, region = "simulated", "us-east-1"
        click.echo(f"the harness's own SQS, simulated: {len(rows)} rules", file=screen)
        outcomes = try_simulated(rows)
        for outcome in outcomes:
            _show(outcome, screen)
    else:
        site = _site(endpoint, region, allow_remote=allow_remote, prefix=prefix, timeout=_READ_TIMEOUT_S)
        where, region = site.endpoint, site.region
        click.echo(f"{where}, region {region}, queues {site.prefix}*: {len(rows)} rules", file=screen)
        outcomes = _try_server(rows, site, patience, min(workers, _WORKERS_REMOTE) if site.remote else workers, screen)
    _summarise(outcomes, screen)
    if json is not None:
        write_file(json, _recording(outcomes, began, where, region))
    return exit_code(outcomes)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 something differs, 3 no answer, 4 nothing was tried, else 0: the first that applies."""
    states = {outcome.state for outcome in outcomes}
    if "differs" in states:
        return 1
    if "error" in states:
        return 3
    return 0 if "same" in states else 4


# -- what is tried ------------------------------------------------------------------


def _selected(only: Sequence[str]) -> list[Row]:
    from harness.config import nearest
    from harness.fidelity.table import rows

    table = list(rows())
    if not only:
        return table
    chosen: set[int] = set()
    for wanted in only:
        found = {row.number for row in table if wanted == str(row.number) or fnmatchcase(row.id, wanted)}
        if not found:
            raise UsageError(
                f"no rule is {wanted!r}", field="--only", remedy=nearest(wanted, [row.id for row in table])
            )
        chosen |= found
    return [row for row in table if row.number in chosen]


# -- the server -----------------------------------------------------------------------


def loopback(host: str) -> bool:
    """Whether a host is this machine for certain, without asking a name server."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _site(endpoint: str, region: str | None, *, allow_remote: bool, prefix: str | None, timeout: float) -> Site:
    """The server that is meant. Raises UsageError where it may not be spoken to."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{endpoint!r} is no URL", field="--endpoint", remedy="Give one like http://127.0.0.1:5000")
    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"{prefix!r} cannot stand in front of queue names",
            field="--prefix",
            remedy="Give 3 to 30 letters, digits, hyphens or underscores",
        )
    base = f"{parts.scheme}://{parts.netloc}"
    if loopback(parts.hostname):
        return local_site(base, region or "us-east-1", prefix or "conformance-", timeout=timeout)
    if not allow_remote or prefix is None:
        raise UsageError(
            f"{parts.hostname} is not this machine",
            field="--endpoint",
            remedy="Give --allow-remote and --prefix NAME if queues may be made there",
        )
    return _remote_site(base, parts.hostname, region, prefix, timeout)


def local_site(endpoint: str, region: str, prefix: str, *, timeout: float = _READ_TIMEOUT_S) -> Site:
    """A server on loopback: it gets keys that are none."""
    import boto3
    from botocore.config import Config

    from harness.fidelity.bench import Site, token

    keys = ("conformance", "conformance", None)
    client = boto3.Session(aws_access_key_id=keys[0], aws_secret_access_key=keys[1]).client(
        "sqs",
        region_name=region,
        endpoint_url=endpoint,
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=timeout, connect_timeout=5, max_pool_connections=32
        ),
    )
    return Site(client, endpoint, region, f"{prefix}{token()}-", lambda: keys)


def _remote_site(endpoint: str, host: str, region: str | None, prefix: str, timeout: float) -> Site:
    import boto3
    from botocore.config import Config

    from harness.fidelity.bench import Site, token

    match = _AWS_HOST.fullmatch(host)
    region = region or (match[1] if match else None)
    if region is None:
        raise UsageError(f"the region of {host} is not known", field="--region", remedy="Give --region NAME")
    session = boto3.Session(region_name=region)
    if session.get_credentials() is None:
        raise EnvironmentFailed("there are no AWS credentials; configure them as for the AWS command line")

    def keys() -> tuple[str, str, str | None]:
        frozen = session.get_credentials().get_frozen_credentials()
        return frozen.access_key, frozen.secret_key, frozen.token

    retries = {"mode": "standard", "total_max_attempts": 4}
    config = Config(retries=retries, read_timeout=timeout, connect_timeout=10, max_pool_connections=16)
    client = session.client("sqs", endpoint_url=endpoint, config=config)
    return Site(client, endpoint, region, f"{prefix}{token()}-", keys, remote=True)


def _try_server(rows: list[Row], site: Site, patience: float, workers: int, screen: Any) -> list[Outcome]:
    from harness.fidelity.run import sweep, try_all

    _probe(site)
    try:
        return try_all(rows, site, patience=patience, workers=workers, report=lambda outcome: _show(outcome, screen))
    finally:
        for url in sweep(site):
            click.echo(f"left behind: {url}", err=True)


def _probe(site: Site) -> None:
    """Raises EnvironmentFailed: nothing answers, or it refuses everything."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        site.client.list_queues(QueueNamePrefix=site.prefix)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (401, 403):
            raise EnvironmentFailed(f"{site.endpoint} refuses the call: {error}") from None
    except BotoCoreError as error:
        raise EnvironmentFailed(f"no SQS answers at {site.endpoint}: {error}") from None


# -- what is said ------------------------------------------------------------------------


def _show(outcome: Outcome, screen: Any) -> None:
    if outcome.state in ("differs", "error"):
        sign = "✗" if outcome.state == "differs" else "!"
        click.echo(f"{sign} {outcome.row.number} {outcome.row.id}: {outcome.detail}", file=screen)


def _summarise(outcomes: Sequence[Outcome], screen: Any) -> None:
    counts = Counter(outcome.state for outcome in outcomes)
    words = [f"{counts['same']} as AWS", f"{counts['differs']} {'differs' if counts['differs'] == 1 else 'differ'}"]
    if counts["error"]:
        words.append(f"{counts['error']} without an answer")
    if counts["left out"]:
        words.append(f"{counts['left out']} left out")
    click.echo(", ".join(words), file=screen)
    for outcome in outcomes:
        if outcome.state == "left out":
            click.echo(f"left out: {outcome.row.number} {outcome.row.id} {outcome.detail}", file=screen)


def _recording(outcomes: Sequence[Outcome], began: datetime, endpoint: str, region: str) -> bytes:
    from importlib import metadata

    from harness import __version__
    from harness.fidelity.recording import document, dumps

    versions = {"harness": __version__, "boto3": metadata.version("boto3"), "botocore": metadata.version("botocore")}
    date = began.isoformat(timespec="seconds")
    return dumps(document(outcomes, date=date, endpoint=endpoint, region=region, versions=versions))
