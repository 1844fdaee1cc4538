"""``harness quarantine``: messages that were put aside as poison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.operating import Aws, aws_options, changing, clear_errors, connect_redis, json_bytes, say, yes_options
from harness.cli.options import json_option, output_file, write_file
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.resilience.quarantine import Quarantine, QuarantinedMessage

__all__ = ["command"]

redis_option = click.option(
    "--redis",
    "redis_url",
    envvar="REDIS_URL",
    default="redis://127.0.0.1:6379/0",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where the quarantine is.",
)


@click.group("quarantine")
def command() -> None:
    """Look at messages in quarantine, send them back, erase them. Works on a real Redis: says which one first."""


def _open(url: str) -> Quarantine:
    from harness.resilience.quarantine import Quarantine

    try:
        quarantine = Quarantine(connect_redis(url))
    except ValueError as error:  # redis-py's, of a URL that is none
        raise UsageError(str(error), field="--redis", remedy="Write redis://HOST:PORT/DB") from None
    say(f"quarantine poison_messages: {len(quarantine)} messages")
    return quarantine


@command.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Messages on a page.")
@click.option("--cursor", type=click.IntRange(0), metavar="N", help="The next page, as the one before says.")
@redis_option
@json_option
def list_entries(limit: int, cursor: int | None, redis_url: str, json: str | None) -> int:
    """List what is in quarantine, newest first."""
    output_file(json, "--json")
    with clear_errors():
        page = _open(redis_url).page(cursor, limit=limit)
    if json is not None:
        entries = [_described(entry) for entry in page.entries]
        write_file(json, json_bytes({"total": page.total, "cursor": page.cursor, "entries": entries}))
    if json != "-":
        for entry in page.entries:
            at = entry.quarantined_at.isoformat(timespec="seconds") if entry.quarantined_at else "-"
            key = "" if entry.identity == entry.message_id else f" key {entry.identity}"
            click.echo(_line(f"{at}  {entry.message_id or '-'}{key}  {entry.failure_count} failures  {entry.reason}"))
        if page.cursor is not None:
            click.echo(f"{page.cursor} more: --cursor {page.cursor}")
    return 0


@command.command("show")
@click.argument("key")
@redis_option
@json_option
def show(key: str, redis_url: str, json: str | None) -> int:
    """Show everything that is known of the messages with the message id or key KEY. Exit code 1 if there is none."""
    output_file(json, "--json")
    with clear_errors():
        entries = _open(redis_url).find(key)
    if json is not None:
        write_file(json, json_bytes([_described(entry) for entry in entries]))
    if json != "-":
        for entry in entries:
            click.echo(json_bytes(_described(entry)), nl=False)
    if not entries:
        say(f"nothing in quarantine has the message id or key {key}")
    return 0 if entries else 1


@command.command("release")
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--all", "everything", is_flag=True, help="Everything that is in quarantine now.")
@click.option("--to", "target", metavar="QUEUE", help="To this queue (URL or name), not the one each came from.")
@redis_option
@yes_options
@aws_options
@json_option
def release(
    keys: tuple[str, ...],
    everything: bool,
    target: str | None,
    redis_url: str,
    yes: bool,
    dry_run: bool,
    region: str | None,
    profile: str | None,
    endpoint_url: str | None,
    json: str | None,
) -> int:
    """Send the messages with these message ids or keys back to their queues, to be tried as new ones.

    Without --yes it says what it would do. Exit code 1 if there is none.
    """
    output_file(json, "--json")
    change = changing(yes=yes, dry_run=dry_run)
    if bool(keys) == everything:
        raise UsageError("which messages is not said", remedy="Give message ids or keys, or --all")
    with clear_errors():
        quarantine = _open(redis_url)
        found = list(quarantine) if everything else [entry for key in keys for entry in quarantine.find(key)]
        entries = list({entry.raw: entry for entry in found}.values())
        queue = target or next((entry.queue_url for entry in entries if entry.queue_url), None)
        aws = Aws.connect(queue, region=region, profile=profile, endpoint_url=endpoint_url)
        url = aws.url(target) if target else None
        try:
            targets = {str(entry.to_request(url)["QueueUrl"]): None for entry in entries}
        except ValueError as error:
            raise UsageError(str(error), remedy="Give --to QUEUE") from None
        aws.announce(*(("queue", name) for name in targets))
        released = quarantine.release_entries(entries, sqs=aws.sqs, queue_url=url) if change else []
    done = [{"message_id": one.entry.message_id, "new_message_id": one.new_message_id} for one in released]
    result = {
        "account": aws.account,
        "region": aws.region,
        "found": len(entries),
        "released": done,
        "dry_run": not change,
    }
    _report(result, json, f"released {len(released)}" if change else f"would release {len(entries)}", change=change)
    return 0 if entries else 1


@command.command("purge")
@redis_option
@yes_options
@json_option
def purge(redis_url: str, yes: bool, dry_run: bool, json: str | None) -> int:
    """Remove everything from quarantine for good. Without --yes it says how much that is."""
    output_file(json, "--json")
    change = changing(yes=yes, dry_run=dry_run)
    with clear_errors():
        quarantine = _open(redis_url)
        count = quarantine.purge() if change else len(quarantine)
    result = {"removed": count if change else 0, "found": count, "dry_run": not change}
    _report(result, json, f"{'removed' if change else 'would remove'} {count}", change=change)
    return 0


@command.command("erase")
@click.argument("key")
@click.option("--anywhere", is_flag=True, help="Also messages that hold KEY as a value in body or attributes.")
@redis_option
@yes_options
@json_option
def erase(key: str, anywhere: bool, redis_url: str, yes: bool, dry_run: bool, json: str | None) -> int:
    """Remove every trace of KEY (a message id, a key, with --anywhere a value) from quarantine and failure counts.

    For data-protection requests. Queues, dead-letter queues and records of
    idempotency are not touched. Without --yes it says what it would do.
    """
    output_file(json, "--json")
    change = changing(yes=yes, dry_run=dry_run)
    with clear_errors():
        quarantine = _open(redis_url)
        count = quarantine.erase(key, anywhere=anywhere) if change else len(quarantine.find(key, anywhere=anywhere))
    result = {"erased": count if change else 0, "found": count, "dry_run": not change}
    _report(result, json, f"{'erased' if change else 'would erase'} {count} messages", change=change)
    return 0


def _report(result: dict[str, Any], json: str | None, text: str, *, change: bool) -> None:
    if json is not None:
        write_file(json, json_bytes(result))
    if json != "-":
        click.echo(text if change else f"{text}; nothing was changed: do it with --yes")


def _described(entry: QuarantinedMessage) -> dict[str, Any]:
    """An entry as JSON: as it is in Redis where it can be read, with the names of the fields everybody knows."""
    document = dict(entry.document)
    return document if document else {"messageBody": entry.body, "unreadable": True}


def _line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
