"""celery on SQS, prefork and solo: a worker is killed with tasks in hand, another is told to stop and finishes its own.

With ``acks_late`` a message is deleted when its task is done; what a killed worker had comes again after the queue's
visibility timeout.
"""

import time
from contextlib import suppress

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    import celery.apps.worker  # noqa: F401 - now, and not when the run has begun
    from celery import Celery

QUIET = ["--without-mingle", "--without-gossip", "-l", "ERROR"]


def make_app(queue_url):
    app = Celery("shop", broker="sqs://test:test@")
    access = {"url": queue_url, "access_key_id": "test", "secret_access_key": "test"}
    app.conf.update(
        task_acks_late=True,
        task_default_queue="orders",
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "region": "us-east-1",
            "is_secure": False,
            "predefined_queues": {"orders": access},
            "visibility_timeout": 4,
            "wait_time_seconds": 1,
            "polling_interval": 0.1,
        },
    )

    @app.task(name="charge")
    def charge(order_id):
        point("charge")
        time.sleep(0.3)
        effect("charged", order_id)

    return app, charge


def shop(env):
    _, charge = make_app(env.queue_url("orders"))
    for number in range(40):
        charge.apply_async((number,), task_id=str(number))


def prefork(env):
    app, _ = make_app(env.queue_url("orders"))
    app.worker_main(["worker", "-P", "prefork", "-c", "2", "-n", f"{env.process}@%h", *QUIET])


def solo(env):
    app, _ = make_app(env.queue_url("orders"))
    app.worker_main(["worker", "-P", "solo", "-n", f"{env.process}@%h", *QUIET])


def on_sqs(name, worker):
    return Scenario(
        name=name,
        queues=[Queue("orders", visibility_timeout=4)],
        processes=[Process("shop", shop), Process("worker", worker, count=2)],
        workload=Workload(to="orders", messages=0, key="$.properties.correlation_id"),
        effects=effects.point("charged"),
        faults=[
            Fault("point.charge", "crash", nth=10, restart_after=1),
            Fault("point.charge", "sigterm", nth=25, grace=8),
        ],
        invariants=[*invariants.defaults(), invariants.effects_once()],
        objectives=Objectives(rpo=0),
        duration=5,
        backends=("live",),
        needs=("celery", "pycurl"),
    )


scenarios = [on_sqs("celery-on-sqs-prefork", prefork), on_sqs("celery-on-sqs-solo", solo)]
