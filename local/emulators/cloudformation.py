"""moto's CloudFormation, completed: what a template says is there when the stack says so.

moto 5.2.5 compares templates without their conditions, so a resource whose condition an update
makes true is never made. It forgets a resource of a kind that it cannot update. It leaves out most
of what it is told about buckets, roles, security groups and instances, and says CREATE_COMPLETE of
policies, subscriptions and alarms that it never made. Here these are made, with the calls a person
would use. Not here: budgets, and the replacement of an instance by an update.
"""

import json
import logging
import re
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from botocore.session import Session
from moto.cloudformation import parsing
from moto.cloudformation.models import Change, ChangeSet, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.elbv2.models import FakeTargetGroup as TargetGroup

from local.emulators.ec2_consistency import OWN_KEY

_update = ResourceMap.update
_delete = ResourceMap.delete
_update_resource = parsing.parse_and_update_resource
_endpoint = ""

Properties = dict[str, Any]


@cache
def _client(region: str, service: str) -> Any:
    return Session().create_client(
        service,
        region_name=region,
        endpoint_url=_endpoint,
        aws_access_key_id=OWN_KEY,
        aws_secret_access_key="embedded",  # noqa: S106
    )


Client = Callable[[str], Any]
"""Gives the client of a service of this very emulator, in the region of a stack."""


def _bucket(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    name = {"Bucket": p["BucketName"]}
    s3 = aws("s3")
    s3.put_bucket_versioning(**name, VersioningConfiguration=p["VersioningConfiguration"])
    s3.put_public_access_block(
        **name, PublicAccessBlockConfiguration=p["PublicAccessBlockConfiguration"]
    )
    s3.put_bucket_ownership_controls(**name, OwnershipControls=p["OwnershipControls"])
    rules = [_rule(dict(rule)) for rule in p["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(**name, LifecycleConfiguration={"Rules": rules})
    told = p.get("NotificationConfiguration", {}).get("LambdaConfigurations", ())
    functions = [{"LambdaFunctionArn": one["Function"], "Events": [one["Event"]]} for one in told]
    s3.put_bucket_notification_configuration(
        **name, NotificationConfiguration={"LambdaFunctionConfigurations": functions}
    )
    tag_set = [{"Key": key, "Value": value} for key, value in tags.items()]
    s3.put_bucket_tagging(**name, Tagging={"TagSet": tag_set})


def _rule(rule: Properties) -> Properties:
    """A rule of a lifecycle as S3 has it, from CloudFormation's spelling."""
    made = {"ID": rule.pop("Id"), "Filter": {"Prefix": rule.pop("Prefix", "")}}
    if "ExpirationInDays" in rule:
        made["Expiration"] = {"Days": int(rule.pop("ExpirationInDays"))}
    if "ExpiredObjectDeleteMarker" in rule:
        made["Expiration"] = {"ExpiredObjectDeleteMarker": rule.pop("ExpiredObjectDeleteMarker")}
    return {**made, **rule}


def _bucket_policy(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    aws("s3").put_bucket_policy(Bucket=p["Bucket"], Policy=json.dumps(p["PolicyDocument"]))


def _queue_policy(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    policy = json.dumps(p["PolicyDocument"])
    for url in p["Queues"]:
        aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


def _role(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    for arn in p.get("ManagedPolicyArns", ()):
        aws("iam").attach_role_policy(RoleName=p["RoleName"], PolicyArn=arn)


def _security_group(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    ec2 = aws("ec2")
    found = ec2.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": [p["GroupName"]]}]
    )["SecurityGroups"][0]
    wanted = [_permission(one) for one in p["SecurityGroupEgress"]]
    ec2.revoke_security_group_egress(
        GroupId=found["GroupId"], IpPermissions=found["IpPermissionsEgress"]
    )
    ec2.authorize_security_group_egress(GroupId=found["GroupId"], IpPermissions=wanted)


def _permission(p: Properties) -> Properties:
    return {
        "IpProtocol": p["IpProtocol"],
        "FromPort": int(p["FromPort"]),
        "ToPort": int(p["ToPort"]),
        "IpRanges": [{"CidrIp": p["CidrIp"]}],
    }


def _instance(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    ec2 = aws("ec2")
    name = next(tag["Value"] for tag in p["Tags"] if tag["Key"] == "Name")
    found = ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": [name]},
            {"Name": "image-id", "Values": [p["ImageId"]]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
    )["Reservations"][-1]["Instances"][0]["InstanceId"]
    ec2.modify_instance_metadata_options(InstanceId=found, **p["MetadataOptions"])
    ec2.modify_instance_attribute(InstanceId=found, Groups=p["SecurityGroupIds"])


def _subscription(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    aws("sns").subscribe(**{key: p[key] for key in ("TopicArn", "Protocol", "Endpoint")})


def _alarm(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    numbers = {key: int(p[key]) for key in ("Period", "EvaluationPeriods", "Threshold")}
    aws("cloudwatch").put_metric_alarm(**{**p, **numbers})


def _event_invoke_config(aws: Client, p: Properties, tags: dict[str, str]) -> None:
    numbers = {key: int(p[key]) for key in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")}
    aws("lambda").put_function_event_invoke_config(**{**p, **numbers})


_COMPLETED: dict[str, Callable[[Client, Properties, dict[str, str]], None]] = {
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::IAM::Role": _role,
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::Instance": _instance,
    "AWS::SNS::Subscription": _subscription,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Lambda::EventInvokeConfig": _event_invoke_config,
}


def _effective(
    resources: ResourceMap, template: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """The template without the resources whose condition does not hold with these parameters."""
    with_them = ResourceMap(
        resources.stack_id,
        resources["AWS::StackName"],
        parameters,
        resources.tags,
        region_name=resources._region_name,
        account_id=resources._account_id,
        template=template,
        cross_stack_resources=None,
    )
    with_them.load()
    holds = with_them.lazy_condition_map
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or holds[resource["Condition"]]
    }
    return {**template, "Resources": kept}


def _changed(
    resources: ResourceMap, template: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, list[str]]:
    """Names by action, also where only a parameter differs; a default that is said is none."""
    resources.input_parameters = _in_force(resources)
    by_action: dict[str, list[str]] = resources.build_resource_diff(template, parameters)
    return by_action


_references = parsing.get_references_from_template


def _references_of(template: Any) -> list[str]:
    """Those of ``Fn::Sub`` too, so that a changed parameter changes what names it in a text."""
    if isinstance(template, dict) and "Fn::Sub" in template:
        given = template["Fn::Sub"]
        text, more = given if isinstance(given, list) else (given, {})
        return [*re.findall(r"\$\{(\w+)\}", text), *_references_of(more)]
    found: list[str] = _references(template)
    return found


_load_parameters = ResourceMap.load_parameters


def _load_lists(resources: ResourceMap) -> None:
    """Defaults of comma-delimited lists are lists, too."""
    _load_parameters(resources)
    for name, slot in resources._template.get("Parameters", {}).items():
        value = resources.resolved_parameters.get(name)
        if slot["Type"] == "CommaDelimitedList" and isinstance(value, str):
            resources.resolved_parameters[name] = value.split(",")
    resources._parsed_resources.update(resources.resolved_parameters)


def _in_force(resources: ResourceMap) -> dict[str, str]:
    return {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in resources.resolved_parameters.items()
    }


def _apply(
    resources: ResourceMap, template: dict[str, Any], parameters: dict[str, Any] | None = None
) -> None:
    given = parameters if parameters is not None else resources.input_parameters
    wanted = _effective(resources, template, given)
    changed = _changed(resources, wanted, given)
    gone = [resources._resource_json_map[name] for name in changed["Remove"]]
    _uncomplete(resources, gone)
    _update(resources, wanted, given)
    aws = partial(_client, resources._region_name)
    for name in (*changed["Add"], *changed["Modify"]):
        resource = wanted["Resources"][name]
        complete = _COMPLETED.get(resource["Type"])
        replaced = complete is _instance and name in changed["Modify"]
        if complete is not None and not replaced:
            properties = parsing.clean_json(resource["Properties"], resources)
            complete(aws, properties, resources.tags)


def _uncomplete(resources: ResourceMap, gone: list[dict[str, Any]]) -> None:
    """Removes what moto does not know to remove."""
    aws = partial(_client, resources._region_name)
    for resource in gone:
        properties = parsing.clean_json(resource.get("Properties", {}), resources)
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            aws("cloudwatch").delete_alarms(AlarmNames=[properties["AlarmName"]])
        elif resource["Type"] == "AWS::EC2::EIP":
            _release(aws, properties["InstanceId"])
        elif resource["Type"] == "AWS::IAM::Role":
            for arn in properties.get("ManagedPolicyArns", ()):
                aws("iam").detach_role_policy(RoleName=properties["RoleName"], PolicyArn=arn)
    for resource in gone:  # now that no role has them
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            name = parsing.clean_json(resource["Properties"]["ManagedPolicyName"], resources)
            account = resources._account_id
            aws("iam").delete_policy(PolicyArn=f"arn:aws:iam::{account}:policy/{name}")


def _release(aws: Client, instance: str) -> None:
    ec2 = aws("ec2")
    of_it = [{"Name": "instance-id", "Values": [instance]}]
    for address in ec2.describe_addresses(Filters=of_it)["Addresses"]:
        ec2.disassociate_address(AssociationId=address["AssociationId"])
        ec2.release_address(AllocationId=address["AllocationId"])


def _delete_all(resources: ResourceMap) -> None:
    """Deletes a stack, but not what it is told to retain."""
    _uncomplete(resources, list(resources._resource_json_map.values()))
    for resource in resources._resource_json_map.values():
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"  # the one of the two that moto knows
    _delete(resources)


def _diff(change_set: ChangeSet) -> list[Change]:
    resources = change_set.stack.resource_map
    template = _effective(resources, change_set.template_dict, change_set.parameters)
    types = {**resources._resource_json_map, **template["Resources"]}
    return [
        Change(action=action, logical_resource_id=name, resource_type=types[name]["Type"])
        for action, names in _changed(resources, template, change_set.parameters).items()
        for name in names
    ]


def _updated(logical_id: str, resource: dict[str, Any], resources: Any, **where: Any) -> Any:
    """As it was, where moto has no update of this kind."""
    return _update_resource(logical_id, resource, resources, **where) or resources[logical_id]


def _has_parameters(stack: Stack, others: dict[str, Any]) -> bool:
    """Compares with those that were last applied; moto compares with the first."""
    return _in_force(stack.resource_map).items() >= others.items()


_carry_out = ChangeSet.apply


def _carry_out_with_outputs(change_set: ChangeSet) -> None:
    """moto keeps the outputs of the template before."""
    _carry_out(change_set)
    stack = change_set.stack
    stack.output_map = parsing.OutputMap(
        stack.resource_map, change_set.template_dict, stack.stack_id
    )


def _register(group: TargetGroup, targets: list[dict[str, Any]]) -> None:
    """A group of machines registers them when they run, which moto does not wait for."""
    for target in targets:
        group.targets[target["Id"]] = {"Id": target["Id"], "Port": target.get("Port", group.port)}
        group.deregistered_targets.pop(target["Id"], None)


_outputs = Stack.outputs.fget


def _outputs_when_made(stack: Stack) -> Any:
    return None if stack.status == "REVIEW_IN_PROGRESS" else _outputs(stack)


def _parameter_list(stack: Stack) -> list[dict[str, str]]:
    """Lists joined, as CloudFormation describes them."""
    found = _in_force(stack.resource_map)
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in found.items()]


def install(endpoint: str) -> None:
    """Puts all of this in the place of moto's own; ``endpoint`` is this emulator's address."""
    global _endpoint
    _endpoint = endpoint
    logging.getLogger("moto").setLevel(logging.ERROR)  # it warns of what is completed here
    warnings.filterwarnings("ignore", "Tried to parse", UserWarning)
    parsing.get_references_from_template = _references_of
    ResourceMap.load_parameters = _load_lists
    ResourceMap.update = _apply
    ResourceMap.delete = _delete_all
    ChangeSet.diff = _diff
    TargetGroup.register = _register
    ChangeSet.apply = _carry_out_with_outputs
    Stack.has_parameters = _has_parameters
    Stack.outputs = property(_outputs_when_made)
    Stack.parameter_list = property(_parameter_list)
    parsing.parse_and_update_resource = _updated
