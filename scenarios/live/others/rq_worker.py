"""rq, forking workers: the kernel kills a work horse in mid-job, a worker is told to stop and finishes its job first.

The worker sees that its horse died, calls the job failed, and retries it as the job says. What a killed *worker* had
in hand comes back only when its heartbeat is over a minute old: ``scenarios/others/rq_workers.py`` simulates that.
"""

import os
import signal
import time
from contextlib import suppress

import redis

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    from rq import Queue, Retry, Worker


def charge(order_id, url):
    point("charge")
    if order_id == 5 and redis.Redis.from_url(url).set("memory-ran-out", 1, nx=True):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    effect("charged", order_id)


def shop(env):
    queue = Queue("orders", connection=redis.Redis.from_url(env.redis))
    for number in range(30):
        queue.enqueue(charge, number, env.redis, job_id=str(number), retry=Retry(max=5))
        time.sleep(0.15)


def worker(env):
    connection = redis.Redis.from_url(env.redis)
    name = f"{env.process}-{time.time():.0f}"
    Worker([Queue("orders", connection=connection)], connection=connection, name=name).work(logging_level="CRITICAL")


scenario = Scenario(
    name="rq-worker",
    queues=[
        RedisList(
            "rq:queue:orders",
            processing=("rq:queue:orders:intermediate", "rq:wip:orders"),
            waiting="rq:scheduled:orders",
            dead_letter="rq:failed:orders",
            identity=lambda element: element.partition(b":")[0],  # the registry adds the execution's id to the job's
            key=lambda element: element.partition(b":")[0].decode(),
            visibility_timeout=10,
        )
    ],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="rq:queue:orders", messages=0),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=1, end=2, probability=0.3),
        Fault("process.worker.1", "sigterm", start=2.5, grace=4),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded(1)],
    objectives=Objectives(rpo=0),
    duration=5,
    backends=("live",),
    needs=("rq",),
)
