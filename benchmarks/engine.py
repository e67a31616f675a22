"""The engine against facenet-pytorch in torch: ``python -m benchmarks.engine [--json]``.

A file's bytes to the largest face's embedding, one thread, side by side and in alternation. What is
compared is processor time, which other processes on the machine disturb less, and the best of it.
Both see the same JPEG files, made of the sample portraits. ``resnet128`` averages with the mirror
image. FaceNet's weights are random, and the int8 network is made from the portraits alone: their
speed does not depend on it.
"""

import argparse
import hashlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import cold_start, portraits, prefork
from benchmarks.reference.client import ReferenceClient
from facerec_tasks.recognition.conversion import convert, quantization
from facerec_tasks.recognition.embedding import precision
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer

REFERENCE = "facenet-pytorch in torch"
ENGINES = ("resnet128", "facenet")
INT8 = "resnet128 int8"


@dataclass(frozen=True)
class EngineRow:
    """One contender on one size of picture, both portraits together, per photo."""

    contender: str
    picture: str
    best_ms: float
    median_ms: float


@dataclass(frozen=True)
class PictureSize:
    """A size of picture: how its files are made and how often it is measured."""

    name: str
    files: tuple[Path, ...]
    rounds: int


def files(work: Path) -> list[PictureSize]:
    """64 x 64, 250 x 250 and 12.6 megapixels, as JPEG."""
    sizes = []
    for side, rounds in ((64, 12), (250, 12)):
        paths = [_saved(portraits.head(who, side), work / f"{who}-{side}.jpg") for who in _WHO]
        sizes.append(PictureSize(f"{side} x {side}", tuple(paths), rounds))
    large = _saved(portraits.large(), work / "large.jpg")
    return [*sizes, PictureSize("12.6 megapixels", (large,), 4)]


_WHO = ("collins", "hopper")


def _saved(picture: portraits.Image.Image, path: Path) -> Path:
    picture.save(path, quality=92)
    return path


def compare(
    size: PictureSize, originals: ReferenceClient, engines: dict[str, Recognizer]
) -> list[EngineRow]:
    """Times of all contenders on one size, in alternation."""
    times: dict[tuple[str, Path], list[float]] = {}
    for _ in range(size.rounds):
        for path in size.files:
            once = originals("milliseconds_from_file", picture=str(path), rounds=1)
            times.setdefault((REFERENCE, path), []).extend(once)
            data = path.read_bytes()
            for name, engine in engines.items():
                look = partial(engine.detect_and_embed, data)
                times.setdefault((name, path), []).extend(_milliseconds(look) for _ in range(3))
    return [
        EngineRow(
            contender,
            size.name,
            statistics.mean(min(times[contender, path]) for path in size.files),
            statistics.mean(statistics.median(times[contender, path]) for path in size.files),
        )
        for contender in (REFERENCE, *engines)
    ]


def _milliseconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def figures(rows: list[EngineRow]) -> dict[str, float]:
    """Theirs divided by ours, of the best times."""
    best = {(row.contender, row.picture): row.best_ms for row in rows}

    def ratio(engine: str, picture: str) -> float:
        return round(best[REFERENCE, picture] / best[engine, picture], 2)

    return {
        "resnet128_vs_reference_64": ratio("resnet128", "64 x 64"),
        "resnet128_vs_reference_250": ratio("resnet128", "250 x 250"),
        "resnet128_int8_vs_reference_64": ratio(INT8, "64 x 64"),
        "resnet128_int8_vs_reference_250": ratio(INT8, "250 x 250"),
        "facenet_vs_reference_250": ratio("facenet", "250 x 250"),
        "large_photo_vs_reference": ratio("resnet128", "12.6 megapixels"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the engine's speed with the original's.")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder))
    _show(report)
    if wanted.json:
        print(json.dumps(report))


def measure(work: Path) -> dict[str, object]:
    """Everything, in a folder for files."""
    with ReferenceClient() as originals:
        weights = work / "facenet.pt"
        originals("save_weights", path=str(weights))
        for engine in ENGINES:
            convert.ensure(work, engine, weights, hashlib.sha256(weights.read_bytes()).hexdigest())
        galleries = {name: Gallery.empty(name) for name in ENGINES}
        galleries[INT8] = Gallery.empty("resnet128", precision=int8_network(work))
        engines = {name: Recognizer.load(work, empty) for name, empty in galleries.items()}
        sizes = files(work)
        rows = [row for size in sizes for row in compare(size, originals, engines)]
        reference_mb = originals("peak_mb")
    photo = sizes[1].files[0]
    forked = {
        name: prefork.measure(partial(engines[name].detect_and_embed, photo.read_bytes()))
        for name in ("resnet128", INT8)
    }
    starts = {name: _coldest(work, empty, photo) for name, empty in galleries.items()}
    return {
        "figures": figures(rows)
        | {
            "cold_start_s": round(starts["resnet128"].seconds, 3),
            "private_mb_per_child": round(forked["resnet128"].private_mb, 1),
        },
        "rows": [asdict(row) for row in rows],
        "prefork": {name: asdict(found) for name, found in forked.items()},
        "cold_starts": {name: asdict(start) for name, start in starts.items()},
        "reference_peak_mb": reference_mb,
        "models_mb": _megabytes(work),
    }


def int8_network(work: Path) -> str:
    """Makes an int8 network beside the one in fp32; returns the precision it is called by."""
    fp32 = Recognizer.load(work, Gallery.empty("resnet128"))
    heads = [portraits.head(who, side) for who in _WHO for side in range(100, 250, 25)]
    seen = [(head, fp32.detect_and_embed(_encoded(head)).detections[:1]) for head in heads]
    chips = [chip for head, faces in seen for chip in fp32.embedder.chips(head, faces)]
    network = quantization.quantized(work, np.array(chips))
    name = precision.of_network(network)
    (work / f"{precision.network_name('resnet128', name)}.onnx").write_bytes(network)
    return name


def _encoded(picture: portraits.Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _coldest(work: Path, empty: Gallery, photo: Path) -> cold_start.Start:
    """The best of seven starts."""
    starts = [cold_start.measure(work, empty.engine, empty.precision, photo) for _ in range(7)]
    return min(starts, key=lambda start: start.seconds)


def _megabytes(work: Path) -> dict[str, float]:
    return {path.name: round(path.stat().st_size / 1e6, 1) for path in sorted(work.glob("*.onnx"))}


def _show(report: dict[str, object]) -> None:
    rows = report["rows"]
    assert isinstance(rows, list)
    print(f"{'':28}{'picture':>18}{'best ms':>10}{'median ms':>11}")
    for row in rows:
        times = f"{row['best_ms']:>10.1f}{row['median_ms']:>11.1f}"
        print(f"{row['contender']:28}{row['picture']:>18}{times}")
    for name, value in report.items():
        if name != "rows":
            print(f"{name}: {json.dumps(value)}")


if __name__ == "__main__":
    main()
