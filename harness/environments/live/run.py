"""One live run: servers, proxies, consumers and a workload, driven in real time to the end.

The history is put together at the end: what happened in this process (faults,
processes, effects that were reported) and what the SQS server saw, by the
machine's one monotonic clock.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from harness import effects as effect_values
from harness.environments.live.channel import Channel
from harness.environments.live.clock import LiveClock
from harness.environments.live.network import REDIS_AS_NETWORK, Network
from harness.environments.live.options import LiveOptions
from harness.environments.live.other_sqs import OtherSqs
from harness.environments.live.processes import LiveActions, LiveProcesses
from harness.environments.live.recorder import LiveRecorder
from harness.environments.live.redis_tap import RedisTap, queues_in_redis
from harness.environments.live.sender import LiveSender
from harness.environments.live.services import LiveRedis, LiveSqs, base_environ, host_and_port
from harness.environments.live.stubs import LiveStubs, responders_of
from harness.environments.processes import Addresses
from harness.errors import EnvironmentFailed, PlanError, ScenarioError
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.history import Event
from harness.net.child import Child
from harness.scenario import Process, Scenario
from harness.seeds import Seeds
from harness.toxiproxy.launcher import Launched, launch

__all__ = ["LiveRun", "check_plan", "check_scenario"]

_POLL_SECONDS: Final = 0.2
_START_SECONDS: Final = 60.0  # that a consumer may take to import its modules
_CALM_SECONDS: Final = 0.6  # with empty queues before the run ends
_QUIET_SECONDS_MAX: Final = 120.0


def check_scenario(scenario: Scenario) -> None:
    """Raises ScenarioError for a scenario that cannot run live, with the remedy."""
    if scenario.file is None:
        raise ScenarioError(
            "stands in no file: consumers in processes of their own could not load it",
            field=scenario.name,
            remedy="Write it into a scenario file",
        )
    in_redis = {queue.name for queue in queues_in_redis(scenario)}
    for work in scenario.workloads:
        if work.messages and work.to in in_redis:
            raise ScenarioError(
                f"sends to {work.to!r}, a queue in Redis",
                field=f"{scenario.name}.workload",
                remedy="Give it messages=0 and let a process send, as the library that reads the queue does it",
            )
    for effect in scenario.effects:
        if effect.source in ("sqlite", "redis"):
            raise ScenarioError(
                f"{effect.describe()} cannot be seen from outside a process",
                field="effects",
                remedy='Add points.effect("done", key) to the code and effects.point("done"), or leave live out',
            )


def check_plan(plan: FaultPlan) -> None:
    """Raises PlanError for a fault that only a simulation has."""
    for index, fault in enumerate(plan):
        layer, kind = fault.spec.layer, fault.kind
        problem = ""
        if layer == "clock":
            problem = "a live process has the machine's clock"
        elif layer == "redis" and kind not in REDIS_AS_NETWORK:
            problem = f"a live Redis is not made to answer {kind}"
        elif layer == "redis" and (fault.nth is not None or fault.probability < 1 or fault.where.text != "redis"):
            problem = "a live Redis is cut off as a whole, for a window"
        elif layer == "network" and fault.nth is not None:
            problem = "the network's faults have a window, no passings"
        elif layer == "lambda":
            problem = "Lambda functions are simulated only"
        if problem:
            raise PlanError(
                f"{kind} at {fault.target} cannot be injected live: {problem}",
                field=f"faults[{index}]",
                remedy="Leave it out, or run with --backend memory",
            )


class LiveRun:
    """One run: ``execute()``, then always ``close()``. ``events`` is the history, in order, once it is closed."""

    def __init__(self, scenario: Scenario, plan: FaultPlan, seed: int, options: LiveOptions) -> None:
        check_scenario(scenario)
        check_plan(plan)
        self.scenario = scenario
        self.plan = plan
        self.seed = seed
        self.options = options
        self.clock = LiveClock(options.time_scale)
        self.record = LiveRecorder(self.clock)
        self.events: list[Event] = []
        self.notes: list[str] = []
        self._actions = LiveActions(self.clock)
        self._on_server = {i: n for n, i in enumerate(i for i, f in enumerate(plan) if f.spec.layer in ("aws", "sqs"))}
        elsewhere = {i for i, f in enumerate(plan) if f.spec.layer in ("aws", "sqs", "network", "redis")}
        self.engine = FaultEngine(plan, Seeds(seed), self.clock, self.record, self._actions, elsewhere=elsewhere)
        self._undo: list[Callable[[], object]] = []
        self._sqs: LiveSqs | OtherSqs | None = None
        self._tap: RedisTap | None = None
        self._network: Network | None = None
        self._processes: LiveProcesses | None = None
        self._servers: list[Child] = []  # that were started for this run
        self._of_others: list[Callable[[], object]] = []  # raise EnvironmentFailed where a server of theirs is gone
        self._struck: list[int] = []
        self._points: dict[str, dict[str, int]] = {}
        self._senders: list[LiveSender] = []
        self._gate = threading.Event()
        self._at_gate: dict[str, None] = {}
        self.send_observers: list[effect_values.SendObserver] = []
        self.sent_at: float | None = None  # monotonic: of the send that observers are told of
        self.started = False  # everything that it needs was there, and the workload has begun

    def execute(self) -> None:
        """Run the scenario to its end.

        Raises:
            EnvironmentFailed: a server could not be started, or died.
            UsageError: an address is not on loopback, a toxic not the server's.
            KeyboardInterrupt: Ctrl-C; the history up to then is kept.
        """
        try:
            self._start()
            self._drive()
            self._end("quiet")
        except KeyboardInterrupt:
            self._end("interrupted")
            raise
        except Exception:
            with contextlib.suppress(EnvironmentFailed):  # the first failure is the one to tell
                self._end("error")
            raise

    # Starting

    def _start(self) -> None:
        scenario, plan = self.scenario, self.plan
        toxiproxy = self._opened(launch(self.options.toxiproxy, seed=self.seed, allow_remote=self.options.allow_remote))
        network = self._network = Network(toxiproxy.client, self.clock, self.record)
        self._undo.append(network.close)
        network.check(plan)
        sqs: LiveSqs | OtherSqs
        sqs = (LiveSqs if self.options.sqs is None else OtherSqs)(scenario, self.options, self.seed)
        self._sqs = sqs
        self._undo.append(sqs.stop)
        sqs.check(plan)
        redis = LiveRedis(self.options)
        self._undo.append(redis.stop)
        self._servers = [child for child in (toxiproxy.child, sqs.child, redis.child) if child is not None]
        if toxiproxy.child is None:
            self._of_others.append(toxiproxy.client.version)
        if redis.child is None:
            self._of_others.append(redis.check)
        if queues_in_redis(scenario):
            self._tap = RedisTap(scenario, redis.address, self.clock, self.record)
            self._undo.append(self._tap.stop)
        stubs = LiveStubs(self.clock, self.engine, self._stub_names())
        self._undo.append(stubs.stop)
        for name, responder in responders_of(scenario.http).items():
            stubs.respond(name, responder)
        stubs.start()
        endpoint = f"http://{network.add('sqs', host_and_port(sqs.url, 80))}" if sqs.proxied else sqs.url
        redis_url = f"redis://{network.add('redis', redis.address)}/{redis.database}"
        urls = {name: f"http://{network.add(name, host_and_port(stubs.url(name), 80))}" for name in stubs.servers}
        channel = Channel(self._told)
        self._undo.append(channel.close)
        channel.start()
        sqs.empty()
        queues = {
            name: endpoint + urlsplit(url).path  # clients reach the queue through its proxy
            for name, url in sqs.create(scenario).items()
        } | {queue.name: queue.name for queue in queues_in_redis(scenario)}
        self._undo += [effect.observe(_LiveBench(self, stubs)) for effect in scenario.effects]
        self._start_processes(
            channel, Addresses(queues.__getitem__, urls.__getitem__, redis_url, endpoint), queues, urls
        )
        self._start_consumers()
        self._begin(network, sqs)

    def _start_consumers(self) -> None:
        """Start every consumer and wait until each has imported what it needs: that is not what a run is about."""
        assert self._processes is not None
        awaited = self._processes.start_all(self.scenario.processes)
        until = time.monotonic() + _START_SECONDS
        while not awaited <= self._at_gate.keys():
            ended = [name for name in awaited if self._processes.named(name) is None]
            if ended:
                time.sleep(0.1)  # it is about to say why
                why = self._processes.failures[0] if self._processes.failures else ""
                raise EnvironmentFailed(f"{ended[0]} ended before it could be used: {why}")
            if time.monotonic() > until:
                missing = sorted(awaited - self._at_gate.keys())
                raise EnvironmentFailed(f"{', '.join(missing)} did not start within {_START_SECONDS:.0f} s")
            time.sleep(0.02)

    def _opened(self, launched: Launched) -> Launched:
        self._undo.append(launched.stop)
        return launched

    def _begin(self, network: Network, sqs: LiveSqs | OtherSqs) -> None:
        """Everything is there: faults, consumers and workload begin together."""
        self.started = True
        self.clock.start()
        self._undo.append(self.clock.stop)
        sqs.begin(self.clock.began)
        self.record("run.start", actor="-", at=self.clock.began)
        on_server = [self.plan[index] for index in self._on_server]
        with self.clock.lock:
            self.engine.start()
            network.schedule(self.plan)
            sqs.set_faults(FaultPlan(on_server).to_json())
        self._gate.set()
        first = 0
        for workload in self.scenario.workloads:
            sender = LiveSender(self.scenario, workload, first, self.clock, self.engine, sqs.send)
            self._senders.append(sender)
            sender.start()
            first += workload.messages

    def _start_processes(
        self, channel: Channel, addresses: Addresses, queues: dict[str, str], urls: dict[str, str]
    ) -> None:
        watch = any(
            fault.where.layer == "aws" and fault.spec.layer in ("process", "handler") for fault in self.plan
        ) or any(fault.side == "middle" for fault in self.plan)
        assert self.scenario.file is not None
        work = {
            "channel": channel.address,
            "token": channel.token,
            "file": str(Path(self.scenario.file).resolve()),
            "scenario": self.scenario.name,
            "seed": self.seed,
            "watch": watch,
            "tell": self._sqs is not None and not self._sqs.own,
            "path": [str(Path.cwd()), *(path for path in sys.path if path)],
            "places": {"redis": addresses.redis, "queues": queues, "http": urls},
        }

        assert self._sqs is not None
        access = self._sqs.environ  # None: what we were given ourselves

        def environ(spec: Process) -> dict[str, str]:
            kept = {
                name: value
                for name, value in os.environ.items()
                if not (access is not None and name.startswith(("AWS_", "BOTO_")))
                and not name.lower().endswith("_proxy")
            }
            kept.update(access or {})
            own = {name: addresses.fill(value) for name, value in spec.environ.items()}
            return {**kept, **base_environ(addresses.aws), "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", **own}

        made = LiveProcesses(self.clock, self.record, work, environ, self.engine.start_delay_us)
        self._processes = self._actions.table = made
        self._undo.append(made.close)

    def _stub_names(self) -> list[str]:
        """The stubs that the scenario mentions: in effects, environment and responders."""
        texts = [value for process in self.scenario.processes for value in process.environ.values()]
        texts += [effect.describe() for effect in self.scenario.effects]
        found = [name for text in texts for name in re.findall(r"\{http:([^{}]+)\}", text)]
        return list(dict.fromkeys([*self.scenario.http, *found]))

    # Consumers tell and ask

    def _told(self, name: str, line: dict[str, Any]) -> dict[str, Any]:
        processes = self._processes
        process = None if processes is None else processes.named(name)
        if process is None:
            return {}
        self.clock.acting_for(process)
        if line.get("event") == "process.start" and not self._gate.is_set():
            self._at_gate.setdefault(name)
            self._gate.wait()
            if not self.started:
                raise SystemExit("the run is over before it has begun")
        if "event" in line:
            self.record(line["event"], line.get("message"), at=line.get("at"), **self._fields(process.name, line))
        elif "passing" in line:
            try:
                with self.clock.lock:
                    self.engine.passing(line["passing"], line["side"], line.get("key"))
            except Exception as error:  # the fault is an error for the handler
                return {"raise": [f"{type(error).__module__}:{type(error).__qualname__}", str(error)]}
        elif "aws" in line and self._sqs is not None:
            self._sqs.told(process.name, line)
        elif "end" in line:
            process.ended = line
        return {}

    @staticmethod
    def _fields(name: str, line: dict[str, Any]) -> dict[str, Any]:
        fields = dict(line.get("fields") or {})
        if line["event"] == "process.start":
            fields["process"] = name
        return fields

    # The run's course

    def _drive(self) -> None:
        """Until everything is sent and every window is closed; then until the queues are empty, or too long."""
        scale = self.clock.scale
        active = max(self.scenario.ends, self.plan.last_known_end) / scale
        while self.clock.seconds < active or not all(sender.done for sender in self._senders):
            self._look()
            time.sleep(min(_POLL_SECONDS, max(0.01, active - self.clock.seconds)))
        quiet = min(_QUIET_SECONDS_MAX, self._quiet_seconds() / scale)
        self.record("run.quiet", until=self.clock.seconds + quiet, actor="-")
        until = max(self.clock.seconds, self.engine.disturbed_until_us / 1_000_000 / scale) + quiet
        calm_since: float | None = None
        while self.clock.seconds < until:
            calm = self._look()
            if self._processes is not None and self._processes.all_ended:
                return
            if not calm:
                calm_since = None
            elif calm_since is None:
                calm_since = self.clock.seconds
            elif self.clock.seconds - calm_since >= _CALM_SECONDS:
                return
            time.sleep(_POLL_SECONDS)

    def _quiet_seconds(self) -> float:
        visibility = max((queue.visibility_timeout for queue in self.scenario.queues), default=30.0)
        return 3 * float(visibility) + 10.0

    def _look(self) -> bool:
        """Fetch what happened, notice what broke; whether every source queue is empty."""
        sqs, network = self._sqs, self._network
        assert sqs is not None
        assert network is not None
        for server in self._servers:
            if not server.alive:
                raise EnvironmentFailed(
                    f"{server.what} ended in the middle of the run: {server.printed()}".rstrip(": ")
                )
        for ask in self._of_others:
            ask()
        self._fetch()
        for sender in self._senders:
            if sender.failure is not None:
                raise sender.failure
        if network.failures:
            raise EnvironmentFailed(network.failures[0])
        inventory = sqs.inventory() | ({} if self._tap is None else self._tap.inventory())
        return all(not sum(inventory.get(name, {}).values()) for name in self.scenario.sources)

    def _fetch(self) -> None:
        assert self._sqs is not None
        indexes = list(self._on_server)
        events = []
        for event in self._sqs.new_events():
            if event["kind"] in ("fault.start", "fault.end"):
                continue  # this process has told them, with the plan's own numbers
            if event["kind"] == "fault.strike":
                event["fault"] = indexes[event["fault"]]
            elif event["kind"] == "send":
                self._tell_send(event)
                if event["origin"] != "workload" and not self.scenario.record_bodies and "body" in event:
                    event["length"] = len(event.pop("body"))
            events.append(event)
        self.record.add(events)

    def _tell_send(self, event: dict[str, Any]) -> None:
        """Effects see a message that a queue accepted, at the time of the server."""
        self.sent_at = self.clock.began + event["t"]
        for observer in self.send_observers:
            observer(event["queue"], event["body"], event["message"], event["origin"])
        self.sent_at = None

    def _end(self, reason: str) -> None:
        """The last events; nobody acts any more when they are written."""
        self.clock.over.set()
        if not self.started:
            self.record("run.start", actor="-", at=self.clock.began)
            self._gate.set()
        for sender in self._senders:
            sender.join()
        if self._processes is not None:
            self._processes.close()
            self.notes += self._processes.failures
        inventory: dict[str, dict[str, int]] = {}
        if self._sqs is not None and self._sqs.alive:
            inventory = self._sqs.inventory()
            if self._tap is not None:
                inventory = inventory | self._tap.inventory()
                self._tap.finish()
            self._sqs.finish(inventory)
            self._fetch()
            state = self._sqs.fault_state()
            self._struck, self._points = state["struck"], state["points"]
        self.record("run.end", reason=reason, queues=inventory, points=self.table(), steps=0, actor="-")

    def table(self) -> dict[str, dict[str, int]]:
        """How often each point was passed and struck."""
        found = {**self.engine.table(), **self._points}
        if self._network is not None:
            for index, count in self._network.strikes.items():
                row = found.setdefault(self.plan[index].target, {"passed": 0, "struck": 0})
                row["passed"] += count
                row["struck"] += count
        return dict(sorted(found.items()))

    def strikes(self) -> list[int]:
        """How often each fault of the plan has struck."""
        counts = self.engine.strikes()
        for index, number in self._on_server.items():
            counts[index] = self._struck[number] if number < len(self._struck) else 0
        if self._network is not None:
            for index, count in self._network.strikes.items():
                counts[index] = count
        return counts

    def unstruck(self) -> list[str]:
        """The faults that never struck."""
        return [str(fault) for fault, count in zip(self.plan, self.strikes(), strict=True) if not count]

    def close(self) -> None:
        """Stop everything that was started, in reverse order, whatever fails. Idempotent."""
        interrupted: KeyboardInterrupt | None = None
        while self._undo:
            undo = self._undo.pop()
            try:
                undo()
            except Exception as error:
                self.notes.append(f"could not be stopped cleanly: {error}")
            except KeyboardInterrupt as error:  # Ctrl-C again: the others are stopped all the same
                interrupted = error
        self.record.closed = True
        self.events = list(self.record.in_order())
        if interrupted is not None:
            raise interrupted


class _LiveBench:
    """What a live run offers to be watched by effects."""

    def __init__(self, run: LiveRun, stubs: LiveStubs) -> None:
        self._run = run
        self.http: Any = stubs
        self.redis: Any = None

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        self._run.record("effect", name=name, key=key, source=source, at=self._run.sent_at)

    def record_effect_lost(self, name: str, key: str | None) -> None:
        self._run.record("effect.lost", name=name, key=key)

    def on_send(self, observer: effect_values.SendObserver) -> effect_values.Undo:
        self._run.send_observers.append(observer)
        return lambda: self._run.send_observers.remove(observer)

    def now_us(self) -> int:
        return self._run.clock.now_us
