"""Whatever a function answers, its mapping deletes what a reference model says, and nothing else.

The model is written from the list of conditions in AWS's documentation, without a look at the code: first what makes a
whole batch fail, then what is named.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import LambdaConsumer, invariants
from harness.sim.lambda_response import settle
from harness.sim_fixture import Sim
from tests.budget import examples

BATCH = ("m0", "m1", "m2", "m3")

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "m0", "m9", "ok"])
IDENTIFIERS = st.sampled_from([*BATCH, *BATCH, *BATCH, "m9", "", None, 7])
ITEMS = st.one_of(
    st.builds(lambda one: {"itemIdentifier": one}, IDENTIFIERS),
    st.builds(lambda one: {"itemIdentifier": one}, st.sampled_from(BATCH)),
    st.builds(lambda one: {"itemidentifier": one}, IDENTIFIERS),
    SCALARS,
)
GOOD_ITEMS = st.lists(st.builds(lambda one: {"itemIdentifier": one}, st.sampled_from(BATCH)), max_size=5)
LISTS = st.one_of(GOOD_ITEMS, st.lists(ITEMS, max_size=4), SCALARS, st.just({}))
ANSWERS = st.one_of(
    st.builds(lambda items: {"batchItemFailures": items}, GOOD_ITEMS),
    st.builds(lambda items: {"batchItemFailures": items}, LISTS),
    st.builds(lambda items: {"statusCode": 200, "batchItemFailures": items}, LISTS),
    st.just({}),
    st.just({"statusCode": 200}),
    SCALARS,
    st.lists(SCALARS, max_size=2),
)


def comes_back(answer: Any, reporting: bool) -> set[str]:
    """The reference model: the ids of the batch that must not be deleted."""
    everything = set(BATCH)
    if not reporting or answer is None:
        return set()
    if type(answer) is not dict:
        return everything
    items = answer.get("batchItemFailures", None)
    if items is None:
        return set()
    if type(items) is not list:
        return everything
    identifiers = [item.get("itemIdentifier", None) if type(item) is dict else None for item in items]
    return set(identifiers) if all(one in BATCH for one in identifiers) else everything


@settings(max_examples=examples(2_000))
@given(ANSWERS, st.booleans())
def test_an_answer_means_what_the_model_says(answer: Any, reporting: bool) -> None:
    """Ids that come back, and whether the answer was a success, as the conditions of the documentation have it."""
    expected = comes_back(answer, reporting)
    settled = settle(json.dumps(answer), BATCH, reporting=reporting)
    assert set(settled.failed) == expected
    assert list(settled.failed) == [one for one in BATCH if one in expected]
    assert settled.outcome == (
        "success" if not expected else "partial" if len(expected) < len(BATCH) else settled.outcome
    )


def named(answer: Any, ids: list[str]) -> Any:
    """*answer* with the ids of this batch in the place of the model's."""
    if isinstance(answer, dict):
        return {key: named(value, ids) for key, value in answer.items()}
    if isinstance(answer, list):
        return [named(one, ids) for one in answer]
    return ids[BATCH.index(answer)] if answer in BATCH else answer


def handler(event: dict[str, Any], context: Any) -> Any:
    """Answers what the first message says, the first time; later it succeeds."""
    records = event["Records"]
    if records[0]["attributes"]["ApproximateReceiveCount"] != "1":
        return None
    order = {json.loads(record["body"])["n"]: record["messageId"] for record in records}
    return named(json.loads(records[0]["body"])["answer"], [order[n] for n in sorted(order)])


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=3), st.booleans())
def test_the_mapping_deletes_what_the_model_says(answers: list[Any], reporting: bool) -> None:
    """On a queue: of each batch exactly what comes back is received again, after the visibility timeout."""
    sim = Sim("answers")
    orders = sim.queue("orders", visibility_timeout=30)
    consumer = LambdaConsumer(handler, batch_size=4, report_batch_item_failures=reporting, init_time=0)
    sim.process("fn", consumer, queue=orders)
    for index, answer in enumerate(answers):  # one batch each, far apart
        bodies = [{"batch": index, "n": n, "answer": answer} for n in range(4)]
        sim.send(orders, bodies, per_second=None, start=100.0 * index)
    sim.set(invariants=[invariants.not_stuck()])
    result = sim.run()
    body_of = {event["message"]: json.loads(event["body"]) for event in result.history.of("send")}
    again = {event["message"]: event["t"] for event in result.history.of("receive") if event["receive_count"] == 2}
    expected = {
        message for message, body in body_of.items() if BATCH[body["n"]] in comes_back(body["answer"], reporting)
    }
    assert set(again) == expected
    for message, when in again.items():
        assert when - 100.0 * body_of[message]["batch"] >= 30
