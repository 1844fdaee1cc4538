"""Filters of an event source mapping: which messages a function gets to see. The others are deleted.

Rules, from the AWS Lambda Developer Guide:

* [filtering] "Control which events Lambda sends to your function": patterns are joined by *or*, the keys of one by
  *and*; five patterns a mapping, ten on request; a value is a list of rules, joined by *or*: an exact value (text,
  number, true, false, null), ``prefix``, ``suffix``, ``equals-ignore-case``, ``anything-but``, ``numeric``,
  ``exists``; ``$or`` joins alternatives of keys.
* [sqs-filtering] "Using event filtering with an Amazon SQS event source": only the body is filtered on; what matches
  no pattern is deleted from the queue; a body that is plain text is held against a pattern whose ``body`` is a list
  of rules, one that is JSON against one whose ``body`` is an object; a message of the other format is dropped.
* [eventbridge] Amazon EventBridge User Guide, "Comparison operators": a value that is a list matches if one of its
  elements does; an exact number matches the same number as written, so that 300 is not 300.0.

Not documented, decided here: a body that is JSON but no object (``7``, ``"x"``) is plain text to a filter.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from harness.errors import ScenarioError

__all__ = ["FILTERS_MAX", "Filters", "Pattern", "Verdict"]

#: A pattern as JSON text (as AWS takes it) or as the value that it stands for.
Pattern: TypeAlias = str | Mapping[str, Any]
Verdict: TypeAlias = Literal["match", "no-match", "format"]
Rule: TypeAlias = Callable[[list[Any]], bool]
Matcher: TypeAlias = Callable[[Any], bool]

FILTERS_MAX = 10

_NUMERIC: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _wrong(field: str, message: str, remedy: str) -> ScenarioError:
    return ScenarioError(message, field=field, remedy=remedy)


class Filters:
    """The filters of one mapping, made ready.

    Raises:
        ScenarioError: AWS would refuse one; names it.
    """

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        if isinstance(patterns, (str, Mapping)):
            raise _wrong("LambdaConsumer.filters", "is one pattern", "Give a list of patterns: filters=[...]")
        if len(patterns) > FILTERS_MAX:
            raise _wrong("LambdaConsumer.filters", f"has {len(patterns)}", f"AWS allows {FILTERS_MAX} at most")
        self._json: list[Matcher] = []
        self._text: list[Matcher] = []
        for index, pattern in enumerate(patterns):
            self._add(_parsed(pattern, f"LambdaConsumer.filters[{index}]"), f"LambdaConsumer.filters[{index}]")

    def __bool__(self) -> bool:
        return bool(self._json or self._text)

    def _add(self, pattern: Mapping[str, Any], field: str) -> None:
        for key in pattern:
            if key != "body":
                raise _wrong(
                    f"{field}.{key}", "cannot be filtered on", "Of SQS messages Lambda filters on the body alone"
                )
        if "body" not in pattern:
            raise _wrong(field, "has no body", 'Write {"body": {"kind": ["order"]}}')
        body = pattern["body"]
        if isinstance(body, Mapping):
            self._json.append(_object(body, f"{field}.body"))
        else:
            rules = _rules(body, f"{field}.body")
            self._text.append(lambda text: rules([text]))

    def judge(self, body: str) -> Verdict:
        """What becomes of a message with this body; *format*: no pattern is of the body's format.

        Both ``no-match`` and ``format`` delete it.
        """
        if not self:
            return "match"
        value = _json_object(body)
        matchers, given = (self._text, body) if value is None else (self._json, value)
        if not matchers:
            return "format"
        return "match" if any(matches(given) for matches in matchers) else "no-match"


def _parsed(pattern: Pattern, field: str) -> Mapping[str, Any]:
    value: Any = pattern
    if isinstance(pattern, str):
        try:
            value = json.loads(pattern)
        except ValueError as error:
            raise _wrong(field, f"is no JSON ({error})", 'Write {"body": {"kind": ["order"]}}') from None
    if not isinstance(value, Mapping):
        raise _wrong(field, f"is {value!r}", 'Write {"body": {"kind": ["order"]}}')
    if set(value) == {"Pattern"} and isinstance(value["Pattern"], str):  # as FilterCriteria has it
        return _parsed(value["Pattern"], field)
    return value


def _json_object(body: str) -> dict[str, Any] | list[Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, (dict, list)) else None


def _object(pattern: Mapping[str, Any], field: str) -> Matcher:
    """Every key of *pattern* must match."""
    if not pattern:
        raise _wrong(field, "is empty", "Name at least one key")
    parts = [_key(key, value, f"{field}.{key}") for key, value in pattern.items()]
    return lambda value: all(part(value) for part in parts)


def _key(key: str, value: Any, field: str) -> Matcher:
    if key == "$or":
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 2:
            raise _wrong(field, f"is {value!r}", "Give a list of two or more objects")
        choices = [_object(one, field) if isinstance(one, Mapping) else _refused(one, field) for one in value]
        return lambda given: any(choice(given) for choice in choices)
    if isinstance(value, Mapping):
        inner = _object(value, field)
        return lambda given: any(inner(one) for one in _values(given, key))
    rules = _rules(value, field)
    return lambda given: rules(_values(given, key))


def _refused(value: Any, field: str) -> Matcher:
    raise _wrong(field, f"holds {value!r}", "Give objects of keys and rules")


def _values(given: Any, key: str) -> list[Any]:
    """What stands under *key*: the elements where it is a list, nothing where there is none."""
    if isinstance(given, list):
        return [value for one in given for value in _values(one, key)]
    if not isinstance(given, dict) or key not in given:
        return []
    value = given[key]
    return value if isinstance(value, list) else [value]


def _rules(value: Any, field: str) -> Rule:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise _wrong(field, f"is {value!r}", 'Rules stand in a list: ["order"], [{"prefix": "o"}]')
    rules = [_rule(one, field) for one in value]
    return lambda values: any(rule(values) for rule in rules)


def _rule(rule: Any, field: str) -> Rule:
    if not isinstance(rule, Mapping):
        if isinstance(rule, list):
            raise _wrong(field, f"holds {rule!r}", "A rule is a value or an object")
        return lambda values: any(_same(rule, value) for value in values)
    if len(rule) != 1:
        raise _wrong(field, f"holds {dict(rule)!r}", "A rule has one operator")
    ((name, operand),) = rule.items()
    maker = _OPERATORS.get(name)
    if maker is None:
        raise _wrong(field, f"has no operator {name!r}", f"Choose from {', '.join(_OPERATORS)}")
    return maker(operand, field)


def _same(rule: Any, value: Any) -> bool:
    return type(rule) is type(value) and bool(rule == value)


def _text(operand: Any, field: str) -> str:
    if not isinstance(operand, str):
        raise _wrong(field, f"compares with {operand!r}", "Give a text")
    return operand


def _of_text(test: Callable[[str, str], bool]) -> Callable[[Any, str], Rule]:
    def make(operand: Any, field: str) -> Rule:
        text = _text(operand, field)
        return lambda values: any(isinstance(value, str) and test(value, text) for value in values)

    return make


def _exists(operand: Any, field: str) -> Rule:
    if not isinstance(operand, bool):
        raise _wrong(field, f"exists is {operand!r}", "Give true or false")
    # It looks at leaves: an object below the key is none.
    return lambda values: any(not isinstance(value, dict) for value in values) is operand


def _anything_but(operand: Any, field: str) -> Rule:
    if isinstance(operand, Mapping):
        rule = _rule(operand, field)
        return lambda values: any(not rule([value]) for value in values)
    refused = operand if isinstance(operand, list) else [operand]
    if not refused or not all(isinstance(one, (str, int, float)) for one in refused):
        raise _wrong(field, f"anything-but is {operand!r}", "Give a text, a number, a list of them, or a prefix")
    return lambda values: any(not any(_same(one, value) for one in refused) for value in values)


def _numeric(operand: Any, field: str) -> Rule:
    pairs = list(zip(operand[::2], operand[1::2], strict=False)) if isinstance(operand, list) else []
    right = bool(pairs) and len(operand) == 2 * len(pairs) and len(pairs) <= 2
    for name, number in pairs:
        right = right and name in _NUMERIC and isinstance(number, (int, float)) and not isinstance(number, bool)
    if not right:
        raise _wrong(field, f"numeric is {operand!r}", 'Write ["=", 7], or a range: [">", 0, "<=", 5]')

    def holds(value: Any) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return all(_NUMERIC[name](value, number) for name, number in pairs)

    return lambda values: any(holds(value) for value in values)


_OPERATORS: Mapping[str, Callable[[Any, str], Rule]] = {
    "prefix": _of_text(str.startswith),
    "suffix": _of_text(str.endswith),
    "equals-ignore-case": _of_text(lambda value, text: value.casefold() == text.casefold()),
    "anything-but": _anything_but,
    "numeric": _numeric,
    "exists": _exists,
}
