"""Tests of select, poll, selectors and socketpair inside a run: they wait in virtual time for simulated sockets."""

from __future__ import annotations

import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import Deadlock, RealWorld
from tests.unit.sim.simulate import answer, needs_shims, simulate

pytestmark = needs_shims


def writing_after(seconds: float, end: socket.socket, data: bytes) -> threading.Thread:
    """A thread that writes *data* to *end* after so long."""

    def write() -> None:
        time.sleep(seconds)
        end.sendall(data)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def by_select(one: socket.socket, other: socket.socket, seconds: float | None) -> list[str]:
    """Which of two sockets can be read, by ``select.select``."""
    ready, _, _ = select.select([one, other], [], [], seconds)
    return [name for name, end in (("one", one), ("other", other)) if end in ready]


def by_poll(one: socket.socket, other: socket.socket, seconds: float | None) -> list[str]:
    """The same by ``select.poll``."""
    poll = select.poll()
    poll.register(one, select.POLLIN)
    poll.register(other.fileno(), select.POLLIN)
    names = {one.fileno(): "one", other.fileno(): "other"}
    return [names[number] for number, mask in poll.poll(None if seconds is None else seconds * 1000) if mask]


def by_selector(one: socket.socket, other: socket.socket, seconds: float | None) -> list[str]:
    """The same by the selector that a program gets."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, "one")
        selector.register(other, selectors.EVENT_READ, "other")
        return [key.data for key, _ in selector.select(seconds)]


WAYS: list[Callable[..., list[str]]] = [by_select, by_poll, by_selector]


@pytest.mark.parametrize("way", WAYS)
def test_a_wait_ends_when_a_socket_can_be_read(way: Callable[..., list[str]]) -> None:
    """Each way to wait names the socket that a thread writes to 2 s later, and no other."""

    def main() -> Any:
        one, far = socket.socketpair()
        other, _ = socket.socketpair()
        thread = writing_after(2, far, b"hello")
        ready = way(one, other, None)
        after = time.monotonic()
        thread.join()
        return ready, round(after - start, 3), one.recv(10)

    start = 100_000.0
    assert answer(main) == (["one"], 2.0, b"hello")


@pytest.mark.parametrize("way", WAYS)
def test_a_wait_ends_at_its_time(way: Callable[..., list[str]]) -> None:
    """Each way to wait ends empty-handed after its timeout, not before, in virtual time."""

    def main() -> Any:
        one, _ = socket.socketpair()
        other, _ = socket.socketpair()
        start = time.monotonic_ns()
        return way(one, other, 1.5), time.monotonic_ns() - start

    assert answer(main) == ([], 1_500_000_000)


@pytest.mark.parametrize("way", WAYS)
def test_a_look_takes_time(way: Callable[..., list[str]]) -> None:
    """A loop that only looks lets others run: what it waits for comes to pass."""

    def main() -> int:
        one, far = socket.socketpair()
        other, _ = socket.socketpair()
        thread = writing_after(0.01, far, b"x")
        looks = 0
        while not way(one, other, 0):
            looks += 1
        thread.join()
        return looks

    assert 100 < answer(main) < 10_100


def test_a_selector_that_never_rests_slows_down() -> None:
    """After 1,000 looks in a row each takes a millisecond: a minute of them is 60,000 steps, not 60 million."""

    def main() -> int:
        one, _ = socket.socketpair()
        with selectors.DefaultSelector() as selector:
            selector.register(one, selectors.EVENT_READ)
            looks, end = 0, time.monotonic() + 60
            while time.monotonic() < end:
                selector.select(0)
                looks += 1
        return looks

    assert 60_000 < answer(main) < 62_000


def test_nothing_ever_ready_is_a_deadlock() -> None:
    """A wait without end for a socket that nobody writes to is reported with the actor's stack."""

    def main() -> None:
        by_selector(*socket.socketpair(), None)

    with pytest.raises(Deadlock, match="by_selector"):
        simulate(main)


def test_what_is_ready_at_once_comes_in_an_order_of_the_seed() -> None:
    """Two sockets that are ready together: either may come first, the same for the same seed; tape 0 keeps order."""

    def main() -> list[str]:
        one, far = socket.socketpair()
        other, away = socket.socketpair()
        far.sendall(b"x")
        away.sendall(b"x")
        return by_selector(one, other, None)

    found = [answer(main, seed=seed) for seed in range(10)]
    assert {tuple(order) for order in found} == {("one", "other"), ("other", "one")}
    assert found == [answer(main, seed=seed) for seed in range(10)]
    assert answer(main, tape=[0]) == ["one", "other"]


def test_a_selector_keeps_its_map() -> None:
    """register, modify, unregister, get_map, get_key and close are the real ones; unknown descriptors are errors."""

    def main() -> list[Any]:
        one, far = socket.socketpair()
        selector = selectors.DefaultSelector()
        selector.register(one, selectors.EVENT_READ, "a")
        selector.modify(one, selectors.EVENT_READ | selectors.EVENT_WRITE, "b")
        found: list[Any] = [(key.data, events) for key, events in selector.select(0)]
        found.append(selector.get_key(one).data)
        far.sendall(b"x")
        found += [events for _, events in selector.select(0)]
        selector.unregister(one)
        found += [selector.select(0), len(selector.get_map())]
        with pytest.raises(KeyError):
            selector.unregister(one)
        with pytest.raises(RealWorld, match="file descriptor 0"):
            selector.register(0, selectors.EVENT_READ)
        found.append(len(selector.get_map()))
        selector.close()
        return found

    assert answer(main) == [("b", 2), "b", 3, [], 0, 0]


def test_a_closed_end_is_readable_and_ends() -> None:
    """Closing one end makes the other readable: what was sent, then the end; writing to it is a broken pipe."""

    def main() -> list[Any]:
        one, far = socket.socketpair()
        far.sendall(b"last")
        far.close()
        found: list[Any] = [by_selector(one, socket.socketpair()[0], 1), one.recv(10), one.recv(10)]
        with pytest.raises(BrokenPipeError):
            one.sendall(b"x")
        return [*found, far.fileno()]

    assert answer(main) == [["one"], b"last", b"", -1]


def test_half_a_connection_can_be_closed() -> None:
    """After shutdown(SHUT_WR) the other end reads the end and may still write."""

    def main() -> list[bytes]:
        one, far = socket.socketpair()
        one.shutdown(socket.SHUT_WR)
        found = [far.recv(10)]
        far.sendall(b"back")
        return [*found, one.recv(10)]

    assert answer(main) == [b"", b"back"]


def test_poll_says_what_is_gone() -> None:
    """poll() names a descriptor that was closed after it was registered; modify of an unknown one is an error."""

    def main() -> Any:
        one, _ = socket.socketpair()
        poll = select.poll()
        number = one.fileno()
        poll.register(one)
        found = poll.poll(0)
        one.close()
        with pytest.raises(FileNotFoundError):
            poll.modify(99, select.POLLIN)
        gone = poll.poll(0)
        poll.unregister(number)
        return [mask for _, mask in found], [mask for _, mask in gone], poll.poll(0)

    assert answer(main) == ([select.POLLOUT], [select.POLLNVAL], [])


def test_numbers_are_the_same_in_every_run() -> None:
    """Descriptors count from the start of each run, far above the operating system's."""

    def main() -> list[int]:
        return [end.fileno() for _ in range(2) for end in socket.socketpair()]

    assert answer(main) == answer(main)
    assert min(answer(main)) > 1 << 20


def test_outside_a_run_selectors_are_real() -> None:
    """With the shims in, a selector, poll and a pair made outside a run are the operating system's."""
    one, far = socket.socketpair()
    with one, far, selectors.DefaultSelector() as selector:
        assert type(selector) is selectors.DefaultSelector
        selector.register(one, selectors.EVENT_READ, "one")
        far.sendall(b"x")
        assert [key.data for key, _ in selector.select(5)] == ["one"]
        assert by_poll(one, far, 0) == ["one"]
        assert by_select(one, far, 0) == ["one"]


def test_a_selector_of_somebodys_own_is_refused() -> None:
    """A subclass of an operating system's selector would wait in real time."""

    class Own(selectors.SelectSelector):
        pass

    def main() -> None:
        with pytest.raises(RealWorld, match=r"the selector .*Own"):
            Own()

    simulate(main)
