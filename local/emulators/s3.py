"""moto's S3, made safe for several writers at once and quick with many versions of one name.

moto 5.2.5 keeps an object's versions in a list that a PUT reads, extends and puts back without a
lock: of 1,000 photos of one name that came in the same moment 75 were lost. It also compares every
version with every other at each PUT. Conditions of a PUT are checked apart from the write, too.
Here one write happens at a time, and versions are compared by identity.

A bucket's policy is enforced without its conditions, so that "not without TLS" means "not at all":
statements with a condition are kept and not enforced. Nobody speaks TLS to an emulator.

Notifications of moto's lack what S3's have: the version, and the sequencer that orders them.
"""

import functools
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.s3 import notifications
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.s3.utils import _VersionedKeyStore

from local.emulators import s3_files

WRITES = ("put_object", "copy_object", "delete_object", "_bucket_response_delete_keys")

_one_at_a_time = threading.RLock()
_sequence = itertools.count(time.time_ns())


def _alone(write: Callable[..., Any], files: s3_files.ObjectFiles | None) -> Callable[..., Any]:
    @functools.wraps(write)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with _one_at_a_time:
            done = write(*args, **kwargs)
            if files:
                files.save()
            return done

    return locked


def _set_versions(store: _VersionedKeyStore, name: str, versions: list[Any]) -> None:
    """Replaces the versions of a name and disposes of those that are dropped."""
    s3_files.note(store, name)
    kept = {id(version) for version in versions}
    for version in store.getlist(name, []):
        if id(version) not in kept and hasattr(version, "dispose"):
            version.dispose()
    dict.__setitem__(store, name, versions)


def _permission(bucket: FakeBucket, action: str, resource: str) -> Any:
    from moto.iam.access_control import IAMPolicy, PermissionResult  # seldom needed, slow to load

    policy = json.loads(bucket.policy or "{}")
    told = [one for one in policy.get("Statement", ()) if "Condition" not in one]
    if not told:
        return PermissionResult.NEUTRAL
    enforced = json.dumps({**policy, "Statement": told})
    return IAMPolicy(enforced).is_action_permitted(action, resource)


def _with_version(told: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(told)
    def event(event_name: str, bucket: Any, key: Any, notification_id: str) -> Any:
        whole = told(event_name, bucket, key, notification_id)
        for record in whole["Records"]:
            record["s3"]["object"]["sequencer"] = f"{next(_sequence):018X}"
            if bucket.is_versioned:
                record["s3"]["object"]["versionId"] = key.version_id
        return whole

    return event


def install(folder: Path | None = None) -> None:
    """Puts these in the place of moto's own, before its server starts.

    With a ``folder`` objects are kept there, and are there again at the next start.
    """
    files = s3_files.ObjectFiles(folder) if folder else None
    if files:
        files.install()
    _VersionedKeyStore.setlist = _set_versions
    FakeBucket.get_permission = _permission
    notifications._get_s3_event = _with_version(notifications._get_s3_event)
    for name in WRITES:
        setattr(S3Response, name, _alone(getattr(S3Response, name), files))
