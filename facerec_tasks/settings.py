"""Every setting in one checked object, read from the environment and an optional ``.env`` file.

``Settings()`` raises :class:`pydantic.ValidationError`, listing all faults at once. Names of
queues, buckets and machines derive from ``FACEREC_ID`` here and nowhere else.
"""

import json
import os
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MAX_REQUEST_BYTES = 1024
"""``MaximumMessageSize`` of the request queue, in bytes: body plus attributes. The contract's."""
LARGEST_PHOTO = 64 * 1024 * 1024
"""Bytes; :mod:`facerec_tasks.recognition.images.limits` decodes no larger one."""

RESERVED_BUCKET_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""

DEFAULT_REGION = "us-east-1"
"""Without AWS_REGION and without a region in the AWS profile."""

Seconds = Annotated[float, Field(gt=0)]
MAX_PORT = 65535
ADMIN_OFFSET = 1000
OTHER_VARIABLES = frozenset({"FACEREC_API_KEY", "FACEREC_LISTEN_FDS"})
"""``FACEREC_*`` that are no settings of this class."""
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
ScheduleWindow = Annotated[
    str, Field(pattern=rf"^(?:{_DAY}(?:-{_DAY})?[ _])?{_TIME}-{_TIME}=\d{{1,4}}$")
]


def sdk_region() -> str | None:
    """Region of the user's AWS profile, as the AWS SDK finds it; none when nothing names one.

    A profile that is not there shows when AWS is asked: on one machine it never is.
    """
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session  # slow, and only needed without AWS_REGION

    try:
        found: str | None = Session().get_config_variable("region")
    except ProfileNotFound:
        return None
    return found


class Settings(BaseSettings):
    """What this process was told. Environment ``FACEREC_<FIELD>`` unless a field names another."""

    model_config = SettingsConfigDict(
        env_prefix="FACEREC_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    # AWS
    id: str = Field("facerec", pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")
    """Begins every name; not with what S3 reserves: ``xn--``, ``sthree-``, ``amzn-s3-demo-``."""
    region: str = Field(
        default_factory=lambda: sdk_region() or DEFAULT_REGION,
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
    )
    endpoint_url: str | None = Field(None, validation_alias=AliasChoices("AWS_ENDPOINT_URL"))
    lambda_endpoint_url: str | None = Field(
        None, validation_alias=AliasChoices("AWS_ENDPOINT_URL_LAMBDA")
    )
    """Where Lambda is, when that is not where the rest of AWS is."""

    # Web tier
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535, validation_alias=AliasChoices("PORT", "FACEREC_PORT"))
    max_upload_bytes: int = Field(LARGEST_PHOTO, gt=0, le=LARGEST_PHOTO)
    """Bytes of one photo: a JPEG of 200 megapixels has 30 to 60 MB."""
    max_waiting: int = Field(1000, gt=0)
    """Requests that may wait for an answer in one web process; beyond it, 503."""
    answer_timeout: Seconds = 120.0
    """Seconds a request waits before it is told 504 and the task id."""
    drain_timeout: Seconds = 8.0
    """Seconds a stopping web process keeps answering those who wait."""
    max_files: int = Field(100, gt=0)
    """Photos in one request."""
    max_request_bytes: int = Field(128 * 1024 * 1024, gt=0)
    """Bytes of one request with all its photos."""
    max_video_upload_bytes: int = Field(256 * 1024 * 1024, gt=0, le=5 * 1024**3)
    """Bytes of one request with a video, which is kept on the web tier's disk while it is taken;
    5 GiB is what S3 takes in one piece."""
    access: Literal["auto", "open", "keys"] = "auto"
    """``keys``: every request that reads or changes data needs an API key. ``open``: none does.
    ``auto``: keys are needed as soon as one exists, the address is not loopback, or proxies are
    trusted."""
    open: bool = False
    """Deprecated in 0.2.0: ``FACEREC_ACCESS=open``."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks of reverse proxies, comma-separated: the client's address, the scheme, the host and
    the prefix are taken from their ``X-Forwarded-*`` headers."""
    public_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names clients use, comma-separated. Other names are refused; IP addresses, loopback
    names and this machine's name are always accepted. Empty: with keys, every name is accepted."""
    url_prefix: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """Path below which a proxy publishes the service, such as ``/face``."""
    admin_host: str = "127.0.0.1"
    admin_port: int = Field(0, ge=0, le=65535)
    """Port of ``/metrics``, ``/internal/in-flight`` and ``/status/events`` without a key; 0: 1000
    above ``PORT``. Never publish it."""
    max_connections: int = Field(16384, gt=0)
    max_connections_per_address: int = Field(2048, gt=0)
    """Of one client address; trusted proxies have no such limit."""
    spool_dir: Path | None = None
    """Where request bodies are kept while they arrive; default: the system's temporary folder."""
    spool_bytes: int = Field(1024**3, gt=0)
    """Bytes of all request bodies that are being received; beyond it, 503."""
    spool_bytes_per_client: int = Field(600 * 1024**2, gt=0)
    log_format: Literal["text", "json"] = "text"
    retention_days: int = Field(0, ge=0, le=36500)
    """Days until photos, answers and the history of them go; 0 keeps them. On AWS the buckets'
    lifecycle rules remove them (`facerec aws deploy --retention-days`), on one machine `facerec up`
    does."""
    rate_limit: float = Field(100.0, ge=0)
    """Requests a second of one API key, or of one address without; beyond loopback; 0: no limit."""
    rate_burst: int = Field(2000, gt=0)
    """Requests one may make at once before the rate counts."""

    # Worker
    concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1, gt=0)
    visibility_timeout: int = Field(30, ge=3, le=43200)
    poll_seconds: int = Field(20, ge=1, le=20)
    """Seconds of a long poll. A stopping worker awaits its open one, to hand back its catch."""
    max_backoff: int = Field(60, ge=2, le=900)
    """Longest pause of a task that failed because AWS did: 2, 4, 8 … seconds up to this."""
    task_time_limit: int = Field(60, gt=0)
    max_video_bytes: int = Field(5 * 1024**3, gt=0)
    """Bytes of one video that is looked at, also of those put into the bucket by others."""
    max_video_minutes: float = Field(240.0, gt=0)
    """Length of a video that is looked at."""
    video_slice: Seconds = 30.0
    """Seconds of one run over a video; then it goes to the end of the queue, behind the photos."""
    video_time_limit: int = Field(900, gt=0)
    """Seconds after which such a run, download included, is taken for stuck."""
    max_starts: int = Field(4, gt=0)
    """Starts of one task before it is dead-lettered as a poison message."""
    models_dir: Path = Path("models")
    min_face_score: float = Field(0.7, ge=0.7, lt=1)
    """Score below which the detector's find is no face; 0.99 leaves few false ones."""
    target_fpir: float = Field(0.01, gt=0, lt=1)
    """False positive identification rate (ISO/IEC 19795-1) of a gallery that is begun: at most this
    share of photos of people who are not enrolled is given a name. The gallery keeps it, so that
    all machines agree; of one that exists `facerec people calibrate --target-fpir` changes it."""
    group_unknown_faces: bool = True
    """Keep the numbers of faces nobody is known by with the answer, to group them into people; they
    go with the answer."""
    machine: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9_.-]{1,63}$")
    """Name of this machine in queue names and worker names."""
    state_dir: Path = Path(".local")
    """Where this machine keeps locks, logs and the gallery's working copy."""
    log_group: str = Field("", pattern=r"^[A-Za-z0-9_/.#-]{0,512}$")
    """CloudWatch log group that this machine's journal is shipped to; empty: it is not."""

    settings_parameter: str = Field("", pattern=r"^[A-Za-z0-9_/.-]{0,512}$")
    """SSM parameter with the settings of a deployed system; empty: the environment has them."""

    # Controller
    max_instances: int = Field(15, ge=0)
    min_instances: int = Field(0, ge=0)
    """Machines that run whether there is work or not."""
    min_instances_schedule: Annotated[tuple[ScheduleWindow, ...], NoDecode] = ()
    """The same at times, UTC, comma-separated: ``Mon-Fri_08:00-18:00=2,23:00-01:00=1``."""
    scaling_profile: Literal["slo", "one-per-backlog"] = "slo"
    """``course``, the second one's former name, is accepted."""
    web_urls: Annotated[tuple[str, ...], NoDecode] = ()
    """Admin addresses whose ``/internal/in-flight`` is summed, comma-separated; default: this
    machine's."""
    web_peers: bool = False
    """Take the web tiers from EC2: every running ``web-instance`` of this id."""
    slo: Seconds = 60.0
    """Latency objective of the ``slo`` profile, in seconds."""
    boot: Seconds = 36.6
    """Mean seconds from asking for a machine to its first poll, assumed until some were seen."""
    boot_worst: Seconds = 60.0
    """The longest such time, assumed until some were seen."""
    fleet_mode: Literal["stop", "terminate"] = "stop"
    """What scaling in does; stopped machines are started again before new ones are launched."""
    instance_type: str = "c7i.large"
    instance_types: Annotated[tuple[str, ...], NoDecode] = ()
    """Several, separated by commas, best first: when EC2 has no capacity for one, the next is
    launched. All must run the image: one architecture."""
    subnets: Annotated[tuple[str, ...], NoDecode] = ()
    """One of each zone, separated by commas; EC2 chooses where none is named."""
    instance_profile: str = ""
    launch_user_data: str = ""
    launch_template: str = ""
    """Name of a launch template; then type, profile and user data are the template's, and the image
    where none is named ``app-tier-ami``."""
    spot: bool = False
    """Ask for spot machines, which AWS may take away: in ``terminate`` mode only."""
    metrics_port: int = Field(0, ge=0, le=65535)
    """Port of the controller's Prometheus metrics on this machine; 0 for none."""

    flower_port: int = Field(5555, ge=1, le=65535)

    # One machine (`facerec up`)
    local_aws_port: int = Field(4566, ge=1, le=65535)
    local_pending: float = Field(2.0, ge=0)
    """Seconds an emulated instance stays ``pending`` before it runs."""
    local_stopping: float = Field(1.0, ge=0)
    local_concurrency: int = Field(1, gt=0)
    """Prefork children of each emulated instance."""

    @field_validator("scaling_profile", mode="before")
    @classmethod
    def _former_profile_name(cls, value: Any) -> Any:
        return "one-per-backlog" if value == "course" else value

    @field_validator("id")
    @classmethod
    def _id_makes_legal_bucket_names(cls, value: str) -> str:
        if value.startswith(RESERVED_BUCKET_PREFIXES):
            raise ValueError(
                f"S3 reserves names that begin with {', '.join(RESERVED_BUCKET_PREFIXES)}"
            )
        return value

    @model_validator(mode="after")
    def _relations(self) -> Self:
        faults = {
            "FACEREC_TASK_TIME_LIMIT must be below FACEREC_ANSWER_TIMEOUT": (
                self.task_time_limit >= self.answer_timeout
            ),
            "FACEREC_VIDEO_TIME_LIMIT must be above FACEREC_VIDEO_SLICE": (
                self.video_time_limit <= self.video_slice
            ),
            "FACEREC_MIN_INSTANCES must not be above FACEREC_MAX_INSTANCES": (
                self.min_instances > self.max_instances
            ),
            "FACEREC_SPOT needs FACEREC_FLEET_MODE=terminate": (
                self.spot and self.fleet_mode != "terminate"
            ),
        }
        if any(faults.values()):
            raise ValueError("; ".join(fault for fault, present in faults.items() if present))
        return self

    @field_validator(
        "trusted_proxies", "public_hosts", "web_urls", "instance_types", "subnets",
        "min_instances_schedule", mode="before",
    )  # fmt: skip
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        """``a, b`` and, as for other lists, a JSON list."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [part.strip() for part in value.split(",") if part.strip()]

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _not_everybody(cls, value: tuple[IPv4Network | IPv6Network, ...]) -> Any:
        if any(network.prefixlen == 0 for network in value):
            raise ValueError("a network of all addresses would let every client forge its address")
        return value

    @field_validator("endpoint_url", "lambda_endpoint_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        found = urlsplit(value) if value else None
        if found and (found.scheme not in ("http", "https") or not found.hostname):
            raise ValueError("must be an address such as http://127.0.0.1:4566")
        return value or None

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and port of the operators' routes."""
        above = self.port + ADMIN_OFFSET
        default = above if above <= MAX_PORT else self.port - ADMIN_OFFSET
        return self.admin_host, self.admin_port or default

    @property
    def largest_request(self) -> int:
        """Bytes of a request the web tier reads at all."""
        return max(self.max_request_bytes, self.max_video_upload_bytes)

    @property
    def in_bucket(self) -> str:
        return f"{self.id}-in-bucket"

    @property
    def out_bucket(self) -> str:
        return f"{self.id}-out-bucket"

    @property
    def state_bucket(self) -> str:
        return f"{self.id}-state-bucket"

    @property
    def video_bucket(self) -> str:
        """Videos for the Lambda functions; see docs/how-to/serverless.md."""
        return f"{self.id}-input"

    @property
    def frame_bucket(self) -> str:
        return f"{self.id}-stage-1"

    @property
    def video_name_bucket(self) -> str:
        return f"{self.id}-output"

    @property
    def request_queue(self) -> str:
        return f"{self.id}-req-queue"

    @property
    def dead_letter_queue(self) -> str:
        return f"{self.id}-req-dlq"

    @property
    def response_queue(self) -> str:
        """Queue of the first web process; a further one appends ``-<machine>-<slot>``."""
        return f"{self.id}-resp-queue"

    @property
    def in_flight_urls(self) -> tuple[str, ...]:
        host, port = self.admin_address
        host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - not bound here
        return self.web_urls or (
            f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        )


def variable(name: str) -> str:
    """The environment variable of a field, as an operator writes it."""
    alias = Settings.model_fields[name].validation_alias if name in Settings.model_fields else None
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias or f"FACEREC_{name.upper()}")


def faults(error: ValidationError) -> list[str]:
    """One line for each fault, with the variable's full name and the value that was given."""
    lines = []
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            lines.extend(message.split("; "))
            continue
        given = str(fault["loc"][0])
        name = variable(given) if given in Settings.model_fields else given
        lines.append(f"{name}: {message[0].lower()}{message[1:]} (it is {fault['input']!r})")
    return lines


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """One line for each ``FACEREC_*`` that no setting has, with the nearest name there is."""
    known = {variable(name) for name in Settings.model_fields} | OTHER_VARIABLES | {"FACEREC_PORT"}
    lines = []
    for name in sorted(environment):
        if name.startswith("FACEREC_") and name not in known:
            near = get_close_matches(name, known, n=1)
            lines.append(f"{name} is no setting" + (f": {near[0]}?" if near else ""))
    return lines


@cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
