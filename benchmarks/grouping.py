"""``python -m benchmarks.grouping FOLDER``: how well unknown faces are grouped into people.

``FOLDER/people/NAME/*.jpg`` and ``FOLDER/strangers/*.jpg``, each stranger once. Pairs of photos of
one person that are in one group are right; precision, recall and their harmonic mean are over
pairs.
"""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from benchmarks.identification.faces import look_at
from facerec_tasks.recognition.embedding.description import RESNET128
from facerec_tasks.recognition.gallery.grouping import chinese_whispers, distances

Labels = NDArray[np.intp]
SHARES = (0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1)
"""Of the embedder's threshold."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--models", type=click.Path(path_type=Path), default=Path("models"))
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
def main(folder: Path, models: Path, as_json: bool) -> None:
    """Pairwise F-scores of four methods."""
    photos = sorted(folder.glob("people/*/*.jpg")) + sorted(folder.glob("strangers/*.jpg"))
    seen = look_at(photos, models, RESNET128.name, "fp32", jobs=1)
    found = [(photo, seen[photo].largest) for photo in photos]
    faces = [(photo, face) for photo, face in found if face is not None]
    of_person = folder / "people"
    truth = [p.parent.name if p.is_relative_to(of_person) else p.name for p, _ in faces]
    apart = distances(np.stack([face for _, face in faces]))
    figures = {}
    for name, method in METHODS.items():
        for share in SHARES:
            labels = method(apart.astype(np.float64), share * RESNET128.threshold)
            figures[f"{name} {share:.2f}"] = scores = pairwise(truth, labels.tolist())
            click.echo(f"{name:22} {share:.2f}  " + "  ".join(f"{s:.3f}" for s in scores))
    if as_json:
        click.echo(json.dumps({"faces": len(faces), "figures": figures}))


def pairwise(truth: list[str], labels: list[int]) -> tuple[float, float, float]:
    """Precision, recall and F-score over pairs of faces."""
    pairs = list(combinations(range(len(truth)), 2))
    same = [truth[one] == truth[other] for one, other in pairs]
    joined = [labels[one] == labels[other] for one, other in pairs]
    right = sum(a and b for a, b in zip(same, joined, strict=True))
    precision, recall = right / max(1, sum(joined)), right / max(1, sum(same))
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def _whispers(apart: NDArray[np.float64], near: float) -> Labels:
    return chinese_whispers((1 - apart / near).astype(np.float32), [-1] * len(apart))


def _components(apart: NDArray[np.float64], near: float) -> Labels:
    labels: Labels = connected_components(apart < near)[1]
    return labels


def _average_linkage(apart: NDArray[np.float64], near: float) -> Labels:
    condensed = squareform(apart * (1 - np.eye(len(apart))), checks=False)
    labels: Labels = fcluster(linkage(condensed, "average"), near, "distance")
    return labels


def _hdbscan(apart: NDArray[np.float64], near: float) -> Labels:
    """Of scikit-learn, which is no dependency: left out where it is not installed. It knows no
    threshold; faces farther apart than ``near`` are as far as can be."""
    from sklearn.cluster import HDBSCAN

    cut = np.where(apart < near, apart, 2.0) * (1 - np.eye(len(apart)))
    labels = HDBSCAN(min_cluster_size=2, min_samples=1, metric="precomputed").fit_predict(cut)
    alone = labels < 0
    labels[alone] = labels.max() + 1 + np.arange(alone.sum())
    return labels  # type: ignore[no-any-return]


METHODS: dict[str, Callable[[NDArray[np.float64], float], Labels]] = {
    "chinese whispers": _whispers,
    "connected components": _components,
    "average linkage": _average_linkage,
}
try:
    import sklearn  # noqa: F401
except ImportError:
    pass
else:
    METHODS["HDBSCAN"] = _hdbscan

if __name__ == "__main__":
    main()
