"""The values of a CloudFormation template: references and functions, as far as the template itself tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.audit.estate import Unknown

__all__ = ["Reference", "Values"]

_PART = re.compile(r"\$\{([^}!][^}]*)\}")


@dataclass(frozen=True)
class Reference:
    """Something of a resource of the same template: ``Orders`` and ``Arn``, say; ``Ref`` for what ``Ref`` gives."""

    resource: str
    attribute: str


class Values:
    """Works out values of a template: *parameters* come before the defaults that it declares.

    The functions are those of the CloudFormation user guide, "Intrinsic
    function reference"; what only AWS knows (imports, other resources'
    attributes inside texts) becomes :class:`Unknown` with the reason.
    """

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._declared: Mapping[str, Any] = _mapping(template.get("Parameters"))
        self._given = parameters
        self._conditions: Mapping[str, Any] = _mapping(template.get("Conditions"))
        self._maps: Mapping[str, Any] = _mapping(template.get("Mappings"))
        self._resources: Mapping[str, Any] = _mapping(template.get("Resources"))
        self._asked: list[str] = []

    def __call__(self, value: Any) -> Any:
        """A plain value, a :class:`Reference`, ``None`` for what is left out, or :class:`Unknown`."""
        if isinstance(value, list):
            return [self(each) for each in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            function = _FUNCTIONS.get(name)
            if function is not None:
                return function(self, argument)
            if str(name).startswith("Fn::"):
                return Unknown(f"{name} is only known to AWS")
        return {name: self(each) for name, each in value.items()}

    def condition(self, name: str) -> bool | Unknown:
        """Whether a condition of the template holds."""
        if name in self._asked:
            return Unknown(f"the condition {name} names itself")
        if name not in self._conditions:
            return Unknown(f"the condition {name} is not in the template")
        self._asked.append(name)
        try:
            return self._holds(self._conditions[name])
        finally:
            self._asked.pop()

    # -- functions ---------------------------------------------------------------------------------

    def _ref(self, name: Any) -> Any:
        name = str(name)
        if name in self._given:
            return self._given[name]
        if name in self._declared:
            declared = _mapping(self._declared[name])
            if "Default" in declared and not str(declared.get("Type", "")).startswith("AWS::SSM::"):
                return declared["Default"]
            return Unknown(f"the parameter {name} has no default; give --parameter {name}=VALUE")
        if name == "AWS::NoValue":
            return None
        if name in self._resources:
            return Reference(name, "Ref")
        return Unknown(f"{name} is only known to AWS" if name.startswith("AWS::") else f"{name} is not in the template")

    def _get_att(self, argument: Any) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else [str(self(part)) for part in argument]
        if len(parts) != 2 or parts[0] not in self._resources:
            return Unknown(f"{'.'.join(map(str, parts))} is not in the template")
        return Reference(parts[0], parts[1])

    def _sub(self, argument: Any) -> Any:
        text, names = (argument[0], _mapping(argument[1])) if isinstance(argument, list) else (argument, {})
        text = str(text)
        whole = _PART.fullmatch(text)
        if whole and whole[1] not in names:
            return self._part(whole[1])
        unknown: list[Unknown] = []

        def put(match: re.Match[str]) -> str:
            value = self(names[match[1]]) if match[1] in names else self._part(match[1])
            if isinstance(value, Unknown):
                unknown.append(value)
                return ""
            if isinstance(value, Reference):
                unknown.append(Unknown(f"{value.resource}.{value.attribute} is only known to AWS"))
                return ""
            return str(value)

        text = _PART.sub(put, text)
        return unknown[0] if unknown else text.replace("${!", "${")

    def _part(self, name: str) -> Any:
        name = name.strip()
        return self._get_att(name) if "." in name and not name.startswith("AWS::") else self._ref(name)

    def _join(self, argument: Any) -> Any:
        between, parts = argument
        values = self(parts)
        if isinstance(values, Unknown):
            return values
        for value in values:
            if isinstance(value, Unknown):
                return value
            if isinstance(value, Reference):
                return Unknown(f"{value.resource}.{value.attribute} is only known to AWS")
        return str(between).join(map(str, values))

    def _find_in_map(self, argument: Any) -> Any:
        at: Any = self._maps
        for key in map(self, argument):
            if isinstance(key, Unknown):
                return key
            if str(key) not in _mapping(at):
                return Unknown(f"{key} is not in the template's mappings")
            at = at[str(key)]
        return self(at)

    def _if(self, argument: Any) -> Any:
        name, then, otherwise = argument
        holds = self.condition(str(name))
        if isinstance(holds, Unknown):
            return holds
        return self(then if holds else otherwise)

    def _holds(self, expression: Any) -> bool | Unknown:
        (name, argument), *_ = _mapping(expression).items()
        if name == "Condition":
            return self.condition(str(argument))
        if name == "Fn::Equals":
            first, second = map(self, argument)
            for value in (first, second):
                if isinstance(value, Unknown):
                    return value
            return str(first) == str(second)
        values = [self._holds(each) for each in argument]
        unknown = next((value for value in values if isinstance(value, Unknown)), None)
        if name == "Fn::Not":
            return unknown if unknown is not None else not values[0]
        if name == "Fn::And":
            return False if False in values else unknown if unknown is not None else True
        if name == "Fn::Or":
            return True if True in values else unknown if unknown is not None else False
        return Unknown(f"{name} is no condition function")


_FUNCTIONS = {
    "Ref": Values._ref,
    "Fn::GetAtt": Values._get_att,
    "Fn::Sub": Values._sub,
    "Fn::Join": Values._join,
    "Fn::FindInMap": Values._find_in_map,
    "Fn::If": Values._if,
}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
