"""A LambdaConsumer: what AWS would refuse is refused when it is made, or when it meets its queue."""

from __future__ import annotations

from typing import Any

import pytest

from harness import LambdaConsumer, Process, Queue, Scenario, Workload
from harness.errors import ScenarioError

HANDLER = "myshop.fn:lambda_handler"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"handler": "no handler"}, "LambdaConsumer.handler: is 'no handler'"),
        ({"batch_size": 0}, "batch_size: is 0"),
        ({"batch_size": 10_001}, "from 1 to 10000"),
        ({"batch_size": True}, "batch_size: is True"),
        ({"batch_size": 11}, "window: is 0 with a batch size of 11"),
        ({"window": 301}, "from 0 to 300"),
        ({"window": 0.5}, "window: is 0.5"),
        ({"maximum_concurrency": 1}, "from 2 to 1000"),
        ({"reserved_concurrency": -1}, "from 0 to 1000"),
        ({"timeout": 901}, "from 1 to 900"),
        ({"memory": 64}, "from 128 to 10240"),
        ({"init_time": (2, 1)}, "a pair"),
        ({"init_time": -1}, "init_time: is -1"),
        ({"filters": [{"attributes": {}}]}, r"filters\[0\].attributes"),
    ],
)
def test_what_aws_would_refuse_is_refused(settings: dict[str, Any], says: str) -> None:
    """Each setting outside AWS's limits is named with what would do."""
    with pytest.raises(ScenarioError, match=says):
        LambdaConsumer(**{"handler": HANDLER, **settings})


def scenario(consumer: LambdaConsumer, *queues: Queue, **fields: Any) -> Scenario:
    return Scenario(
        name="s",
        queues=queues or [Queue("orders")],
        processes=[Process("fn", consumer, queue=(queues or [Queue("orders")])[0].name)],
        workload=Workload(to=(queues or [Queue("orders")])[0].name, messages=1),
        **fields,
    )


def test_a_timeout_longer_than_the_visibility_timeout_is_refused_as_aws_does() -> None:
    """The mapping cannot be made, in AWS's words; equal is allowed."""
    with pytest.raises(ScenarioError, match="Queue visibility timeout: 30 seconds is less than Function timeout: 31"):
        scenario(LambdaConsumer(HANDLER, timeout=31))
    scenario(LambdaConsumer(HANDLER, timeout=30))


def test_a_fifo_queue_has_no_window_and_small_batches() -> None:
    """On a FIFO queue a window, and a batch of more than ten, are refused."""
    with pytest.raises(ScenarioError, match="window of 5 s on a FIFO queue"):
        scenario(LambdaConsumer(HANDLER, window=5), Queue("orders.fifo"))
    with pytest.raises(ScenarioError, match="window of 1 s on a FIFO queue"):
        scenario(LambdaConsumer(HANDLER, window=1, batch_size=100), Queue("orders.fifo"))
    scenario(LambdaConsumer(HANDLER), Queue("orders.fifo"))


def test_a_process_and_its_queue_belong_together() -> None:
    """A function needs the name of a queue that is there; other processes take none; there is one of it."""
    with pytest.raises(ScenarioError, match="queue: is missing"):
        Process("fn", LambdaConsumer(HANDLER))
    with pytest.raises(ScenarioError, match="the target is no LambdaConsumer"):
        Process("worker", "myshop.worker:main", queue="orders")
    with pytest.raises(ScenarioError, match="Lambda decides how many"):
        Process("fn", LambdaConsumer(HANDLER), queue="orders", count=2)
    with pytest.raises(ScenarioError, match="names the queue 'order', which the scenario does not have"):
        Scenario(
            name="s",
            queues=[Queue("orders")],
            processes=[Process("fn", LambdaConsumer(HANDLER), queue="order")],
            workload=Workload(to="orders", messages=1),
        )


def test_it_is_simulated_only() -> None:
    """A live run is refused: nothing there polls the queue for a function."""
    with pytest.raises(ScenarioError, match="fn is a Lambda function"):
        scenario(LambdaConsumer(HANDLER), backends=("memory", "live"))


def test_the_package_of_a_handler_is_imported_afresh_for_each_sandbox() -> None:
    """Isolated are the whole package of the handler, and of a handler in the tests its module alone."""
    assert scenario(LambdaConsumer("myshop.fn:handler"), isolate=["other"]).isolated == ("other", "myshop")
    assert scenario(LambdaConsumer("tests.systems.lambdas:charges_all")).isolated == ("tests.systems.lambdas",)
    assert scenario(LambdaConsumer(print)).isolated == ()


def test_a_function_object_is_refused_with_isolate() -> None:
    """A handler that is a function object cannot be imported afresh."""
    with pytest.raises(ScenarioError, match="fn is a function object"):
        scenario(LambdaConsumer(print), isolate=["myshop"])
