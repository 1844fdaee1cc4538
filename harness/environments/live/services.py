"""SQS and Redis of a live run: started here in processes of their own, or somebody else's by URL."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from harness.environments.live.options import LiveOptions
from harness.environments.queues import creations
from harness.errors import EnvironmentFailed, UsageError
from harness.faults.plan import FaultPlan
from harness.net.child import Child
from harness.net.guard import guarded
from harness.scenario import Queue, Scenario
from harness.toxiproxy.launcher import loopback

__all__ = ["LiveRedis", "LiveSqs", "base_environ", "check_url", "create_queues", "credentials", "host_and_port"]

_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def host_and_port(url: str, default: int) -> str:
    """``host:port`` of a URL."""
    parts = urlsplit(url)
    return f"{parts.hostname or '127.0.0.1'}:{parts.port or default}"


def check_url(url: str, field: str, allow_remote: bool) -> None:
    """Raises UsageError for a URL that is not on loopback, without *allow_remote*."""
    host = urlsplit(url).hostname
    if not host:
        raise UsageError(f"{url!r} is no URL", field=field, remedy="Write http://127.0.0.1:9324, for instance.")
    if not (allow_remote or loopback(host)):
        raise UsageError(f"{url} is not on loopback", field=field, remedy="Give --allow-remote if you mean it.")


class LiveSqs:
    """The harness's own server, in a process of its own; its control API gives history, faults and inventory."""

    own = True
    proxied = True

    def __init__(self, scenario: Scenario, options: LiveOptions, seed: int) -> None:
        paths = [work.key for work in scenario.workloads if work.key is not None]
        command = [sys.executable, "-m", "harness", "sqs-server", "--port", "0", "--seed", str(seed), "--announce"]
        command += ["--no-wait-rules", "--speed", str(options.time_scale)]
        command += ["--key", paths[0]] if paths else []
        seen = any(effect.source == "queue" for effect in scenario.effects)  # by their bodies
        command += ["--record-bodies"] if scenario.record_bodies or seen else []
        self.child = Child("the SQS server", command)
        self.url: str = self.child.announced["url"]
        self.environ: dict[str, str] | None = credentials()
        self._pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=urllib3.Timeout(10.0))
        self._seen = 0
        self._scale = options.time_scale
        self._offset = self._emptied = 0.0

    def control(self, method: str, path: str, document: Any = None) -> Any:
        """What the control API answers.

        Raises:
            EnvironmentFailed: it does not, or refuses.
        """
        body = None if document is None else json.dumps(document)
        try:
            answer = self._pool.request(method, f"{self.url}/_harness/{path}", body=body)
        except urllib3.exceptions.HTTPError as error:
            died = "" if self.child.alive else f"; its process ended: {self.child.printed()}"
            raise EnvironmentFailed(f"the SQS server does not answer ({error}){died}") from None
        if answer.status >= 400:
            raise EnvironmentFailed(f"the SQS server answered {answer.status}: {answer.data.decode()[:500]}")
        return answer.data

    def empty(self) -> None:
        """Everything back to empty; the server's times count from here."""
        self._emptied = json.loads(self.control("POST", "reset"))["monotonic"]
        self._seen = 0

    def begin(self, began: float) -> None:
        """The run's times count from *began* (monotonic)."""
        self._offset = self._emptied - began

    def create(self, scenario: Scenario) -> dict[str, str]:
        """Make the scenario's queues; returns their URLs by name."""
        import boto3

        client = boto3.client(
            "sqs",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        urls: dict[str, str] = {}
        create_queues(client, scenario, urls)
        client.close()
        return urls

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.child.alive

    def check(self, plan: FaultPlan) -> None:
        """Every fault can be injected."""

    def finish(self, inventory: Mapping[str, Mapping[str, int]]) -> None:
        """It has told everything."""

    def told(self, process: str, line: Mapping[str, Any]) -> None:
        """Nobody needs to tell: it has seen it."""

    def send(self, document: Mapping[str, Any]) -> None:
        """A message of the workload, past every fault."""
        self.control("POST", "send", document)

    def set_faults(self, plan: Mapping[str, Any]) -> None:
        """The faults of AWS; their seconds count from now."""
        self.control("PUT", "faults", plan)

    def fault_state(self) -> dict[str, Any]:
        """``struck`` (by fault) and ``points``."""
        state: dict[str, Any] = json.loads(self.control("GET", "faults"))
        return state

    def inventory(self) -> dict[str, dict[str, int]]:
        """What is in each queue."""
        queues: dict[str, dict[str, int]] = json.loads(self.control("GET", "health"))["queues"]
        return queues

    def new_events(self) -> list[dict[str, Any]]:
        """Events since the last call, with the run's times."""
        lines = self.control("GET", f"history?after={self._seen}").splitlines()
        self._seen += len(lines)
        return [self._in_run(json.loads(line)) for line in lines]

    def _in_run(self, event: dict[str, Any]) -> dict[str, Any]:
        for name in ("t", "visible_at"):
            if isinstance(event.get(name), (int, float)):
                event[name] = max(0.0, event[name] / self._scale + self._offset)
        return event

    def stop(self) -> None:
        self._pool.clear()
        self.child.stop()


class LiveRedis:
    """A redis-server of this machine, fakeredis's TCP server, or somebody's by URL. ``address`` is ``host:port``."""

    def __init__(self, options: LiveOptions) -> None:
        choice = options.redis or ("server" if shutil.which("redis-server") else "fake")
        self.child: Child | None = None
        self.database = 0
        if choice == "server":
            self._start_server()
        elif choice == "fake":
            self.child = Child("fakeredis's server", [sys.executable, "-m", "harness.environments.live.fake_redis"])
            self.address = self.child.announced["address"]
        else:
            check_url(choice, "--redis", options.allow_remote)
            self.address = host_and_port(choice, 6379)
            self.database = int(urlsplit(choice).path.strip("/") or 0)
            self.check()
        self.kind = choice

    def check(self) -> None:
        """Raises EnvironmentFailed where nobody answers."""
        if not _pings(self.address):
            raise EnvironmentFailed(f"no Redis answers at {self.address}. Start one, or leave out --redis")

    def _start_server(self) -> None:
        found = shutil.which("redis-server")
        if found is None:
            raise EnvironmentFailed("there is no redis-server on PATH. Install it (Debian: apt install redis-server)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        command = [found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--repl-diskless-sync-delay", "0"]  # who follows it (redis_tap) need not wait for others
        self.child = Child("redis-server", guarded(command), ready=_pinger(self.address))

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def _pinger(address: str) -> Callable[[], bool]:
    return lambda: _pings(address)


def _pings(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def credentials() -> dict[str, str]:
    """Keys that open nothing, for servers that ask for some."""
    return dict(_CREDENTIALS)


def base_environ(endpoint: str) -> dict[str, str]:
    """What leads every consumer's boto3 to the SQS server of the run, or the proxy in front of it."""
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_SQS": endpoint}


def create_queues(client: Any, scenario: Scenario, urls: dict[str, str], prefix: str = "") -> None:
    """Make the queues of *scenario*; *urls* gets each one's URL by its name as it is made."""

    def arn_of(queue: Queue, dead_letter: str) -> str:
        found = client.get_queue_attributes(QueueUrl=urls[dead_letter], AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    for queue, attributes in creations(scenario, arn_of):
        urls[queue.name] = client.create_queue(QueueName=prefix + queue.name, Attributes=attributes)["QueueUrl"]
