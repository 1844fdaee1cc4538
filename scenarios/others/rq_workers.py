"""rq: a worker is killed with a job in hand; the others find it in the registry of started jobs and retry it."""

import time
from contextlib import suppress

import redis

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    from rq import Queue, Retry, SimpleWorker


def charge(order_id):
    point("charge")
    effect("charged", order_id)


def shop(env):
    queue = Queue("orders", connection=redis.Redis.from_url(env.redis))
    for number in range(60):
        queue.enqueue(charge, number, job_id=str(number), retry=Retry(max=5), job_timeout=30)
        time.sleep(0.5)


def worker(env):
    connection = redis.Redis.from_url(env.redis)
    queue = Queue("orders", connection=connection)
    name = f"{env.process}-{time.time():.0f}"
    SimpleWorker([queue], connection=connection, name=name, maintenance_interval=60).work(logging_level="CRITICAL")


scenario = Scenario(
    name="rq-workers",
    queues=[
        RedisList(
            "rq:queue:orders",
            processing=("rq:queue:orders:intermediate", "rq:wip:orders"),
            waiting="rq:scheduled:orders",
            dead_letter="rq:failed:orders",
            identity=lambda element: element.partition(b":")[0],  # the registry adds the execution's id to the job's
            key=bytes.decode,
            visibility_timeout=240,
        )
    ],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="rq:queue:orders", messages=0),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=20, probability=0.3),
        Fault("point.charge", "crash", nth=15, restart_after=5),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    duration=60,
    needs=("rq",),
)
