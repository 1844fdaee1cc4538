"""One batch of a FIFO queue holds orders of several customers, and one of them fails: nobody's order overtakes another.

After a failure the function leaves the rest of that customer's orders alone and reports them with the failed one.
"""

import json

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect


def charge(record):
    effect("charged", json.loads(record["body"])["order_id"])


def lambda_handler(event, context):
    failed, blocked = [], set()
    for record in event["Records"]:
        customer = record["attributes"]["MessageGroupId"]
        try:
            if customer not in blocked:
                charge(record)
        except Exception:
            blocked.add(customer)
        if customer in blocked:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-several-groups",
    queues=[Queue("orders.fifo", visibility_timeout=30)],
    processes=[
        Process(
            "fn",
            LambdaConsumer(lambda_handler, timeout=5, report_batch_item_failures=True, maximum_concurrency=2),
            queue="orders.fifo",
        )
    ],
    handler=charge,
    service_time=(0.02, 0.2),
    workload=Workload(
        to="orders.fifo",
        messages=120,
        per_second=30,
        body=lambda n: {"order_id": n, "customer": f"c{n % 7}"},
        key="$.order_id",
        group=lambda n: f"c{n % 7}",
    ),
    effects=effects.point("charged"),
    faults=[Fault("handler", "transient", start=1, end=4, probability=0.2)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    # Not on moto: row 705 of docs/sqs-fidelity.md, a group starts again with its oldest message after a timeout.
    backends=("memory",),
)
