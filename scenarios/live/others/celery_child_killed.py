"""celery, prefork: the kernel kills a child in mid-task for its memory; the task is put back and done.

That takes ``task_reject_on_worker_lost`` beside ``task_acks_late``: without it celery acknowledges the task of a child
that died, as its documentation says, and nobody ever does it.
"""

import json
import os
import signal
import time
from contextlib import suppress

import redis

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
        task_reject_on_worker_lost=os.environ["REJECT"] == "yes",
        task_default_queue="orders",
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
    )

    @app.task(name="charge")
    def charge(order_id):
        point("charge")
        if order_id == 5 and redis.Redis.from_url(url).set("memory-ran-out", 1, nx=True):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        effect("charged", order_id)

    return app, charge


def shop(env):
    _, charge = make_app(env.redis)
    for number in range(20):
        charge.apply_async((number,), task_id=str(number))
        time.sleep(0.1)


def worker(env):
    app, _ = make_app(env.redis)
    app.worker_main(["worker", "-P", "prefork", "-c", "2", "-n", f"{env.process}@%h", *QUIET])


def tag_of(element):
    """A message in the list is an envelope that holds its delivery tag; in ``unacked`` the tag stands alone."""
    return json.loads(element)["properties"]["delivery_tag"].encode() if element.startswith(b"{") else element


def task_of(element):
    return json.loads(element)["headers"]["id"]


scenario = Scenario(
    name="celery-child-killed",
    queues=[RedisList("orders", processing="unacked", identity=tag_of, key=task_of, visibility_timeout=5)],
    processes=[
        Process("shop", shop, environ={"REJECT": "yes"}),
        Process("worker", worker, environ={"REJECT": "yes"}),
    ],
    workload=Workload(to="orders", messages=0),
    effects=effects.point("charged"),
    faults=[Fault("point.charge", "slow", nth=12, seconds=0.5)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0),
    duration=3,
    backends=("live",),
    needs=("celery",),
)
