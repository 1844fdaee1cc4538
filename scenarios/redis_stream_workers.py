"""Consumers of a Redis stream are killed between work and XACK; the others claim their entries (XAUTOCLAIM).

An entry that is delivered for the sixth time goes to a dead-letter stream. Orders are shipped once, by their record
in Redis.
"""

import json
import time

import redis

from harness import Fault, Objectives, Process, RedisStream, Scenario, Workload, effects, invariants
from harness.points import effect, point

DELIVERIES_MAX = 5
IDLE_MS = 20_000


def worker(env):
    client = redis.Redis.from_url(env.redis, socket_timeout=10, decode_responses=True)
    name = env.process

    def handle(entry_id, fields):
        try:
            order = json.loads(fields["data"])["order_id"]
        except ValueError:
            return  # neither handled nor acknowledged: claimed again, and at last put aside
        # Recorded afterwards: a record whose answer is lost before the effect would take the effect's place.
        if not client.exists(f"shipped:{order}"):
            effect("shipped", order)
            client.set(f"shipped:{order}", 1)
        point("shipped")
        client.xack("orders", "workers", entry_id)

    def take_over():
        """Entries that somebody else left: those delivered too often go to the dead letters."""
        _, entries, _ = client.xautoclaim("orders", "workers", name, IDLE_MS, count=10)
        for entry_id, fields in entries:
            (pending,) = client.xpending_range("orders", "workers", entry_id, entry_id, 1)
            if pending["times_delivered"] > DELIVERIES_MAX:
                with client.pipeline() as both:
                    both.xadd("orders:dead", fields).xack("orders", "workers", entry_id).execute()
            else:
                handle(entry_id, fields)

    grouped = True
    while True:
        try:
            if not grouped:
                client.xgroup_create("orders", "workers", id="0", mkstream=True)
                grouped = True
            for _, entries in client.xreadgroup("workers", name, {"orders": ">"}, count=5, block=5000):
                for entry_id, fields in entries:
                    handle(entry_id, fields)
            take_over()
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(1)
        except redis.ResponseError as error:
            # A failover took the group with it, or somebody else has made it anew.
            grouped = not str(error).startswith("NOGROUP")
            time.sleep(1)


scenario = Scenario(
    name="redis-stream-workers",
    queues=[RedisStream("orders", group="workers", dead_letter="orders:dead", visibility_timeout=20)],
    processes=[Process("worker", worker, count=3)],
    workload=Workload(to="orders", messages=120, per_second=4, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("shipped"),
    faults=[
        Fault("workload.orders", "malformed", nth=40),
        Fault("point.shipped", "crash", nth=5, restart_after=3),
        Fault("redis.XREADGROUP", "timeout", side="after", nth=30),
        Fault("redis.XACK", "timeout", side="after", nth=20),
        Fault("process.worker.2", "pause", start=18, seconds=40),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once(), invariants.poison_contained(7)],
    duration=130,
    objectives=Objectives(rpo=0, duplicates=0),
)
