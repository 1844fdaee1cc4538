"""A guest of the kernel: how a stay ends, and what is warmed for it."""

from __future__ import annotations

import socket
import threading
import time

from harness import runner
from harness.environments import guest
from harness.sim.wire import botocore_clients
from tests.guests import visit


def test_virtual_time() -> None:
    """An hour's sleep takes no time; the stay tells how long it was."""

    def test() -> object:
        time.sleep(3_000)
        return "slept"

    answer, stay = visit(test)
    assert answer == "slept"
    assert stay["ended"] == "done"
    assert 3_000 <= stay["seconds"] < 3_001


def test_what_never_ends_hangs() -> None:
    """A wait that nobody ends, and one that is longer than the limit."""
    assert visit(threading.Event().wait)[1]["ended"] == "hang"
    answer, stay = visit(lambda: time.sleep(7_200))
    assert (answer, stay["ended"]) == (None, "hang")
    assert stay["reason"] == "it did not end within 3,600 virtual seconds"


def test_the_real_world_is_refused_and_told() -> None:
    """A real socket: refused in the test, and noted for who asks why."""
    answer, stay = visit(lambda: socket.create_server(("127.0.0.1", 0)))
    assert answer == "RealWorld"
    assert "a real listening socket" in stay["refused"][0]


def test_outside_the_kernel() -> None:
    """Real time, and nothing refused."""

    def test() -> object:
        socket.create_server(("127.0.0.1", 0)).close()
        return time.time() < 1_893_456_000

    answer, stay = visit(test, inside=False)
    assert answer is True
    assert stay["refused"] == []


def test_warming_reads_what_clients_need_once() -> None:
    """botocore's descriptions of a service are there for every child; an unknown service is nobody's business."""
    runner.install()
    guest.warm(["sns", "no-such-service"])
    assert any(key[0] == "load_service_model" and "sns" in key[3] for key in botocore_clients._shared)
