"""What the operators' commands share: whom they talk to, their errors in one line, progress.

These commands work on real queues and real data. They name account, region
and queue before anything else, change nothing without ``--yes``, and need
nothing but boto3 and redis-py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click

from harness.errors import UsageError

__all__ = [
    "Aws",
    "Ticker",
    "aws_options",
    "changing",
    "clear_errors",
    "connect_redis",
    "json_bytes",
    "region_of",
    "say",
    "yes_options",
]


def aws_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--region``, ``--profile`` and ``--endpoint-url``."""
    for option in (
        click.option("--endpoint-url", metavar="URL", help="Where AWS is, if it is not AWS (a local stand-in)."),
        click.option("--profile", metavar="NAME", help="The profile of your AWS settings."),
        click.option("--region", metavar="NAME", help="The region.  [default: of the queue's URL, or your settings]"),
    ):
        command = option(command)
    return command


def yes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--dry-run`` (the default) and ``--yes``."""
    for option in (
        click.option("--yes", is_flag=True, help="Do it. Without this nothing is changed."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done (the default)."),
    ):
        command = option(command)
    return command


def changing(*, yes: bool, dry_run: bool) -> bool:
    """Whether to change anything. Raises UsageError if both were given."""
    if yes and dry_run:
        raise UsageError("--yes and --dry-run contradict each other", remedy="Give one of them")
    return yes


def say(text: str) -> None:
    """One line for the operator, on standard error: standard output is for results."""
    click.echo(text, err=True)


@dataclass(frozen=True)
class Aws:
    """Clients of one account and region."""

    sqs: Any
    account: str
    caller: str
    region: str

    @classmethod
    def connect(cls, queue: str | None, *, region: str | None, profile: str | None, endpoint_url: str | None) -> Aws:
        """Clients for *queue* (a URL or a name). Asks STS who this is. Raises what boto3 raises."""
        import boto3

        session = boto3.Session(profile_name=profile)
        region = region or region_of(queue) or session.region_name
        if region is None:
            raise UsageError("no region is known", remedy="Give --region, or the queue's URL")
        sqs = session.client("sqs", region_name=region, endpoint_url=endpoint_url)
        identity = session.client("sts", region_name=region, endpoint_url=endpoint_url).get_caller_identity()
        return cls(sqs, str(identity["Account"]), str(identity["Arn"]), region)

    def url(self, queue: str) -> str:
        """The URL of a queue that is given by URL or name. Raises what boto3 raises."""
        if "://" in queue:
            return queue
        return str(self.sqs.get_queue_url(QueueName=queue)["QueueUrl"])

    def announce(self, *queues: tuple[str, str]) -> None:
        """Say whose queues these are, each with how much is in it, before anything is done to them."""
        say(f"account {self.account} ({self.caller}), region {self.region}")
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        for role, url in queues:
            counts = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            say(f"{role} {url}: about {counts[names[0]]} messages, {counts[names[1]]} in flight")


def region_of(queue: str | None) -> str | None:
    """The region that a queue's URL on AWS names, if it is one."""
    host = (urlsplit(queue).hostname or "") if queue else ""
    parts = host.split(".")
    return parts[1] if len(parts) > 3 and parts[0] == "sqs" and parts[2] == "amazonaws" else None


def connect_redis(url: str) -> Any:
    """A client for *url* (a server, or any node of a cluster), and where that is, said. Raises what redis-py raises."""
    import redis

    client = redis.Redis.from_url(url, socket_timeout=10)
    client.ping()
    try:
        cluster = bool(client.info("cluster").get("cluster_enabled"))
    except redis.ResponseError:  # not allowed to ask, or no server of Redis's own: it is asked as a single one
        cluster = False
    say(f"redis{' cluster' if cluster else ''} {_without_password(url)}")
    if not cluster:
        return client
    client.close()
    return redis.RedisCluster.from_url(url, socket_timeout=10)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    name = f"{parts.username or ''}:***@{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    return urlunsplit(parts._replace(netloc=name))


def json_bytes(value: object) -> bytes:
    """*value* as JSON text for ``--json``."""
    import json

    return (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode("utf-8", "backslashreplace")


class Ticker:
    """Progress on standard error: one line that changes in a terminal, else a line every ten seconds."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._terminal = sys.stderr.isatty()
        self._seconds = 0.2 if self._terminal else seconds
        self._next = time.monotonic() + self._seconds
        self._width = 0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._seconds
        if self._terminal:
            click.echo("\r" + text.ljust(self._width), err=True, nl=False)
            self._width = len(text)
        else:
            say(text)

    def close(self) -> None:
        """Take the line away."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", err=True, nl=False)
            self._width = 0


_CODES = {
    "NonExistentQueue": "Check the queue's name, the region and the account",
    "QueueDoesNotExist": "Check the queue's name, the region and the account",
    "AccessDenied": "Use credentials that may receive, send, delete and change the visibility of messages",
    "ExpiredToken": "Renew your credentials (for example: aws sso login)",
    "InvalidClientTokenId": "These credentials are of no account; check them, and --profile",
    "SignatureDoesNotMatch": "The secret key is wrong, or this machine's clock is",
    "RequestExpired": "Set this machine's clock",
}
_CLASSES = {
    "NoCredentialsError": "Set AWS_PROFILE or AWS_ACCESS_KEY_ID, give --profile, or log in (aws sso login)",
    "PartialCredentialsError": "Give both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "ProfileNotFound": "See `aws configure list-profiles`",
    "NoRegionError": "Give --region",
    "EndpointConnectionError": "Check --region, --endpoint-url and the network",
    "InvalidRegionError": "Check --region",
    "AuthenticationError": "Check the user and password in --redis",
    "ConnectionError": "Check --redis, the network, and that the server runs",
    "TimeoutError": "Check --redis and the network",
}


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what boto3 and redis-py raise into one line with a remedy.

    Raises:
        UsageError: instead of their errors. Defects of ours pass as they are.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if library not in ("botocore", "boto3", "redis"):
            raise
        raise UsageError(_one_line(error), remedy=_remedy(error)) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _remedy(error: Exception) -> str:
    response = getattr(error, "response", None)
    code = str((response.get("Error") or {}).get("Code", "")) if isinstance(response, dict) else ""
    for name, remedy in _CODES.items():
        if name in code:
            return remedy
    for cls in type(error).__mro__:
        if cls.__name__ in _CLASSES:
            return _CLASSES[cls.__name__]
    return "Try again, or see what the service says above"
