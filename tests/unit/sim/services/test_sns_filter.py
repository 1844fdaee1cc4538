"""Filter policies of SNS subscriptions: what passes, and what SNS refuses as a policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.sim.services.sns_errors import SnsError
from harness.sim.services.sns_filter import ATTRIBUTES, BODY, check_policy, wants


def attributes(**values: Any) -> dict[str, dict[str, Any]]:
    """Message attributes: texts as String, numbers as Number, lists as String.Array, bytes as Binary."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if isinstance(value, bytes):
            found[name] = {"DataType": "Binary", "BinaryValue": value}
        elif isinstance(value, list):
            found[name] = {"DataType": "String.Array", "StringValue": json.dumps(value)}
        elif isinstance(value, str):
            found[name] = {"DataType": "String", "StringValue": value}
        else:
            found[name] = {"DataType": "Number", "StringValue": str(value)}
    return found


@pytest.mark.parametrize(
    ("conditions", "value", "passes"),
    [
        (["red"], "red", True),
        (["red"], "Red", False),
        (["red", "blue"], "blue", True),
        (["100"], 100, False),
        ([100], 100, True),
        ([100], "100", False),
        ([{"prefix": "re"}], "red", True),
        ([{"prefix": "ed"}], "red", False),
        ([{"suffix": "ed"}], "red", True),
        ([{"suffix": "re"}], "red", False),
        ([{"equals-ignore-case": "RED"}], "rEd", True),
        ([{"equals-ignore-case": "RED"}], "blue", False),
        ([{"anything-but": "red"}], "blue", True),
        ([{"anything-but": "red"}], "red", False),
        ([{"anything-but": ["red", "blue"]}], "blue", False),
        ([{"anything-but": ["red", "blue"]}], "green", True),
        ([{"anything-but": {"prefix": "re"}}], "red", False),
        ([{"anything-but": {"prefix": "re"}}], "green", True),
        ([{"anything-but": {"suffix": "ed"}}], "red", False),
        ([{"anything-but": [100, 200]}], 100, False),
        ([{"anything-but": [100, 200]}], 300, True),
        ([{"numeric": ["=", 10]}], 10, True),
        ([{"numeric": ["=", 10]}], 10.5, False),
        ([{"numeric": [">", 0, "<=", 150]}], 150, True),
        ([{"numeric": [">", 0, "<=", 150]}], 0, False),
        ([{"numeric": ["<", 5]}], 4.5, True),
        ([{"numeric": [">=", 5]}], 5, True),
        ([{"numeric": ["=", 10]}], "10", False),
        ([{"cidr": "10.0.0.0/24"}], "10.0.0.255", True),
        ([{"cidr": "10.0.0.0/24"}], "10.0.1.0", False),
        ([{"cidr": "10.0.0.0/24"}], "no address", False),
        ([{"exists": True}], "red", True),
        ([{"exists": False}], "red", False),
        (["blue", {"prefix": "r"}], "red", True),
        (["red"], ["blue", "red"], True),
        (["green"], ["blue", "red"], False),
        ([True], [True], True),
        ([None], [None], True),
        ([1], [True], False),
        (["red"], b"red", False),
        ([{"exists": True}], b"red", True),
    ],
)
def test_a_condition_on_an_attribute(conditions: list[Any], value: Any, passes: bool) -> None:
    """Each operator, on values that it takes and on those that it does not."""
    check_policy({"color": conditions}, ATTRIBUTES, "")
    assert wants({"color": conditions}, ATTRIBUTES, "", attributes(color=value)) is passes


@pytest.mark.parametrize(
    ("condition", "passes"),
    [("red", False), ({"anything-but": "red"}, False), ({"exists": False}, True), ({"exists": True}, False)],
)
def test_an_attribute_that_is_missing(condition: Any, passes: bool) -> None:
    """Only exists: false passes where there is nothing to look at, also not anything-but."""
    assert wants({"color": [condition]}, ATTRIBUTES, "", attributes(size=1)) is passes


def test_properties_are_joined_by_and_and_alternatives_by_or() -> None:
    """Every property must match; of $or one alternative."""
    policy = {"shop": ["here"], "$or": [{"color": ["red"]}, {"size": [{"numeric": [">", 5]}]}]}
    check_policy(policy, ATTRIBUTES, "")
    for given, passes in (
        ({"shop": "here", "color": "red"}, True),
        ({"shop": "here", "size": 6}, True),
        ({"shop": "here", "size": 5}, False),
        ({"shop": "there", "color": "red"}, False),
        ({"shop": "here"}, False),
    ):
        assert wants(policy, ATTRIBUTES, "", attributes(**given)) is passes, given


def test_one_object_under_or_is_a_name_like_any_other() -> None:
    """$or is an operator only where it lists two alternatives or more."""
    assert wants({"$or": ["x"]}, ATTRIBUTES, "", {"$or": {"DataType": "String", "StringValue": "x"}})


@pytest.mark.parametrize(
    ("policy", "body", "passes"),
    [
        ({"order": {"state": ["new"]}}, {"order": {"state": "new"}}, True),
        ({"order": {"state": ["new"]}}, {"order": {"state": "old"}}, False),
        ({"order": {"state": ["new"]}}, {"state": "new"}, False),
        ({"order": {"lines": {"sku": ["a"]}}}, {"order": {"lines": [{"sku": "b"}, {"sku": "a"}]}}, True),
        ({"amount": [{"numeric": [">", 10]}]}, {"amount": 11}, True),
        ({"amount": [{"numeric": [">", 10]}]}, {"amount": "11"}, False),
        ({"paid": [True]}, {"paid": True}, True),
        ({"paid": [True]}, {"paid": 1}, False),
        ({"note": [None]}, {"note": None}, True),
        ({"note": [{"exists": False}]}, {"paid": True}, True),
        ({"note": [{"exists": True}]}, {"note": None}, True),
        ({"order": {"$or": [{"a": [1]}, {"b": [2]}]}}, {"order": {"b": 2}}, True),
        ({"order": {"$or": [{"a": [1]}, {"b": [2]}]}}, {"b": 2}, False),
        ({"a.b": [1]}, {"a": {"b": 1}}, True),
    ],
)
def test_a_policy_of_the_body(policy: dict[str, Any], body: Any, passes: bool) -> None:
    """Nested properties, lists of objects, and the types of JSON as they are."""
    check_policy(policy, BODY, "")
    assert wants(policy, BODY, json.dumps(body), attributes(amount=100)) is passes


@pytest.mark.parametrize("body", ["no json", "[1]", '"text"', ""])
def test_a_body_that_is_no_object_passes_no_policy(body: str) -> None:
    """Also not one that asks for absence."""
    assert not wants({"a": [{"exists": False}]}, BODY, body, {})


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ([], "must be an object"),
        ({str(n): ["a"] for n in range(6)}, "can not have more than 5 keys"),
        ({"a": "b"}, '"a" must be an object or an array'),
        ({"a": []}, "Empty arrays are not allowed"),
        ({"a": {"b": ["c"]}}, "does not support nested filter policy"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "Only one key allowed in match expression"),
        ({"a": [{"prefix": 1}]}, "prefix match pattern must be a string"),
        ({"a": [{"exists": "yes"}]}, "exists match pattern must be either true or false."),
        ({"a": [{"like": "x"}]}, "Unrecognized match type like"),
        ({"a": [["x"]]}, "Match value must be String, number, true, false, or null"),
        ({"a": [{"anything-but": {"cidr": "x"}}]}, "Unsupported anything-but pattern: cidr"),
        ({"a": [{"numeric": []}]}, "Invalid member in numeric match: ]"),
        ({"a": [{"numeric": [1, 2]}]}, "Invalid member in numeric match: 1"),
        ({"a": [{"numeric": ["~", 2]}]}, "Unrecognized numeric range operator: ~"),
        ({"a": [{"numeric": ["=", "2"]}]}, "Value of equals must be numeric"),
        ({"a": [{"numeric": ["<", 2, ">", 1]}]}, "Too many elements in numeric expression"),
        ({"a": [{"numeric": [">", 2, 1]}]}, "Bad value in numeric range: 1"),
        ({"a": [{"numeric": [">", 2, "=", 1]}]}, "Bad numeric range operator: ="),
        ({"a": [{"numeric": [">", 2, "<", 1]}]}, "Bottom must be less than top"),
        ({"a": [{"numeric": [">", 2, "<", 3, "<"]}]}, "Too many terms in numeric range expression"),
        ({"a": [{"cidr": 1}]}, "prefix match pattern must be a string"),
        ({"a": [{"cidr": "10.0.0.0"}]}, "one '/' required"),
        ({"a": [{"cidr": "10.0.0.0/x"}]}, "mask bits must be an integer"),
        ({"a": [{"cidr": "10.0.0.300/8"}]}, "Nonstandard IP address: 10.0.0.300"),
        ({"a": ["x"] * 13, "b": ["y"] * 12}, "Filter policy is too complex"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(policy: Any, text: str) -> None:
    """The texts are those of Subscribe and SetSubscriptionAttributes, the first with its prefix."""
    for prefix in ("", "Attributes Reason: "):
        with pytest.raises(SnsError) as caught:
            check_policy(policy, ATTRIBUTES, prefix)
        assert caught.value.message.startswith(f"Invalid parameter: {prefix}")
        assert text in caught.value.message
        assert caught.value.code == "InvalidParameter"


def test_the_depth_of_a_property_counts_towards_complexity() -> None:
    """AWS's own example of the constraint: 3 values at depth 3 times 2 ... is counted with the depth."""
    nested = {
        "key_a": {"key_b": {"key_c": ["one", "two", "three", "four"]}},
        "key_d": {"key_e": ["one", "two", "three"]},
    }
    check_policy(nested, BODY, "")  # 4 x 3 x 3 x 2 = 72
    nested["key_d"]["key_e"] += ["four", "five", "six", "seven"]  # 4 x 3 x 7 x 2 = 168
    with pytest.raises(SnsError, match="too complex"):
        check_policy(nested, BODY, "")
