"""``python -m benchmarks.people``: edits, searches and pages of a large collection.

Random embeddings, three faces a person. An edit is a decoded gallery, renamed or merged, calibrated
where its threshold moves, and encoded: what a worker does but for S3. A page is what the web tier
reads of a gallery that has changed, and of one that has not.
"""

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})  # before numpy is loaded

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from facerec_tasks.recognition.gallery import edits, header, mapped
from facerec_tasks.recognition.gallery.calibration import calibrated
from facerec_tasks.recognition.gallery.face_search import nearest_faces
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.gallery.identifiers import new_id
from facerec_tasks.recognition.gallery.records import FaceBox, FaceRecord, PersonRecord
from webapp.http.paging import page_of

REPEATS = 7


@click.command()
@click.option("--people", type=click.IntRange(10), default=10_000, show_default=True)
@click.option("--faces", type=click.IntRange(1), default=3, show_default=True, help="Of each.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(people: int, faces: int, as_json: bool) -> None:
    """Median milliseconds of edits, searches and pages: elapsed, and of the processor, which other
    work on the machine disturbs less."""
    figures = {}
    for name, seconds in _measured(people, faces).items():
        for kind, value in zip(("ms", "cpu_ms"), seconds, strict=True):
            figures[f"{name}_{kind}"] = round(1000 * value, 2)
            click.echo(f"{name + '_' + kind:24} {1000 * value:8.2f}")
    if as_json:
        click.echo(json.dumps({"people": people, "faces": people * faces, "figures": figures}))


def _measured(people: int, faces: int) -> dict[str, tuple[float, float]]:
    gallery = _made(people, faces)
    data = gallery.to_bytes()
    first, second = gallery.ids[0], gallery.ids[1]
    probe = np.random.default_rng(1).normal(0, 0.1, (1, gallery.dimension)).astype(np.float32)
    known = header.info(data).people
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy"
        path.write_bytes(mapped.to_bytes(gallery))
        copy = mapped.open_file(path)

        def edit(change: Callable[[Gallery], Gallery]) -> Callable[[], object]:
            return lambda: change(Gallery.from_bytes(data)).to_bytes()

        return {
            "rename": _median(edit(lambda g: g.renamed(first, "Other", unique=False))),
            "merge": _median(edit(lambda g: calibrated(edits.merged(g, first, second)))),
            "working_copy": _median(lambda: mapped.to_bytes(Gallery.from_bytes(data))),
            "search": _median(lambda: copy.search(probe)),
            "search_faces": _median(lambda: nearest_faces(copy, probe[0], 80)),
            "page_after_change": _median(lambda: _page(header.info(data).people)),
            "page": _median(lambda: _page(known)),
        }


def _page(people: Sequence[PersonRecord]) -> Sequence[PersonRecord]:
    return page_of(people, 100, None, key=lambda person: (person.name, person.id))[0]


def _made(people: int, faces: int) -> Gallery:
    chance = np.random.default_rng(0)
    rows = people * faces
    box = FaceBox(0.25, 0.25, 0.5, 0.5, 0.99)
    records = tuple(FaceRecord(new_id(), f"{number:032x}-00000000", box) for number in range(rows))
    return Gallery(
        engine="resnet128",
        names=tuple(f"Person {number}" for number in range(people)),
        ids=tuple(new_id() for _ in range(people)),
        person_index=np.repeat(np.arange(people, dtype=np.int32), faces),
        embeddings=chance.normal(0, 0.1, (rows, 128)).astype(np.float32),
        photos=tuple(record.photo for record in records),
        faces=records,
        threshold=0.5,
        margin=0.12,
        target_fpir=0.01,
    )


def _median(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds elapsed, and of the processor."""
    elapsed, used = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter(), time.process_time()
        work()
        elapsed.append(time.perf_counter() - begin[0])
        used.append(time.process_time() - begin[1])
    return statistics.median(elapsed), statistics.median(used)


if __name__ == "__main__":
    main()
