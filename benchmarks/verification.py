"""``python -m benchmarks.verification FOLDER``: are these two photos of one person?

LFW's protocol: ten folds, the threshold from the other nine.

G. B. Huang et al., "Labeled Faces in the Wild", University of Massachusetts, Amherst, 2007: the
"unrestricted, labeled outside data" setting, mean accuracy of the folds and its standard error.
"""

import itertools
import json
import math
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.identification.faces import look_at, people_in
from cli.friendly_errors import friendly_errors
from facerec_tasks.recognition.embedding.description import BUILT_IN
from facerec_tasks.recognition.embedding.precision import FP32
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder
from facerec_tasks.recognition.session import ModelMissing

FOLDS = 10

Fold = list["Pair"]


@dataclass(frozen=True)
class Pair:
    """Two photos, of one person or of two."""

    one: Path
    other: Path
    same: bool


@dataclass(frozen=True, eq=False)
class Verification:
    """The figures, and what they were computed from."""

    accuracy: float
    standard_error: float
    threshold: float
    """Mean of the thresholds of the folds."""
    distances: NDArray[np.float64]
    """Of all pairs; infinity where a photo has no face."""
    same: NDArray[np.bool_]


def read_pairs(file: Path, folder: Path) -> list[Fold]:
    """LFW's ``pairs.txt``: how many folds and pairs of each kind, then the pairs, fold after fold.

    Three columns are one person, four are two. Raises :class:`ValueError` for anything else.
    """
    header, *lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
    folds, each = (int(n) for n in header) if len(header) == 2 else (1, int(header[0]))
    pairs = [_pair(line, folder) for line in lines]
    if len(pairs) != folds * 2 * each:
        raise ValueError(f"{file}: {len(pairs)} pairs, its header says {folds * 2 * each}")
    return [pairs[start : start + 2 * each] for start in range(0, len(pairs), 2 * each)]


def make_pairs(people: Mapping[str, Sequence[Path]]) -> list[Fold]:
    """All pairs of one person, and as many of two; nobody is in two folds, as in LFW."""
    chance = random.Random(0)
    names = sorted(people)
    chance.shuffle(names)
    folds = []
    for fold in range(FOLDS):
        mine = names[fold::FOLDS]
        same = [
            Pair(one, other, True)
            for name in mine
            for one, other in itertools.combinations(people[name], 2)
        ]
        different = [
            Pair(one, other, False)
            for name, another in itertools.combinations(mine, 2)
            for one, other in itertools.product(people[name], people[another])
        ]
        each = min(len(same), len(different))
        folds.append(chance.sample(same, each) + chance.sample(different, each))
    return [fold for fold in folds if fold]


def verify(folds: Sequence[Fold], distances: Mapping[Pair, float]) -> Verification:
    """Raises :class:`ValueError` when there are fewer than two folds."""
    if len(folds) < 2:
        raise ValueError("two folds at least are needed: more people with several photos")
    gaps = [np.array([distances[pair] for pair in fold]) for fold in folds]
    same = [np.array([pair.same for pair in fold]) for fold in folds]
    accuracies, thresholds = [], []
    for held_out in range(len(folds)):
        others = [n for n in range(len(folds)) if n != held_out]
        threshold = best_threshold(
            np.concatenate([gaps[n] for n in others]), np.concatenate([same[n] for n in others])
        )
        thresholds.append(threshold)
        accuracies.append(float(((gaps[held_out] <= threshold) == same[held_out]).mean()))
    return Verification(
        accuracy=float(np.mean(accuracies)),
        standard_error=float(np.std(accuracies, ddof=1) / np.sqrt(len(folds))),
        threshold=float(np.mean(thresholds)),
        distances=np.concatenate(gaps),
        same=np.concatenate(same),
    )


def best_threshold(distances: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """The threshold with the most right decisions; between two distances, so that it is stable."""
    order = np.argsort(distances, kind="stable")
    ranked, truth = distances[order], same[order]
    # called the same: the first n of them
    right = np.concatenate([[0], np.cumsum(truth)]) + np.concatenate(
        [np.cumsum(~truth[::-1])[::-1], [0]]
    )
    finite = np.flatnonzero(np.isfinite(ranked))
    if not len(finite):
        return 0.0
    cut = int(right[: finite[-1] + 2].argmax())
    below = ranked[cut - 1] if cut else 0.0
    above = ranked[cut] if cut <= finite[-1] else ranked[finite[-1]]
    return float((below + above) / 2)


def _pair(columns: Sequence[str], folder: Path) -> Pair:
    match columns:
        case [name, one, other]:
            return Pair(_photo(folder, name, one), _photo(folder, name, other), True)
        case [name, one, another, other]:
            return Pair(_photo(folder, name, one), _photo(folder, another, other), False)
    raise ValueError(f"not a pair: {columns}")


def _photo(folder: Path, name: str, number: str) -> Path:
    return folder / name / f"{name}_{int(number):04d}.jpg"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--pairs", type=click.Path(exists=True, path_type=Path), help="LFW's pairs.txt.")
@click.option("--engine", type=click.Choice(sorted(BUILT_IN)), default="resnet128")
@click.option("--precision", default=FP32, show_default=True, help="Or int8-… of an int8 network.")
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(
    folder: Path,
    pairs: Path | None,
    engine: str,
    precision: str,
    models: Path,
    jobs: int,
    as_json: bool,
) -> None:
    """Verification of the central faces of FOLDER/NAME/*.jpg, on LFW's --pairs or on pairs made."""
    with friendly_errors(NotAFolder, ModelMissing, ValueError, OSError):
        folder = folder / "people" if (folder / "people").is_dir() else folder
        folds = read_pairs(pairs, folder) if pairs else make_pairs(people_in(folder))
        every = [pair for fold in folds for pair in fold]
        photos = [photo for pair in every for photo in (pair.one, pair.other)]
        faces = look_at(photos, models, engine, precision, jobs)
        found = verify(
            folds, {p: _distance(faces[p.one].central, faces[p.other].central) for p in every}
        )
    click.echo(
        f"{len(every)} pairs: {100 * found.accuracy:.2f} ± {100 * found.standard_error:.2f} % "
        f"(threshold {found.threshold:.3f})"
    )
    if as_json:
        figures = {
            "verification_accuracy": round(found.accuracy, 5),
            "verification_standard_error": round(found.standard_error, 5),
        }
        click.echo(json.dumps({"engine": engine, "pairs": len(every), "figures": figures}))


def _distance(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> float:
    return math.inf if one is None or other is None else float(np.linalg.norm(one - other))


if __name__ == "__main__":
    main()
