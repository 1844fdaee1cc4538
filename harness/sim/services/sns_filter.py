"""Filter policies: whether a subscription wants a message, by its attributes or by its body.

Source: "Amazon SNS message filtering" and its pages on operators and
constraints, Amazon SNS developer guide. Of a policy every property must
match (AND), of a property one of its values (OR); ``$or`` at any place stands
for alternatives. Both policy and body are laid flat, names joined by dots.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.sim.services.sns_errors import SnsError, invalid

__all__ = ["ATTRIBUTES", "BODY", "check_policy", "wants"]

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"

_KEYS_MAX = 5
_COMBINATIONS_MAX = 150

#: What a message offers under one name: its values, none where it lacks the name.
_Values = Sequence[Any]


def wants(policy: Mapping[str, Any], scope: str, body: str, attributes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a message passes *policy*. A body that is no JSON object passes no policy of the body."""
    if scope == BODY:
        try:
            document = json.loads(body)
        except ValueError:
            return False
        if not isinstance(document, dict):
            return False
        offered: dict[str, list[Any]] = {}
        _lay_flat(document, "", offered)
    else:
        offered = {name: _attribute_values(attribute) for name, attribute in attributes.items()}
    return any(
        all(_one_matches(conditions, offered.get(name)) for name, conditions in branch.items())
        for branch in _branches(policy)
    )


def _attribute_values(attribute: Mapping[str, Any]) -> list[Any]:
    """A message attribute's values; a binary one offers none that could match."""
    kind = str(attribute.get("DataType", ""))
    text = attribute.get("StringValue")
    if not isinstance(text, str):
        return []
    if kind == "String.Array":
        try:
            found = json.loads(text)
        except ValueError:
            return []
        return found if isinstance(found, list) else [found]
    if kind.startswith("Number"):
        try:
            return [float(text)]
        except ValueError:
            return []
    return [text]


def _lay_flat(value: Any, name: str, out: dict[str, list[Any]]) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _lay_flat(item, f"{name}.{key}" if name else key, out)
    elif isinstance(value, list):
        for item in value:
            _lay_flat(item, name, out)
    else:
        out.setdefault(name, []).append(value)


def _branches(policy: Mapping[str, Any], name: str = "") -> list[dict[str, Sequence[Any]]]:
    """The alternatives of a policy, each laid flat: name -> conditions."""
    branches: list[dict[str, Sequence[Any]]] = [{}]
    for key, value in policy.items():
        full = f"{name}.{key}" if name else key
        if _is_or(key, value):
            added = [branch for alternative in value for branch in _branches(alternative, name)]
        elif isinstance(value, dict):
            added = _branches(value, full)
        else:
            added = [{full: value}]
        branches = [{**before, **after} for before in branches for after in added]
    return branches


def _is_or(key: str, value: Any) -> bool:
    """``$or`` is an operator where it lists two objects or more; else it is a name like any other."""
    return key == "$or" and isinstance(value, list) and len(value) > 1 and all(isinstance(one, dict) for one in value)


# -- conditions ---------------------------------------------------------------------------


def _one_matches(conditions: Sequence[Any], values: _Values | None) -> bool:
    for condition in conditions:
        if isinstance(condition, dict):
            operator, operand = next(iter(condition.items()))
            if operator == "exists":
                if operand is (values is not None):
                    return True
                continue
            if any(_OPERATORS[operator](operand, value) for value in values or ()):
                return True
        elif any(_equal(condition, value) for value in values or ()):
            return True
    return False


def _equal(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return bool(wanted == value)


def _anything_but(operand: Any, value: Any) -> bool:
    if isinstance(operand, dict):
        operator, text = next(iter(operand.items()))
        return not _OPERATORS[operator](text, value)
    refused = operand if isinstance(operand, list) else [operand]
    return not any(_equal(one, value) for one in refused)


def _numeric(operand: Sequence[Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return all(_COMPARISONS[operand[at]](value, operand[at + 1]) for at in range(0, len(operand), 2))


def _in_network(operand: str, value: Any) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(operand)
    except ValueError:
        return False


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "anything-but": _anything_but,
    "cidr": _in_network,
    "equals-ignore-case": lambda text, value: isinstance(value, str) and value.lower() == text.lower(),
    "numeric": _numeric,
    "prefix": lambda text, value: isinstance(value, str) and value.startswith(text),
    "suffix": lambda text, value: isinstance(value, str) and value.endswith(text),
}
_TEXTUAL = ("equals-ignore-case", "prefix", "suffix")


# -- what SNS refuses --------------------------------------------------------------------------


def check_policy(policy: Any, scope: str, prefix: str) -> None:
    """Whether *policy* is one that SNS takes; *prefix* stands before its texts ("Attributes Reason: " in Subscribe).

    Raises:
        SnsError: it is none; the text says why.
    """

    def refused(reason: str) -> SnsError:
        return invalid(f"{prefix}FilterPolicy: {reason}")

    if not isinstance(policy, dict):
        raise refused("Filter policy must be an object")  # not recorded
    if len(policy) > _KEYS_MAX:
        raise refused("Filter policy can not have more than 5 keys")
    for name, conditions, depth in _leaves(policy, refused):
        if scope == ATTRIBUTES and depth > 1:
            raise invalid(f"{prefix}Filter policy scope MessageAttributes does not support nested filter policy")
        if not isinstance(conditions, list):
            raise refused(f'"{name}" must be an object or an array')
        if not conditions:
            raise refused("Empty arrays are not allowed")
        for condition in conditions:
            _check_condition(condition, refused)
    if _combinations(policy) > _COMBINATIONS_MAX:
        raise refused("Filter policy is too complex")


def _leaves(
    policy: Mapping[str, Any], refused: Callable[[str], SnsError], depth: int = 1
) -> Iterator[tuple[str, Any, int]]:
    for key, value in policy.items():
        if _is_or(key, value):
            for alternative in value:
                yield from _leaves(alternative, refused, depth)
        elif isinstance(value, dict):
            yield from _leaves(value, refused, depth + 1)
        else:
            yield key, value, depth


def _combinations(policy: Mapping[str, Any], depth: int = 1, product: int = 1) -> int:
    """The complexity that AWS limits: values of each property times its depth, multiplied; alternatives add up."""
    for key, value in policy.items():
        if _is_or(key, value):
            product = sum(_combinations(alternative, depth, product) for alternative in value)
        elif isinstance(value, dict):
            product = _combinations(value, depth + 1, product)
        else:
            product *= len(value) * depth
    return product


def _check_condition(condition: Any, refused: Callable[[str], SnsError]) -> None:
    if condition is None or isinstance(condition, (str, int, float)):
        return
    if not isinstance(condition, dict):
        raise refused("Match value must be String, number, true, false, or null")
    if len(condition) != 1:
        raise refused("Only one key allowed in match expression")
    ((operator, operand),) = condition.items()
    if operator in _TEXTUAL:
        if not isinstance(operand, str):
            raise refused(f"{operator} match pattern must be a string")
    elif operator == "anything-but":
        _check_anything_but(operand, refused)
    elif operator == "exists":
        if not isinstance(operand, bool):
            raise refused("exists match pattern must be either true or false.")
    elif operator == "numeric":
        _check_numeric(operand, refused)
    elif operator == "cidr":
        _check_cidr(operand, refused)
    else:
        raise refused(f"Unrecognized match type {operator}")


def _check_anything_but(operand: Any, refused: Callable[[str], SnsError]) -> None:
    if isinstance(operand, dict):
        for operator in operand:
            if operator not in ("prefix", "suffix"):
                raise refused(f"Unsupported anything-but pattern: {operator}")
        _check_condition(operand, refused)
        return
    for one in operand if isinstance(operand, list) else [operand]:
        _check_condition(one, refused)


def _check_numeric(operand: Any, refused: Callable[[str], SnsError]) -> None:
    if not isinstance(operand, list) or not operand:
        raise refused("Invalid member in numeric match: ]")
    operator = operand[0]
    if not isinstance(operator, str):
        raise refused(f"Invalid member in numeric match: {operator}")
    if operator not in _COMPARISONS:
        raise refused(f"Unrecognized numeric range operator: {operator}")
    low = _bound(operand, 1, operator, refused)
    if len(operand) == 2:
        return
    if operator not in (">", ">="):
        raise refused("Too many elements in numeric expression")
    second = operand[2]
    if not isinstance(second, str):
        raise refused(f"Bad value in numeric range: {second}")
    if second not in ("<", "<="):
        raise refused(f"Bad numeric range operator: {second}")
    if _bound(operand, 3, second, refused) <= low:
        raise refused("Bottom must be less than top")
    if len(operand) > 4:
        raise refused("Too many terms in numeric range expression")


def _bound(operand: Sequence[Any], at: int, operator: str, refused: Callable[[str], SnsError]) -> float:
    value = operand[at] if len(operand) > at else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refused(f"Value of {'equals' if operator == '=' else operator} must be numeric")
    return value


def _check_cidr(operand: Any, refused: Callable[[str], SnsError]) -> None:
    if not isinstance(operand, str):
        raise refused("prefix match pattern must be a string")
    address, slash, bits = operand.partition("/")
    if not slash or "/" in bits:
        raise refused("Malformed CIDR, one '/' required")
    if not bits.isdecimal():
        raise refused("Malformed CIDR, mask bits must be an integer")
    try:
        ipaddress.ip_network(operand)
    except ValueError:
        raise refused(f"Nonstandard IP address: {address}") from None
