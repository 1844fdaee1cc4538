"""One worker of ``-j``: reads jobs from standard input, answers on standard output, a JSON object a line.

Started as ``python -m harness.cli.worker`` by :mod:`harness.cli.pool`.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import IO, Any, NoReturn

__all__ = ["serve"]


def serve() -> NoReturn:
    """Do jobs until the input ends; then end the process at once, in the middle of a run too: the parent has gone."""
    # Whatever the code under test prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    jobs: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(jobs,), name="jobs", daemon=True).start()
    _prepare()
    while True:
        _send(answers, _answer(jobs.get()))


def _read(jobs: SimpleQueue[bytes]) -> None:
    for line in os.fdopen(os.dup(0), "rb"):
        jobs.put(line)
    os._exit(0)


def _prepare() -> None:
    from harness import runner

    runner.install()


def _answer(line: bytes) -> dict[str, Any]:
    import dataclasses

    import orjson

    from harness.cli.execute import Job, execute
    from harness.errors import HarnessError, ScenarioError, UsageError
    from harness.loading import load
    from harness.objectives import Objectives

    job = Job.from_json(orjson.loads(line))
    try:
        found = [one for one in load(job.file) if one.name == job.name]
        if not found:
            raise ScenarioError(f"does not define {job.name!r} any more", file=job.file, remedy="Run it again")
        scenario = found[0]
        if job.objectives is not None:
            scenario = dataclasses.replace(scenario, objectives=Objectives.from_mapping(job.objectives))
        return {"entry": execute(scenario, job)}
    except UsageError as error:
        return {"usage": str(error)}
    except HarnessError as error:
        return {"failure": str(error)}


def _send(answers: IO[bytes], answer: dict[str, Any]) -> None:
    import orjson

    data = orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
    view = memoryview(data)
    while view:
        view = view[answers.write(view) :]


if __name__ == "__main__":
    serve()
