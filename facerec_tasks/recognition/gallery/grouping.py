"""Faces nobody knows, grouped by who they may be: Chinese whispers.

C. Biemann, "Chinese Whispers: an efficient graph clustering algorithm", TextGraphs 2006. Faces that
are near enough are neighbors; each face takes the group that most of its neighbors are in, weighed
by nearness, until nothing changes. The number of people need not be known, faces come to groups
that are there already, and one wrong link does not join two people. How it compares is measured by
``python -m benchmarks.grouping``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.metrics import Embeddings

NEIGHBORS = 0.95
"""Of the embedder's threshold: faces nearer than that are neighbors."""
SWEEPS = 20
MOST_FACES = 3000
"""Faces grouped together: their distances take 36 MB."""


def grouped(
    embeddings: Embeddings, labels: Sequence[int], embedder: EmbedderDescription
) -> NDArray[np.intp]:
    """A group for each face [n, dimension]; ``labels`` are those of before, -1 of a new face."""
    near = NEIGHBORS * embedder.threshold
    return chinese_whispers(1 - distances(embeddings) / near, labels)


def distances(embeddings: Embeddings) -> Embeddings:
    """[n, n] of the rows of [n, dimension]."""
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    squared = squares[:, np.newaxis] + squares - 2 * (embeddings @ embeddings.T)
    found: Embeddings = np.sqrt(np.maximum(squared, 0))
    return found


def chinese_whispers(weights: Embeddings, labels: Sequence[int]) -> NDArray[np.intp]:
    """Groups of the nodes of a graph; ``weights`` [n, n] of 0 and less are no edges."""
    found = np.array(labels, np.intp)
    new = np.flatnonzero(found < 0)
    found[new] = np.arange(len(new)) + found.max(initial=-1) + 1
    edges = [np.flatnonzero(row > 0) for row in weights]
    chance = np.random.default_rng(0)  # the same faces come to the same groups
    for _ in range(SWEEPS):
        before = found.copy()
        for node in chance.permutation(len(found)).tolist():
            others = edges[node][edges[node] != node]
            if len(others):
                votes = np.bincount(found[others], weights[node, others])
                if votes.max() > (votes[found[node]] if found[node] < len(votes) else 0):
                    found[node] = votes.argmax()
        if (found == before).all():
            break
    return found
