"""What an answer of a function means for its batch, by the conditions of AWS's documentation."""

from __future__ import annotations

import pytest

from harness.sim.lambda_response import settle

BATCH = ["a", "b", "c"]


@pytest.mark.parametrize(
    "answer",
    [
        "null",
        "{}",
        '{"batchItemFailures": []}',
        '{"batchItemFailures": null}',
        '{"statusCode": 200}',
    ],
)
def test_a_complete_success(answer: str) -> None:
    """An empty or null list and an empty or null answer delete the whole batch; so does an object without a list."""
    assert settle(answer, BATCH, reporting=True) == ("success", (), "")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("{", "the answer is no JSON"),
        ('{"batchItemFailures": NaN}', "the answer is no JSON"),
        ('"ok"', "the answer is a text, no object"),
        ("[]", "the answer is a list, no object"),
        ("0", "the answer is a number, no object"),
        ("false", "the answer is a boolean, no object"),
        ('{"batchItemFailures": "a"}', "batchItemFailures is a text, no list"),
        ('{"batchItemFailures": {}}', "batchItemFailures is an object, no list"),
        ('{"batchItemFailures": ["a"]}', "batchItemFailures[0] is a text, no object"),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', "batchItemFailures[0] has an empty itemIdentifier"),
        ('{"batchItemFailures": [{"itemIdentifier": null}]}', "batchItemFailures[0] has a null itemIdentifier"),
        ('{"batchItemFailures": [{"itemidentifier": "a"}]}', "batchItemFailures[0] has no itemIdentifier"),
        ('{"batchItemFailures": [{"itemIdentifier": 7}]}', "batchItemFailures[0] names no message of the batch"),
        (
            '{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "d"}]}',
            "batchItemFailures[1] names no message of the batch",
        ),
    ],
)
def test_a_complete_failure(answer: str, reason: str) -> None:
    """What is malformed, or names what the batch does not have, brings the whole batch back, and says why."""
    assert settle(answer, BATCH, reporting=True) == ("malformed", ("a", "b", "c"), reason)


def test_a_partial_failure() -> None:
    """The messages that are named come back, in the order of the batch, however often they are named."""
    answer = '{"batchItemFailures": [{"itemIdentifier": "c"}, {"itemIdentifier": "a"}, {"itemIdentifier": "c"}]}'
    assert settle(answer, BATCH, reporting=True) == ("partial", ("a", "c"), "")


@pytest.mark.parametrize("answer", ["{", '"ok"', '{"batchItemFailures": [{"itemIdentifier": "a"}]}'])
def test_without_reporting_the_answer_means_nothing(answer: str) -> None:
    """Unless the mapping says ReportBatchItemFailures, whatever is returned deletes the whole batch."""
    assert settle(answer, BATCH, reporting=False) == ("success", (), "")
