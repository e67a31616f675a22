"""Settings of the machines, by options of ``facerec aws deploy`` and by its ``--set``."""

from collections.abc import Iterable, Mapping

from facerec_tasks import machine_settings
from facerec_tasks.errors import ConfigurationError

PARAMETER_OF = {
    "FACEREC_MAX_INSTANCES": "MaxInstances",
    "FACEREC_SCALING_PROFILE": "ScalingProfile",
    "FACEREC_VISIBILITY_TIMEOUT": "VisibilityTimeout",
    "FACEREC_INSTANCE_TYPES": "WorkerInstanceType",
    "FACEREC_SUBNETS": "Subnets",
    "FACEREC_RETENTION_DAYS": "RetentionDays",
}
"""Parameter of the template by setting. ``--set`` would hide it from then on, and what else depends
on the parameter (a lifecycle, the queue's own timeout) would not follow."""


def merged(present: str, changes: Iterable[str]) -> str:
    """The settings after ``changes``, ``NAME=VALUE`` words; an empty value takes one back.

    Raises :class:`ConfigurationError` for a setting that has an option of its own.
    """
    found = dict(word.split("=", 1) for word in present.split())
    for word in changes:
        name, _, value = word.partition("=")
        if value and name in PARAMETER_OF:
            raise ConfigurationError(f"{name} has an option of its own: facerec aws deploy --help")
        found[name] = value
    return " ".join(f"{name}={value}" for name, value in sorted(found.items()) if value)


def check(parameters: Mapping[str, str]) -> None:
    """Raises :class:`ConfigurationError` where machines would refuse what these parameters of the
    template say together; names every fault."""
    given = {name: parameters[p] for name, p in PARAMETER_OF.items() if p in parameters}
    words = [f"{name}={value}" for name, value in given.items()]
    machine_settings.parse(" ".join([*words, parameters.get("Settings", "")]))
