"""JSON paths and the search for a message's key."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.jsonpath import MISSING, JsonPath, KeyFinder, compile_path, key_text

BODY = {"order_id": 7, "order": {"id": "a-1", "it's": 1}, "items": [{"sku": "x"}, {"sku": "y"}], "null": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", BODY),
        ("$.order_id", 7),
        ("$.order.id", "a-1"),
        ("$['order']['id']", "a-1"),
        ('$["order"].id', "a-1"),
        ("$.items[1].sku", "y"),
        ("$.null", None),
        ("$.items[?@.sku == 'y'].sku", "y"),
        ("$..id", "a-1"),
        ("$.items[-1].sku", "y"),
        ("$.none", MISSING),
        ("$.order_id.deeper", MISSING),
        ("$.items[9]", MISSING),
        ("$.items.sku", MISSING),
        ("$..nothing", MISSING),
    ],
)
def test_a_path_finds_what_it_points_at(path: str, value: Any) -> None:
    """Plain paths and RFC 9535's others; nothing there is MISSING, a null is a value."""
    assert JsonPath(path).find(BODY) == value or value is JsonPath(path).find(BODY)


_NAMES = st.sampled_from(["a", "b", "c_d", "e-f"])
_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=12,
)
_STEPS = st.lists(_NAMES.map(lambda name: f"['{name}']") | st.integers(0, 2).map(lambda i: f"[{i}]"), max_size=4)


@given(_JSON, _STEPS)
def test_the_direct_getter_agrees_with_the_library(value: Any, steps: list[str]) -> None:
    """For every plain path and every document the short way gives what python-jsonpath gives."""
    path = "$" + "".join(steps)
    expected = jsonpath.compile(path).match(value) if isinstance(value, (dict, list)) else None
    found = JsonPath(path).find(value)
    if expected is None:
        assert found is MISSING or path == "$"
    else:
        assert found == expected.obj


@pytest.mark.parametrize("path", ["", "order_id", "$.", "$.[", "$.items[", 7, None])
def test_what_is_no_path_is_refused_with_field_and_remedy(path: Any) -> None:
    """Field, value and what to write instead."""
    with pytest.raises(ScenarioError, match=r"workload\.key.*no JSON path.*order_id"):
        JsonPath(path, field="workload.key")


def test_paths_are_values() -> None:
    """Equal by text, so that scenarios compare."""
    assert JsonPath("$.a") == JsonPath("$.a") != JsonPath("$.b")
    assert len({JsonPath("$.a"), JsonPath("$.a")}) == 1


def test_compile_path_gives_none_where_there_is_nothing() -> None:
    """The form for callers that do not tell missing from null."""
    assert compile_path("$.order.id")(BODY) == "a-1"
    assert compile_path("$.nothing")(BODY) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), (7, "7"), (7.5, "7.5"), (True, "true"), (None, "null"), ({"a": [1, "é"]}, '{"a":[1,"é"]}')],
)
def test_keys_are_text(value: object, text: str) -> None:
    """Strings stay as they are, the rest is compact JSON."""
    assert key_text(value) == text


def test_a_key_is_found_through_wrappings() -> None:
    """In the body, in an envelope's originalMessage, in an envelope inside an SNS notification; not deeper."""
    finder = KeyFinder(JsonPath("$.order_id"))
    body = json.dumps({"order_id": 7})
    envelope = json.dumps({"originalMessage": body, "failureReason": "x"})
    notification = json.dumps({"Type": "Notification", "Message": envelope})
    once_more = json.dumps({"a": [{"b": notification}]})
    assert [finder.key(text) for text in (body, envelope, notification, once_more)] == ["7", "7", "7", "7"]
    assert finder.key(json.dumps({"too": once_more})) is None
    assert finder.key_in({"order_id": "a"}) == "a"


@pytest.mark.parametrize(
    "body", ["", "not json", "7", "[]", '{"order_id', '{"other": "{broken"}', b"\xff\xfe", "[" * 9999]
)
def test_a_body_without_the_key_has_none(body: str | bytes) -> None:
    """Malformed bodies are ordinary here: no exception, no key."""
    assert KeyFinder(JsonPath("$.order_id")).key(body) is None


def test_the_original_message_of_an_envelope() -> None:
    """originalMessageId, if it is there and is text."""
    assert KeyFinder.original(json.dumps({"originalMessageId": "m-1"})) == "m-1"
    assert KeyFinder.original(json.dumps({"originalMessageId": 5})) is None
    assert KeyFinder.original("[]") is None
    assert KeyFinder.original("broken") is None


def test_a_body_in_base64_is_looked_into() -> None:
    """Task libraries send JSON in Base64, bare or in an envelope; text that only looks like it is no JSON."""
    inner = base64.b64encode(json.dumps({"args": [7]}).encode()).decode()
    finder = KeyFinder(JsonPath("$.args[0]"))
    assert finder.key(inner) == finder.key(inner.encode()) == "7"
    assert finder.key(json.dumps({"body": inner})) == "7"
    assert finder.key("eyJ") is finder.key("every word") is finder.key(json.dumps({"body": "every word"})) is None
