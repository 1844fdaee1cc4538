"""celery on Redis, prefork and solo: a worker is killed with tasks in hand, one is told to stop and finishes its own.

With ``acks_late`` a task leaves ``unacked`` when it is done. What a killed worker had there comes back after the
transport's visibility timeout, whole seconds after the broker looks for it.
"""

import json
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    import celery.apps.worker  # noqa: F401 - now, and not when the run has begun
    from celery import Celery

QUIET = ["--without-mingle", "--without-gossip", "-l", "ERROR"]


def make_app(url):
    app = Celery("shop", broker=url)
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": 3,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )

    @app.task(name="charge")
    def charge(order_id):
        point("charge")
        time.sleep(0.3)
        effect("charged", order_id)

    return app, charge


def shop(env):
    _, charge = make_app(env.redis)
    for number in range(40):
        charge.apply_async((number,), task_id=str(number))


def prefork(env):
    app, _ = make_app(env.redis)
    app.worker_main(["worker", "-P", "prefork", "-c", "2", "-n", f"{env.process}@%h", *QUIET])


def solo(env):
    app, _ = make_app(env.redis)
    app.worker_main(["worker", "-P", "solo", "-n", f"{env.process}@%h", *QUIET])


def tag_of(element):
    """A message in the list is an envelope that holds its delivery tag; in ``unacked`` the tag stands alone."""
    return json.loads(element)["properties"]["delivery_tag"].encode() if element.startswith(b"{") else element


def task_of(element):
    return json.loads(element)["headers"]["id"]


def on_redis(name, worker):
    return Scenario(
        name=name,
        queues=[RedisList("celery", processing="unacked", identity=tag_of, key=task_of, visibility_timeout=13)],
        processes=[Process("shop", shop), Process("worker", worker, count=2)],
        workload=Workload(to="celery", messages=0),
        effects=effects.point("charged"),
        faults=[
            Fault("point.charge", "crash", nth=10, restart_after=1),
            Fault("point.charge", "sigterm", nth=25, grace=8),
        ],
        invariants=[*invariants.defaults(), invariants.effects_once()],
        objectives=Objectives(rpo=0),
        duration=5,
        backends=("live",),
        needs=("celery",),
    )


scenarios = [on_redis("celery-on-redis-prefork", prefork), on_redis("celery-on-redis-solo", solo)]
