"""``python -m benchmarks.proxy [--json FILE] [--seconds S]``: the embedded proxy beside a real Toxiproxy, in one run.

Both are processes of their own on loopback, asked in turns, so that the noise
of a shared machine falls on both; of three rounds the median counts. A
``toxiproxy-server`` has to be on PATH; without one the embedded proxy's figures
stand alone, beside those of no proxy at all.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from benchmarks.proxy_peer import Peer
from harness.net.guard import guarded_pid
from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.launcher import BINARY, Launched, launch

_CHUNK: Final = bytes(262_144)
_ROUNDS: Final = 3

_TOXICS: Final[tuple[tuple[str, dict[str, int]], ...]] = (
    ("noop", {}),
    ("latency", {"latency": 0}),
    ("bandwidth", {"rate": 1_000_000}),
    ("slicer", {"average_size": 1000}),
)

Figures = dict[str, float]


class Way:
    """One way to the peers: no proxy, the embedded one, or a real one. ``port(what)``: where to connect to."""

    def __init__(self, name: str, peer: Peer, launched: Launched | None) -> None:
        self.name = name
        self.launched = launched
        self._ports = {"source": peer.source, "echo": peer.echo, "sink": peer.sink}
        if launched is not None:
            client = launched.client
            for what, port in list(self._ports.items()):
                self._ports[what] = client.create(what, f"127.0.0.1:{port}").port
            for kind, attributes in _TOXICS:  # one proxy each: taking a toxic away can hang a real one
                self._ports[kind] = client.create(kind, f"127.0.0.1:{peer.source}").port
                client.add_toxic(kind, kind, attributes)

    def port(self, what: str) -> int:
        return self._ports[what]

    @property
    def client(self) -> ToxiproxyClient:
        assert self.launched is not None
        return self.launched.client

    @property
    def pid(self) -> int:
        assert self.launched is not None
        assert self.launched.child is not None
        return guarded_pid(self.launched.child.pid) if self.launched.kind == "binary" else self.launched.child.pid

    def connect(self, what: str) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port(what)), timeout=20)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


# What is measured


def download(way: Way, connections: int, seconds: float, what: str = "source") -> float:
    """MB/s that arrive on so many connections together."""
    room = memoryview(bytearray(len(_CHUNK)))
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = stack.enter_context(way.connect(what))
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        got, began = 0, 0.0
        warm = time.perf_counter() + seconds / 5
        while True:
            now = time.perf_counter()
            if not began and now >= warm:
                began, got = now, 0
            if began and now - began >= seconds:
                return got / (now - began) / 1e6
            for key, _ in selector.select(1.0):
                got += key.fileobj.recv_into(room)  # type: ignore[union-attr]


def upload(way: Way, seconds: float) -> float:
    """MB/s that one connection takes."""
    with way.connect("sink") as connection:
        sent, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            connection.sendall(_CHUNK)
            sent += len(_CHUNK)
        return sent / (time.perf_counter() - began) / 1e6


def ping_pong(way: Way, count: int) -> tuple[float, float]:
    """The median and the 99th percentile of a round trip of 64 bytes, in microseconds."""
    taken, message = [], bytes(64)
    with way.connect("echo") as connection:
        for _ in range(count):
            began = time.perf_counter_ns()
            connection.sendall(message)
            got = 0
            while got < 64:
                got += len(connection.recv(64 - got))
            taken.append((time.perf_counter_ns() - began) / 1000)
    taken.sort()
    return statistics.median(taken), taken[int(count * 0.99)]


def connections_a_second(way: Way, count: int, at_once: int) -> float:
    """Connect, one byte there and back, close: by so many threads."""

    def work() -> None:
        for _ in range(count // at_once):
            with way.connect("echo") as connection:
                connection.sendall(b"x")
                connection.recv(1)

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - began)


def kilobytes_an_idle_connection(way: Way, count: int) -> float:
    """What the proxy's process grows by, resident, for each connection that is open and idle."""
    with ExitStack() as stack:
        before = resident(way.pid)
        for _ in range(count):
            connection = stack.enter_context(way.connect("echo"))
            connection.sendall(b"x")
            connection.recv(1)
        return (resident(way.pid) - before) / count


def resident(pid: int) -> float:
    """Kilobytes."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1000


def cpu(pid: int) -> float:
    """Seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def api_calls(way: Way, count: int) -> float:
    """Calls a second on one connection: list, show, add a toxic, update it, remove it."""
    import http.client

    host, _, port = way.client.url.removeprefix("http://").rpartition(":")
    toxic = json.dumps({"name": "t", "type": "latency", "attributes": {"latency": 1}})
    calls = [
        ("GET", "/proxies", None),
        ("GET", "/proxies/sink", None),
        ("POST", "/proxies/sink/toxics", toxic),
        ("POST", "/proxies/sink/toxics/t", toxic),
        ("DELETE", "/proxies/sink/toxics/t", None),
    ]
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        began = time.perf_counter()
        for number in range(count):
            method, path, body = calls[number % len(calls)]
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status}")
        return count / (time.perf_counter() - began)


class Meter:
    """The CPU time of a way's process: the figure that a busy machine spoils least."""

    def __init__(self, way: Way, figures: Figures) -> None:
        self._way = way
        self._figures = figures
        self._before = 0.0

    def begin(self) -> None:
        if self._way.launched is not None:
            self._before = cpu(self._way.pid)

    def end(self, what: str, count: float, scale: float = 1e6) -> None:
        """Note what one of *count* has taken, in seconds times *scale*."""
        if self._way.launched is not None:
            self._figures[what] = (cpu(self._way.pid) - self._before) / count * scale


def one_round(way: Way, seconds: float) -> Figures:
    """Everything once, by one way."""
    figures: Figures = {}
    meter = Meter(way, figures)

    def downloaded(title: str, connections: int = 1, what: str = "source") -> None:
        meter.begin()
        began = time.perf_counter()
        rate = figures[f"download{title}, MB/s"] = download(way, connections, seconds, what)
        meter.end(f"CPU s a GB{title}", rate * (time.perf_counter() - began) / 1000, 1.0)

    downloaded(", 1 connection")
    downloaded(", 50 connections", 50)
    figures["upload, MB/s"] = upload(way, seconds)
    count = int(2500 * seconds)
    meter.begin()
    figures["round trip p50, us"], figures["round trip p99, us"] = ping_pong(way, count)
    meter.end("CPU us a round trip", count)
    figures["connections/s, one by one"] = connections_a_second(way, int(1000 * seconds), 1)
    count = int(1600 * seconds)
    meter.begin()
    figures["connections/s, 32 at once"] = connections_a_second(way, count, 32)
    meter.end("CPU us a connection", count)
    if way.launched is not None:
        count = int(1000 * seconds)
        meter.begin()
        figures["API calls/s"] = api_calls(way, count)
        meter.end("CPU us an API call", count)
        for kind, _ in _TOXICS:
            downloaded(f" with {kind}", 1, kind)
    return figures


def idle_cost(peer: Peer, kind: str, count: int, seconds: float) -> list[Figures]:
    """The same figures with 1 and with *count* idle proxies and connections, and what these take of the CPU."""
    found = []
    for idle in (1, count):
        with launch(kind) as launched, ExitStack() as stack:
            way = Way(kind, peer, launched)
            resident_before = resident(way.pid)
            launched.client.populate(
                [
                    {"name": f"idle{n}", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{peer.echo}"}
                    for n in range(idle)
                ]
            )
            for _ in range(idle):
                connection = stack.enter_context(way.connect("echo"))
                connection.sendall(b"x")
                connection.recv(1)
            grown = (resident(way.pid) - resident_before) / idle
            before, began = cpu(way.pid), time.perf_counter()
            time.sleep(2 * seconds)
            burnt = (cpu(way.pid) - before) / (time.perf_counter() - began) * 100
            p50, p99 = ping_pong(way, int(2500 * seconds))
            found.append(
                {
                    "idle proxies and connections": idle,
                    "CPU while idle, %": burnt,
                    "KB a proxy and connection": grown,
                    "round trip p50, us": p50,
                    "round trip p99, us": p99,
                    "download, MB/s": download(way, 1, seconds),
                    "connections/s": connections_a_second(way, int(500 * seconds), 1),
                }
            )
    return found


# The run


def measure(seconds: float, idle: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Every figure; *idle*: how many idle proxies and connections to compare with one."""
    kinds = ["embedded"] + (["binary"] if shutil.which(BINARY) else [])
    with Peer() as peer, ExitStack() as stack:
        ways = [Way("none", peer, None)]
        ways += [Way(kind, peer, stack.enter_context(launch(kind))) for kind in kinds]
        rounds: dict[str, list[Figures]] = {way.name: [] for way in ways}
        for number in range(_ROUNDS):
            for way in ways:
                rounds[way.name].append(one_round(way, seconds))
                say(f"round {number + 1}: {way.name}")
        memory = {way.name: kilobytes_an_idle_connection(way, 1000) for way in ways if way.launched is not None}
        medians = {
            name: {what: statistics.median(one[what] for one in found) for what in found[0]}
            for name, found in rounds.items()
        }
        for name, figure in memory.items():
            medians[name]["KB an idle connection"] = figure
    with Peer() as peer:
        grown = {kind: idle_cost(peer, kind, idle, seconds) for kind in kinds}
    return {"median of three rounds": medians, "idle": grown}


def shown(figures: Mapping[str, Any]) -> str:
    """The figures as tables."""
    medians = figures["median of three rounds"]
    lines = [f"{'':34}" + "".join(f"{name:>12}" for name in medians)]
    for what in dict.fromkeys(what for found in medians.values() for what in found):
        cells = (f"{found[what]:>12,.2f}" if what in found else f"{'':>12}" for found in medians.values())
        lines.append(f"{what:34}" + "".join(cells))
    for kind, found in figures["idle"].items():
        lines += ["", f"{kind}:"]
        lines += [f"  {what:32}" + "".join(f"{one[what]:>12,.2f}" for one in found) for what in found[0]]
    return "\n".join(lines)


def main() -> int:
    """Measure and print; ``--json FILE`` writes the figures, too."""
    parser = argparse.ArgumentParser(prog="benchmarks.proxy", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--idle", type=int, default=5000, help="how many idle proxies and connections")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start: more than 1 means noise\n")
    figures = measure(arguments.seconds, arguments.idle, lambda line: print(line, file=sys.stderr, flush=True))
    print(shown(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
