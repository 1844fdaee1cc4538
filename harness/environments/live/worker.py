"""The main program of a consumer's process in a live run: ``python -m harness.environments.live.worker``.

Loads the scenario's file, finds the process's target, reports effects and
points through the channel, and runs the target. What it is to do stands in
``HARNESS_LIVE``, as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from random import Random
from typing import Any

from harness import observe, points
from harness.environments.handler import HandlerMark
from harness.environments.keys import KeyBook
from harness.environments.live.channel import Caller
from harness.environments.processes import Env, takes_argument
from harness.environments.recorder import describe_error
from harness.faults.handler import make_error
from harness.jsonpath import key_text
from harness.loading import load, resolve
from harness.net.child import end_with_parent
from harness.scenario import Scenario

__all__ = ["main"]


class _Inside(threading.local):
    """Which message's handler the thread is in, and whether it has come to the handler's middle."""

    depth = 0
    key: str | None = None
    middle = True


class Remote:
    """The run, as the wrapped handler, the points and the observers see it: kernel, engine, sink and recorder."""

    closed = False

    def __init__(self, caller: Caller, watched: bool) -> None:
        self._caller = caller
        self._watched = watched
        self._inside = _Inside()
        self.current = caller  # whoever asks acts

    # a recorder

    def record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self._caller.ask(event=kind, message=message, fields=fields, at=time.monotonic())
        return 0

    # a kernel

    @property
    def now_us(self) -> int:
        return int(time.monotonic() * 1_000_000)

    def sleep_us(self, us: int) -> None:
        time.sleep(us / 1_000_000)

    # an engine

    @contextlib.contextmanager
    def in_handler(self, key: str | None) -> Iterator[None]:
        inside = self._inside
        before = inside.depth, inside.key, inside.middle
        inside.depth, inside.key, inside.middle = inside.depth + 1, key, False
        try:
            yield
        finally:
            inside.depth, inside.key, inside.middle = before

    def passing(self, point: str, side: str, key: str | None = None) -> None:
        inside = self._inside
        if key is None and inside.depth:
            key = inside.key
        if not point.startswith("handler") and inside.depth and not inside.middle:
            inside.middle = True
            self._ask_passing("handler", "middle", inside.key)
        self._ask_passing(point, side, key)

    def _ask_passing(self, point: str, side: str, key: str | None) -> None:
        answer = self._caller.ask(passing=point, side=side, key=key)
        if "raise" in answer:
            error, text = answer["raise"]
            raise make_error(error, text)

    # a sink for points

    def effect(self, name: str, key: object) -> None:
        self.record("effect", name=name, key=key_text(key), source="point")

    def point(self, name: str) -> None:
        self.passing(f"point.{name}", "before")

    def always(self, condition: bool, name: str) -> None:
        if not condition:
            self.record("assert.always", name=name, held=False)

    def sometimes(self, condition: bool, name: str) -> None:
        if condition:
            self.record("assert.sometimes", name=name, held=True)

    def reachable(self, name: str) -> None:
        self.record("assert.reachable", name=name)


def watch_aws(remote: Remote) -> None:
    """Let faults of processes and handlers strike at AWS calls: each one is a passing, before and after."""
    from botocore.client import BaseClient

    original = BaseClient._make_api_call

    def call(self: Any, operation_name: str, api_params: dict[str, Any]) -> Any:
        point = f"aws.{self.meta.service_model.service_name}.{operation_name}"
        remote.passing(point, "before")
        result = original(self, operation_name, api_params)
        remote.passing(point, "after")
        return result

    BaseClient._make_api_call = call


def tell_sqs(caller: Caller) -> None:
    """Tell the run each call that moves messages: the SQS server cannot be asked for a history."""
    from botocore.client import BaseClient

    from harness.environments.live.other_sqs import TOLD, plain

    original = BaseClient._make_api_call

    def call(self: Any, operation_name: str, api_params: dict[str, Any]) -> Any:
        if operation_name not in TOLD or self.meta.service_model.service_name != "sqs":
            return original(self, operation_name, api_params)
        asked, began = plain(api_params), time.monotonic()
        if operation_name.startswith("Delete"):  # its answer may never come
            caller.ask(aws=operation_name, asked=asked, at=began)
        result = original(self, operation_name, api_params)
        caller.ask(aws=operation_name, asked=asked, answer=plain(result), began=began, at=time.monotonic())
        return result

    BaseClient._make_api_call = call


def main() -> int:
    """Run one process of a scenario; the exit code is 1 if its target raised."""
    asked = json.loads(os.environ.pop("HARNESS_LIVE"))
    end_with_parent(lambda: os.killpg(0, signal.SIGKILL))  # a consumer never outlives its run
    caller = Caller(asked["channel"], asked["token"], asked["process"])
    scenario = _scenario(asked)
    remote = Remote(caller, asked["watch"])
    points.set_sink(remote)
    for name in scenario.isolated:
        importlib.import_module(name)
    spec = next(one for one in scenario.processes if one.name == asked["group"])
    function = resolve(spec.code, field="target") if isinstance(spec.code, str) else spec.code
    keys = KeyBook(scenario)
    observe.install(
        remote.record,
        active=lambda: True,
        process=lambda: str(asked["process"]),
        key_of=lambda message: keys.of_message(None, message),
    )
    if scenario.handler is not None:
        kernel: Any = remote
        mark = HandlerMark(
            scenario,
            kernel,
            kernel,
            kernel.record,
            Random(f"{asked['seed']}/{asked['process']}"),
            keys.of_message,
            effect=not scenario.effects,
        )
        mark.install()
    if asked["tell"]:
        tell_sqs(caller)
    if asked["watch"]:
        watch_aws(remote)
    caller.ask(event="process.start", message=None, fields={"incarnation": asked["incarnation"]})
    try:
        if takes_argument(function):
            places = asked["places"]
            function(Env(asked["process"], places["redis"], places["queues"].__getitem__, places["http"].__getitem__))
        else:
            function()
    except SystemExit as error:
        caller.ask(end="exit", error=str(error.code))
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:
        caller.ask(end="error", error=describe_error(error), traceback=traceback.format_exc()[-4000:])
        return 1
    caller.ask(end="returned", error=None)
    return 0


def _scenario(asked: dict[str, Any]) -> Scenario:
    for folder in asked["path"]:
        if folder not in sys.path:
            sys.path.append(folder)
    return next(one for one in load(asked["file"]) if one.name == asked["scenario"])


if __name__ == "__main__":
    sys.exit(main())
