"""A breaker that processes share through a real redis-server: down, stalled, restarted, flushed, and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry

from harness.net.child import free_port
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, CircuitState, RedisBreakerStore
from harness.resilience.breaker import BreakerEvent, StoreChanged
from tests.requirements import redis_server, require

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN
_PAUSE = 0.2


class Server:
    """A redis-server that a test can start, stop, stall and start again on the same port, without its data."""

    def __init__(self) -> None:
        self.port = free_port()
        self._running = ExitStack()

    def start(self) -> None:
        self._running.enter_context(redis_server(self.port))

    def stop(self) -> None:
        self._running.close()

    def stall(self) -> None:
        """Connections stay open, and nothing answers."""
        self._pid = int(self.client().info("server")["process_id"])
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def client(self) -> Any:
        short = RedisRetry(NoBackoff(), 1)
        return redis.Redis(port=self.port, socket_timeout=0.3, socket_connect_timeout=0.3, retry=short)


@pytest.fixture
def server() -> Iterator[Server]:
    require("redis")
    server = Server()
    server.start()
    yield server
    server.stop()


def make(server: Server, **options: Any) -> CircuitBreaker:
    """The breaker of one more process."""
    options = {"failure_threshold": 2, "recovery_timeout": 30, "name": "payments", "store_pause": _PAUSE, **options}
    return CircuitBreaker(store=RedisBreakerStore(server.client()), **options)


def fail() -> None:
    raise OSError("down")


def failing(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            breaker.call(fail)


def until_heard(breaker: CircuitBreaker) -> None:
    """The pause after the store failed is over, and a call may ask it."""
    time.sleep(_PAUSE)
    try:
        breaker.call(int)
    except CircuitBreakerOpenException:
        pass
    assert not breaker.alone


def test_without_its_server_each_goes_on_alone_and_they_find_together_again(server: Server) -> None:
    """No call fails because Redis is down; each counts by itself; what Redis says when it is back is in force."""
    told: list[BreakerEvent] = []
    one, two = make(server, listeners=[told.append]), make(server)
    failing(one)
    server.stop()
    assert one.call(int) == two.call(int) == 0
    assert one.alone
    assert two.alone
    failing(one, 2)
    assert (one.state, two.state) == (OPEN, CLOSED)
    server.start()
    until_heard(two)
    until_heard(one)
    assert (one.state, one.epoch) == (CLOSED, two.epoch), "open alone, closed for all"
    failing(one)
    failing(two)
    with pytest.raises(CircuitBreakerOpenException):
        one.call(int)
    stores = [event.available for event in told if isinstance(event, StoreChanged)]
    assert stores == [False, True]


def test_a_restart_without_data_does_not_close_it(server: Server) -> None:
    """Open before, open after for the rest of its time, for those who never saw it open too."""
    one, late = make(server), make(server)
    failing(one, 2)
    epoch = one.epoch
    server.stop()
    with pytest.raises(CircuitBreakerOpenException):
        one.call(int)
    server.start()
    time.sleep(1.1)  # an open breaker asks once a second
    with pytest.raises(CircuitBreakerOpenException) as refusal:
        one.call(int)
    assert one.epoch != epoch
    assert 20 < (refusal.value.retry_after or 0) < 29.5
    with pytest.raises(CircuitBreakerOpenException):
        late.call(int)


def test_a_flush_while_open_does_not_close_it(server: Server) -> None:
    """The one who knows brings the state back."""
    one = make(server)
    failing(one, 2)
    server.client().flushall()
    time.sleep(1.1)
    with pytest.raises(CircuitBreakerOpenException):
        one.call(int)
    assert server.client().hget("{breaker:payments}", "state") == b"open"


def test_scripts_that_the_server_forgot_are_sent_again(server: Server) -> None:
    """SCRIPT FLUSH, as a failover does it, is no failure of the store."""
    one = make(server)
    one.call(int)
    server.client().script_flush()
    failing(one, 2)
    assert (one.state, one.alone) == (OPEN, False)


def test_a_server_that_hangs_delays_one_call_for_its_timeout(server: Server) -> None:
    """Stopped in its tracks: one call waits for the client's timeout, the next ones not at all, then it is heard."""
    one = make(server, store_pause=30)
    one.call(int)
    server.stall()
    try:
        begun = time.monotonic()
        assert one.call(int) == 0
        waited = time.monotonic() - begun
        begun = time.monotonic()
        for _ in range(1000):
            one.call(int)
        assert one.alone
        assert waited < 2
        assert time.monotonic() - begun < 1
    finally:
        server.go_on()


def test_the_stores_own_client_gives_up_soon() -> None:
    """Without a client of the user's, a refused connection costs no pauses: redis-py's own retries take seconds."""
    store = RedisBreakerStore()
    store.redis.connection_pool.connection_kwargs["port"] = free_port()
    breaker = CircuitBreaker(name="payments", store=store)
    begun = time.monotonic()
    assert breaker.call(int) == 0
    assert breaker.alone
    assert time.monotonic() - begun < 1.5


_FORK = """
import os, sys, redis
from harness.resilience import CircuitBreaker, RedisBreakerStore
client = redis.Redis(port=int(sys.argv[1]))
breaker = CircuitBreaker(3, 60, name="payments", store=RedisBreakerStore(client))
def fail(): raise OSError("down")
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            breaker.call(fail)
        except OSError:
            pass
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(client.hget("{breaker:payments}", "state").decode())
"""


def test_forked_workers_are_processes_of_their_own(server: Server) -> None:
    """A breaker that was made before the fork: a failure in each of three children is three failures, not one."""
    outcome = subprocess.run(
        [sys.executable, "-c", _FORK, str(server.port)], capture_output=True, text=True, timeout=30, check=True
    )
    assert outcome.stdout.strip() == "open"


_PROBE = """
import json, sys, time, redis
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, RedisBreakerStore
store = RedisBreakerStore(redis.Redis(port=int(sys.argv[1]), socket_timeout=5))
breaker = CircuitBreaker(2, 0.5, name="payments", store=store)
print("ready", flush=True)
sys.stdin.readline()
probes = 0
until = time.monotonic() + 1.5
while time.monotonic() < until and not probes:
    try:
        with breaker:
            probes += 1
            time.sleep(2)  # longer than anybody looks
    except CircuitBreakerOpenException:
        time.sleep(0.05)
print(json.dumps(probes), flush=True)
"""


def test_three_processes_make_one_probe(server: Server) -> None:
    """Opened by one process; of three others that come all the time after it, one gets through."""
    command = [sys.executable, "-c", _PROBE, str(server.port)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers: list[Any] = [subprocess.Popen(command, **pipes) for _ in range(3)]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        failing(make(server, recovery_timeout=0.5), 2)
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answers = [worker.communicate(timeout=30)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(timeout=10)
    assert sum(json.loads(answer) for answer in answers) == 1
