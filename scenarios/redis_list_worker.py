"""Workers on a Redis list are killed with a job in hand, and Redis goes away for ten seconds: no job is lost.

The reliable-queue pattern: a job moves to the worker's own list before the work (BLMOVE) and leaves it after (LREM);
a worker that starts again finishes what it had in hand first.
"""

import json
import time

import redis

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point


def worker(env):
    client = redis.Redis.from_url(env.redis, socket_timeout=10)
    mine = f"jobs:processing:{env.process}"
    recovering = True
    failures = 0
    while True:
        try:
            if recovering:
                job = client.lindex(mine, -1)
                recovering = job is not None
            else:
                job = client.blmove("jobs", mine, timeout=5, src="LEFT", dest="LEFT")
            if job is None:
                continue
            if failures == 3:  # it fails each time: out of the way of the others
                client.lmove(mine, "jobs:dead", "RIGHT", "LEFT")
                failures = 0
                continue
            number = json.loads(job)["job"]
            # Recorded afterwards: a record whose answer is lost before the effect would take the effect's place.
            if not client.exists(f"done:{number}"):
                effect("done", number)
                client.set(f"done:{number}", 1)
            point("worked")
            client.lrem(mine, 1, job)
            failures = 0
        except (ValueError, KeyError, TypeError):
            recovering = True
            failures += 1
        except (redis.RedisError, OSError):
            recovering = True  # what it had in hand is in its own list
            time.sleep(1)


scenario = Scenario(
    name="redis-list-worker",
    queues=[RedisList("jobs", processing="jobs:processing:*", dead_letter="jobs:dead", visibility_timeout=10)],
    processes=[Process("worker", worker, count=3)],
    workload=Workload(to="jobs", messages=120, per_second=4, body=lambda n: {"job": n}, key="$.job"),
    effects=effects.point("done"),
    faults=[
        Fault("point.worked", "crash", nth=5, restart_after=3),
        Fault("redis.BLMOVE", "crash", side="after", nth=20, restart_after=3),
        Fault("redis.LREM", "timeout", side="after", nth=30),
        Fault("redis.*", "refused", start=15, end=25),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
)
