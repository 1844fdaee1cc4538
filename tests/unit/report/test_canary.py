"""A key, a token and an e-mail address, planted in every input, are in no file that comes out."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Done, command, project
from tests.unit.cli.project import Project

__all__ = ["command", "project"]  # fixtures

Command = Callable[..., Done]

KEY = "AKIAQWERTYUIOPASDFGH"
TOKEN = "Bearer zQ9canaryToken8817x"
MAIL = "canary.bird@mine.example"
CANARIES = (KEY, "zQ9canaryToken8817x", MAIL)

_SCENARIO = f'''
"""A canary sings to {MAIL}."""
import boto3, json, logging, os
from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants, points

def worker(env):
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        found = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            order = json.loads(message["Body"])
            points.effect("{MAIL}", order["mail"])
            points.point("handled")
            points.always(True, "{KEY}")
            print("{TOKEN}", os.environ["SECRET"])
            try:
                raise ValueError("denied for {MAIL} with {TOKEN}")
            except ValueError:
                logging.exception("{KEY}")
            told = json.dumps({{"who": "{MAIL}", "key": "{KEY}"}})
            sqs.send_message(QueueUrl=env.queue_url("audit"), MessageBody=told)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

scenario = Scenario(
    name="canary",
    queues=[Queue("orders"), Queue("audit")],
    processes=[Process("worker", worker, environ={{"SECRET": "{TOKEN}"}})],
    workload=Workload(
        to="orders", messages=6, per_second=5, key="$.mail",
        body=lambda n: {{"order_id": n, "mail": f"{{n}}.{MAIL}", "authorization": "{TOKEN}", "note": "{KEY}"}},
    ),
    effects=effects.point("{MAIL}"),
    faults=[
        Fault("point.handled", "transient", nth=2, error="builtins:ConnectionError"),
        Fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=3),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    duration=60,
)
'''


def _texts(folder: Path) -> dict[str, str]:
    """Every file below *folder* as text, with what a page has packed inside it unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file() or path.suffix == ".py":
            continue
        data = path.read_bytes()
        text = data.decode("utf-8", "replace")
        for packed in re.findall(r'<script type="text/plain"[^>]*>([^<]+)<', text):
            text += zlib.decompress(base64.b64decode(packed)).decode("utf-8", "replace")
        for chunk in re.findall(rb"tEXt[^\x00]*\x00([ -~]*)", data) if data[:4] == b"\x89PNG" else ():
            text += chunk.decode("latin-1")
        found[str(path.relative_to(folder))] = text
    return found


def test_no_secret_leaves_by_any_file(project: Project, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, report, compare, check, export, sweep: planted in bodies, errors, names, keys, settings and the sentence."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TOKEN)
    Path("scenarios").mkdir(exist_ok=True)
    Path("scenarios/canary.py").write_text(_SCENARIO)
    shown = [command("run", "--out", "out/run", "--json", "out-run.json", "--junit", "out-run.xml")]
    assert Path("out/run/canary/history.jsonl").is_file(), shown[0].err
    history = "out/run/canary/history.jsonl"
    shown.append(command("report", "out/run", "--out", "out/report", "--markdown", "out.md"))
    shown.append(command("compare", "out/run", "out/report", "--json", "out-compare.json"))
    shown.append(command("check", history, "--json", "out-check.json"))
    for form in ("perfetto", "otlp", "svg", "png"):
        shown.append(command("export", history, "--format", form))
    shown.append(command("sweep", "canary", "--kinds", "timeout", "--max-passing", "1", "--out", "out/sweep"))
    texts = _texts(Path.cwd())
    assert {"out/report/index.html", "out-check.json", "out/run/junit.xml", "out/run/canary/history.otlp.jsonl"} <= set(
        texts
    )
    assert "[redacted]" in texts[history]
    for number, done in enumerate(shown):
        texts[f"command {number}"] = done.out
    leaks = [f"{canary} in {name}" for name, text in texts.items() for canary in CANARIES if canary in text]
    assert not leaks, "\n".join(leaks)
