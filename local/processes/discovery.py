"""Whether ``facerec up`` runs in a state directory, and how its embedded AWS is reached.

The lock that keeps a second one out also tells the other commands where the first one is: who can
take it knows that nothing runs, whatever the file says.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import get_settings

_LOCK = "up.lock"
_TOLD = ("AWS_ENDPOINT_URL", "AWS_REGION", "PORT", "FACEREC_PORT", "FACEREC_ID")
"""What a command must know of the running system to speak to it."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the state directory for this process, also against one that starts at this moment."""
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a+")
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {folder.absolute()} ({error.strerror}): "
            "set FACEREC_STATE_DIR to a folder of yours"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"facerec up runs already in {folder.absolute()}") from None
        lock.truncate(0)
        yield


def advertise(folder: Path) -> None:
    """Writes down how this process's AWS is reached; called by who holds the directory."""
    known = {name: os.environ[name] for name in _TOLD if name in os.environ}
    (folder / _LOCK).write_text(json.dumps(known))


def find(folder: Path) -> dict[str, str] | None:
    """The environment of the system that runs in that directory, or none."""
    try:
        with (folder / _LOCK).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(lock.read())
    except OSError:
        pass  # never ran here, or not ours to read
    return None


def _read(text: str) -> dict[str, str] | None:
    try:
        known = json.loads(text)
    except ValueError:  # it is just starting
        return None
    return known if isinstance(known, dict) else None


def discover() -> str | None:
    """Points this process at the system that runs here, unless the environment names an endpoint.

    Returns its endpoint URL, or none when there is nothing to point at.
    """
    if os.environ.get("AWS_ENDPOINT_URL"):
        return None
    known = find(get_settings().state_dir)
    if not known:
        return None
    from celery_sqs.testing import isolated  # only now: most commands need none of it

    environment = isolated(os.environ, known["AWS_ENDPOINT_URL"], known["AWS_REGION"]) | known
    os.environ.clear()
    os.environ.update(environment)
    get_settings.cache_clear()
    return known["AWS_ENDPOINT_URL"]
