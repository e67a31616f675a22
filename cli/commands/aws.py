"""``facerec aws``: the whole system in an AWS account."""

import json
from dataclasses import asdict

import click
from botocore.exceptions import ClientError

from ami_build.doctor.runner import run_checks
from ami_build.image.bake import Bake, BakeOptions
from ami_build.stack.deployment import VERSIONING_DELAY, Deployed, Deployment, DeployOptions
from ami_build.stack.destroy import Destroyer, photos_remain
from ami_build.stack.plan import ChangeSet
from cli.commands.bake import bake
from cli.friendly_errors import friendly_errors
from facerec_tasks.settings import Settings, get_settings
from local.processes.shutdown import ShutdownRequested, end_on_signals


@click.group()
def aws() -> None:
    """Deploy, run_checks and remove the system in an AWS account.

    Region and credentials are the AWS SDK's own; FACEREC_ID begins every name.
    """


def _say(line: str) -> None:
    click.echo(line, err=True)


def _where(settings: Settings) -> str:
    """An emulator is named: `facerec up` in this folder is spoken to instead of AWS."""
    if settings.endpoint_url:
        return f"in the emulator at {settings.endpoint_url}, not in AWS"
    return f"in {settings.region}"


@aws.command()
@click.option("--allow", "callers", metavar="CIDR", help="Who reaches port 8000; '' for nobody.")
@click.option("--email", help="Who is told of alarms and of the budget.")
@click.option("--budget", type=click.IntRange(min=1), help="Dollars a month of the account.")
@click.option("--image", help="Id of the image; default: the published app-tier-ami.")
@click.option("--web-instance-type", metavar="TYPE")
@click.option("--worker-instance-type", metavar="TYPE")
@click.option("--max-instances", type=click.IntRange(min=0))
@click.option(
    "--profile",
    type=click.Choice(["slo", "one-per-backlog", "course"]),
    help="Scaling profile; course: the former name of one-per-backlog.",
)
@click.option("--bake", "baking", is_flag=True, help="And an image, if there is none; then go on.")
@click.option("--no-wait", is_flag=True, help="Do not wait until S3 keeps versions everywhere.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def deploy(
    baking: bool, no_wait: bool, yes: bool, as_json: bool, **wishes: str | int | None
) -> None:
    """Make the stack, or bring it up to date: first the plan, then, after a yes, the deed.

    What is not said stays as it is. Without an image (`facerec aws bake`) nothing runs yet. May be
    interrupted and run again at any time.
    """
    with friendly_errors(ClientError):
        deployment = Deployment(get_settings(), _say)
        plan = deployment.plan(DeployOptions(**wishes))  # type: ignore[arg-type]
        _show(deployment, plan)
        if plan.change_set and not (yes or click.confirm("Do this?", err=True)):
            deployment.withdraw(plan)
            raise click.Abort
        delay = 0 if no_wait else VERSIONING_DELAY
        done = deployment.apply(plan, versioning_delay=delay)
        if baking and done.image is None:
            _bake(get_settings())
            plan = deployment.plan(DeployOptions())
            _show(deployment, plan)
            done = deployment.apply(plan, versioning_delay=delay)
    if as_json:
        click.echo(json.dumps(asdict(done)))
    else:
        _tell(done)


def _bake(settings: Settings) -> None:
    end_on_signals()
    try:
        Bake(settings, BakeOptions(instance_type=settings.instance_type), tell=_say).run()
    except ShutdownRequested:  # the machine has been told to end
        raise click.ClickException("interrupted; the same command goes on") from None


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
@click.option("--json", "as_json", is_flag=True, help="As one JSON array.")
def doctor(as_json: bool) -> None:
    """Look at every resource, attribute and permission; say what is wrong and what to do about it.

    Ends with 1 when something is at fault. Advice alone is no fault.
    """
    with friendly_errors(ClientError):
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
@click.option("--with-photos", is_flag=True, help="Also although photos are stored.")
@click.option("--confirm", metavar="ID", help="The FACEREC_ID, instead of typing it when asked.")
def destroy(with_photos: bool, confirm: str | None) -> None:
    """Remove the system and all it has made, for ever: machines, images, queues, buckets.

    Refuses while photos are stored, unless told. May be interrupted and run again.
    """
    with friendly_errors(ClientError):
        settings = get_settings()
        removal = Destroyer(settings, _say)
        found = removal.look()
        if found.empty:
            click.echo(f"nothing of {settings.id} is {_where(settings)}")
            return
        _say(f"this removes for ever, {_where(settings)}:")
        for line in found.lines():
            _say(f"  {line}")
        if found.photos and not with_photos:
            raise photos_remain(found.photos)
        typed = confirm or click.prompt(f"type {settings.id} to go on", default="", err=True)
        if typed != settings.id:
            raise click.ClickException("nothing was removed")
        removal.remove(with_photos=with_photos)
        left = removal.look()
    if not left.empty:
        raise click.ClickException(f"left: {'; '.join(left.lines())}. Run this again in a minute")
    click.echo(f"nothing of {settings.id} is left")


aws.add_command(bake)
