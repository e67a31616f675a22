"""Writes an ONNX network node by node. Only conversion uses this; the worker has no ``onnx``.

Format: https://onnx.ai/onnx/operators/, opset 17.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
"""Oldest that carries opset 17: every ONNX Runtime since 1.16 reads it."""

Shape = Sequence[int | str]


class Graph:
    """A network under construction. Methods append a node and return its output's name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Shape) -> str:
        """A float32 input; a text in ``shape`` is a free dimension."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Shape) -> Self:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
        return self

    def weight(self, values: NDArray[Any]) -> str:
        """A constant, float32 unless it is of integers."""
        kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def convolve(
        self,
        x: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        stride: int | tuple[int, int] = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> str:
        """``weight``: out x in x height x width. ``padding``: rows, columns, on either side."""
        return self.node(
            "Conv",
            [x, self.weight(weight), self.weight(bias)],
            kernel_shape=list(weight.shape[2:]),
            strides=list(stride) if isinstance(stride, tuple) else [stride, stride],
            pads=[*padding, *padding],
        )

    def along_rows(
        self,
        x: str,
        taps: NDArray[np.float32],
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> str:
        """Every channel for itself: the sum of neighbors in its row, weighted by its ``taps``.

        ``taps``: channels x width. ``padding``: columns of zeros to the left and to the right.
        """
        channels, width = taps.shape
        return self.node(
            "Conv",
            [x, self.weight(taps[:, None, None, :])],
            kernel_shape=[1, width],
            strides=[1, stride],
            pads=[0, padding[0], 0, padding[1]],
            group=channels,
        )

    def dense(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """``weight``: out x in, as torch keeps it."""
        return self.node("Gemm", [x, self.weight(weight), self.weight(bias)], transB=1)

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def max_pool(self, x: str, size: int, stride: int, *, ceil: bool = False) -> str:
        return self.node(
            "MaxPool", [x], kernel_shape=[size, size], strides=[stride, stride], ceil_mode=int(ceil)
        )

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The finished network, checked."""
        graph = helper.make_graph(
            self._nodes, "facerec", self._inputs, self._outputs, self._weights
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model
