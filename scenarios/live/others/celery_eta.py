"""celery on SQS and on Redis: tasks for later wait in the worker, undeleted, well inside the visibility timeout.

A worker takes a task with an ETA at once and holds it until its time has come. A visibility timeout shorter than the
wait hands it out again meanwhile, and it runs twice: celery's documentation says so of both transports.
"""

import json
import os
from contextlib import suppress

from harness import Objectives, Process, Queue, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect

with suppress(ImportError):  # a run without it leaves the scenarios out
    import celery.apps.worker  # noqa: F401 - now, and not when the run has begun
    from celery import Celery

QUIET = ["--without-mingle", "--without-gossip", "-l", "ERROR"]


def make_app():
    timeout = int(os.environ["VISIBILITY"])
    url = os.environ.get("REDIS_URL")
    if url is None:
        url = "sqs://test:test@"
        access = {"url": os.environ["QUEUE_URL"], "access_key_id": "test", "secret_access_key": "test"}
        options = {"region": "us-east-1", "is_secure": False, "predefined_queues": {"orders": access}}
    else:
        options = {"unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    app = Celery("shop", broker=url)
    app.conf.update(
        task_acks_late=True,
        task_default_queue="orders",
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": timeout, "wait_time_seconds": 1, **options},
    )

    @app.task(name="charge")
    def charge(order_id):
        effect("charged", order_id)

    return app, charge


def shop():
    _, charge = make_app()
    for number in range(10):
        charge.apply_async((number,), task_id=str(number), countdown=int(os.environ["ETA"]))


def worker(env):
    app, _ = make_app()
    app.worker_main(["worker", "-P", "prefork", "-c", "2", "-n", f"{env.process}@%h", *QUIET])


def tag_of(element):
    """A message in the list is an envelope that holds its delivery tag; in ``unacked`` the tag stands alone."""
    return json.loads(element)["properties"]["delivery_tag"].encode() if element.startswith(b"{") else element


def task_of(element):
    return json.loads(element)["headers"]["id"]


def later(name, queue, timeout, places, needs):
    environ = {"VISIBILITY": str(timeout), "ETA": "4", **places}
    return Scenario(
        name=name,
        queues=[queue],
        processes=[
            Process("shop", shop, environ=environ),
            Process("worker", worker, count=2, environ=environ),
        ],
        workload=Workload(to="orders", messages=0, key="$.properties.correlation_id"),
        effects=effects.point("charged"),
        invariants=[*invariants.defaults(), invariants.effects_once()],
        objectives=Objectives(rpo=0, duplicates=0),
        duration=6,
        backends=("live",),
        needs=needs,
    )


def on_sqs(name, timeout):
    queue = Queue("orders", visibility_timeout=timeout)
    return later(name, queue, timeout, {"QUEUE_URL": "{queue:orders}"}, ("celery", "pycurl"))


def on_redis(name, timeout):
    queue = RedisList("orders", processing="unacked", identity=tag_of, key=task_of, visibility_timeout=timeout + 2)
    return later(name, queue, timeout, {"REDIS_URL": "{redis}"}, ("celery",))


scenarios = [on_sqs("celery-eta-on-sqs", 30), on_redis("celery-eta-on-redis", 30)]
