"""The consumer is killed (out of memory, a node that goes) between the send to the dead-letter queue and the delete.

The message must be in the dead-letter queue, must not be lost, and must not be processed there and then as well.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import PermanentError, ResilientConsumer, json_body


def handle(message):
    order = json_body(message)
    if order["order_id"] % 10 == 7:
        raise PermanentError("the card was refused")
    effect("charged", order["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="killed-between-dead-letter-and-delete",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    workload=Workload(to="orders", messages=60, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("aws.sqs.SendMessage", "crash", side="after", nth=1, restart_after=5),
        Fault("aws.sqs.SendMessage", "crash", side="after", nth=3, restart_after=5),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.not_processed_and_dead_lettered(),
        invariants.envelope_complete(),
    ],
    objectives=Objectives(rpo=0),
    record_bodies=True,
    backends=("memory", "moto"),
)
