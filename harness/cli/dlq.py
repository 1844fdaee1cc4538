"""``harness dlq``: what is in a dead-letter queue, and its way back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from harness.cli.operating import Aws, Ticker, aws_options, changing, clear_errors, json_bytes, say, yes_options
from harness.cli.options import json_option, output_file, write_file
from harness.errors import HarnessError, UsageError

if TYPE_CHECKING:
    from harness.resilience.payloads import PayloadStore
    from harness.resilience.redrive import DLQAnalyzer
    from harness.resilience.replay import ReplayReport

__all__ = ["command"]


@click.group("dlq")
def command() -> None:
    """Look into a dead-letter queue, and send dead letters back. Works on real queues: says whose they are first."""


def _analyzer(sqs: Any, url: str, patterns: tuple[str, ...], **options: Any) -> DLQAnalyzer:
    from harness.resilience.redrive import DLQAnalyzer

    named: dict[str, str] = {}
    for pattern in patterns:
        name, equals, expression = pattern.partition("=")
        if not (name and equals and expression):
            raise UsageError(
                f"{pattern!r} is no NAME=REGEX", field="--pattern", remedy='Write --pattern bank="CardError"'
            )
        named[name] = expression
    try:
        return DLQAnalyzer(url, sqs=sqs, patterns=named, **options)
    except ValueError as error:
        raise UsageError(str(error), remedy="See --help") from None


pattern_option = click.option(
    "--pattern", "patterns", multiple=True, metavar="NAME=REGEX", help="A category of your own, tried before the known."
)
patience_option = click.option(
    "--patience", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="Wait for messages that are in flight."
)


@command.command("analyze")
@click.argument("queue", metavar="DLQ")
@pattern_option
@click.option("--samples", type=click.IntRange(0), default=3, show_default=True, help="Messages shown of each group.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME", help="Count this attribute's values only.")
@click.option("--bucket", type=click.IntRange(1), default=3_600, show_default=True, help="Seconds of a bar over time.")
@click.option("--max-messages", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), default=300.0, show_default=True)
@patience_option
@aws_options
@json_option
def analyze(
    queue: str,
    patterns: tuple[str, ...],
    samples: int,
    attributes: tuple[str, ...],
    bucket: int,
    max_messages: int,
    max_seconds: float,
    patience: float,
    region: str | None,
    profile: str | None,
    endpoint_url: str | None,
    json: str | None,
) -> int:
    """Say what is in the dead-letter queue DLQ (its URL or name): categories, groups of like failures, samples.

    Messages are given back when all is read; until then they are hidden from
    others. Each reading counts as a receive.
    """
    from harness.resilience.redrive import table

    output_file(json, "--json")
    with clear_errors():
        aws = Aws.connect(queue, region=region, profile=profile, endpoint_url=endpoint_url)
        url = aws.url(queue)
        aws.announce(("dead-letter queue", url))
        analyzer = _analyzer(
            aws.sqs,
            url,
            patterns,
            samples=samples,
            attributes=attributes or None,
            bucket_seconds=bucket,
            max_messages=max_messages,
            max_seconds=max_seconds,
            patience=patience,
        )
        ticker = Ticker()
        found = analyzer.analyze_failed_messages(
            on_progress=lambda analysis: ticker.show(f"read {analysis.total} of about {analysis.count_at_start}")
        )
        ticker.close()
    found = {"account": aws.account, "region": aws.region, **found}
    if json is not None:
        write_file(json, json_bytes(found))
    if json != "-":
        click.echo(table(found))
    return 0


@command.command("replay")
@click.argument("queue", metavar="DLQ")
@click.option("--to", "target", metavar="QUEUE", help="Where to: a queue's URL or name.")
@click.option("--to-origin", is_flag=True, help="Each to the queue that it came from.")
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="Only this group, category or error class.")
@click.option("--reason", metavar="REGEX", help="Only where the reason matches.")
@click.option("--where", multiple=True, metavar="PATH=VALUE", help="Only where the body has it ($.customer.id=42).")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="At most so many a second.")
@click.option("--patch", metavar="JSON|FILE", help="Change bodies: a JSON Patch (list) or merge patch (object).")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="Where to go on from after a crash.")
@click.option(
    "--unsure",
    type=click.Choice(["send", "leave"]),
    default="send",
    show_default=True,
    help="What a replay before may have sent: send it (perhaps twice) or leave it.",
)
@click.option(
    "--payloads", metavar="MODULE:NAME", help="The store of bodies too large for a message: an object or its factory."
)
@click.option("--new-deduplication-ids", is_flag=True, help="FIFO: do not wait until the messages' own are free again.")
@click.option("--native", is_flag=True, help="Let SQS do it: faster, without filter, patch and journal.")
@pattern_option
@patience_option
@yes_options
@aws_options
@json_option
def replay(queue: str, json: str | None, **given: Any) -> int:
    """Send dead letters of DLQ (its URL or name) back, each once, and delete them there.

    What was dead-lettered when the command began is sent; what is rejected or
    fails stays. Without --yes it says what it would do. Exit code 1 if some
    could not be sent.
    """
    output_file(json, "--json")
    change = changing(yes=given["yes"], dry_run=given["dry_run"])
    if bool(given["target"]) == given["to_origin"]:
        raise UsageError("where to is not said", remedy="Give one of --to QUEUE and --to-origin")
    wanted = _filter(given["reason"], given["where"])
    edit = _patch(given["patch"]) if given["patch"] else None
    if given["native"] and any((wanted, edit, *(given[name] for name in ("groups", "limit", "journal", "payloads")))):
        raise UsageError(
            "--native moves everything as it is",
            remedy="Leave out --group, --reason, --where, --limit, --patch, --journal, --payloads",
        )
    payloads = _payloads(given["payloads"]) if given["payloads"] else None
    with clear_errors():
        aws = Aws.connect(queue, region=given["region"], profile=given["profile"], endpoint_url=given["endpoint_url"])
        url = aws.url(queue)
        target = aws.url(given["target"]) if given["target"] else None
        aws.announce(("dead-letter queue", url), *([("target", target)] if target else []))
        analyzer = _analyzer(aws.sqs, url, given["patterns"], patience=given["patience"])
        if given["native"]:
            result = _native(analyzer, target, given["rate"], change=change)
        else:
            options = {
                "group": given["groups"] or None,
                "limit": given["limit"],
                "rate": given["rate"],
                "edit": edit,
                "payloads": payloads,
                "unsure": given["unsure"],
                "deduplication": "derived" if given["new_deduplication_ids"] else "original",
                "dry_run": not change,
            }
            result = _replayed(analyzer, target, wanted, given["journal"], options)
    result = {"account": aws.account, "region": aws.region, "dlq_url": url, **result}
    if json is not None:
        write_file(json, json_bytes(result))
    if json != "-":
        click.echo(_told(result))
    return 1 if result.get("failed") or result.get("undeleted") or result.get("stopped_by") == "error" else 0


def _filter(reason: str | None, where: tuple[str, ...]) -> Callable[[dict[str, Any]], bool] | None:
    from harness.jsonpath import MISSING, JsonPath, key_text, parse_json

    tests: list[tuple[JsonPath, str]] = []
    for condition in where:
        path, equals, value = condition.partition("=")
        if not equals:
            raise UsageError(f"{condition!r} is no PATH=VALUE", field="--where", remedy="Write --where '$.tenant=t1'")
        tests.append((JsonPath(path, field="--where"), value))
    try:
        expression = re.compile(reason, re.IGNORECASE) if reason else None
    except re.error as error:
        raise UsageError(f"is no regular expression ({error})", field="--reason", remedy="Mend it") from None
    if expression is None and not tests:
        return None

    def wanted(letter: dict[str, Any]) -> bool:
        if expression is not None and not expression.search(str(letter.get("errorReason") or "")):
            return False
        body = parse_json(letter["originalMessage"])
        return all((found := path.find(body)) is not MISSING and key_text(found) == value for path, value in tests)

    return wanted


def _patch(text: str) -> Any:
    if text.lstrip()[:1] not in ("[", "{"):
        try:
            text = Path(text).read_text("utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot be read ({error.strerror})", file=text, field="--patch", remedy="Check it"
            ) from None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"is not JSON ({error})", field="--patch", remedy="Mend it") from None
    if not isinstance(value, list | dict):
        raise UsageError("is neither a list nor an object", field="--patch", remedy="Give a JSON Patch or merge patch")
    return value


def _payloads(name: str) -> PayloadStore:
    """The user's store of payloads, from the current folder or what is installed."""
    from harness.loading import resolve

    if not all(name.partition(":")):
        raise UsageError(f"{name!r} is no MODULE:NAME", field="--payloads", remedy="Write myshop.letters:bucket")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = resolve(name, field="--payloads")
        store = found() if callable(found) and (isinstance(found, type) or not hasattr(found, "get")) else found
    except HarnessError:
        raise
    except Exception as error:  # of the user's code
        raise UsageError(
            f"{name} cannot be made ({type(error).__name__}: {error})", field="--payloads", remedy="Mend it"
        ) from None
    if not (callable(getattr(store, "get", None)) and callable(getattr(store, "put", None))):
        raise UsageError(
            f"{name} is no store of payloads",
            field="--payloads",
            remedy="Give an object with put(payload) and get(key)",
        )
    return cast("PayloadStore", store)


def _replayed(
    analyzer: DLQAnalyzer, target: str | None, wanted: Any, journal: Path | None, options: dict[str, Any]
) -> dict[str, Any]:
    from harness.resilience.replay import ReplayStopped
    from harness.resilience.replay_journal import FileJournal

    ticker = Ticker()

    def progress(report: ReplayReport) -> None:
        ticker.show(
            f"{report.sent or report.would_send} of about {report.count_at_start} sent, {report.rejected} rejected"
        )

    with ExitStack() as stack:
        stack.callback(ticker.close)
        if journal is not None and not options["dry_run"]:
            try:
                options["journal"] = stack.enter_context(FileJournal(journal, analyzer.dlq_url))
            except (OSError, ValueError) as error:
                raise UsageError(str(error), field="--journal", remedy="Give another path") from None
        try:
            return analyzer.replay(target, wanted, on_progress=progress, **options).to_json()
        except ReplayStopped as error:
            say(f"stopped: {' '.join(str(error).split())}")
            say("What was not sent is in the dead-letter queue. Mend the cause and start the replay again.")
            return error.report.to_json()


def _native(analyzer: DLQAnalyzer, target: str | None, rate: float | None, *, change: bool) -> dict[str, Any]:
    from harness.resilience.native_move import MoveFailed, check_native

    ticker = Ticker()
    try:
        if not change:
            check_native(analyzer.sqs, analyzer.dlq_url, to_origin=target is None)
            names = ["ApproximateNumberOfMessages"]
            answer = analyzer.sqs.get_queue_attributes(QueueUrl=analyzer.dlq_url, AttributeNames=names)
            return {"dry_run": True, "native": True, "sent": 0, "would_send": int(answer["Attributes"][names[0]])}
        moved = analyzer.replay_messages(
            target,
            native=True,
            rate=rate,
            on_progress=lambda progress: ticker.show(f"{progress.moved} of about {progress.to_move} moved"),
        )
    except ValueError as error:
        raise UsageError(str(error), field="--native", remedy="See --help") from None
    except MoveFailed as error:
        say(str(error))
        return {"dry_run": False, "native": True, "sent": error.progress.moved, "stopped_by": "error"}
    finally:
        ticker.close()
    return {"dry_run": False, "native": True, "sent": moved, "stopped_by": "end"}


def _told(result: dict[str, Any]) -> str:
    """The result in words."""
    lines = []
    if result["dry_run"]:
        lines.append(f"would send {result['would_send']}; nothing was changed: do it with --yes")
    else:
        lines.append(f"sent {result['sent']}")
    names = (
        "already_sent",
        "rejected",
        "failed",
        "skipped",
        "undeleted",
        "unsure",
        "edited",
        "unread",
        "not_given_back",
    )
    lines += [f"{name.replace('_', ' ')} {result[name]}" for name in names if result.get(name)]
    lines += [f"to {target}: {count}" for target, count in result.get("targets", {}).items()]
    lines += [f"warning: {warning}" for warning in result.get("warnings", ())]
    lines += result.get("notes", ())
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
