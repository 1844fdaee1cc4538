"""Addresses: what is one, what is kept to loopback, names that are resolved aside."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.net.reactor import Reactor
from harness.toxiproxy.address import Address, Resolver, parse
from harness.toxiproxy.errors import ApiError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80), (":80", "127.0.0.1", 80), ("localhost:80", "127.0.0.1", 80),
        ("", "127.0.0.1", 0),
        ("[::1]:80", "::1", 80), ("127.9.9.9:", "127.9.9.9", 0), ("LOCALHOST:0", "127.0.0.1", 0), ("name:1", "name", 1),
    ],
)  # fmt: skip
def test_addresses(text: str, host: str, port: int) -> None:
    """Without a host it is 127.0.0.1, never all interfaces; and it reads back as it is written."""
    address = parse(text, listen=True)
    assert address == Address(host, port)
    assert parse(str(address), listen=True) == address


@pytest.mark.parametrize("text", ["127.0.0.1", "::1:80", "a:b", "127.0.0.1:70000", "1.2.3.4:-1", "x:٣", "x:1e3"])
def test_no_addresses(text: str) -> None:
    """500 where one listens, as from Toxiproxy; 400 for an upstream."""
    with pytest.raises(ApiError, match="listen tcp") as refused:
        parse(text, listen=True)
    assert refused.value.status == 500
    with pytest.raises(ApiError) as refused:
        parse(text)
    assert refused.value.status == 400


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    """Nothing else comes out."""
    try:
        port = parse(text, listen=True).port
    except ApiError as error:
        port = {400: 0, 500: 0}[error.status]
    assert 0 <= port <= 65_535


@given(st.ip_addresses())
def test_only_loopback(address: Any) -> None:
    """Every IP address outside loopback is refused unless remote ones are allowed."""
    text = str(Address(str(address), 80))
    if address.is_loopback:
        parse(text)
    else:
        with pytest.raises(ApiError, match="--allow-remote"):
            parse(text)
    assert parse(text, allow_remote=True).port == 80


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def _resolved(reactor: Reactor, monkeypatch: pytest.MonkeyPatch, found: Any, **options: bool) -> list[Any]:
    def lookup(*arguments: Any) -> Any:
        if isinstance(found, Exception):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (found, 80))]

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    resolver = Resolver(reactor, **options)
    seen: list[Any] = []
    resolver.resolve(Address("name", 80), lambda target, why: seen.append((target, why)))
    for _ in range(100):
        if seen:
            break
        reactor.turn(0.1)
    resolver.close()
    return seen


def test_a_name_is_resolved_on_the_reactors_thread(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes in a later turn."""
    assert _resolved(reactor, monkeypatch, "127.0.0.7") == [((socket.AF_INET, ("127.0.0.7", 80)), "")]


def test_a_name_that_leads_away_is_refused(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name that shows when it is resolved; --allow-remote lets it."""
    [(target, why)] = _resolved(reactor, monkeypatch, "192.0.2.1")
    assert target is None
    assert "--allow-remote" in why
    [(target, why)] = _resolved(reactor, monkeypatch, "192.0.2.1", allow_remote=True)
    assert target == (socket.AF_INET, ("192.0.2.1", 80))


def test_a_name_that_nobody_knows(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told."""
    [(target, why)] = _resolved(reactor, monkeypatch, socket.gaierror(-2, "unknown"))
    assert target is None
    assert "unknown" in why
