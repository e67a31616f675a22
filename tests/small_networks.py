"""Face-embedding networks small enough to be built in a test, of the kinds that people have."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

GRID = 8
"""A face is averaged over GRID x GRID fields, then projected at random."""


def projection(dimension: int) -> NDArray[np.float32]:
    """[3 * GRID * GRID, dimension]"""
    random = np.random.default_rng(dimension)
    found: NDArray[np.float32] = random.normal(0, 1, (3 * GRID * GRID, dimension)).astype(
        np.float32
    )
    return found


def embedding(x: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """What the network below computes of faces n x 3 x side x side."""
    step = x.shape[2] // GRID
    fields = x.reshape(len(x), 3, GRID, step, GRID, step).mean(axis=(3, 5))
    found: NDArray[np.float32] = fields.reshape(len(x), -1) @ projection(dimension)
    return found


def network(
    dimension: int = 32,
    side: int = 112,
    *,
    input_name: str = "input.1",
    batch: int | str = "n",
    shape: list[Any] | None = None,
    extra: list[Any] | None = None,
) -> onnx.ModelProto:
    """Averages and projects. ``extra``: nodes before it that replace its input ``start``."""
    weights = numpy_helper.from_array(projection(dimension), "weights")
    size = side // GRID
    nodes = [
        *(extra or [helper.make_node("Identity", [input_name], ["start"])]),
        helper.make_node(
            "AveragePool", ["start"], ["fields"], kernel_shape=[size] * 2, strides=[size] * 2
        ),
        helper.make_node("Flatten", ["fields"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["fc1"]),
    ]
    taken = shape or [batch, 3, side, side]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [batch, dimension])],
        [weights],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def write(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
