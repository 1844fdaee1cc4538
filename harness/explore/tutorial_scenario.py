"""Twenty orders in forty seconds for two workers of tutorial_consumer.py: none may be lost, none charged twice."""

from harness import Process, Queue, Scenario, Workload, effects, invariants

scenario = Scenario(
    name="tutorial-consumer",
    queues=[Queue("orders", visibility_timeout=15)],
    processes=[
        Process(
            "worker",
            "tutorial_consumer:main",
            count=2,
            environ={"QUEUE_URL": "{queue:orders}", "PAYMENTS_URL": "{http:payments}"},
        )
    ],
    workload=Workload(to="orders", messages=20, per_second=0.5, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    invariants=[invariants.no_message_loss(), invariants.effects_once()],
    isolate=["tutorial_consumer"],  # each process imports it afresh: a restarted one remembers nothing
)
