"""The event loop: timers in order and let go of, sockets that are closed by others of the same turn, other threads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from harness.net.reactor import READ, Reactor


@pytest.fixture(params=["epoll", "portable"])
def reactor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reactor]:
    if request.param == "portable":
        monkeypatch.delattr("select.epoll")
    made = Reactor()
    yield made
    made.close()


class Reader:
    """Writes down what it is called for; then does what the test says."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.calls = 0
        self.errors: list[Exception] = []
        self._then = then

    def ready(self, mask: int) -> None:
        self.calls += 1
        self._then()

    def failed(self, error: Exception) -> None:
        self.errors.append(error)


def test_timers_are_called_in_order_and_cancelled_ones_are_not(reactor: Reactor) -> None:
    """By their time, those of one time by their age."""
    seen: list[int] = []
    now = reactor.now()
    for number, at in enumerate((now - 1, now - 3, now - 2, now - 3)):
        timer = reactor.call_at(at, partial(seen.append, number))
        if number == 2:
            timer.cancel()
            timer.cancel()
    reactor.turn(0)
    assert seen == [1, 3, 0]


def test_cancelled_timers_take_no_room(reactor: Reactor) -> None:
    """A million timers that are set and cancelled leave a few hundred places behind, however late they were."""
    keep = reactor.call_later(3600, lambda: None)
    for _ in range(20_000):
        reactor.call_later(1_000_000, lambda: None).cancel()
    assert len(reactor._timers) < 600
    assert any(entry[2] is keep for entry in reactor._timers)


def test_cancelling_after_the_call_does_nothing(reactor: Reactor) -> None:
    """The count of cancelled timers stays right."""
    timers = [reactor.call_at(0.0, lambda: None) for _ in range(1000)]
    reactor.turn(0)
    for timer in timers:
        timer.cancel()
    assert reactor._cancelled == 0


def test_a_socket_closed_by_another_of_the_same_turn_is_not_called(reactor: Reactor) -> None:
    """Two are ready, the first lets go of the second: an event of a socket that is gone goes to nobody."""
    pairs = [socket.socketpair() for _ in range(2)]
    handlers: list[Reader] = []

    def closer(other: int) -> Callable[[], object]:
        def close() -> None:
            handlers[other]._then = lambda: None
            reactor.forget(pairs[other][0].fileno())
            pairs[other][0].close()

        return close

    handlers += [Reader(closer(1)), Reader(closer(0))]
    for (ours, theirs), handler in zip(pairs, handlers, strict=True):
        reactor.watch(ours.fileno(), READ, handler)
        theirs.send(b"x")
    reactor.turn(0)
    assert sorted(handler.calls for handler in handlers) == [0, 1]
    for ours, theirs in pairs:
        if ours.fileno() >= 0:
            reactor.forget(ours.fileno())
        ours.close()
        theirs.close()


def test_a_handler_that_raises_hears_of_it_and_the_others_go_on(reactor: Reactor) -> None:
    """failed() of the one, ready() of the other, in one turn."""
    bad, good = Reader(lambda: 1 / 0), Reader()
    pairs = [socket.socketpair() for _ in range(2)]
    for (ours, theirs), handler in zip(pairs, (bad, good), strict=True):
        reactor.watch(ours.fileno(), READ, handler)
        theirs.send(b"x")
    reactor.turn(0)
    assert [type(error) for error in bad.errors] == [ZeroDivisionError]
    assert good.calls == 1
    for ours, theirs in pairs:
        reactor.forget(ours.fileno())
        ours.close()
        theirs.close()


def test_calls_from_other_threads() -> None:
    """A result and an exception come back; after its end a call is refused at once."""
    made = Reactor()
    thread = threading.Thread(target=made.run)
    thread.start()
    assert made.call(threading.get_ident) == thread.ident
    with pytest.raises(ZeroDivisionError):
        made.call(lambda: 1 / 0)
    made.stop()
    thread.join(5)
    assert not thread.is_alive()
    made.close()
    with pytest.raises(RuntimeError, match="has ended"):
        made.call(lambda: None)
    made.post(lambda: None)


def test_stop_before_run() -> None:
    """A signal that comes before the loop runs ends it all the same."""
    made = Reactor()
    made.stop()
    made.run()
    made.close()
