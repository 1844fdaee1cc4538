"""pySqsListener: a listener whose handler fails and whose deletes time out; the queue's own redrive bounds it.

The listener leaves a message that failed where it is, so it comes back after the visibility timeout.
"""

import logging
from contextlib import suppress

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    from sqs_listener import SqsListener


def worker(env):
    logging.getLogger("sqs_listener").setLevel(logging.CRITICAL)

    class Orders(SqsListener):
        def handle_message(self, body, attributes, messages_attributes):
            point("charge")
            effect("charged", body["order_id"])

    Orders("orders", queue_url=env.queue_url("orders"), region_name="us-east-1", interval=1, wait_time=20).listen()


scenario = Scenario(
    name="sqs-listener-daemon",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=5)],
    processes=[Process("worker", worker, count=2, environ={"AWS_ACCOUNT_ID": "123456789012"})],
    workload=Workload(to="orders", messages=100, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=30, probability=0.3),
        Fault("aws.sqs.DeleteMessage", "internal-error", start=35, end=40),
        Fault("point.charge", "crash", nth=15, restart_after=5),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    needs=("sqs_listener",),
)
