"""The record of a video and its view, when several uploads of one name are answered at once."""

import random
from concurrent.futures import ThreadPoolExecutor

from facerec_tasks.settings import Settings
from facerec_tasks.video.timeline import PersonInVideo
from serverless.record import Record, Records
from serverless.uploads import VideoUpload

from .conftest import Buckets

UPLOADS = 12


def answer(number: int) -> Record:
    """Of the ``number``-th upload: a person of that name, or a refusal; names repeat."""
    upload = VideoUpload("clip.mp4", f"v{number}", f"{number:04X}", "2026-11-24T15:00:00.000Z")
    if number % 3 == 0:
        return Record(upload, "refused", code="empty", detail="The file is empty.")
    return Record(upload, "named", (PersonInVideo(f"P{number % 2}", True, 1.0, ((0.0, 1.0),), 2),))


def test_of_many_answers_at_once_the_newest_uploads_is_shown(
    settings: Settings, buckets: Buckets
) -> None:
    newest = answer(UPLOADS - 1)
    told = [answer(number) for number in range(UPLOADS)] * 2
    random.Random(9).shuffle(told)

    def one(record: Record) -> None:
        records = Records(settings)
        records.show(records.put(record))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, told))
    assert Records(settings).find("clip") == newest
    assert buckets.answers() == {"clip.txt": newest.text}
