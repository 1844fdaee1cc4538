"""``harness sqs-server``: SQS, SNS and CloudWatch for any language, with faults, a clock and a judge."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("sqs-server")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where it listens.")
@click.option("--port", default=9324, show_default=True, type=click.IntRange(0, 65_535), help="Its port; 0: free.")
@click.option("--region", default="us-east-1", show_default=True, help="Of requests that name none.")
@click.option("--account", default="000000000000", show_default=True, help="Of queues and ARNs.")
@click.option("--seed", type=int, help="Of message ids and faults.  [default: another one each time]")
@click.option("--no-wait-rules", is_flag=True, help="Lift AWS's 60 seconds after DeleteQueue and PurgeQueue.")
@click.option("--speed", default=1.0, show_default=True, help="Service seconds to a real second; 0: the clock stands.")
@click.option("--key", metavar="JSONPATH", help="Which message is this? A path in bodies.  [default: the message's id]")
@click.option("--history-limit", default=1_000_000, show_default=True, type=click.IntRange(0), help="Events to keep.")
@click.option("--record-bodies", is_flag=True, help="Keep message bodies in the history, not only their digests.")
@click.option("--allow-remote", is_flag=True, help="Listen on an address outside loopback.")
@click.option("--announce", is_flag=True, hidden=True, help="Print one line of JSON, and end with standard input.")
def command(
    host: str,
    port: int,
    region: str,
    account: str,
    seed: int | None,
    no_wait_rules: bool,
    speed: float,
    key: str | None,
    history_limit: int,
    record_bodies: bool,
    allow_remote: bool,
    announce: bool,
) -> int:
    """Serve SQS, SNS and CloudWatch to any SDK, with a control API under /_harness/.

    Set AWS_ENDPOINT_URL to its address. PUT a fault plan to /_harness/faults, move the clock at /_harness/clock, tell
    what happened at /_harness/effects, and POST /_harness/check judges whether a message was lost. Ctrl-C ends it.
    """
    from harness.cli.serving import address, serve
    from harness.errors import UsageError
    from harness.servers.aws_server import AwsServer

    listen = address(host, allow_remote)
    if not (account.isdigit() and len(account) == 12):
        raise UsageError(f"must be twelve digits, not {account!r}", field="--account")
    server = AwsServer(
        host=listen,
        port=port,
        account=account,
        region=region,
        seed=seed,
        wait_rules=not no_wait_rules,
        speed=speed,
        key=key,
        history_limit=history_limit,
        record_bodies=record_bodies,
    )
    line = f"SQS, SNS and CloudWatch on {server.url} (AWS_ENDPOINT_URL={server.url}), control API on /_harness/"
    return serve(server, lambda: line, announce=announce)
