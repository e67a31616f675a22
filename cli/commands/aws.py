"""``facerec aws``: the whole system in an AWS account."""

import json
from dataclasses import asdict

import click
from botocore.exceptions import ClientError

from ami_build.doctor.runner import run_checks
from ami_build.image.bake_options import BakeOptions
from ami_build.stack.deployment import VERSIONING_DELAY, Deployed, Deployment, DeployOptions
from ami_build.stack.destroy import Destroyer, photos_remain
from ami_build.stack.plan import ChangeSet
from cli.commands.bake import bake
from cli.commands.bake import run as run_bake
from cli.commands.machine_logs import logs
from cli.friendly_errors import FriendlyGroup
from facerec_tasks.aws import client, more_attempts, translated
from facerec_tasks.settings import Settings, get_settings

OPEN_TO_ALL = (
    "Everybody on the internet will reach port 8000, and without TLS API keys and photos travel in "
    "clear. Open it?"
)


@click.group(cls=FriendlyGroup, expected=(ClientError,))
def aws() -> None:
    """Deploy, check and remove the system in an AWS account.

    Region and credentials are the AWS SDK's own, profiles included; FACEREC_ID begins every name.
    """
    click.get_current_context().with_resource(more_attempts())


def _say(line: str) -> None:
    click.echo(line, err=True)


def _where(settings: Settings) -> str:
    """Account and region, or the emulator that `facerec up` runs in this folder."""
    if settings.endpoint_url:
        return f"in the emulator at {settings.endpoint_url}, region {settings.region}, not in AWS"
    with translated():
        account = client(settings, "sts").get_caller_identity()["Account"]
    return f"in account {account}, region {settings.region}"


@aws.command()
@click.option(
    "--allow", "callers", metavar="CIDR", help="Addresses that may reach port 8000; '' for none."
)
@click.option("--email", help="Address that alarms and the budget are mailed to.")
@click.option(
    "--budget", type=click.IntRange(min=1), help="Dollars a month above which a mail is sent."
)
@click.option(
    "--image", help="Image id for both tiers, to roll back; default: the published app-tier-ami."
)
@click.option("--web-instance-type", metavar="TYPE", help="EC2 type of web-instance.")
@click.option(
    "--web-instances",
    type=click.IntRange(1, 20),
    help="Web machines; more than one stand behind a load balancer.",
)
@click.option(
    "--certificate", metavar="ARN", help="ACM's, for TLS by a load balancer; '' for no TLS."
)
@click.option(
    "--worker-instance-type", metavar="TYPE,…",
    help="EC2 types of workers, best first: the next where EC2 has no capacity for one.",
)  # fmt: skip
@click.option(
    "--subnets", metavar="SUBNET,…", help="Of workers; default: a public one of each zone."
)
@click.option("--max-instances", type=click.IntRange(min=0), help="Most EC2 workers at a time.")
@click.option(
    "--retention-days",
    type=click.IntRange(0, 36500),
    help="Days until photos, names and records expire; 0 keeps them.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of the machines, such as FACEREC_SLO=30; NAME= removes it.",
)
@click.option(
    "--profile",
    type=click.Choice(["slo", "one-per-backlog", "course"]),
    help="Scaling profile; course: the former name of one-per-backlog.",
)
@click.option("--bake", "baking", is_flag=True, help="Bake an image if there is none.")
@click.option("--no-wait", is_flag=True, help="Do not wait until S3 keeps versions everywhere.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def deploy(
    baking: bool, no_wait: bool, yes: bool, as_json: bool, **wishes: str | int | None
) -> None:
    """Create or update the stack: show the change set, ask for confirmation, apply it.

    Options that are not given keep their value. Without an image (`facerec aws bake`) nothing runs.
    Changed settings reach running machines within two minutes. May be interrupted and run again.
    """
    deployment = Deployment(get_settings(), _say)
    plan = deployment.plan(DeployOptions(**wishes))  # type: ignore[arg-type]
    _show(deployment, plan)
    if plan.change_set and not (yes or _confirmed(plan)):
        deployment.withdraw(plan)
        raise click.Abort
    delay = 0 if no_wait else VERSIONING_DELAY
    done = deployment.apply(plan, versioning_delay=delay)
    if baking and done.image is None:
        wanted = BakeOptions(instance_type=get_settings().instance_type)
        run_bake(wanted, interrupted="the same command goes on")
        plan = deployment.plan(DeployOptions())
        _show(deployment, plan)
        done = deployment.apply(plan, versioning_delay=delay)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        _tell(done)


def _confirmed(plan: ChangeSet) -> bool:
    if plan.opens and not click.confirm(OPEN_TO_ALL, err=True):
        return False
    return click.confirm("Do this?", err=True)


def _show(deployment: Deployment, plan: ChangeSet) -> None:
    where = _where(get_settings())
    if not plan.change_set:
        _say(f"{deployment.stack.name} {where} is as it should be")
        return
    _say(f"{deployment.stack.name} {where}:")
    for change in plan.changes:
        _say(f"  {change}")


def _tell(done: Deployed) -> None:
    if done.url:
        click.echo(f"photos go to {done.url}")
        click.echo("each with an API key: facerec keys add LABEL")
    else:
        click.echo(f"{done.stack} is there; nothing runs until there is an image: facerec aws bake")


@aws.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def doctor(as_json: bool) -> None:
    """Check every resource, attribute and permission; show each fault with its remedy.

    Exits with 1 when there is a fault. Advice alone is no fault.
    """
    findings = run_checks(get_settings())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(str(finding))
    faults = sum(finding.level == "fault" for finding in findings)
    advice = sum(finding.level == "advice" for finding in findings)
    where = _where(get_settings())
    _say(f"{len(findings)} things looked at {where}: {faults} at fault, {advice} to be advised")
    raise SystemExit(1 if faults else 0)


@aws.command()
@click.option("--with-photos", is_flag=True, help="Remove stored photos, names and records, too.")
@click.option("--confirm", metavar="ID", help="The FACEREC_ID, instead of typing it when asked.")
def destroy(with_photos: bool, confirm: str | None) -> None:
    """Remove the system and everything it made: machines, images, queues, buckets.

    Refuses while photos are stored, unless --with-photos is given, and touches nothing in another
    region. May be interrupted and run again.
    """
    settings = get_settings()
    destroyer = Destroyer(settings, _say)
    found = destroyer.look()
    if found.empty:
        click.echo(f"nothing of {settings.id} is {_where(settings)}")
        return
    _say(f"this permanently removes, {_where(settings)}:")
    for line in found.lines():
        _say(f"  {line}")
    if found.photos and not with_photos:
        raise photos_remain(found.photos)
    typed = confirm or click.prompt(f"type {settings.id} to go on", default="", err=True)
    if typed != settings.id:
        raise click.ClickException("nothing was removed")
    destroyer.remove(with_photos=with_photos)
    left = destroyer.look()
    if not left.empty:
        raise click.ClickException(f"left: {'; '.join(left.lines())}. Run this again in a minute")
    click.echo(f"nothing of {settings.id} is left")


aws.add_command(bake)
aws.add_command(logs)
