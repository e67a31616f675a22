"""The settings of one machine's services: ``python -m facerec_tasks.machine_settings FOLDER``.

The stack keeps them in the SSM parameter ``FACEREC_SETTINGS_PARAMETER`` as ``NAME=value`` words. A
timer runs this every minute: it writes one environment file a role, and only when that role's
settings have changed, which restarts that role's service (``facerec-restart@.path``). So a changed
setting reaches machines that run, without replacing them.
"""

import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pydantic
from botocore.exceptions import BotoCoreError, ClientError

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError, FacerecError
from facerec_tasks.logs import configure
from facerec_tasks.settings import Settings, faults, get_settings

log = logging.getLogger(__name__)

ROLES = ("worker", "web", "controller", "flower")
ROLES_OF = {
    f"FACEREC_{name}": roles
    for roles, names in {
        ("controller",): (
            "MAX_INSTANCES", "MIN_INSTANCES", "SCALING_PROFILE", "SLO", "FLEET_MODE", "SPOT",
            "BOOT", "BOOT_WORST", "WEB_URLS", "INSTANCE_TYPES", "SUBNETS",
            "MIN_INSTANCES_SCHEDULE", "METRICS_PORT",
        ),
        ("web",): ("MAX_WAITING", "RATE_LIMIT", "RATE_BURST", "MAX_FILES", "DRAIN_TIMEOUT"),
        ("web", "worker"): ("RETENTION_DAYS", "GROUP_UNKNOWN_FACES"),
        ("worker",): ("CONCURRENCY", "MAX_STARTS"),
    }.items()
    for name in names
}  # fmt: skip
"""Roles that read a setting; every role reads what is not here."""
OF_THE_MACHINE = frozenset(
    f"FACEREC_{name}"
    for name in ("ID", "HOST", "PORT", "ADMIN_HOST", "ADMIN_PORT", "MACHINE", "STATE_DIR",
                 "MODELS_DIR", "LAUNCH_TEMPLATE", "INSTANCE_TYPE", "INSTANCE_PROFILE",
                 "LAUNCH_USER_DATA", "LOG_GROUP", "SETTINGS_PARAMETER", "WEB_PEERS", "FLOWER_PORT",
                 "REGION", "ENDPOINT_URL", "LAMBDA_ENDPOINT_URL")
)  # fmt: skip
"""Written by the stack, the image or their units; a setting cannot change them."""
OF_ONE_MACHINE = "FACEREC_LOCAL_"
"""Settings of ``facerec up``."""
_WORD = re.compile(r"(FACEREC_[A-Z0-9_]+)=([A-Za-z0-9_.,:/@%+=-]*)")


def parse(text: str) -> dict[str, str]:
    """Settings by name; raises :class:`ConfigurationError` naming every fault."""
    words = text.split()
    found = {m[1]: m[2] for m in map(_WORD.fullmatch, words) if m}
    wrong = [f"{word!r} is not FACEREC_NAME=value" for word in words if not _WORD.fullmatch(word)]
    wrong += [f"{name} is no setting of a deployed system" for name in found if not settable(name)]
    wrong += _invalid(found)
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return found


def settable(name: str) -> bool:
    """Whether it is a setting that machines of a deployed system may be given."""
    known = name.removeprefix("FACEREC_").lower() in Settings.model_fields
    return known and name not in OF_THE_MACHINE and not name.startswith(OF_ONE_MACHINE)


def _invalid(found: Mapping[str, str]) -> list[str]:
    fields = {name.removeprefix("FACEREC_").lower(): value for name, value in found.items()}
    fields = {name: value for name, value in fields.items() if name in Settings.model_fields}
    try:
        Settings(**fields)  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        return faults(error)
    return []


def environment_of(role: str, found: Mapping[str, str]) -> str:
    """The environment file of a role."""
    chosen = {n: v for n, v in sorted(found.items()) if role in ROLES_OF.get(n, ROLES)}
    return "".join(f"{name}={value}\n" for name, value in chosen.items())


def write(folder: Path, found: Mapping[str, str]) -> list[str]:
    """Writes the files that change; returns their roles."""
    changed = []
    for role in ROLES:
        path, wanted = folder / role, environment_of(role, found)
        if not path.exists() or path.read_text() != wanted:
            write_atomically(path, wanted.encode())
            changed.append(role)
    return changed


def fetch(settings: Settings) -> str:
    """The parameter's text; raises :class:`FacerecError` and botocore's errors."""
    with translated():
        found = client(settings, "ssm").get_parameter(Name=settings.settings_parameter)
    return str(found["Parameter"].get("Value", ""))


def web_urls(settings: Settings) -> str:
    """Operators' ports of all web machines, comma-separated, for the controller to ask."""
    filters = [
        {"Name": "tag:Name", "Values": ["web-instance"]},
        {"Name": "tag:facerec:id", "Values": [settings.id]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    with translated():
        pages = client(settings, "ec2").get_paginator("describe_instances")
        addresses = sorted(
            instance["PrivateIpAddress"]
            for page in pages.paginate(Filters=filters)  # type: ignore[arg-type]
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        )
    return ",".join(f"http://{address}:{settings.admin_address[1]}" for address in addresses)


def main() -> None:
    configure("settings")
    settings = get_settings()
    if not settings.settings_parameter:
        return
    try:
        found = parse(fetch(settings))
        if settings.web_peers and "FACEREC_WEB_URLS" not in found:
            found["FACEREC_WEB_URLS"] = web_urls(settings)
        changed = write(Path(sys.argv[1]), found)
    except (FacerecError, ClientError, BotoCoreError) as error:
        sys.exit(f"the settings stay as they are: {error}")
    if changed:
        log.info("changed settings of %s", ", ".join(changed))


if __name__ == "__main__":
    main()
