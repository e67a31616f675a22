"""``python -m benchmarks.gallery``: how long a search takes, on one thread.

Random embeddings, one photo a person: the search reads every row, whatever is in it.
"""

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})  # before numpy is loaded

import json
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.random_gallery import embeddings, random_gallery
from facerec_tasks.recognition.embedding.description import BUILT_IN
from facerec_tasks.recognition.gallery.gallery import Gallery

SEARCHES = 50


@click.command()
@click.option("--people", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--engine", "engines", type=click.Choice(list(BUILT_IN)), multiple=True)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(people: int, engines: tuple[str, ...], as_json: bool) -> None:
    """How long it takes to open a gallery's file and to search it for one face."""
    figures: dict[str, float] = {}
    for engine in engines or BUILT_IN:
        dimension = BUILT_IN[engine].dimension
        for name, seconds in _measured(engine, dimension, people).items():
            figures[f"{name}_{dimension}d_ms"] = round(1000 * seconds, 2)
    for name, milliseconds in figures.items():
        click.echo(f"{name:24} {milliseconds:8.2f}")
    if as_json:
        click.echo(json.dumps({"people": people, "searches": SEARCHES, "figures": figures}))


def _measured(engine: str, dimension: int, people: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery"
        gallery = random_gallery(engine, np.arange(people, dtype=np.int32))
        path.write_bytes(gallery.to_bytes())
        begin = time.perf_counter()
        gallery = Gallery.open(path)
        opened = time.perf_counter() - begin
        searches, work = [], []
        for face in embeddings(1, SEARCHES, dimension):
            begin, begin_work = time.perf_counter(), time.thread_time()
            gallery.search(face[np.newaxis])
            work.append(time.thread_time() - begin_work)
            searches.append(time.perf_counter() - begin)
    return {
        "open": opened,
        "search_min": min(searches),
        "search_median": statistics.median(searches),
        "search_cpu_min": min(work),  # without the waiting of a busy machine
    }


if __name__ == "__main__":
    main()
