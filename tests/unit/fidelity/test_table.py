"""The table of SQS's rules: numbers, ids, sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.fidelity.rows import case, documented, peer, recorded, rule
from harness.fidelity.sources import DATES
from harness.fidelity.table import MODULES, by_id, rows, unconfirmed

ROOT = Path(__file__).resolve().parents[3]


def test_there_are_enough_cases() -> None:
    """At least 150 rules can be tried on a server."""
    assert sum(row.run is not None for row in rows()) >= 150


def test_numbers_and_ids() -> None:
    """Rules stand by number, ids are words joined by hyphens, and no rule text is empty or lacks its full stop."""
    numbers = [row.number for row in rows()]
    assert numbers == sorted(set(numbers))
    for row in rows():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.id), row.id
        assert row.rule.endswith((".", ":")), row.rule
        assert row.family


def test_every_module_is_in_the_table() -> None:
    """A file of cases that the table does not name would never be tried."""
    folder = ROOT / "harness" / "fidelity"
    assert sorted(MODULES) == sorted(path.stem for path in folder.glob("sqs_*.py"))


def test_a_number_or_id_is_used_once() -> None:
    """A rule with the number or the id of another one is refused, with both named."""
    first = rows()[0]
    with pytest.raises(ValueError, match=f"those of {first.number} {first.id}"):
        case(first.number, "something-new", "Text.", peer("nobody"))(lambda bench: None)
    with pytest.raises(ValueError, match=first.id):
        rule(9_999, first.id, "Text.", peer("nobody"), tested="nowhere")


def test_rules_without_a_case_have_a_test() -> None:
    """What no case can try is proven by a test of the service, which is there."""
    without = [row for row in rows() if row.run is None]
    assert without
    for row in without:
        path, _, name = row.tested.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(), row.tested


def test_confirmed_is_what_was_recorded_on_aws() -> None:
    """A rule is confirmed if AWS was recorded; documentation and other implementations do not confirm."""
    assert recorded("send_empty_message").date == "22 Sep 2025 (LocalStack)"
    assert recorded("sequence_number").date == "day not kept (LocalStack)"
    assert recorded("send_message_batch_errors", by="moto").confirmed
    assert not documented("SendMessage").confirmed
    assert not peer("ElasticMQ").confirmed


def test_days_are_used() -> None:
    """Each day in the list of recordings belongs to a test that a rule names."""
    named = {row.source.where.removeprefix("LocalStack, ") for row in rows() if row.source.kind == "recorded"}
    assert set(DATES) <= named


def test_unconfirmed() -> None:
    """Of some ids those that nobody recorded, by number; an unknown id is an error."""
    found = unconfirmed(["back-after-three-receives", "send-answer", "name-of-80", "name-of-80"])
    assert [row.id for row in found] == ["name-of-80", "back-after-three-receives"]
    with pytest.raises(KeyError):
        unconfirmed(["no-such-rule"])
    assert by_id()["send-answer"].number == 201
