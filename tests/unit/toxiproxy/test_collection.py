"""Chains, collections and schedules on a server's own thread: what is atomic, in which order, what is left behind."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from harness.net.reactor import Reactor
from harness.toxiproxy.address import Resolver
from harness.toxiproxy.chain import Chain, Toxic
from harness.toxiproxy.collection import Collection, PopulateError
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.metrics import metrics_of
from harness.toxiproxy.proxy import Surroundings
from harness.toxiproxy.schedule import Schedule
from harness.toxiproxy.splice import PipePool

UP = "127.0.0.1:1"


@pytest.fixture
def collection() -> Iterator[Collection]:
    reactor = Reactor()
    resolver = Resolver(reactor)
    made = Collection(Surroundings(reactor, resolver, PipePool()))
    yield made
    made.close()
    resolver.close()
    reactor.close()


@pytest.fixture
def busy() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def toxic(kind: str = "latency", name: str = "", stream: str = "downstream", **attributes: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "stream": stream, "attributes": attributes}


class TestChain:
    def test_order(self) -> None:
        """As added, upstream first; a name is there once in both directions together."""
        chain = Chain()
        for name, stream in (("a", "downstream"), ("b", "upstream"), ("c", "Downstream")):
            chain.add(Toxic.read(toxic(name=name, stream=stream)))
        assert [one.name for one in chain] == ["b", "a", "c"]
        with pytest.raises(ApiError, match="toxic already exists"):
            chain.add(Toxic.read(toxic(name="a", stream="upstream")))
        chain.remove(chain.find("a"))
        assert [one.name for one in chain.of("downstream")] == ["c"]
        with pytest.raises(ApiError, match="toxic not found"):
            chain.find("a")

    def test_an_update_is_all_or_nothing(self) -> None:
        """One bad attribute, or a bad toxicity: nothing of it is taken."""
        one = Toxic.read(toxic(latency=5))
        for wrong in ({"attributes": {"latency": 9, "jitter": -1}}, {"attributes": {"latency": 9}, "toxicity": 2}):
            with pytest.raises(ApiError):
                one.updated(wrong)
        assert (one.values["latency"], one.toxicity, one.version) == (5, 1.0, 0)
        one.updated({"toxicity": 0.25})
        assert (one.values["latency"], one.toxicity, one.version) == (5, 0.25, 1)

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
    def test_toxicity_is_a_share(self, share: float) -> None:
        """Of many connections it strikes about that share; 0 none, 1 all."""
        one = Toxic.read({**toxic(), "toxicity": share})
        struck = sum(one.drawn(random.Random(f"0/p/{n}/t/0")) for n in range(2000)) / 2000
        assert struck == pytest.approx(share, abs=0.04)


class TestCollection:
    def test_create_with_a_taken_port_leaves_nothing(self, collection: Collection, busy: str) -> None:
        """500, and the name is free."""
        with pytest.raises(ApiError, match="address already in use") as refused:
            collection.create({"name": "p", "listen": busy, "upstream": UP})
        assert refused.value.status == 500
        assert collection.proxies == {}

    def test_a_disabled_proxy_shows_its_address_as_it_was_given(self, collection: Collection) -> None:
        """Until it listens; then the address it has, and after that for good."""
        proxy = collection.create({"name": "p", "listen": "localhost:0", "upstream": UP, "enabled": False})
        assert proxy.to_json()["listen"] == "localhost:0"
        proxy.enable()
        shown = proxy.to_json()["listen"]
        assert shown.startswith("127.0.0.1:")
        proxy.disable()
        assert proxy.to_json()["listen"] == shown

    def test_an_update_that_cannot_be_enabled_changes_nothing(self, collection: Collection, busy: str) -> None:
        """Another upstream and enabled, at a port that is taken: neither of the two."""
        proxy = collection.create({"name": "p", "listen": busy, "upstream": UP, "enabled": False})
        with pytest.raises(ApiError, match="address already in use"):
            collection.update("p", {"upstream": "127.0.0.1:2", "enabled": True})
        assert (proxy.upstream_text, proxy.enabled) == (UP, False)

    def test_reset_goes_on_behind_a_proxy_that_cannot_start(self, collection: Collection, busy: str) -> None:
        """The others are enabled and cleared, then it is told."""
        collection.create({"name": "a", "listen": busy, "upstream": UP, "enabled": False})
        other = collection.create({"name": "b", "upstream": UP, "enabled": False})
        other.add_toxic(Toxic.read(toxic()))
        with pytest.raises(ApiError, match="address already in use"):
            collection.reset()
        assert other.enabled
        assert list(other.chain) == []

    def test_populate_tells_what_it_has_made(self, collection: Collection, busy: str) -> None:
        """Those before the one that failed are there, and named."""
        with pytest.raises(PopulateError) as refused:
            collection.populate([{"name": "a", "upstream": UP}, {"name": "b", "upstream": UP, "listen": busy}])
        assert [proxy.name for proxy in refused.value.proxies or []] == ["a"]
        assert list(collection.proxies) == ["a"]
        with pytest.raises(PopulateError, match="missing required field: upstream at proxy 2"):
            collection.populate([{"name": "c", "upstream": UP}, {"name": "d"}])
        assert list(collection.proxies) == ["a"]


class TestApply:
    def test_toxics_are_in_the_order_of_the_list(self, collection: Collection) -> None:
        """Also when one is put before others that are there already; what is the same in front is left alone."""
        proxy = collection.create({"name": "p", "upstream": UP})
        collection.apply([{"name": "p", "toxics": [toxic(name="a"), toxic(name="b")]}])
        first = proxy.chain.find("a")
        collection.apply([{"name": "p", "toxics": [toxic(name="a"), toxic("noop", "x"), toxic(name="b")]}])
        assert [one.name for one in proxy.chain] == ["a", "x", "b"]
        assert proxy.chain.find("a") is first
        collection.apply([{"name": "p", "enabled": False}])
        assert len(list(proxy.chain)) == 3
        collection.apply([{"name": "p", "toxics": []}])
        assert list(proxy.chain) == []

    def test_what_was_moved_goes_back_when_a_later_one_fails(self, collection: Collection, busy: str) -> None:
        """Even if a new proxy has taken the port that the moved one left."""
        moved = collection.create({"name": "moved", "upstream": UP})
        port = str(moved.listen)
        with pytest.raises(ApiError, match="address already in use"):
            collection.apply([
                {"name": "moved", "listen": "127.0.0.1:0", "toxics": [toxic()]},
                {"name": "new", "listen": port, "upstream": UP},
                {"name": "never", "listen": busy, "upstream": UP},
            ])  # fmt: skip
        assert list(collection.proxies) == ["moved"]
        assert (str(moved.listen), moved.enabled, list(moved.chain)) == (port, True, [])

    @pytest.mark.parametrize(
        "document",
        [{}, None, [7], [{"name": "a"}], [{"name": "a/b", "upstream": UP}], [{"name": "a", "upstream": UP}] * 2,
         [{"name": "a", "upstream": UP, "toxics": [toxic(name="t"), toxic("noop", "t")]}],
         [{"name": "a", "upstream": UP, "toxics": [toxic("nonsense")]}]],
    )  # fmt: skip
    def test_what_is_wrong_is_found_before_anything_is_done(self, collection: Collection, document: Any) -> None:
        """An error for the client, and no proxy."""
        with pytest.raises(ApiError):
            collection.apply(document)
        assert collection.proxies == {}


class TestSchedule:
    def test_a_step_that_fails_does_not_stop_the_others(self, collection: Collection) -> None:
        """Each is carried out at its time; what failed is told."""
        reactor = collection._surroundings.reactor
        proxy = collection.create({"name": "p", "upstream": UP})
        schedule = Schedule(reactor, collection)
        schedule.start([
            {"at": 0, "proxy": "p", "remove": "none"},
            {"at": 0, "proxy": "p", "add": toxic(name="t", latency=1)},
            {"at": 0, "proxy": "p", "update": {"name": "t", "attributes": {"latency": 2}}, "enabled": False},
            {"at": 3600, "proxy": "p", "remove": "t"},
        ])  # fmt: skip
        reactor.turn(0)
        told = schedule.to_json()["steps"]
        assert [step["done"] for step in told] == [True, True, True, False]
        assert told[0]["error"] == "toxic not found"
        assert proxy.chain.find("t").values["latency"] == 2
        assert not proxy.enabled
        schedule.stop()
        assert schedule.to_json() == {"elapsed": 0.0, "steps": []}
        assert all(entry[2].function is None for entry in reactor._timers)

    @pytest.mark.parametrize(
        ("step", "text"),
        [
            ({"proxy": "none", "enabled": True}, "proxy not found"),
            ({"proxy": "p"}, "does nothing"),
            ({"proxy": "p", "at": -1, "enabled": True}, "at must be between"),
            ({"proxy": "p", "at": 1e9, "enabled": True}, "at must be between"),
            ({"proxy": "p", "add": {"type": "nonsense"}}, "invalid toxic type"),
            ({"proxy": "p", "update": {}}, "needs the toxic's name"),
            (7, "cannot unmarshal number"),
        ],
    )
    def test_a_wrong_step_leaves_the_last_schedule(self, collection: Collection, step: Any, text: str) -> None:
        """The error is said at once, and the schedule that was there goes on."""
        collection.create({"name": "p", "upstream": UP})
        schedule = Schedule(collection._surroundings.reactor, collection)
        schedule.start([{"at": 60, "proxy": "p", "enabled": False}])
        with pytest.raises(ApiError, match=text):
            schedule.start([step])
        with pytest.raises(ApiError):
            schedule.start({})
        assert len(schedule.to_json()["steps"]) == 1
        schedule.stop()


def test_metrics(collection: Collection) -> None:
    """Counters by proxy and direction with their labels escaped; nothing where nothing was asked for."""
    assert metrics_of(collection, proxies=False, runtime=False) is None
    collection.create({"name": 'a"\\b\n', "listen": "127.0.0.1:0", "upstream": UP})
    made = metrics_of(collection, proxies=True, runtime=True)
    assert made is not None
    kind, text = made()
    assert kind.startswith("text/plain; version=0.0.4")
    lines = text.decode().splitlines()
    assert "# TYPE toxiproxy_proxy_received_bytes_total counter" in lines
    [sent] = [line for line in lines if line.startswith('toxiproxy_proxy_sent_bytes_total{direction="upstream"')]
    assert sent.endswith(r'proxy="a\"\\b\n",upstream="127.0.0.1:1"} 0')
    assert any(line.startswith("process_cpu_seconds_total ") for line in lines)
