"""Weights for FaceNet that anybody can make again: the real ones are a download."""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHAPES = Path(__file__).with_name("facenet_shapes.json")
"""Names and shapes of ``InceptionResnetV1``'s state dictionary, without its classifier."""


def state(seed: int = 20180402) -> dict[str, NDArray[np.float32]]:
    """Random weights by name, scaled so that signals neither die nor explode on their way."""
    random = np.random.Generator(np.random.PCG64(seed))
    shapes: dict[str, list[int]] = json.loads(SHAPES.read_text())
    return {name: _weight(random, name, shape) for name, shape in shapes.items()}


def _weight(random: np.random.Generator, name: str, shape: list[int]) -> NDArray[np.float32]:
    values = random.standard_normal(shape, np.float32)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.float32)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith(".weight")):
        return np.exp(values * np.float32(0.2))
    if len(shape) == 1:
        return values * np.float32(0.1)
    return values * np.float32(math.sqrt(2 / math.prod(shape[1:])))
