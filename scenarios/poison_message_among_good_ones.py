"""Three orders make the handler fail whenever they come: a null where the code expects a price.

They are dead-lettered after three tries, with an envelope that says why, and hold up nobody else.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), max_receives=3).run()


scenario = Scenario(
    name="poison-message-among-good-ones",
    queues=[Queue("orders", visibility_timeout=20, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    handler=handle,
    workload=Workload(to="orders", messages=150, per_second=3, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("handler", "poison", keys=["13", "77", "120"])],
    invariants=[
        *invariants.defaults(),
        invariants.poison_contained(3),
        invariants.envelope_complete(),
        invariants.not_processed_and_dead_lettered(),
    ],
    objectives=Objectives(rpo=0),
    record_bodies=True,
    backends=("memory", "moto"),
)
