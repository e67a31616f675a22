"""The people whom release 0.1 kept in ``kept/<id>`` of the state directory, taken over once."""

import shutil

from facerec_tasks.settings import Settings
from facerec_tasks.storage.state_bucket import StateBucket


def restore(settings: Settings) -> int:
    """Puts that copy into the state bucket and removes it; the number of objects.

    Raises :class:`~facerec_tasks.errors.AwsError`.
    """
    folder = settings.state_dir / "kept" / settings.id
    state = StateBucket(settings)
    whole = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    for path in whole:
        state.put(path.relative_to(folder).as_posix(), path.read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    return len(whole)
