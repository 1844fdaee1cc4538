"""SDKs of several languages against SQS servers: one table of client, server and check.

``python -m benchmarks.sqs_clients [--client NAME ...] [--server NAME ...]``:
each client under ``tests/clients`` does the same named checks (queues,
messages, batches, FIFO, dead letters and their redrive, errors, SNS, metrics,
alarms, faults, verdicts) and says of each ``ok`` or ``not ok``. What a
language needs is fetched into ``build/clients``; one whose tools are not here
is left out by name. Exit code 1: a check failed on the harness's own server.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sqs_peers import OWN, SERVERS, served
from harness.errors import EnvironmentFailed

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "tests" / "clients"
LIMIT_S = 600  # for all checks of one client on one server
BUILT = ROOT / "build" / "clients"


class LeftOut(Exception):
    """A language's tools are not here."""


@dataclass(frozen=True)
class Client:
    """``command`` takes the server's URL and a prefix for the names of queues."""

    command: list[str]
    cwd: Path = ROOT
    path: Path | None = None  # in front of PATH


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise LeftOut(f"{name} is not here")
    return found


def _do(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")


def _folder(name: str) -> Path:
    folder = BUILT / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def boto3() -> Client:
    return Client([sys.executable, str(SOURCES / "python" / "round.py")])


def javascript() -> Client:
    node, npm, folder = _tool("node"), _tool("npm"), _folder("javascript")
    packages = ("@aws-sdk/client-sqs", "@aws-sdk/client-sns", "@aws-sdk/client-cloudwatch", "sqs-consumer")
    if not all((folder / "node_modules" / name).exists() for name in packages):
        _do(npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages, cwd=folder)
    return Client([node, str(SOURCES / "javascript" / "round.mjs")], cwd=folder)


def go() -> Client:
    program = _folder("go") / "round"
    _do(_tool("go"), "build", "-o", str(program), ".", cwd=SOURCES / "go")
    return Client([str(program)])


def java() -> Client:
    runtime, compiler, maven, folder = _tool("java"), _tool("javac"), _tool("mvn"), _folder("java")
    source = SOURCES / "java"
    if not list(folder.glob("lib/sqs-*.jar")):
        target = f"-DoutputDirectory={folder / 'lib'}"
        _do(maven, "-q", "-B", "-f", str(source / "pom.xml"), "dependency:copy-dependencies", target, cwd=folder)
    files = sorted(str(path) for path in source.rglob("*.java"))
    _do(compiler, "-encoding", "UTF-8", "-cp", "lib/*", "-d", "classes", *files, cwd=folder)
    return Client([runtime, "-cp", "classes:lib/*", "Round"], cwd=folder)


def aws_cli() -> Client:
    """In an environment of its own: it pins another botocore."""
    folder = _folder("aws-cli")
    if not (folder / "bin" / "aws").exists():
        venv.create(folder, with_pip=True)
        _do(str(folder / "bin" / "pip"), "install", "--quiet", "awscli", cwd=folder)
    return Client([str(SOURCES / "aws-cli" / "round")], path=folder / "bin")


CLIENTS: dict[str, Callable[[], Client]] = {
    "boto3": boto3,
    "JavaScript v3": javascript,
    "Go v2": go,
    "Java v2": java,
    "aws-cli": aws_cli,
}


def run(client: Client, url: str) -> dict[str, str]:
    """By check: empty, or why it failed."""
    environ = dict(os.environ)
    if client.path is not None:
        environ["PATH"] = f"{client.path}{os.pathsep}{environ['PATH']}"
    try:
        done = subprocess.run(
            [*client.command, url, "t-"],
            cwd=client.cwd, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise SystemExit(f"{client.command[0]} at {url} took over {LIMIT_S} s: {late.stdout!r}") from None
    found = {}
    for line in done.stdout.splitlines():
        state, _, rest = line.partition("ok ")
        if state in ("", "not "):
            name, _, why = rest.partition(": ")
            found[name] = (why or "failed") if state else ""
    if not found or (done.returncode == 0) != (not any(found.values())):
        raise SystemExit(f"{client.command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return found


def table(results: dict[tuple[str, str], dict[str, str]]) -> str:
    """Markdown: a line for each check, a column for each server and client."""
    checks = list(dict.fromkeys(name for found in results.values() for name in found))
    servers = list(dict.fromkeys(server for server, _ in results))
    lines = ["| check | " + " | ".join(f"{client} on {server}" for server, client in results) + " |"]
    lines.append("|---|" + "---|" * len(results))
    for check in checks:
        cells = ["?" if check not in found else "✗" if found[check] else "✓" for found in results.values()]
        lines.append(f"| {check} | {' | '.join(cells)} |")
    counts = [f"{sum(not why for why in found.values())} of {len(found)}" for found in results.values()]
    lines.append(f"| **passed** | {' | '.join(counts)} |")
    return "\n".join(lines) if servers else "nothing was tried"


def main() -> int:
    """Print what failed, and the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--client", action="append", choices=list(CLIENTS), help="one of them only; repeatable")
    parser.add_argument("--server", action="append", choices=list(SERVERS), help="one of them only; repeatable")
    given = parser.parse_args()
    results: dict[tuple[str, str], dict[str, str]] = {}
    for name in given.client or CLIENTS:
        try:
            client = CLIENTS[name]()
        except LeftOut as why:
            print(f"{name}: left out, {why}")
            continue
        for server in given.server or SERVERS:
            try:
                with served(server) as url:
                    results[server, name] = found = run(client, url)
            except EnvironmentFailed as missing:
                print(f"{server}: left out, {missing}")
                continue
            for check, why_not in found.items():
                if why_not:
                    print(f"{name} on {server}: {check}: {why_not}")
    results = {key: results[key] for server in SERVERS for key in results if key[0] == server}
    print(table(results), flush=True)
    own = [found for (server, _), found in results.items() if server == OWN]
    different = any(list(found) != list(own[0]) and set(found) != set(own[0]) for found in own)
    if different:
        print("the clients do not do the same checks")
    return 1 if different or any(any(found.values()) for found in own) else 0


if __name__ == "__main__":
    sys.exit(main())
