"""The HTTP API, on the embedded server and on a real one, against answers that were recorded from Toxiproxy 2.12.0.

Each request finds one proxy ``p`` with a toxic ``t`` (latency of 7 ms) and
nothing else. Ports are written as PORT, one that is taken as BUSY.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.toxiproxy.client import ToxiproxyClient
from tests.live.toxiproxy_servers import KINDS, ask, running

ANSWERS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("toxiproxy_answers.json").read_text())

#: What the embedded server answers otherwise on purpose, and why. The same rows stand in docs/toxiproxy.md.
_TYPE_NAMES = "the error's text names Go's types: ours does not make up all of them"
DIFFERENT: dict[str, tuple[str, dict[str, Any]]] = {
    "GET /version": ("ours says what it is compatible with", {"answer": '{"version": "2.12.0"}\n'}),
    "POST /proxies \ufeff{}": (_TYPE_NAMES, {"answer": ...}),
    'PATCH /proxies/p {"listen": "BUSY"}': (
        "a failed move changes nothing",
        {"after": [["p", True, "127.0.0.1:1", [["t", 1.0, {"latency": 7, "jitter": 0}]]]]},
    ),
    'PATCH /proxies/p {"upstream": ""}': (
        "a proxy without an upstream is of no use",
        {
            "status": 400,
            "answer": '{"error":"missing required field: upstream","status":400}\n',
            "headers": {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"},
            "after": [["p", True, "127.0.0.1:1", [["t", 1.0, {"latency": 7, "jitter": 0}]]]],
        },
    ),
    "POST /populate {}": (_TYPE_NAMES, {"answer": ...}),
    'POST /proxies/p/toxics {"type": "latency", "attributes": []}': (_TYPE_NAMES, {"answer": ...}),
    "PATCH /proxies/p/toxics/t []": (_TYPE_NAMES, {"answer": ...}),
}


def named(row: dict[str, Any]) -> str:
    agent = f" as {row['agent']}" if "agent" in row else ""
    return " ".join(filter(None, [row["method"], row["path"], row.get("body", "")])) + agent


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, ToxiproxyClient]]:
    with running(request.param) as launched:
        yield request.param, launched.client


@pytest.fixture(scope="module")
def busy() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def _state(client: ToxiproxyClient) -> list[Any]:
    found = client.proxies().values()
    return sorted(
        [one.name, one.enabled, one.upstream, [[t.name, t.toxicity, dict(t.attributes)] for t in one.toxics]]
        for one in found
    )


@pytest.mark.parametrize("row", ANSWERS, ids=named)
def test_answers(server: tuple[str, ToxiproxyClient], busy: str, row: dict[str, Any]) -> None:
    """Status, headers, body and what the server has afterwards are Toxiproxy's, but for the differences listed here."""
    kind, client = server
    for name in client.proxies():
        client.delete(name)
    client.create("p", "127.0.0.1:1")
    client.add_toxic("p", "latency", {"latency": 7}, name="t")
    body = row.get("body")
    answer = ask(client.url, row["method"], row["path"], body and body.replace("BUSY", busy), agent=row.get("agent"))
    expected = dict(row)
    if kind == "embedded" and named(row) in DIFFERENT:
        expected.update(DIFFERENT[named(row)][1])
    got = re.sub(r"127\.0\.0\.1:\d{4,}", "127.0.0.1:PORT", answer.body.replace(',"Logger":{}', ""))
    if expected["answer"] is ...:
        document = json.loads(got)
        assert document["status"] == 400
        assert document["error"].startswith("bad request body: ")
    elif named(row) == "GET /version" and kind == "binary":
        assert set(json.loads(got)) == {"version"}  # as it was built: "git", or a number
    else:
        assert got == expected["answer"]
    assert answer.status == expected["status"]
    assert ("x-toxiproxy-request-id" in answer.headers) == row["id"]
    left_out = {"date", "content-length", "x-toxiproxy-request-id", "connection"}
    assert {k: v for k, v in answer.headers.items() if k not in left_out} == expected["headers"]
    assert _state(client) == expected["after"]


def test_the_differences_are_of_requests_that_are_made() -> None:
    """No entry of the list of differences is a leftover."""
    assert set(DIFFERENT) <= {named(row) for row in ANSWERS}


def test_every_route_is_asked() -> None:
    """Each route and method of the API is among the requests, with a success of it."""
    proxy, toxics, toxic = "/proxies/p", "/proxies/p/toxics", "/proxies/p/toxics/t"
    routes = {("GET", "/proxies"), ("POST", "/proxies"), ("POST", "/populate"), ("POST", "/reset"), ("GET", "/version")}
    routes |= {(method, path) for path in (proxy, toxic) for method in ("GET", "POST", "PATCH", "DELETE")}
    routes |= {("GET", toxics), ("POST", toxics)}
    assert routes <= {(row["method"], row["path"]) for row in ANSWERS if row["status"] < 300}


def test_a_name_with_a_slash(server: tuple[str, ToxiproxyClient]) -> None:
    """Toxiproxy makes a proxy that no route leads to; ours refuses it."""
    kind, client = server
    if kind == "binary":
        pytest.skip("it would stay for the tests that follow")
    answer = ask(client.url, "POST", "/proxies", '{"name":"a/b","upstream":"127.0.0.1:1"}')
    assert answer.status == 400
    assert "slash" in answer.body


@pytest.mark.parametrize("name", ["café", "日本", "a b", "100%", "a?b", "#", "..x", "\U0001f600"])
def test_names_of_any_letters(server: tuple[str, ToxiproxyClient], name: str) -> None:
    """A name with letters of any script, spaces and signs is created, found, changed and deleted."""
    _, client = server
    client.create(name, "127.0.0.1:1")
    client.add_toxic(name, "noop", name=f"{name}!")
    assert client.proxy(name).name == name
    assert client.update_toxic(name, f"{name}!", toxicity=0.5).toxicity == 0.5
    client.remove_toxic(name, f"{name}!")
    client.delete(name)
    assert name not in client.proxies()
