"""``SimulatePrincipalPolicy`` for moto's IAM, which has none: may this role do that?

Identity policies of a role, attached and inline; a statement holds when its action, its resource
and all its conditions do. Of the condition operators those that we use; another one is an error,
never a yes. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.responses import IamResponse

Context = Mapping[str, Sequence[str]]
"""Values by condition key, in lower case."""


def decide(
    policies: Sequence[Mapping[str, Any]], action: str, resource: str, context: Context
) -> str:
    """``allowed``, ``explicitDeny`` or ``implicitDeny``."""
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in _each(policy["Statement"])
        if _holds(statement, action, resource, context)
    }
    if "Deny" in effects:
        return "explicitDeny"
    return "allowed" if "Allow" in effects else "implicitDeny"


def _holds(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    actions = (pattern.lower() for pattern in _each(statement["Action"]))
    return (
        any(fnmatchcase(action.lower(), pattern) for pattern in actions)
        and any(fnmatchcase(resource, pattern) for pattern in _each(statement["Resource"]))
        and all(
            _true(operator, context.get(key.lower()), [str(v) for v in _each(wanted)])
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _true(operator: str, given: Sequence[str] | None, wanted: Sequence[str]) -> bool:
    if operator == "ForAllValues:StringEquals":
        return all(value in wanted for value in given or ())
    if given is None:
        return False
    if operator == "StringEquals":
        return any(value in wanted for value in given)
    if operator == "ArnLike":
        return any(fnmatchcase(value, pattern) for value in given for pattern in wanted)
    if operator == "Bool":
        return any(value.lower() == one.lower() for value in given for one in wanted)
    raise ValueError(f"the emulator does not know the condition operator {operator}")


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _documents(backend: Any, role_name: str) -> Iterator[Mapping[str, Any]]:
    role = backend.get_role(role_name)
    for policy in role.managed_policies.values():
        yield json.loads(next(v.document for v in policy.versions if v.is_default))
    for document in role.policies.values():
        yield json.loads(document)


def _simulate(response: IamResponse) -> ActionResult:
    role = response._get_param("PolicySourceArn").rsplit("/", 1)[1]
    policies = list(_documents(response.backend, role))
    context = {
        entry["ContextKeyName"].lower(): entry["ContextKeyValues"]
        for entry in response._get_param("ContextEntries") or ()
    }
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decide(policies, action, resource, context),
        }
        for action in response._get_param("ActionNames")
        for resource in response._get_param("ResourceArns") or ["*"]
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})


def install() -> None:
    """Adds the call to moto's IAM."""
    IamResponse.simulate_principal_policy = _simulate
