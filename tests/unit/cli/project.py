"""A small project of a user: a consumer that works, one that loses a message, and scenario files for them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

_WORKER = """
import ctypes, json, os, threading, time
import boto3
from harness.points import effect


def consume(skip=None):
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", []):
            number = json.loads(message["Body"])["n"]
            print("handled", number)
            if number != skip:
                effect("done", number)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def main():
    consume()


def lossy():
    consume(skip=3)


def spins():
    while True:
        time.sleep(0)


def busy():
    while True:
        time.sleep(0.001)


def dies():
    ctypes.string_at(0)  # a segmentation fault: not even the simulation can keep it in


def another_each_time():
    with open(os.environ["COUNTER"], "a+") as file:
        file.write("x")
        file.seek(0)
        skip = len(file.read())
    consume(skip)


class Thing:
    pass


def in_an_order():
    things = {Thing() for number in range(3000)}
    for thing in things:
        effect("done", id(thing))
    consume()


def at_the_real_time():
    seen = (ctypes.c_int64 * 2)()
    ctypes.CDLL(None).clock_gettime(0, seen)
    effect("done", seen[0] * 1_000_000_000 + seen[1])
    consume()


def beside_a_thread():
    from harness.sim import real
    real.start_new_thread(real.sleep, (0.5,))
    effect("done", os.getpid())
    consume()


class Counter:
    count = 0

    def add(self):
        count = self.count
        str(count)
        self.count = count + 1


def on_threads():
    counter = Counter()
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(20)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    effect("counted", counter.count)
    consume()
"""

_SCENARIO = '''"""{sentence}"""
from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants

scenario = Scenario(
    name="{name}",
    processes=[Process("worker", "{module}:{function}", environ={{"QUEUE_URL": "{{queue:orders}}"{environ}}})],
    workload=Workload(to="orders", messages={messages}, per_second=10, key="$.n"),
    {rest}
)
'''

_numbers = itertools.count()


@dataclass(frozen=True)
class Project:
    """A folder with a consumer module of a name that no other test has."""

    folder: Path
    module: str

    def scenario(
        self,
        name: str,
        function: str = "main",
        rest: str = 'effects=effects.point("done"),',
        *,
        file: str | None = None,
        messages: int = 6,
        sentence: str = "Something breaks.",
        environ: str = "",
    ) -> Path:
        """Write a scenario file into ``scenarios/``; its path from the project's folder."""
        text = _SCENARIO.format(
            name=name, module=self.module, function=function, rest=rest, messages=messages, sentence=sentence,
            environ=environ,
        )  # fmt: skip
        path = Path("scenarios") / (file or f"{name.replace('-', '_')}.py")
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)
        return path


def make(folder: Path) -> Project:
    """A new project in *folder*."""
    module = f"cli_project_{next(_numbers)}_worker"
    (folder / ".git").mkdir()  # where the search for settings ends
    (folder / f"{module}.py").write_text(_WORKER)
    return Project(folder, module)
