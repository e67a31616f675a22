"""A CloudFormation template with parameters filled in, as far as the stack's own uses it."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ABSENT = object()
"""Value of a property that is ``AWS::NoValue``."""
PSEUDO = {
    "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "123456789012",
    "AWS::StackName": "stack", "AWS::NoValue": ABSENT, "AWS::URLSuffix": "amazonaws.com",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Reads the short forms of intrinsic functions as their long ones."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = node.value
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(path.read_text(), _Loader)
    return document


class ResolvedTemplate:
    """Resources and their properties for given parameters; a reference names its resource."""

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._template = template
        defaults = {n: p.get("Default", "") for n, p in template["Parameters"].items()}
        self._values = {**PSEUDO, **defaults, **parameters}

    @cached_property
    def resources(self) -> dict[str, Mapping[str, Any]]:
        """Properties by logical id, of those whose condition holds."""
        return {
            name: self._value(found.get("Properties", {}))
            for name, found in self._template["Resources"].items()
            if "Condition" not in found or self._holds(found["Condition"])
        }

    def type_of(self, name: str) -> str:
        return str(self._template["Resources"][name]["Type"])

    def _holds(self, condition: str) -> bool:
        return bool(self._value(self._template["Conditions"][condition]))

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [v for v in map(self._value, node) if v is not ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" or name.startswith("Fn::") or name == "Condition":
                return self._intrinsic(name, argument)
        found = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in found.items() if value is not ABSENT}

    def _intrinsic(self, name: str, argument: Any) -> Any:  # noqa: C901
        if name == "Ref":
            return self._values.get(argument, f"<{argument}>")
        if name == "Fn::GetAtt":
            return f"<{'.'.join(argument)}>"
        if name == "Fn::Sub":
            text, more = argument if isinstance(argument, list) else (argument, {})
            local = {key: self._value(value) for key, value in more.items()}
            return re.sub(
                r"\$\{([^}]+)\}",
                lambda m: str(local.get(m[1], self._intrinsic_name(m[1]))),
                text,
            )
        if name == "Fn::Join":
            return argument[0].join(self._items(argument[1]))
        if name == "Fn::Select":
            return self._items(argument[1])[int(argument[0])]
        if name == "Fn::If":
            condition, yes, no = argument
            return self._value(yes if self._holds(condition) else no)
        if name == "Fn::Equals":
            first, second = map(self._value, argument)
            return str(first) == str(second)
        if name in ("Fn::Or", "Fn::And"):
            return (any if name == "Fn::Or" else all)(map(self._value, argument))
        if name == "Fn::Not":
            return not self._value(argument[0])
        if name == "Fn::Base64":
            return self._value(argument)
        if name == "Condition":
            return self._holds(argument)
        raise ValueError(f"{name} is not known here")

    def _items(self, node: Any) -> list[str]:
        """A list, or what a parameter of comma-delimited values holds."""
        found = self._value(node)
        return found if isinstance(found, list) else str(found).split(",")

    def _intrinsic_name(self, name: str) -> Any:
        return self._values.get(name, f"<{name}>")


def paths(node: Any, path: str = "/properties") -> Iterator[tuple[str, Any]]:
    """Leaves of a resource's properties by path; items of a list have their list's path."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from paths(value, f"{path}/{key}")
    elif isinstance(node, list):
        yield path, repr(node)
        for value in node:
            yield from paths(value, path)
    else:
        yield path, node
