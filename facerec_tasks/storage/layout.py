"""Every object key and key prefix of the buckets, spelled once.

In-bucket: ``<file name>``. Out-bucket: ``<file name without extension>``. State bucket: all below.
A test refuses these prefixes as literals in any other module; the lifecycle rules and the IAM
policies of ``ami_build/stack/stack.yaml`` are compared with :data:`STATE_PREFIXES`.
"""

from datetime import datetime
from pathlib import PurePosixPath

RESULTS = "results/"
ATTEMPTS = "attempts/"
ACCEPTED = "accepted/"
IDEMPOTENCY = "idempotency/"
UPLOADS = "uploads/"
VIDEO = "video/"
VIDEO_RECORDS = "videos/"
GALLERY = "gallery/"
GALLERY_PHOTOS = "gallery/photos/"
GALLERY_NETWORKS = "gallery/networks/"
GALLERY_ENGINES = "gallery/engines/"
GALLERY_CURRENT = "gallery/current.gallery"
GALLERY_COLLECTIONS = "gallery/collections/"
"""A collection by name has a folder here, with ``current.gallery`` and ``photos/``."""
HISTORY = "history/"
UNKNOWN = "unknown/"
UNKNOWN_GROUPS = "unknown/groups.json"
KEYS = "keys/"
KEYS_CURRENT = "keys/current.json"
BAKE = "bake/"
CONTROLLER = "controller/"
DECISIONS = "decisions/"
"""Below :data:`CONTROLLER`."""
LEASE = "lease.json"
"""Below :data:`CONTROLLER`."""
LATEST_DECISION = "state.json"
"""Below :data:`CONTROLLER`."""
CONTROLLER_DECISIONS = CONTROLLER + DECISIONS
CONTROLLER_LEASE = CONTROLLER + LEASE

STATE_PREFIXES = (
    RESULTS, ATTEMPTS, ACCEPTED, IDEMPOTENCY, UPLOADS, VIDEO, VIDEO_RECORDS, HISTORY, UNKNOWN,
    GALLERY, KEYS, BAKE, CONTROLLER,
)  # fmt: skip
"""Every top-level prefix of the state bucket."""
RECORDS_BY_TASK = (RESULTS, ATTEMPTS, ACCEPTED)
"""Prefixes of records named ``<task id>`` or ``<task id>.json``."""
RECORDS_BY_FOLDER = (VIDEO,)
"""Prefixes of records named ``<task id>/<name>``."""
PHOTO_RECORDS = (*RECORDS_BY_TASK, *RECORDS_BY_FOLDER, IDEMPOTENCY, UPLOADS, HISTORY, UNKNOWN)
"""Prefixes of everything that is about photos and videos people sent."""


def name_key(photo_key: str) -> str:
    """Key in the out-bucket of the name found on a photo."""
    return PurePosixPath(photo_key).stem


def result(task_id: str) -> str:
    """The answer to one task."""
    return f"{RESULTS}{task_id}.json"


def task_id_of_result(key: str) -> str:
    """Inverse of :func:`result`."""
    return key.removeprefix(RESULTS).removesuffix(".json")


def history(hour: datetime) -> str:
    """What is known of the answers to the photos of an hour, which begins then (UTC)."""
    return f"{HISTORY}{hour:%Y-%m-%dT%H}.json"


def attempts(task_id: str) -> str:
    """The counted starts of one task."""
    return f"{ATTEMPTS}{task_id}.json"


def records_of(task_id: str) -> tuple[str, ...]:
    """Every key that may hold a record of one task, folders left out."""
    return tuple(f"{p}{task_id}{s}" for p in RECORDS_BY_TASK for s in ("", ".json"))


def accepted(task_id: str) -> str:
    """The mark of an accepted task; its content is the photo's key."""
    return f"{ACCEPTED}{task_id}"


def idempotency(digest: str) -> str:
    """The record of one ``Idempotency-Key``."""
    return f"{IDEMPOTENCY}{digest}.json"


def upload(upload_id: str, number: int | str) -> str:
    """One photo or list of a request to a worker."""
    return f"{UPLOADS}{upload_id}/{number}"


def video_folder(task_id: str) -> str:
    """Prefix of the checkpoint, the progress and the pictures of one video."""
    return f"{VIDEO}{task_id}/"


def video_record(name: str) -> str:
    """The answer to the video ``name`` of the Lambda functions; ``name`` is URL-quoted."""
    return f"{VIDEO_RECORDS}{name}.json"


def engine_network(name: str, sha256: str) -> str:
    """The network of an engine that was added."""
    return f"{GALLERY_ENGINES}{name}-{sha256[:16]}.onnx"


def engine_description(name: str) -> str:
    """What is known of it besides."""
    return f"{GALLERY_ENGINES}{name}.json"


def collection_folder(collection: str) -> str:
    """Prefix of everything of a collection by name."""
    return f"{GALLERY_COLLECTIONS}{collection}/"
