"""``harness proxy``: the embedded Toxiproxy server, by itself."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["command"]


@click.command("proxy")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the API listens.")
@click.option(
    "--port", default=8474, show_default=True, type=click.IntRange(0, 65_535), help="The API's port; 0: free."
)
@click.option("--config", type=click.Path(path_type=Path), help="A JSON file of proxies, with their toxics.")
@click.option("--seed", default=0, show_default=True, help="Of toxicity and of random toxics.")
@click.option("--proxy-metrics", is_flag=True, help="GET /metrics counts bytes.")
@click.option("--runtime-metrics", is_flag=True, help="GET /metrics tells of this process.")
@click.option("--allow-remote", is_flag=True, help="Let proxies listen on and lead to addresses outside loopback.")
@click.option("--announce", is_flag=True, hidden=True, help="Print one line of JSON, and end with standard input.")
def command(
    host: str,
    port: int,
    config: Path | None,
    seed: int,
    proxy_metrics: bool,
    runtime_metrics: bool,
    allow_remote: bool,
    announce: bool,
) -> int:
    """Speak Toxiproxy's HTTP API and proxy TCP connections through its toxics, and more of them.

    Any client of Toxiproxy works with it. Ctrl-C ends it; live connections get their FIN.
    """
    from harness.cli.serving import address, serve
    from harness.toxiproxy.server import ToxiproxyServer

    server = ToxiproxyServer(
        host=address(host, allow_remote),
        port=port,
        seed=seed,
        proxy_metrics=proxy_metrics,
        runtime_metrics=runtime_metrics,
        allow_remote=allow_remote,
    )

    def prepare() -> str:
        made = f", {server.configure(config)} proxies from {config}" if config is not None else ""
        return f"proxy API on {server.url}{made}"

    return serve(server, prepare, announce=announce)
