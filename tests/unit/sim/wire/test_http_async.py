"""Unmodified asyncio HTTP clients (httpx, aiohttp) on the run's stubs: faults reach them as their own errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import pytest

from harness.errors import RealWorld
from harness.sim.services.http import HttpResponse
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow
from tests.unit.sim.wire.bench import Run

pytestmark = pytest.mark.usefixtures("cuts")

POINT = "dependency.payments"
URL = "http://payments.stub.internal"


def run_with(main: Callable[[Run], Awaitable[object]], **plan: list[Any]) -> Run:
    """Run the coroutine function *main* with the verdicts of *plan* at the stub's point."""

    async def body(run: Run) -> None:
        await main(run)

    with Run() as run:
        run.faults.plan = {(POINT, side): list(verdicts) for side, verdicts in plan.items()}
        run.seen = []  # type: ignore[attr-defined]
        run.world.http.observers.append(lambda *told: run.seen.append(told))  # type: ignore[attr-defined]
        run.actor(lambda: asyncio.run(body(run)))
        run.go()
    return run


def seen(run: Run) -> list[Any]:
    return [(path, json.loads(body or b"null")) for _, _, path, body, _ in run.seen]  # type: ignore[attr-defined]


async def by_httpx(path: str, order: Any, timeout: float = 3) -> tuple[int, Any]:
    """POST *order* with httpx."""
    async with httpx.AsyncClient(timeout=timeout) as client:
        answer = await client.post(f"{URL}{path}", json=order)
        return answer.status_code, dict(answer.headers)


async def by_aiohttp(path: str, order: Any, timeout: float = 3) -> tuple[int, Any]:
    """POST *order* with aiohttp."""
    limits = aiohttp.ClientTimeout(total=None, sock_read=timeout)
    async with (
        aiohttp.ClientSession(timeout=limits) as session,
        session.post(f"{URL}{path}", json=order) as answer,
    ):
        await answer.read()
        return answer.status, dict(answer.headers)


BOTH = pytest.mark.parametrize("post", [by_httpx, by_aiohttp])


@BOTH
def test_a_request_reaches_the_stub_and_takes_time(post: Any) -> None:
    """200 one latency later, and the stub has seen the body."""

    async def main(run: Run) -> None:
        began = run.kernel.now_us
        assert (await post("/charges", {"order": 1}))[0] == 200
        assert 10_000 <= run.kernel.now_us - began < 10_200

    assert seen(run_with(main)) == [("/charges", {"order": 1})]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sessions_keep_connections_and_https_is_served_in_plain(scheme: str) -> None:
    """Ten requests on one session of either client, over either scheme."""

    async def main(run: Run) -> None:
        url = f"{scheme}://payments.stub.internal/charges"
        async with httpx.AsyncClient() as client:
            assert [(await client.get(url)).json() for _ in range(5)] == [{}] * 5
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                async with session.get(url) as answer:
                    assert await answer.json() == {}

    assert len(run_with(main).seen) == 10  # type: ignore[attr-defined]


@BOTH
def test_the_loop_goes_on_while_a_request_is_on_its_way(post: Any) -> None:
    """Twenty slow requests at once take as long as one, and a timer of the loop keeps its time."""

    async def main(run: Run) -> None:
        ticks: list[int] = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.1)
                ticks.append(run.kernel.now_us)

        ticker = asyncio.create_task(tick())
        began = run.kernel.now_us
        answers = await asyncio.gather(*(post("/charges", {"order": number}) for number in range(20)))
        assert [status for status, _ in answers] == [200] * 20
        assert 2_000_000 < run.kernel.now_us - began < 2_100_000
        assert len(ticks) == 20
        ticker.cancel()

    assert len(seen(run_with(main, before=[Slow(2.0)] * 20))) == 20


@BOTH
@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "7"}), (503, {}), (500, {})])
def test_an_answer_of_a_faults_is_an_answer(post: Any, status: int, headers: dict[str, str]) -> None:
    """429 with its Retry-After and 5xx come as responses; before the effect, nothing was carried out."""

    async def main(run: Run) -> None:
        got, given = await post("/charges", {})
        assert got == status
        assert {name.lower(): value for name, value in given.items()}.get("retry-after") == headers.get("Retry-After")

    run = run_with(main, before=[Answer(status, headers=headers)])
    assert seen(run) == []
    assert [event["error"] for event in run.of("call.failed")] == [str(status)]


@pytest.mark.parametrize("verdict", [Reset(), Refused()])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("post", "error"),
    [(by_httpx, httpx.TransportError), (by_aiohttp, aiohttp.ClientConnectionError)],
    ids=["httpx", "aiohttp"],
)
def test_a_broken_connection_is_the_clients_error(side: str, verdict: Any, post: Any, error: type[Exception]) -> None:
    """Reset and refused come as the client's own connection error; after the effect, the stub has carried it out."""

    async def main(run: Run) -> None:
        with pytest.raises(error):
            await post("/charges", {})
        assert (await post("/charges", {}))[0] == 200

    run = run_with(main, **{side: [verdict]})
    assert len(seen(run)) == (2 if side == "after" else 1)
    assert [event["error"] for event in run.of("call.failed")] == ["ConnectionError"]


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    ("post", "error"),
    [(by_httpx, httpx.ReadTimeout), (by_aiohttp, aiohttp.ServerTimeoutError)],
    ids=["httpx", "aiohttp"],
)
def test_a_lost_request_or_answer_is_the_clients_timeout(side: str, post: Any, error: type[Exception]) -> None:
    """Silence until the client's own read timeout, in virtual time; the history has the failed call."""

    async def main(run: Run) -> None:
        began = run.kernel.now_us
        with pytest.raises(error):
            await post("/charges", {}, timeout=2.5)
        assert 2_500_000 <= run.kernel.now_us - began < 2_520_000

    run = run_with(main, **{side: [Lost()]})
    assert len(seen(run)) == (1 if side == "after" else 0)
    assert [event["error"] for event in run.of("call.failed")] == ["TimeoutError"]


@BOTH
def test_a_slow_answer_is_late_and_a_slow_request_is_carried_out_all_the_same(post: Any) -> None:
    """Slow after: the answer is late. Slow before, beyond the client's patience: it gives up, the effect happens."""

    async def main(run: Run) -> None:
        began = run.kernel.now_us
        assert (await post("/charges", 1))[0] == 200
        assert run.kernel.now_us - began > 2_000_000
        with pytest.raises((httpx.TimeoutException, asyncio.TimeoutError)):
            await post("/charges", 2)
        assert [order for _, order in seen(run)] == [1]
        await asyncio.sleep(20)

    run = run_with(main, before=[None, Slow(10.0)], after=[Slow(2.0)])
    assert [order for _, order in seen(run)] == [1, 2]
    assert [event["error"] for event in run.of("call.failed")] == ["TimeoutError"]


@BOTH
def test_a_cancelled_request_is_carried_out_if_it_was_sent(post: Any) -> None:
    """Cancelling a task hangs up; what is on its way to the stub arrives."""

    async def main(run: Run) -> None:
        task = asyncio.create_task(post("/charges", 7))
        await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)

    assert seen(run_with(main)) == [("/charges", 7)]


@BOTH
def test_a_large_body_arrives_in_pieces(post: Any) -> None:
    """A megabyte each way."""

    async def main(run: Run) -> None:
        run.world.http.respond("payments", lambda request: HttpResponse(200, {}, b"y" * 1_000_000))
        assert (await post("/charges", "x" * 1_000_000))[0] == 200

    assert len(run_with(main).seen[0][3]) > 1_000_000  # type: ignore[attr-defined]


@BOTH
def test_any_other_host_is_refused_with_the_remedy(post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is no stub's is neither looked up nor reached."""
    monkeypatch.setitem(globals(), "URL", "http://example.com")

    async def main(run: Run) -> None:
        with pytest.raises((RealWorld, httpx.ConnectError, aiohttp.ClientError)):
            await post("/", {})
        assert any("example.com" in str(error) for error in run.kernel.refused)

    run_with(main)
