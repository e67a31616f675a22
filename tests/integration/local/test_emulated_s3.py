"""Writers at once on the embedded S3."""

from concurrent.futures import ThreadPoolExecutor

from facerec_tasks.errors import PreconditionFailed
from facerec_tasks.settings import Settings
from facerec_tasks.storage.buckets import Storage

WRITERS = 40


def test_no_version_of_a_name_written_at_once_is_lost(resources: Settings) -> None:
    storage = Storage(resources)
    photos = [bytes(100_000) + f"photo {n}".encode() for n in range(400)]
    with ThreadPoolExecutor(WRITERS) as pool:
        versions = list(pool.map(lambda p: storage.photos.put("a.jpg", p, "image/jpeg"), photos))
        assert list(pool.map(lambda v: storage.photos.get("a.jpg", v), versions)) == photos


def test_of_conditional_writers_at_once_one_wins(resources: Settings) -> None:
    storage = Storage(resources)

    def write(turn: int) -> bool:
        try:
            storage.state.put(f"race/{turn // WRITERS}", b"x", if_absent=True)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(10 * WRITERS))) == 10
