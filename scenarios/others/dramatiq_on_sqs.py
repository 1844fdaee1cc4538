"""dramatiq on SQS (dramatiq-sqs): worker threads that are killed and told to stop, actors that fail and are retried."""

import signal
import threading
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without them leaves the scenario out
    import dramatiq
    from dramatiq.middleware import AgeLimit, Retries
    from dramatiq_sqs import SQSBroker


def broker_and_actor():
    broker = SQSBroker(middleware=[AgeLimit(), Retries(min_backoff=1000, max_retries=10)], visibility_timeout=30)

    @dramatiq.actor(broker=broker, queue_name="orders")
    def charge(order_id):
        point("charge")
        effect("charged", order_id)

    return broker, charge


def shop():
    _, charge = broker_and_actor()
    for number in range(80):
        charge.send(number)
        time.sleep(0.5)


def worker():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    broker, _ = broker_and_actor()
    threads = dramatiq.Worker(broker, worker_threads=4)
    threads.start()
    stop.wait()
    threads.stop()


scenario = Scenario(
    name="dramatiq-on-sqs",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=0, key="$.args[0]"),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=20, probability=0.3),
        Fault("point.charge", "crash", nth=15, restart_after=5),
        Fault("process.worker.1", "sigterm", start=25, grace=30),
        Fault("aws.sqs.ReceiveMessage", "internal-error", start=30, end=35),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    duration=60,
    needs=("dramatiq", "dramatiq_sqs"),
)
