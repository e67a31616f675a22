"""The embedded AWS's S3 on disk: what was answered survives a restart, and a crash.

Each version of each object is a file, written before its request is answered: a line of JSON, then
the content, which is read from there, so that memory does not grow with the photos. There is no
fsync: a process may be killed at any moment, a machine that loses its power may lose seconds.

Only what is worth keeping is written: photos, names, answers, and who is enrolled. The controller's
lease and marks of requests in flight belong to one run.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.s3.utils import _VersionedKeyStore

from facerec_tasks.storage import layout

log = logging.getLogger(__name__)

KEPT_STATE = (layout.RESULTS, layout.HISTORY, layout.VIDEO, layout.VIDEO_RECORDS, layout.GALLERY)
"""Prefixes of the state bucket that are kept; of other buckets all is."""
_STATE = re.compile(r".*-state-bucket")

_touched = threading.local()


class ObjectFiles:
    """The files of all buckets. Its methods are called while one request is written at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buckets: dict[int, str] = {}
        self._files: dict[tuple[str, str], dict[str, Path]] = {}
        self._number = 0

    def install(self) -> None:
        """Puts itself behind moto's S3, before its server starts."""
        for name in ("__setitem__", "pop"):
            setattr(_VersionedKeyStore, name, _noting(getattr(_VersionedKeyStore, name)))
        create = S3Backend.create_bucket

        def create_bucket(backend: S3Backend, *args: Any, **kwargs: Any) -> FakeBucket:
            bucket = create(backend, *args, **kwargs)
            self._buckets[id(bucket.keys)] = bucket.name
            self._restore(bucket)
            return bucket

        S3Backend.create_bucket = create_bucket

    def save(self) -> None:
        """Writes down what the request at hand has changed."""
        touched, _touched.names = getattr(_touched, "names", {}), {}
        for (store, name), keys in touched.items():
            bucket = self._buckets.get(store)
            if bucket and (not _STATE.fullmatch(bucket) or name.startswith(KEPT_STATE)):
                self._sync(bucket, name, keys.getlist(name, []))

    def _sync(self, bucket: str, name: str, versions: list[Any]) -> None:
        known = self._files.setdefault((bucket, name), {})
        current = {str(version.version_id) for version in versions}
        for gone in known.keys() - current:
            known.pop(gone).unlink(missing_ok=True)
        for version in versions:
            if str(version.version_id) not in known:
                known[str(version.version_id)] = self._write(bucket, name, version)
        if not known:
            self._files.pop((bucket, name))

    def _write(self, bucket: str, name: str, version: Any) -> Path:
        self._number += 1
        digest = sha256(name.encode()).hexdigest()
        path = self._folder / bucket / digest[:2] / f"{self._number:012d}-{digest[2:18]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "name": name,
            "version": str(version.version_id),
            "modified": version.last_modified.isoformat(),
        }
        data = None
        if isinstance(version, FakeKey):
            data = version.value
            header |= {"etag": version.etag.strip('"'), "metadata": dict(version.metadata)}
        line = json.dumps(header).encode() + b"\n"
        partial = path.with_name(f".{path.name}")
        partial.write_bytes(line + (data or b""))
        partial.rename(path)
        if data is not None:
            version._value_buffer.close()
            version._value_buffer = _FileBuffer(path, len(line))
        return path

    def _restore(self, bucket: FakeBucket) -> None:
        for path in self._paths(bucket.name):
            self._number = max(self._number, int(path.name.split("-")[0]))
            with path.open("rb") as file:
                line = file.readline()
            try:
                header = json.loads(line)
                version = _version(bucket, header, path, len(line))
            except (ValueError, KeyError) as error:
                log.warning("%s is no object of ours: %r", path, error)
                continue
            name = header["name"]
            bucket.keys.setlist(name, [*bucket.keys.getlist(name, []), version])
            self._files.setdefault((bucket.name, name), {})[header["version"]] = path

    def _paths(self, bucket: str) -> Iterator[Path]:
        """In the order they were written; what a killed process left half written goes."""
        found = []
        for folder, _, names in os.walk(self._folder / bucket):
            for name in names:
                if name.startswith("."):
                    (Path(folder) / name).unlink(missing_ok=True)
                else:
                    found.append((name, Path(folder) / name))
        return iter(path for _, path in sorted(found))


def note(store: Any, name: str) -> None:
    """The versions of a name change in this request."""
    if not hasattr(_touched, "names"):
        _touched.names = {}
    _touched.names[id(store), name] = store


def _noting(change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(store: Any, name: str, *args: Any) -> Any:
        note(store, name)
        return change(store, name, *args)

    return changed


def _version(bucket: FakeBucket, header: dict[str, Any], path: Path, begin: int) -> Any:
    made = FakeKey(
        name=header["name"],
        value=b"",
        account_id=bucket.account_id,
        region_name=bucket.region_name,
        bucket_name=bucket.name,
        is_versioned=True,
        version_id=header["version"],
        etag=header.get("etag"),
    )
    if "etag" in header:
        made.set_metadata(header["metadata"])
        made._value_buffer.close()
        made._value_buffer = _FileBuffer(path, begin)
        made.contentsize = path.stat().st_size - begin
    else:
        made = FakeDeleteMarker(made)
        made._version_id = header["version"]
    made.last_modified = datetime.fromisoformat(header["modified"])
    return made


class _FileBuffer:
    """The content of a stored object: what moto asks of its buffers, and no open file."""

    def __init__(self, path: Path, begin: int) -> None:
        self._path, self._begin, self._at = path, begin, 0

    def seek(self, position: int) -> None:
        self._at = position

    def read(self, size: int = -1) -> bytes:
        with self._path.open("rb") as file:
            file.seek(self._begin + self._at)
            data = file.read(size)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Nothing is open."""
