"""huey on Redis: tasks that fail are retried, a consumer is stopped gracefully, Redis refuses everybody for a while.

Nobody is killed here: huey pops a task before it runs it and acknowledges nothing, as its documentation says.
"""

import logging
import pickle
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    from huey import RedisHuey


def tasks(env):
    huey = RedisHuey("orders", url=env.redis)

    @huey.task(retries=10, retry_delay=2, name="charge")
    def charge(order_id):
        point("charge")
        effect("charged", order_id)

    return huey, charge


def shop(env):
    _, charge = tasks(env)
    for number in range(60):
        charge(number)
        time.sleep(0.5)


def worker(env):
    logging.getLogger("huey").setLevel(logging.CRITICAL)
    huey, _ = tasks(env)
    huey.create_consumer(workers=2, periodic=False, graceful_signal="TERM").run()


scenario = Scenario(
    name="huey-consumer",
    queues=[
        RedisList(
            "huey.redis.orders",
            waiting="huey.schedule.orders",
            key=lambda element: str(pickle.loads(element).args[0]),
            visibility_timeout=20,
        )
    ],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="huey.redis.orders", messages=0),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=20, probability=0.3),
        Fault("process.worker.1", "sigterm", start=25, grace=30),
        Fault("redis.*", "refused", start=40, end=45),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    duration=60,
    needs=("huey",),
)
