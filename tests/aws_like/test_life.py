"""The whole life of a system on an AWS as strict as its documentation, with ids at their edges.

Deploy, bake, serve, scale, change every setting, roll out an image, restore, destroy: by the
commands a person uses, with the processes of every machine under its own role.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import pytest
import urllib3
from celery_sqs.testing import isolated
from click.testing import CliRunner

from ami_build.doctor.context import load
from ami_build.doctor.permissions import ROLES
from ami_build.image import bundle
from ami_build.image.registry import Images
from ami_build.stack.cloudformation import Stack
from cli.main import main
from facerec_tasks import aws
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage import layout
from local.emulators.embedded_aws import embedded_aws
from local.samples import portraits
from tests.aws_like.machines import Machines
from tests.aws_like.strict_aws import StrictAws
from tests.integration.ami_build.test_policies import allowed, document_of
from tests.integration.bake.conftest import Player

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
Eventually = Callable[..., None]
LAG = 1.5
"""Seconds until EC2 shows what was changed."""
STOPPING = 3.0
"""Seconds that services have when their machine stops; a busy machine kills some, which is fair."""
SYSTEMS = [
    pytest.param("q", "us-east-1", "eu-west-1", id="1 character"),
    pytest.param("4k-lab-life0", "eu-central-1", "us-east-1", id="12 characters"),
    pytest.param("x" * 31 + "9", "us-east-1", "ap-south-1", id="32 characters"),
]
FAST = ("FACEREC_BOOT=6", "FACEREC_BOOT_WORST=60")
"""These machines boot in seconds."""
HTTP = urllib3.PoolManager(maxsize=30, retries=False, timeout=150)


@pytest.fixture(scope="module")
def packed() -> bytes:
    return bundle.pack()


@pytest.fixture
def emulator() -> Iterator[str]:
    with embedded_aws(pending=0.5, stopping=STOPPING, lag=LAG) as url:
        yield url


class Operator:
    """A person at a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, endpoint: str, id_: str) -> None:
        self._set, self._endpoint, self._id = monkeypatch.setenv, endpoint, id_

    def go_to(self, region: str) -> Settings:
        """Names a region, as a person does with AWS_REGION."""
        for name, value in isolated({}, self._endpoint, region).items():
            self._set(name, value)
        self._set("FACEREC_ID", self._id)
        get_settings.cache_clear()
        return get_settings()

    def run(self, *arguments: str) -> str:
        """Output of a command that succeeds; those that ask workers keep connections, and are
        processes."""
        if arguments[0] == "people":
            command = (sys.executable, "-c", "from cli.main import main; main()", *arguments)
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, f"facerec {' '.join(arguments)}: {done.stderr}"
            return done.stdout
        told = CliRunner().invoke(main, arguments)
        words = f"facerec {' '.join(arguments)}: {told.output}{told.exception!r}"
        assert told.exit_code == 0, words
        return told.stdout

    def says(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))


@pytest.mark.parametrize(("id_", "region", "elsewhere"), SYSTEMS)
def test_a_system_lives_and_ends(
    id_: str,
    region: str,
    elsewhere: str,
    emulator: str,
    strict: StrictAws,
    packed: bytes,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(bundle, "pack", lambda **_: packed)
    monkeypatch.setenv("FACEREC_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("FACEREC_MODELS_DIR", str(Path("models").resolve()))
    operator = Operator(monkeypatch, strict.url, id_)
    settings = operator.go_to(region)
    beside = settings.model_copy(update={"endpoint_url": emulator})

    first = operator.says(
        "aws", "deploy", "--yes", "--no-wait", "--profile", "one-per-backlog",
        "--max-instances", "3", "--email", "a@example.com", "--allow", "192.0.2.0/24",
        *(f"--set={word}" for word in FAST),
    )  # fmt: skip
    assert (first["url"], first["image"]) == (None, None)
    enforce(strict, beside)
    bake(operator, beside, tmp_path / "bake1")
    web = operator.says("aws", "deploy", "--yes", "--no-wait")["url"]
    with Machines(beside, emulator, strict.url, tmp_path / "machines") as machines:
        key = serve(operator, strict, machines, web, eventually)
        wrong_region(operator, settings, elsewhere)
        change_settings(operator, machines, web, eventually)
        doctor(operator, eventually)
        with Sender(web, key) as sender:
            roll_out(operator, beside, tmp_path)
        assert sender.wrong == []
        restore(operator, settings)
        assert {call.who for call in strict.seen} >= {*ROLES}
        assert "ec2:CreateFleet" in {call.action for call in strict.seen}
        operator.run("aws", "destroy", "--with-photos", "--confirm", id_)
        assert machines.failures == []
    told = "\n".join(sorted(f"{c.who}: {c.action} on {c.resource} {c.context}" for c in
                            strict.refused))  # fmt: skip
    assert not strict.refused, told
    left(beside)
    print(f"throttled {sum(strict.throttled.values())}: {dict(strict.throttled)}; "
          f"redirected {strict.redirected}")  # fmt: skip
    assert {"ec2", "s3", "sqs", "cloudformation"} <= {k.split(":")[0] for k in strict.throttled}


def enforce(strict: StrictAws, beside: Settings) -> None:
    """From now on every call of a role is held against its policy, as the stack attached it."""
    deployment = load(beside)
    policies = {process: document_of(deployment, process) for process in ROLES}
    strict.allowed = lambda call: allowed(deployment, policies[call.who], call)


def bake(operator: Operator, beside: Settings, folder: Path) -> str:
    ec2 = aws.client(beside, "ec2")
    base = ec2.register_image(
        Name=f"debian-{folder.name}", Architecture="x86_64", RootDeviceName="/dev/xvda"
    )["ImageId"]
    player = Player(beside, folder)
    thread = Thread(target=player.play)
    thread.start()
    try:
        return str(operator.says("aws", "bake", "--base-image", base)["version"])
    finally:
        player.end()
        thread.join(60)


def post(web: str, key: str, name: str, data: bytes) -> str:
    answer = HTTP.request(
        "POST", web, fields={"inputFile": (name, data)}, headers={"Authorization": f"Bearer {key}"}
    )
    return f"{answer.status} {answer.data.decode().strip()}"


def is_ready(web: str) -> bool:
    try:
        return HTTP.request("GET", f"{web}/readyz", timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def serve(
    operator: Operator, strict: StrictAws, machines: Machines, web: str, eventually: Eventually
) -> str:
    """People are enrolled and photos named by machines that come and go again; an API key."""
    scopes = ("recognize", "people:write", "people:read")
    key = operator.says("keys", "add", "life", *(f"--scope={s}" for s in scopes))["token"]
    for portrait in portraits.portraits():
        operator.run("people", "add", portrait.name, str(portrait.path))
    eventually(lambda: is_ready(web), within=90)
    eventually(lambda: strict.signals, within=30)
    sample = portraits.sample_photo()
    names = [f"test_{number:02d}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda n: post(web, key, f"{n}.jpg", sample.data), names))
    assert answers == [f"200 {name}:{sample.name}" for name in names], answers
    assert 2 <= machines.most <= 3
    eventually(lambda: not any(m.services for m in machines.machines.values()
                               if m.tier == "app"), within=90)  # fmt: skip
    return str(key)


class Sender:
    """Somebody who sends one photo after another."""

    def __init__(self, web: str, key: str) -> None:
        self._web, self._key = web, key
        self._ended = Event()
        self._thread = Thread(target=self._send)
        self.wrong: list[str] = []

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        sample = portraits.sample_photo()
        for number in itertools.count():
            told = post(self._web, self._key, f"rolled_{number}.jpg", sample.data)
            if told != f"200 rolled_{number}:{sample.name}":
                self.wrong.append(told)
            if self._ended.wait(0.5):
                return


def wrong_region(operator: Operator, settings: Settings, elsewhere: str) -> None:
    """Everything is found from there, buckets' names are global, and nothing is touched."""
    operator.go_to(elsewhere)
    told = operator.run("aws", "destroy", "--with-photos", "--confirm", settings.id)
    assert f"nothing of {settings.id}" in told
    for command in (["deploy", "--yes", "--no-wait"], ["bake", "--base-image", "ami-1"]):
        told = CliRunner().invoke(main, ["aws", *command]).output
        assert settings.region in told, told
    operator.go_to(settings.region)
    assert Stack(settings).find() is not None
    aws.client(settings, "s3").head_bucket(Bucket=settings.state_bucket)


def change_settings(
    operator: Operator, machines: Machines, web: str, eventually: Eventually
) -> None:
    """Each option of deploy that is no machine's type or image, without touching web-instance."""
    before = machines.web
    assert before is not None
    changes: list[tuple[list[str], str, str]] = [
        (["--max-instances", "2"], "controller", "FACEREC_MAX_INSTANCES=2"),
        (["--profile", "slo"], "controller", "FACEREC_SCALING_PROFILE=slo"),
        (["--worker-instance-type", "c7i.large,m7i.large"], "controller",
         "FACEREC_INSTANCE_TYPES=c7i.large,m7i.large"),
        (["--set", "FACEREC_SLO=40", "--set", "FACEREC_MAX_WAITING=50"], "web",
         "FACEREC_MAX_WAITING=50"),
        (["--set", "FACEREC_FLEET_MODE=terminate", "--set", "FACEREC_SPOT=true"], "controller",
         "FACEREC_SPOT=true"),
        (["--set", "FACEREC_SPOT=", "--set", "FACEREC_FLEET_MODE="], "controller",
         "FACEREC_SLO=40"),
        (["--email", "b@example.com", "--budget", "7", "--allow", "198.51.100.0/24",
          "--retention-days", "30"], "controller", "FACEREC_SLO=40"),
    ]  # fmt: skip
    for options, role, line in changes:
        operator.run("aws", "deploy", "--yes", "--no-wait", *options)
        file = before.disk / "settings" / role
        eventually(lambda file=file, line=line: line in file.read_text(), within=40)
    eventually(lambda: is_ready(web), within=60)
    assert machines.web is before, "no setting replaces or stops web-instance"
    assert before.boots == 1
    assert {"web", "controller"} <= {*before.restarted}


def doctor(operator: Operator, eventually: Eventually) -> None:
    found: list[dict[str, str]] = []

    def is_fine() -> bool:  # a check that AWS throttles says so
        told = CliRunner().invoke(main, ["aws", "doctor", "--json"])
        found[:] = json.loads(told.stdout or '[{"level": "fault", "subject": "?", "fault": "?"}]')
        return not [one for one in found if one["level"] == "fault"]

    deadline = time.monotonic() + 60
    while not is_fine():
        faults = [f"{one['subject']}: {one['fault']}" for one in found if one["level"] == "fault"]
        assert time.monotonic() < deadline, faults
        time.sleep(1)


def roll_out(operator: Operator, beside: Settings, folder: Path) -> None:
    """A second image reaches every machine, stopped ones included; then the first one again."""
    first = Images(beside).in_use()
    second = bake(operator, beside, folder / "bake2")
    done = operator.says("fleet", "rollout", "--deadline", "4")
    assert (done["version"], done["old"]) == (second, [])
    back = operator.says("fleet", "rollout", str(first), "--deadline", "4")
    assert (back["version"], back["old"]) == (first, [])


def restore(operator: Operator, settings: Settings) -> None:
    """A spoilt gallery is put back as docs/how-to/operations.md says."""
    known = operator.run("people", "list")
    operator.run("people", "add", "--force", "Somebody Else", str(portraits.portraits()[0].path))
    assert operator.run("people", "list") != known
    s3, bucket = aws.client(settings, "s3"), settings.state_bucket
    found = s3.list_object_versions(Bucket=bucket, Prefix=layout.GALLERY_CURRENT)["Versions"]
    before = next(one["VersionId"] for one in found[1:])
    s3.copy_object(
        Bucket=bucket, Key=layout.GALLERY_CURRENT, MetadataDirective="REPLACE",
        CopySource=f"{bucket}/{layout.GALLERY_CURRENT}?versionId={before}",
    )  # fmt: skip
    assert operator.run("people", "list") == known


def left(beside: Settings) -> None:
    """Nothing that costs or keeps a name."""

    def made(service: str) -> Any:
        return boto3.client(service, region_name=beside.region, endpoint_url=beside.endpoint_url)

    time.sleep(LAG)
    states = {
        i["State"]["Name"]
        for r in made("ec2").describe_instances()["Reservations"] for i in r["Instances"]
    }  # fmt: skip
    assert states <= {"terminated", "shutting-down"}
    assert made("s3").list_buckets()["Buckets"] == []
    assert made("sqs").list_queues().get("QueueUrls", []) == []
    assert made("sns").list_topics()["Topics"] == []
    roles = made("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles if beside.id in role["RoleName"]] == []
    mine = [one["Name"] for one in made("ec2").describe_images(Owners=["self"])["Images"]]
    assert [name for name in mine if name.startswith("app-tier-ami")] == []
