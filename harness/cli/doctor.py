"""``harness doctor``: what is installed, and what can run here."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from importlib import metadata

import click

__all__ = ["command"]

#: What each extra needs, by import name; the first is what a plain ``harness run`` cannot do without.
_NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "sim": (
        ("greenlet", "greenlet"),
        ("boto3", "boto3"),
        ("redis", "redis"),
        ("fakeredis", "fakeredis"),
        ("lupa", "lupa"),
        ("hypothesis", "hypothesis"),
        ("matplotlib", "matplotlib"),
        ("orjson", "orjson"),
        ("click", "click"),
        ("rich", "rich"),
        ("jinja2", "jinja2"),
        ("junitparser", "junitparser"),
        ("jsonpath", "python-jsonpath"),
        ("yaml", "pyyaml"),
    ),
    "moto": (("moto", "moto"),),
    "live": (("toxiproxy", "toxiproxy-python"), ("httptools", "httptools"), ("cbor2", "cbor2")),
    "load": (("locust", "locust"),),
    "pytest": (("pytest", "pytest"),),
}

#: Programs that live runs use where they are: what is done without one, and how to get it.
_PROGRAMS: dict[str, tuple[str, str]] = {
    "redis-server": ("fakeredis's server takes its place", "Debian: apt install redis-server"),
    "toxiproxy-server": (
        "the embedded proxy takes its place",
        "go install github.com/Shopify/toxiproxy/v2/cmd/server@latest, and name it toxiproxy-server",
    ),
    "java": ("no ElasticMQ for --sqs elasticmq", "Debian: apt install default-jre-headless"),
    "go": ("no Toxiproxy can be built", "https://go.dev/dl"),
}


@click.command("doctor")
def command() -> int:
    """Say what is installed and what can run here. Exit code 3 if something that `harness run` needs is missing."""
    import harness
    from harness import config

    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    click.echo(f"harness {harness.__version__} on Python {platform.python_version()}, {platform.platform()}")
    if not good:
        click.echo("✗ Python: 3.11, 3.12 or 3.13 is needed")
    missing = {extra: _missing(extra) for extra in _NEEDS}
    for extra, names in missing.items():
        state = f"✗ {extra}: missing {', '.join(names)}" if names else f"✓ {extra}: {_versions(extra)}"
        remedy = f"  (pip install 'resilience-harness[{extra}]')" if names else ""
        click.echo(state + remedy)
    click.echo("live runs:")
    for name, (use, remedy) in _PROGRAMS.items():
        path = shutil.which(name)
        click.echo(f"  ✓ {name}: {path}" if path else f"  – {name}: not here; {use}  ({remedy})")
    click.echo(_elasticmq())
    found = config.load()
    click.echo(f"settings: {found.source or 'none (defaults)'}")
    click.echo(f"scenarios: {', '.join(str(path) for path in found.folders()) or 'the built-in catalogue'}")
    return 0 if good and not missing["sim"] else 3


def _elasticmq() -> str:
    """Whether ``--sqs elasticmq`` can start it, and what is missing if not."""
    from harness.environments.live.elasticmq import find_elasticmq
    from harness.errors import EnvironmentFailed

    try:
        return f"  ✓ ElasticMQ: {find_elasticmq()[1]}"
    except EnvironmentFailed as missing:
        return f"  – {missing}"


def _missing(extra: str) -> list[str]:
    return [name for module, name in _NEEDS[extra] if importlib.util.find_spec(module) is None]


def _versions(extra: str) -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for _, name in _NEEDS[extra])
