"""dramatiq's own command line, on Redis and on SQS: worker processes that are killed and told to stop.

On Redis the others put back what a killed worker had when its heartbeat is old (here two seconds, by default sixty); on
SQS it comes again after the visibility timeout.
"""

import os
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, Queue, RedisList, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without them leaves the scenarios out
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.cli import main, make_argument_parser
    from dramatiq.middleware import AgeLimit, Retries, ShutdownNotifications
    from dramatiq_sqs import SQSBroker


def setup():
    """What ``dramatiq module:setup`` calls in each of its worker processes."""
    middleware = [AgeLimit(), ShutdownNotifications(), Retries(min_backoff=500, max_retries=5)]
    url = os.environ.get("REDIS_URL")
    broker = (
        SQSBroker(middleware=middleware, visibility_timeout=4)
        if url is None
        else RedisBroker(url=url, middleware=middleware, heartbeat_timeout=2000, maintenance_chance=500_000)
    )
    dramatiq.set_broker(broker)

    @dramatiq.actor(broker=broker, queue_name="orders")
    def charge(order_id):
        point("charge")
        time.sleep(0.05)
        effect("charged", order_id)

    return charge


def shop():
    charge = setup()
    for number in range(40):
        charge.send(number)
        time.sleep(0.1)


def worker():
    main(make_argument_parser().parse_args([f"{__name__}:setup", "--processes", "2", "--threads", "2"]))


def workers(name, queue, environ, needs):
    return Scenario(
        name=name,
        queues=[queue],
        processes=[
            Process("shop", shop, environ=environ),
            Process("worker", worker, count=2, environ=environ),
        ],
        workload=Workload(to=queue.name, messages=0, key="$.args[0]"),
        effects=effects.point("charged"),
        faults=[
            Fault("point.charge", "crash", nth=30, restart_after=1),
            Fault("point.charge", "transient", start=1, end=2, probability=0.3),
            Fault("process.worker", "sigterm", start=3, grace=4),
        ],
        invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
        objectives=Objectives(rpo=0),
        duration=5,
        backends=("live",),
        needs=needs,
    )


scenarios = [
    workers(
        "dramatiq-workers-on-redis",
        RedisList(
            "dramatiq:orders",
            waiting="dramatiq:orders.DQ",
            processing=("dramatiq:__acks__.*.orders", "dramatiq:__acks__.*.orders.DQ"),
            dead_letter="dramatiq:orders.XQ",
            bodies=("dramatiq:orders.msgs", "dramatiq:orders.DQ.msgs"),
            visibility_timeout=6,
        ),
        {"REDIS_URL": "{redis}"},
        ("dramatiq",),
    ),
    workers("dramatiq-workers-on-sqs", Queue("orders", visibility_timeout=4), {}, ("dramatiq", "dramatiq_sqs")),
]
