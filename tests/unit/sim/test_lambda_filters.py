"""Filters of an event source mapping: which bodies they let through, and which patterns AWS would refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.sim.lambda_filters import Filters


def judged(rules: Any, body: Any) -> str:
    return Filters([{"body": rules}]).judge(body if isinstance(body, str) else json.dumps(body))


@pytest.mark.parametrize(
    ("rules", "body", "lets_through"),
    [
        ({"kind": ["order"]}, {"kind": "order"}, True),
        ({"kind": ["order"]}, {"kind": "refund"}, False),
        ({"kind": ["order"]}, {}, False),
        ({"kind": ["order", "refund"]}, {"kind": "refund"}, True),
        ({"kind": ["order"], "n": [7]}, {"kind": "order", "n": 7}, True),
        ({"kind": ["order"], "n": [7]}, {"kind": "order", "n": 8}, False),
        ({"n": [300]}, {"n": 300}, True),
        ({"n": [300]}, {"n": 300.0}, False),
        ({"n": [1]}, {"n": True}, False),
        ({"n": [None]}, {"n": None}, True),
        ({"n": [None]}, {}, False),
        ({"n": [""]}, {"n": ""}, True),
        ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
        ({"a": {"b": ["x"]}}, {"a": [{"b": "y"}, {"b": "x"}]}, True),
        ({"a": {"b": ["x"]}}, {"a": "x"}, False),
        ({"tags": ["red"]}, {"tags": ["blue", "red"]}, True),
        ({"name": [{"prefix": "ord"}]}, {"name": "order"}, True),
        ({"name": [{"prefix": "ord"}]}, {"name": "disorder"}, False),
        ({"name": [{"prefix": "1"}]}, {"name": 12}, False),
        ({"name": [{"suffix": ".png"}]}, {"name": "a.png"}, True),
        ({"name": [{"suffix": ".png"}]}, {"name": "a.jpg"}, False),
        ({"name": [{"equals-ignore-case": "Alice"}]}, {"name": "ALICE"}, True),
        ({"name": [{"anything-but": ["a", "b"]}]}, {"name": "c"}, True),
        ({"name": [{"anything-but": ["a", "b"]}]}, {"name": "b"}, False),
        ({"name": [{"anything-but": "a"}]}, {}, False),
        ({"name": [{"anything-but": {"prefix": "x"}}]}, {"name": "yes"}, True),
        ({"name": [{"anything-but": {"prefix": "x"}}]}, {"name": "xes"}, False),
        ({"n": [{"numeric": ["=", 5]}]}, {"n": 5.0}, True),
        ({"n": [{"numeric": [">", 0, "<=", 5]}]}, {"n": 5}, True),
        ({"n": [{"numeric": [">", 0, "<=", 5]}]}, {"n": 0}, False),
        ({"n": [{"numeric": [">", 0]}]}, {"n": "7"}, False),
        ({"n": [{"numeric": [">", 0]}]}, {"n": True}, False),
        ({"n": [{"exists": True}]}, {"n": None}, True),
        ({"n": [{"exists": True}]}, {"n": {"m": 1}}, False),
        ({"n": [{"exists": False}]}, {"m": 1}, True),
        ({"n": [{"exists": False}]}, {"n": 1}, False),
        ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, True),
        ({"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, {"b": 2}, False),
        (["hello", {"prefix": "hi"}], "hi there", True),
        (["hello"], "hello you", False),
    ],
)
def test_a_pattern_lets_through_what_it_describes(rules: Any, body: Any, lets_through: bool) -> None:
    """Each operator of AWS's table, on a body that it is true of and on one that it is not."""
    assert judged(rules, body) == ("match" if lets_through else "no-match")


def test_a_body_of_the_other_format_is_dropped() -> None:
    """A JSON pattern drops plain text, a text pattern drops JSON, and both say that the format was the reason."""
    assert judged({"kind": ["order"]}, "order") == "format"
    assert judged(["order"], {"kind": "order"}) == "format"
    assert judged(["7"], "7") == "match"  # a number alone is plain text to a filter


def test_patterns_are_alternatives_in_each_form_that_aws_takes() -> None:
    """One match of several is enough; a pattern may be a value, JSON text, or an entry of FilterCriteria."""
    filters = Filters(['{"body": {"a": [1]}}', {"Pattern": '{"body": {"b": [2]}}'}, {"body": ["plain"]}])
    assert [filters.judge(body) for body in ('{"a": 1}', '{"b": 2}', '{"c": 3}', "plain", "other")] == [
        "match",
        "match",
        "no-match",
        "match",
        "no-match",
    ]
    assert Filters([]).judge("anything") == "match"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ({"messageAttributes": {"a": [1]}}, r"filters\[0\].messageAttributes: cannot be filtered on"),
        ({}, "has no body"),
        ("{", "is no JSON"),
        ("[]", "is \\[\\]"),
        ({"body": {}}, "body: is empty"),
        ({"body": {"a": "x"}}, "Rules stand in a list"),
        ({"body": {"a": []}}, "Rules stand in a list"),
        ({"body": {"a": [["x"]]}}, "A rule is a value or an object"),
        ({"body": {"a": [{"prefix": "x", "suffix": "y"}]}}, "A rule has one operator"),
        ({"body": {"a": [{"wildcard": "x"}]}}, "has no operator 'wildcard'"),
        ({"body": {"a": [{"prefix": 1}]}}, "Give a text"),
        ({"body": {"a": [{"exists": "yes"}]}}, "Give true or false"),
        ({"body": {"a": [{"anything-but": []}]}}, "anything-but is \\[\\]"),
        ({"body": {"a": [{"numeric": [">"]}]}}, "numeric is"),
        ({"body": {"a": [{"numeric": ["?", 1]}]}}, "numeric is"),
        ({"body": {"$or": [{"a": [1]}]}}, "two or more objects"),
        ({"body": {"$or": [1, 2]}}, "Give objects of keys and rules"),
    ],
)
def test_what_aws_would_refuse_is_refused(pattern: Any, says: str) -> None:
    """A pattern that is none is named by its place, with the remedy."""
    with pytest.raises(ScenarioError, match=says):
        Filters([pattern])


def test_filters_are_a_list_of_ten_at_most() -> None:
    """One pattern alone and more than ten are refused."""
    with pytest.raises(ScenarioError, match="Give a list of patterns"):
        Filters({"body": ["x"]})  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="AWS allows 10 at most"):
        Filters([{"body": ["x"]}] * 11)
