"""Unmodified aiobotocore clients on the run's services. Skipped without the extra ``async``; .ci/nightly has it."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from harness.sim import patches
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow
from harness.sim.wire import aiobotocore as wire
from harness.sim.wire import botocore
from tests.requirements import module, required
from tests.unit.sim.wire.bench import Run

if importlib.util.find_spec("aiobotocore") is None and "async" not in required():
    pytest.skip("aiobotocore is not installed (extra async)", allow_module_level=True)

library = module("aiobotocore.session", "async")
exceptions = module("botocore.exceptions", "sim")


@pytest.fixture(scope="module", autouse=True)
def cut() -> Iterator[None]:
    """The shims and both wires are in, as they are in a run."""
    patches.install()
    botocore.install()
    wire.install()
    yield
    wire.uninstall()
    botocore.uninstall()
    patches.uninstall()


def run_with(main: Callable[[Run, Any], Awaitable[object]], retries: int = 1, **plan: list[Any]) -> Run:
    """Run *main* with an SQS client of *retries* attempts; *plan*: verdicts by operation and side."""

    async def body(run: Run) -> None:
        config = module("aiobotocore.config", "async").AioConfig(
            read_timeout=25, retries={"mode": "standard", "total_max_attempts": retries}
        )
        session = library.get_session()
        async with session.create_client("sqs", region_name="us-east-1", config=config) as sqs:
            await main(run, sqs)

    with Run() as run:
        service = SqsService(KernelTimebase(run.kernel), run.kernel.seeds.stream("ids"), run.world.record)
        run.world.services["sqs"] = service
        service.create_queue("orders", {"VisibilityTimeout": "30"})
        for name, verdicts in plan.items():
            operation, _, side = name.partition("_")
            run.faults.plan[f"aws.sqs.{operation}", side] = list(verdicts)

        run.kernel.start_process(
            "worker", lambda: _guarded(run, lambda: asyncio.run(body(run))), environ=botocore.environ()
        )
        run.go()
    return run


def _guarded(run: Run, function: Callable[[], None]) -> None:
    try:
        function()
    except Exception as error:
        run.failures.append(error)


async def _url(sqs: Any) -> str:
    url: str = (await sqs.get_queue_url(QueueName="orders"))["QueueUrl"]
    return url


def test_send_receive_delete() -> None:
    """A message's way through a queue, each call one latency of virtual time."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        began = run.kernel.now_us
        await sqs.send_message(QueueUrl=url, MessageBody="hello")
        assert 10_000 <= run.kernel.now_us - began < 10_100
        (message,) = (await sqs.receive_message(QueueUrl=url))["Messages"]
        assert message["Body"] == "hello"
        answer = await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert "Messages" not in await sqs.receive_message(QueueUrl=url)

    run = run_with(main)
    assert ("aws.sqs.SendMessage", "after") in run.faults.passed


def test_a_long_poll_waits_beside_the_loop() -> None:
    """Twenty seconds of waiting stop no other task; another task's message ends it."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)

        async def send_later() -> None:
            await asyncio.sleep(7)
            await sqs.send_message(QueueUrl=url, MessageBody="late")

        task = asyncio.create_task(send_later())
        answer = await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        assert [message["Body"] for message in answer["Messages"]] == ["late"]
        assert 7 < run.kernel.now < 7.1
        await task

    run_with(main)


def test_a_cancelled_long_poll_takes_no_message() -> None:
    """Who hangs up is no longer waited for: a message sent afterwards goes to the next who asks."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)
        await sqs.send_message(QueueUrl=url, MessageBody="after")
        await asyncio.sleep(1)
        (message,) = (await sqs.receive_message(QueueUrl=url, AttributeNames=["All"]))["Messages"]
        assert message["Attributes"]["ApproximateReceiveCount"] == "1"

    run_with(main)


def test_a_cancelled_call_that_was_sent_takes_effect() -> None:
    """Cancelling does not take a request back that is on its way."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        task = asyncio.create_task(sqs.send_message(QueueUrl=url, MessageBody="sent"))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)
        assert len((await sqs.receive_message(QueueUrl=url))["Messages"]) == 1

    run_with(main)


def test_refusals_are_botocores_errors() -> None:
    """The service's own refusals arrive as the client's modelled exceptions."""

    async def main(run: Run, sqs: Any) -> None:
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            await sqs.get_queue_url(QueueName="nowhere")

    run_with(main)


@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        (Lost(), "ReadTimeoutError"),
        (Refused(), "EndpointConnectionError"),
        (Reset(), "ConnectionClosedError"),
        (Answer(503, code="ServiceUnavailable"), "ClientError"),
        (Answer(400, code="ThrottlingException"), "ClientError"),
    ],
)
def test_faults_are_botocores_errors(verdict: Any, error: str) -> None:
    """Each kind of failure is the exception that aiobotocore's users catch."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        with pytest.raises(getattr(exceptions, error)):
            await sqs.send_message(QueueUrl=url, MessageBody="x")

    run = run_with(main, SendMessage_before=[verdict])
    assert len(run.of("call.failed")) == 1


def test_the_clients_own_retries_run_in_virtual_time() -> None:
    """Two throttled attempts, backoff between them, and the third goes through; one message is in the queue."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        answer = await sqs.send_message(QueueUrl=url, MessageBody="x")
        assert answer["ResponseMetadata"]["RetryAttempts"] == 2

    throttled = Answer(400, code="ThrottlingException")
    run = run_with(main, retries=5, SendMessage_before=[throttled, throttled])
    assert run.faults.passed.count(("aws.sqs.SendMessage", "before")) == 3


def test_a_slow_call_beyond_the_read_timeout_has_its_effect() -> None:
    """The client gives up after its read timeout; the request is carried out."""

    async def main(run: Run, sqs: Any) -> None:
        url = await _url(sqs)
        began = run.kernel.now
        with pytest.raises(exceptions.ReadTimeoutError):
            await sqs.send_message(QueueUrl=url, MessageBody="x")
        assert 25 <= run.kernel.now - began < 25.1

    run_with(main, SendMessage_after=[Slow(60)])


def test_outside_a_run_the_original_is_called() -> None:
    """With the wire in, a client outside a run talks to its endpoint: here to a port where nobody listens."""

    async def main() -> None:
        session = library.get_session()
        config = module("aiobotocore.config", "async").AioConfig(retries={"total_max_attempts": 1})
        async with session.create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url="http://127.0.0.1:9",
            aws_access_key_id="k",
            aws_secret_access_key="s",
            config=config,
        ) as sqs:
            with pytest.raises(exceptions.EndpointConnectionError):
                await sqs.list_queues()

    asyncio.run(main())
