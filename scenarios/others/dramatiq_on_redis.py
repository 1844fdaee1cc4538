"""dramatiq on Redis: a worker is killed, Redis refuses everybody for five seconds, actors fail and are retried.

What a killed worker had in hand is put back by the others once its heartbeat is a minute old.
"""

import signal
import threading
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.middleware import AgeLimit, Retries


def broker_and_actor(env):
    # What Redis's Lua can take is kept in the class; a process of its own would ask for itself.
    RedisBroker._max_unpack_size_val = None
    # Every tenth command looks after dead workers (by default every hundredth).
    retries = Retries(min_backoff=1000, max_retries=10)
    broker = RedisBroker(url=env.redis, middleware=[AgeLimit(), retries], maintenance_chance=10_000)

    @dramatiq.actor(broker=broker, queue_name="orders")
    def charge(order_id):
        point("charge")
        effect("charged", order_id)

    return broker, charge


def shop(env):
    _, charge = broker_and_actor(env)
    for number in range(80):
        charge.send(number)
        time.sleep(0.4)


def worker(env):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    broker, _ = broker_and_actor(env)
    threads = dramatiq.Worker(broker, worker_threads=4)
    threads.start()
    stop.wait()
    threads.stop()


scenario = Scenario(
    name="dramatiq-on-redis",
    queues=[
        RedisList(
            "dramatiq:orders",
            waiting="dramatiq:orders.DQ",
            processing=("dramatiq:__acks__.*.orders", "dramatiq:__acks__.*.orders.DQ"),
            dead_letter="dramatiq:orders.XQ",
            bodies=("dramatiq:orders.msgs", "dramatiq:orders.DQ.msgs"),
            visibility_timeout=90,
        )
    ],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="dramatiq:orders", messages=0, key="$.args[0]"),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=20, probability=0.3),
        Fault("point.charge", "crash", nth=15, restart_after=5),
        Fault("process.worker.1", "sigterm", start=35, grace=30),
        Fault("redis.*", "refused", start=40, end=45),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    duration=60,
    needs=("dramatiq",),
)
