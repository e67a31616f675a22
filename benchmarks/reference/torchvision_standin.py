"""The two functions of torchvision that facenet-pytorch calls, so that torch alone suffices.

torchvision's wheel must match torch's build to the letter, and often does not. Non-maximum
suppression follows torchvision's ``csrc/ops/cpu/nms_kernel.cpp``; it is slower in Python than
there, so the seconds spent in it are counted and the benchmark does not charge the original with
them.
"""

import sys
import time
from types import ModuleType
from typing import Any

import numpy as np
import torch

seconds = 0.0
"""Spent in :func:`batched_nms` so far."""


def install() -> None:
    """Makes ``import torchvision`` find these functions."""
    names = ("torchvision", "torchvision.transforms", "torchvision.ops", "torchvision.ops.boxes")
    modules: dict[str, Any] = {name: ModuleType(name) for name in names}
    modules["torchvision.transforms"].functional = ModuleType("functional")
    modules["torchvision.transforms"].functional.to_tensor = to_tensor
    modules["torchvision.ops.boxes"].batched_nms = batched_nms
    sys.modules.update(modules)


def to_tensor(picture: np.ndarray) -> torch.Tensor:
    """height x width x channels to channels x height x width; floats keep their values."""
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous()


def batched_nms(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, limit: float
) -> torch.Tensor:
    """Indices kept, best first. One picture at a time here, so there is one group."""
    global seconds
    started = time.process_time()
    kept = _nms(boxes.numpy(), scores, limit)
    seconds += time.process_time() - started
    return kept


def _nms(boxes: np.ndarray, scores: torch.Tensor, limit: float) -> torch.Tensor:
    order = scores.sort(stable=True, descending=True)[1].numpy()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        common = np.prod(np.clip(high - low, 0, None), axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = common / (areas[best] + areas[rest] - common)
        order = rest[~(share > limit)]
    return torch.as_tensor(np.array(kept, dtype=np.int64))
