"""Refusals of EC2 on demand: capacity, quotas, throttling, as a test or a person wants to see them.

``PUT /_embedded/ec2-refusals`` with a JSON list replaces all rules::

    [{"action": "RunInstances", "code": "InsufficientInstanceCapacity", "only": "c7i.large"}]

``only``: refuse requests in which this value stands (an instance's id, a type, ``spot``, a subnet);
all requests of the action where it is missing. ``[]`` ends all refusals. The HTTP status is always
400, where AWS has 500 for lack of capacity and 503 for throttling.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import EC2ClientError

PATH = "/_embedded/ec2-refusals"


@dataclass(frozen=True)
class Ec2Refusal:
    """One rule."""

    action: str
    code: str
    only: str = ""


_lock = threading.Lock()
_rules: tuple[Ec2Refusal, ...] = ()


def set_rules(rules: Iterable[Ec2Refusal]) -> None:
    """Replaces all rules."""
    global _rules
    with _lock:
        _rules = tuple(rules)


def check(action: str, parameters: Mapping[str, Any]) -> None:
    """Raises the refusal that a rule asks for."""
    for rule in _rules:
        if rule.action == action and _applies(rule, parameters):
            raise EC2ClientError(rule.code, f"{action} is refused by the emulator")


def _applies(rule: Ec2Refusal, parameters: Any) -> bool:
    if not rule.only:
        return True
    if isinstance(parameters, Mapping):
        return any(_applies(rule, value) for value in parameters.values())
    if isinstance(parameters, list | tuple):
        return any(_applies(rule, value) for value in parameters)
    return str(parameters) == rule.only


Wsgi = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]


def controlled(app: Wsgi) -> Wsgi:
    """The application, with the path that replaces the rules."""

    def answer(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return app(environ, start_response)
        try:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            set_rules(Ec2Refusal(**rule) for rule in json.loads(environ["wsgi.input"].read(length)))
        except (ValueError, TypeError) as error:
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [f"not a list of refusals: {error}\n".encode()]
        start_response("204 No Content", [])
        return []

    return answer
