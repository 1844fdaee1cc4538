"""Each toxic's stage by itself, on a clock that the test turns on."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.toxics import EXTRA, TOXICS
from harness.toxiproxy.toxics.base import MAX_MILLISECONDS
from tests.unit.toxiproxy.virtual import Bench

PASSING: dict[str, dict[str, Any]] = {
    "latency": {"latency": 50, "jitter": 20},
    "bandwidth": {"rate": 3},
    "slow_close": {"delay": 40},
    "slicer": {"average_size": 3, "size_variation": 2, "delay": 700},
    "noop": {},
    "jitter": {"latency": 5, "jitter": 30, "distribution": "pareto", "max": 500},
    "packet_loss": {"loss": 0.5, "rto": 20},
    "corrupt": {},
    "refuse": {},
    "slow_connect": {"delay": 5},
}


@pytest.mark.parametrize("kind", PASSING)
@given(
    script=st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(0, 80)), max_size=12),
    seed=st.integers(0, 9),
)
def test_what_delays_loses_nothing_and_keeps_the_order(kind: str, script: list[bytes | int], seed: int) -> None:
    """Whatever comes when: all bytes come out in order, then one end, and no timer and no byte stays behind."""
    bench = Bench(kind, seed=seed, **PASSING[kind])
    sent = b""
    for step in script:
        if isinstance(step, int):
            bench.advance(step)
        else:
            bench.send(step)
            sent += step
    bench.finish()
    bench.advance(10_000_000)
    assert bench.data == sent
    assert [what for _, what in bench.seen if what in (b"", "close", "reset")] == [b""]
    assert bench.seen[-1][1] == b""
    assert bench.times == sorted(bench.times)
    assert (bench.clock.pending, bench.stage.held) == (0, 0)


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("ended", [False, True])
def test_taken_away_it_gives_everything_at_once(kind: str, ended: bool) -> None:
    """Removal passes on what is held, in order, with the end if it had come; no timer goes off later."""
    bench = Bench(kind, **PASSING[kind])
    for number in range(5):
        bench.send(bytes([number]) * 7)
        bench.advance(1)
    if ended:
        bench.finish()
    bench.remove()
    assert bench.data == b"".join(bytes([n]) * 7 for n in range(5))
    assert (bench.seen[-1][1] == b"") == ended
    seen = list(bench.seen)
    bench.advance(10_000_000)
    assert bench.seen == seen
    assert bench.clock.pending == 0


@pytest.mark.parametrize("kind", TOXICS)
def test_after_the_connection_no_timer_is_left(kind: str) -> None:
    """A stage whose connection is gone sets no timer any more, even if bytes still come to it."""
    bench = Bench(kind, **{**PASSING.get(kind, {}), **({"average_size": 2, "delay": 9} if kind == "slicer" else {})})
    bench.send(b"some bytes")
    bench.stage.dropped()
    bench.send(b"more")
    bench.finish()
    assert bench.clock.pending == 0


class TestLatency:
    def test_the_delay_counts_from_the_receipt(self) -> None:
        """Chunks that came 10 ms apart leave 10 ms apart."""
        bench = Bench("latency", latency=100)
        bench.send(b"a")
        bench.advance(10)
        bench.send(b"b")
        bench.finish()
        bench.advance(1000)
        assert bench.seen == [(100.0, b"a"), (110.0, b"b"), (110.0, b"")]

    def test_jitter_is_uniform_around_the_latency(self) -> None:
        """All delays are within latency +- jitter, and they reach both ends of that range."""
        delays = []
        bench = Bench("latency", latency=100, jitter=40)
        for _ in range(400):
            began = bench.times[-1] if bench.times else 0.0
            now = (bench.clock.now() - 1000) * 1000
            bench.send(b"x")
            bench.advance(200)
            delays.append(bench.times[-1] - max(now, began))
        assert min(delays) >= 59.9
        assert max(delays) <= 140.1
        assert min(delays) < 65
        assert max(delays) > 135

    def test_an_update_moves_what_is_held(self) -> None:
        """A shorter latency lets go at once of what is over its time; a longer one keeps it."""
        bench = Bench("latency", latency=60_000)
        bench.send(b"a")
        bench.advance(50)
        bench.update(latency=20)
        bench.advance(1)
        assert bench.seen == [(50.0, b"a")]
        bench.send(b"b")
        bench.update(latency=500)
        bench.advance(1000)
        assert bench.seen[-1] == (551.0, b"b")

    def test_it_is_full_of_bytes_or_of_chunks(self) -> None:
        """Its source has to wait when it holds 32 MB, or very many small pieces; and may go on afterwards."""
        bench = Bench("latency", latency=1000)
        bench.send(bytes(33 * 1024 * 1024))
        assert bench.stage.full
        bench.advance(1000)
        assert not bench.stage.full
        assert bench.resumed
        for _ in range(65_537):
            bench.send(b"x")
        assert bench.stage.full


class TestBandwidth:
    def test_the_rate(self) -> None:
        """50 KB at 100 KB/s leave over half a second, in pieces of a tenth of one."""
        bench = Bench("bandwidth", rate=100)
        bench.send(bytes(50_000))
        bench.advance(99)
        assert bench.data == b""
        bench.advance(10_000)
        assert [at for at, _ in bench.seen] == pytest.approx([100, 200, 300, 400, 500], abs=0.01)
        assert {len(what) for _, what in bench.seen} == {10_000}

    def test_idle_time_earns_no_credit(self) -> None:
        """After an idle minute a chunk takes as long as ever."""
        bench = Bench("bandwidth", rate=1)
        bench.send(bytes(50))
        bench.advance(60_000)
        bench.send(bytes(50))
        bench.advance(49)
        assert len(bench.data) == 50
        bench.advance(2)
        assert len(bench.data) == 100

    def test_small_debts_are_kept(self) -> None:
        """Chunks too small for a timer go at once, and together they still keep to the rate."""
        bench = Bench("bandwidth", rate=1000)
        for _ in range(100):
            bench.send(bytes(100))
        assert 400 <= len(bench.data) <= 1000
        bench.advance(10)
        assert len(bench.data) == 10_000

    def test_nothing_at_rate_zero_until_it_changes(self) -> None:
        """Held while the rate is 0; the end waits, too."""
        bench = Bench("bandwidth", rate=0)
        bench.send(b"held")
        bench.finish()
        bench.advance(10_000_000)
        assert bench.seen == []
        bench.update(rate=1)
        bench.advance(4)
        assert [what for _, what in bench.seen] == [b"held", b""]


class TestSlicer:
    @given(size=st.integers(1, 5000), average=st.integers(1, 400), share=st.floats(0, 1), seed=st.integers(0, 5))
    def test_sizes(self, size: int, average: int, share: float, seed: int) -> None:
        """No piece is empty or above average + variation; together they are the data."""
        variation = int(average * share)
        bench = Bench("slicer", seed=seed, average_size=average, size_variation=variation)
        data = random.Random(size).randbytes(size)
        bench.send(data)
        assert bench.data == data
        assert all(0 < len(what) <= average + variation for _, what in bench.seen)

    def test_delays(self) -> None:
        """The first piece at once, each next one the delay later; data that come meanwhile wait their turn."""
        bench = Bench("slicer", average_size=5, delay=2000)
        bench.send(b"0123456789")
        bench.send(b"abcde")
        bench.finish()
        bench.advance(100)
        assert bench.seen == [(0.0, b"01234"), (2.0, b"56789"), (4.0, b"abcde"), (6.0, b"")]

    def test_an_update_takes_effect_on_the_piece_that_waits(self) -> None:
        """From a minute between pieces to a millisecond: nobody waits for the minute."""
        bench = Bench("slicer", average_size=1, delay=60_000_000)
        bench.send(b"ab")
        bench.advance(5)
        bench.update(delay=1000)
        bench.advance(0)
        assert bench.seen == [(0.0, b"a"), (5.0, b"b")]


class TestEnds:
    def test_slow_close(self) -> None:
        """Data at once, the end after the delay; an update counts from when the end came."""
        bench = Bench("slow_close", delay=1000)
        bench.send(b"x")
        bench.finish()
        bench.advance(300)
        bench.update(delay=400)
        bench.advance(1000)
        assert bench.seen == [(0.0, b"x"), (400.0, b"")]

    def test_timeout(self) -> None:
        """The time begins anew with each chunk; data vanish; the connection is closed."""
        bench = Bench("timeout", timeout=100)
        bench.advance(80)
        bench.send(b"x")
        bench.advance(80)
        assert bench.seen == []
        bench.advance(20)
        assert bench.seen == [(180.0, "close")]
        assert bench.clock.pending == 0

    @pytest.mark.parametrize("how", ["finish", "remove"])
    def test_timeout_zero_ends_with_the_source_or_the_toxic(self, how: str) -> None:
        """Without a time it closes when the source has ended, or when it is taken away."""
        bench = Bench("timeout")
        bench.send(b"x")
        bench.advance(10_000_000)
        assert bench.seen == []
        getattr(bench, how)()
        assert [what for _, what in bench.seen] == ["close"]

    def test_reset_peer(self) -> None:
        """Nothing before data; the timeout counts from the first; an update moves it."""
        bench = Bench("reset_peer", timeout=100)
        bench.advance(1000)
        bench.send(b"x")
        bench.advance(50)
        bench.send(b"y")
        bench.update(timeout=80)
        bench.advance(29)
        assert bench.seen == []
        bench.advance(1)
        assert bench.seen == [(1080.0, "reset")]

    def test_reset_peer_taken_away_in_time(self) -> None:
        """The connection goes on without what was dropped, and ends if the source has."""
        bench = Bench("reset_peer", timeout=100)
        bench.finish()
        bench.advance(50)
        bench.remove()
        bench.advance(1000)
        assert bench.seen == [(50.0, b"")]

    @pytest.mark.parametrize("size", [0, 1, 4, 5, 9])
    @pytest.mark.parametrize(("kind", "how"), [("limit_data", "close"), ("reset_after", "reset")])
    def test_limits(self, kind: str, how: str, size: int) -> None:
        """Exactly so many bytes of chunks of any size, then the end of its kind."""
        bench = Bench(kind, bytes=size)
        for number in range(5):
            bench.send(bytes([number, number]))
            if bench.seen and bench.seen[-1][1] == how:
                break
        bench.advance(100)
        assert bench.data == bytes([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])[:size]
        assert [what for _, what in bench.seen if isinstance(what, str)] == [how]

    def test_reset_after_taken_away_too_late(self) -> None:
        """Bytes are missing already: the reset comes at once."""
        bench = Bench("reset_after", bytes=2)
        bench.send(b"abc")
        bench.remove()
        assert bench.seen == [(0.0, b"ab"), (0.0, "reset")]

    def test_half_open(self) -> None:
        """Neither data nor the end come out; taken away, the connection is reset."""
        bench = Bench("half_open")
        bench.send(b"x")
        bench.finish()
        bench.advance(10_000_000)
        assert bench.seen == []
        bench.remove()
        assert [what for _, what in bench.seen] == ["reset"]


class TestOurs:
    @pytest.mark.parametrize("distribution", ["uniform", "normal", "exponential", "pareto"])
    def test_distributions_of_jitter(self, distribution: str) -> None:
        """No delay is negative or above the most; their mean is where the distribution's is."""
        stage: Any = Bench("jitter", latency=100, jitter=20, distribution=distribution, max=400).stage
        delays = [stage.delay() * 1000 for _ in range(3000)]
        assert min(delays) >= 0
        assert max(delays) <= 400
        mean = sum(delays) / len(delays)
        assert mean == pytest.approx({"uniform": 100, "normal": 100}.get(distribution, 119), abs=3)

    def test_packet_loss(self) -> None:
        """A share of chunks waits for a retransmission, the second time twice as long."""
        stage: Any = Bench("packet_loss", loss=0.25, rto=200).stage
        delays = [round(stage.delay() * 1000) for _ in range(4000)]
        assert sum(delay > 0 for delay in delays) / 4000 == pytest.approx(0.25, abs=0.03)
        assert {200, 600, 1400} <= set(delays) <= {0, 200, 600, 1400, 3000, 6200, 12_600}

    @given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=10), seed=st.integers(0, 9))
    def test_corrupt_turns_bits_after_what_is_skipped(self, sizes: list[int], seed: int) -> None:
        """The length stays, the first bytes too; each byte that differs does by one bit; at rate 1 all do."""
        sent = b"".join(random.Random(n).randbytes(size) for n, size in enumerate(sizes))
        for rate in (0.05, 1.0):
            bench = Bench("corrupt", seed=seed, rate=rate, skip=20)
            place = 0
            for size in sizes:
                bench.send(sent[place : place + size])
                place += size
            got = bench.data
            assert len(got) == len(sent)
            assert got[:20] == sent[:20]
            flipped = [bin(a ^ b).count("1") for a, b in zip(got, sent, strict=True)]
            assert set(flipped) <= {0, 1}
            if rate == 1.0:
                assert all(flipped[20:])

    def test_the_share_of_corrupt_bytes(self) -> None:
        """About one byte in 1 / rate."""
        bench = Bench("corrupt", rate=0.01)
        for _ in range(20):
            bench.send(bytes(10_000))
        assert sum(map(bool, bench.data)) == pytest.approx(2000, rel=0.15)


@given(seed=st.integers(0, 50))
def test_the_same_seed_does_the_same(seed: int) -> None:
    """What is random in a stage comes from its own generator alone."""
    for kind in ("latency", "slicer", "jitter", "packet_loss", "corrupt"):
        attributes = {**PASSING[kind], **({"rate": 0.1} if kind == "corrupt" else {})}
        seen = []
        for _ in range(2):
            bench = Bench(kind, seed=seed, **attributes)
            for _ in range(5):
                bench.send(b"some bytes that go through")
                bench.advance(3)
            bench.advance(100_000)
            seen.append(bench.seen)
        assert seen[0] == seen[1]


@pytest.mark.parametrize("kind", TOXICS)
def test_defaults_are_valid_but_for_the_slicer(kind: str) -> None:
    """A toxic without attributes is taken, as by Toxiproxy; a slicer without a size would be the end of that one."""
    toxic = TOXICS[kind]
    if kind == "slicer":
        with pytest.raises(ApiError, match="average_size"):
            toxic.validate(toxic.defaults())
    else:
        toxic.validate(toxic.defaults())


@pytest.mark.parametrize("kind", TOXICS)
@given(data=st.data())
def test_numbers_outside_the_range_are_refused(kind: str, data: st.DataObject) -> None:
    """Every number is bounded: what is negative, or above a hundred days, is 400 with the attribute's name."""
    toxic = TOXICS[kind]
    for attribute in toxic.attributes:
        if attribute.kind == "string":
            continue
        values = {**toxic.defaults(), **PASSING.get(kind, {})}
        values[attribute.name] = data.draw(st.integers(-(2**63), -1))
        with pytest.raises(ApiError, match=attribute.name) as refused:
            toxic.validate(values)
        assert refused.value.status == 400
        if attribute.name in ("latency", "jitter", "timeout", "rto"):
            values[attribute.name] = MAX_MILLISECONDS + 1
            with pytest.raises(ApiError, match=attribute.name):
                toxic.validate(values)


def test_what_a_real_one_does_not_have() -> None:
    """The types of Toxiproxy 2.12, and ours."""
    assert set(TOXICS) - EXTRA == {
        "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data", "noop",
    }  # fmt: skip
