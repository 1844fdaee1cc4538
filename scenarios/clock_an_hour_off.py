"""The wall clock is an hour off, as on a virtual machine that was suspended: AWS refuses every call until then.

Nothing is lost meanwhile, and the consumer recovers by itself once the clock is right.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="clock-an-hour-off",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    workload=Workload(to="orders", messages=180, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("clock.worker", "jump", seconds=3600, start=30, end=120)],
    # A receive whose answer is lost is given up after botocore's read timeout of a minute.
    invariants=[*invariants.defaults(), invariants.recovers_within(90)],
    objectives=Objectives(rto="1m", rpo=0),
    backends=("memory", "moto"),
)
