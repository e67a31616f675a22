"""What the processes really ask AWS for, held against what their policies allow."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ami_build.doctor.context import DeploymentContext, load
from ami_build.doctor.permissions import ROLES
from autoscale.fleet import Ec2Fleet
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import Forbidden
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.iam import decide
from local.processes.child import Child
from local.processes.ports import free_port
from local.samples import portraits
from tests.integration import journalctl
from tests.integration.ami_build.conftest import System
from tests.integration.ami_build.recorder import Call, Recorder

pytestmark = pytest.mark.skipif(
    "FACEREC_TEST_ENDPOINT" in os.environ, reason="needs the embedded AWS"
)
HTTP = urllib3.PoolManager(retries=False, timeout=60)


@pytest.fixture
def recorder(system: System) -> Iterator[Recorder]:
    proxy = Recorder(str(system.settings.endpoint_url))
    proxy.start()
    yield proxy
    proxy.stop()


def document_of(deployment: DeploymentContext, process: str) -> Any:
    """The policy of a process, as the stack has attached it."""
    arn = deployment.arn("iam", f"policy/{deployment.id}-{process}", regional=False)
    iam = client(deployment.settings, "iam")
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    document: Any = version["Document"]
    return document


def allowed(deployment: DeploymentContext, document: Any, call: Call) -> bool:
    """Whether the process's own policy, and not its machine's others, allows the call."""
    resource = call.resource
    context: dict[str, list[str]] = {}
    for key, value in call.context:
        context.setdefault(key.lower(), []).append(value)
    if "launch template" in context:
        (name,) = context.pop("launch template")
        found = client(deployment.settings, "ec2").describe_launch_templates(
            LaunchTemplateNames=[name]
        )
        template = found["LaunchTemplates"][0]["LaunchTemplateId"]
        arn = deployment.arn("ec2", f"launch-template/{template}")
        if resource == "the launch template":
            resource = arn
        else:
            context["ec2:launchtemplate"] = [arn]
    if resource.startswith(("i-", "ami-")):
        tags = client(deployment.settings, "ec2").describe_tags(
            Filters=[{"Name": "resource-id", "Values": [resource]}]
        )
        for tag in tags["Tags"]:
            context[f"aws:resourcetag/{tag['Key']}".lower()] = [tag["Value"]]
        if resource.startswith("i-"):
            resource = deployment.arn("ec2", f"instance/{resource}")
        else:
            region = deployment.settings.region
            resource = f"arn:{deployment.partition}:ec2:{region}::image/{resource}"
    return decide([document], call.action, resource, context) == "allowed"


def test_a_call_outside_a_policy_is_denied_as_aws_denies_it(
    system: System, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this the test below could not fail: the emulator itself allows everything."""
    deployment = load(system.settings)
    document = document_of(deployment, "web")
    recorder.allowed = lambda call: allowed(deployment, document, call)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "web")
    settings = system.settings.model_copy(update={"endpoint_url": recorder.url})
    with pytest.raises(Forbidden):
        StateBucket(settings).delete(layout.GALLERY_CURRENT)
    with pytest.raises(Forbidden):
        Storage(settings).photos.get("test_00.jpg")
    with pytest.raises(Forbidden):
        Ec2Fleet(settings).terminate(["i-0"])
    with pytest.raises(Forbidden), translated():
        client(settings, "sqs").create_queue(QueueName=f"{settings.id}-other")
    with pytest.raises(Forbidden), translated():
        client(settings, "sns").create_topic(Name=f"{settings.id}-other")
    assert {call.action.split(":")[0] for call in recorder.refused} == {"s3", "ec2", "sqs", "sns"}


def answers(url: str) -> bool:
    try:
        return HTTP.request("GET", url, timeout=2).status < 500
    except urllib3.exceptions.HTTPError:
        return False


@pytest.mark.soak  # a minute; `make test-aws-like` runs it
def test_every_call_of_every_process_is_allowed_by_its_own_policy(
    system: System,
    recorder: Recorder,
    spawn: Callable[..., Child],
    eventually: Callable[..., None],
    tmp_path: Path,
) -> None:
    settings = system.settings
    deployment = load(settings)
    policies = {process: document_of(deployment, process) for process in ROLES}
    recorder.allowed = lambda call: allowed(deployment, policies[call.who], call)
    journalctl.install(tmp_path)
    journalctl.write(tmp_path, 1)
    web, flower = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    told = {
        "AWS_ENDPOINT_URL": recorder.url,
        "FACEREC_ID": settings.id,
        "FACEREC_LAUNCH_TEMPLATE": f"{settings.id}-app-tier",
        "FACEREC_SCALING_PROFILE": "one-per-backlog",
        "FACEREC_MODELS_DIR": os.path.abspath("models"),
        "FACEREC_CONCURRENCY": "1",
        "FLOWER_UNAUTHENTICATED_API": "true",
        "PORT": web.rsplit(":", 1)[1],
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    }

    def run(process: str, *command: str, **more: str) -> Child:
        environment = {**told, "AWS_ACCESS_KEY_ID": process, "FACEREC_MACHINE": process, **more}
        return spawn((sys.executable, *command), log=process, environment=environment)

    running = [
        run("web", "-m", "webapp"),
        run("controller", "-m", "autoscale.controller"),
        run("flower", "-m", "celery_sqs", "-A", "facerec_tasks.app", "flower",
            f"--port={flower.rsplit(':', 1)[1]}"),
        run("worker", "-m", "celery", "-A", "facerec_tasks.worker", "worker", "-n", "a@worker"),
    ]  # fmt: skip
    for process, tier in (("web-journal", "web-tier"), ("worker-journal", "app-tier")):
        group = f"/{settings.id}/{tier}"
        told |= {"FACEREC_LOG_GROUP": group, "FACEREC_STATE_DIR": str(tmp_path / process)}
        (tmp_path / process).mkdir()
        running.append(run(process, "-m", "facerec_tasks.log_shipper"))
        parameter = f"/facerec/{settings.id}/settings"
        reader = run(
            process, "-m", "facerec_tasks.machine_settings", str(tmp_path / f"{process}.settings"),
            FACEREC_SETTINGS_PARAMETER=parameter,
        )  # fmt: skip
        assert reader.wait(60)
        assert reader.exit_code == 0
    probe = run("web-journal", "-m", "facerec_tasks.web_probe")
    peers = run(
        "web-journal", "-m", "facerec_tasks.machine_settings", str(tmp_path / "peers"),
        FACEREC_SETTINGS_PARAMETER=parameter, FACEREC_WEB_PEERS="true",
    )  # fmt: skip
    assert probe.wait(60)
    assert peers.wait(60)
    assert (probe.exit_code, peers.exit_code) == (0, 0)
    eventually(lambda: answers(f"{web}/readyz"), within=60)
    use(web, flower, eventually)
    # The one-per-backlog profile stops its machines when the last answer is out.
    eventually(lambda: {"ec2:RunInstances", "ec2:StopInstances"} <= actions(recorder), within=60)
    eventually(lambda: shipping(recorder) == {"web-journal", "worker-journal"})
    for child in reversed(running):
        child.end(grace=30.0)

    calls = recorder.seen
    assert {call.who for call in calls} == {*ROLES}
    assert {call.who for call in calls if call.action == "ssm:GetParameter"} == {
        "web-journal", "worker-journal",
    }  # fmt: skip
    capped = (tmp_path / "web-journal.settings" / "controller").read_text()
    assert "FACEREC_MAX_INSTANCES=15\n" in capped
    refused = sorted(
        f"{call.who}: {call.action} on {call.resource} {call.context or ''}"
        for call in recorder.refused
    )
    assert not refused, "\n".join(refused)
    end_fleet(settings)


def actions(recorder: Recorder) -> set[str]:
    return {call.action for call in recorder.seen}


def shipping(recorder: Recorder) -> set[str]:
    return {call.who for call in recorder.seen if call.action == "logs:PutLogEvents"}


def use(web: str, flower: str, eventually: Callable[..., None]) -> None:
    """What people do: photos, people, pages, a look at the workers."""
    sample_photo = portraits.sample_photo()
    portrait = portraits.portraits()[0].path.read_bytes()
    json_wish: Mapping[str, str] = {"Accept": "application/json", "Idempotency-Key": "once"}
    first = HTTP.request(
        "POST",
        web,
        fields={"inputFile": (sample_photo.file_name, sample_photo.data)},
        headers=json_wish,
    )
    assert first.status == 200, first.data
    assert HTTP.request("GET", f"{web}/results/{first.json()['task_id']}").status == 200
    assert HTTP.request("GET", f"{web}/results/{'0' * 32}").status == 404
    fields = {"name": "Somebody", "inputFile": ("a.jpg", portrait)}
    made = HTTP.request("POST", f"{web}/people", fields=fields, headers=json_wish)
    assert made.status in (200, 201), made.data
    assert HTTP.request("GET", f"{web}/people").status == 200
    assert HTTP.request("GET", f"{web}/people/Somebody/photos/0").status == 200
    assert HTTP.request("DELETE", f"{web}/people/Somebody").status == 204
    (past,) = HTTP.request("GET", f"{web}/v1/history", headers=json_wish).json()["entries"]
    assert HTTP.request("GET", f"{web}/v1/history/{past['task_id']}/photo").status == 200
    assert HTTP.request("GET", f"{web}/v1/unknown").status == 200
    face = f"{web}/v1/history/{past['task_id']}/faces/0"
    named = HTTP.request("POST", face, fields={"name": "Somebody"}, headers=json_wish)
    assert named.status == 200, named.data
    person = f"{web}/v1/people/{named.json()['id']}"
    assert HTTP.request("DELETE", person).status == 204  # and is erased from the answer
    watching = HTTP.request("GET", f"{web}/status/events", preload_content=False)
    assert watching.read(1)
    watching.close()
    eventually(lambda: b"a@worker" in get(f"{flower}/api/workers?refresh=1"), 60)
    HTTP.request("GET", f"{flower}/api/queues/length")


def get(url: str) -> bytes:
    return HTTP.request("GET", url).data


def end_fleet(settings: Settings) -> None:
    fleet = Ec2Fleet(settings)
    fleet.terminate([machine.id for machine in fleet.describe() if machine.state != "terminated"])
