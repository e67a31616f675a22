"""The five networks, written from their weights. Only conversion uses this.

Layers follow facenet-pytorch 2.6 (``models/mtcnn.py``, ``models/inception_resnet_v1.py``) and
dlib's ``examples/dnn_face_recognition_ex.cpp``. Three things are rearranged, none changes a value
beyond rounding: scale-and-shift layers are folded into the convolution before them, MTCNN's two-way
softmax becomes the difference of its two logits (the sigmoid of it is the same probability) and its
heads are one layer, and the order in which MTCNN flattens maps is folded into the weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.checkpoint import CheckpointError, DlibLayer
from facerec_tasks.recognition.graph import Graph

Array = NDArray[np.float32]
State = Mapping[str, Array]


def pnet(state: State) -> Graph:
    """Input n x 3 x h x w; output ``y`` n x 5 x h' x w': face logit, four box corrections."""
    graph = Graph()
    x = graph.input("x", ["n", 3, "h", "w"])
    x = _prelu(graph, _conv(graph, x, state, "conv1"), state["prelu1.weight"])
    x = graph.max_pool(x, 2, 2, ceil=True)
    x = _prelu(graph, _conv(graph, x, state, "conv2"), state["prelu2.weight"])
    x = _prelu(graph, _conv(graph, x, state, "conv3"), state["prelu3.weight"])
    weight, bias = _heads(state, "conv4_1", ["conv4_2"])
    return graph.output(graph.convolve(x, weight, bias), "y", ["n", 5, "oh", "ow"])


def rnet(state: State) -> Graph:
    """Input n x 3 x 24 x 24; output ``y`` n x 5: face logit, four box corrections."""
    graph = Graph()
    x = graph.input("x", ["n", 3, 24, 24])
    for layer in (1, 2):
        x = _prelu(graph, _conv(graph, x, state, f"conv{layer}"), state[f"prelu{layer}.weight"])
        x = graph.max_pool(x, 3, 2, ceil=True)
    x = _prelu(graph, _conv(graph, x, state, "conv3"), state["prelu3.weight"])
    x = _flat_dense(graph, x, state, "dense4", (64, 3, 3))
    x = graph.node("PRelu", [x, graph.weight(state["prelu4.weight"])])
    weight, bias = _heads(state, "dense5_1", ["dense5_2"])
    return graph.output(graph.dense(x, weight, bias), "y", ["n", 5])


def onet(state: State) -> Graph:
    """Input n x 3 x 48 x 48; output ``y`` n x 15: face logit, four box corrections, 5 x, 5 y."""
    graph = Graph()
    x = graph.input("x", ["n", 3, 48, 48])
    for layer, pool in ((1, 3), (2, 3), (3, 2)):
        x = _prelu(graph, _conv(graph, x, state, f"conv{layer}"), state[f"prelu{layer}.weight"])
        x = graph.max_pool(x, pool, 2, ceil=True)
    x = _prelu(graph, _conv(graph, x, state, "conv4"), state["prelu4.weight"])
    x = _flat_dense(graph, x, state, "dense5", (128, 3, 3))
    x = graph.node("PRelu", [x, graph.weight(state["prelu5.weight"])])
    weight, bias = _heads(state, "dense6_1", ["dense6_2", "dense6_3"])
    return graph.output(graph.dense(x, weight, bias), "y", ["n", 15])


def _conv(graph: Graph, x: str, state: State, name: str) -> str:
    return graph.convolve(x, state[f"{name}.weight"], state[f"{name}.bias"])


def _prelu(graph: Graph, x: str, slope: Array) -> str:
    return graph.node("PRelu", [x, graph.weight(slope.reshape(-1, 1, 1))])


def _heads(state: State, classes: str, rest: Sequence[str]) -> tuple[Array, Array]:
    """One layer for all heads: logit of face minus logit of no face, then the others' outputs."""
    weight, bias = state[f"{classes}.weight"], state[f"{classes}.bias"]
    weights = [weight[1:] - weight[:1], *(state[f"{name}.weight"] for name in rest)]
    biases = [bias[1:] - bias[:1], *(state[f"{name}.bias"] for name in rest)]
    return np.concatenate(weights), np.concatenate(biases)


def _flat_dense(graph: Graph, x: str, state: State, name: str, maps: tuple[int, int, int]) -> str:
    """MTCNN flattens width, height, channel; ONNX channel, height, width."""
    channels, height, width = maps
    theirs = state[f"{name}.weight"].reshape(-1, width, height, channels)
    ours = theirs.transpose(0, 3, 2, 1).reshape(len(theirs), -1)
    return graph.dense(graph.node("Flatten", [x]), ours, state[f"{name}.bias"])


# --- dlib's ResNet ----------------------------------------------------------------------------

RESNET_CHIP = 150
RESNET_STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first block halves the picture."""

RESNET_MEAN = np.array([122.782, 117.001, 104.298], np.float64)
RESNET_SCALE = 256.0


class _Layers:
    """Hands out the layers of a dlib file in order."""

    def __init__(self, layers: Sequence[DlibLayer]) -> None:
        self._left = iter(layers)

    def take(self, kind: str, size: int) -> NDArray[np.float64]:
        layer = next(self._left, None)
        if layer is None or layer.kind != kind or layer.parameters.size != size:
            raise CheckpointError(
                f"expected {kind} of {size} numbers: not the face network of dlib"
            )
        return layer.parameters.astype(np.float64)

    def conv(self, inputs: int, outputs: int, size: int) -> tuple[NDArray[np.float64], ...]:
        """Weight and bias of a convolution with the scale-and-shift layer behind it folded in."""
        flat = self.take("con_4", outputs * (inputs * size * size + 1))
        weight, bias = flat[:-outputs].reshape(outputs, inputs, size, size), flat[-outputs:]
        gain, shift = self.take("affine_", 2 * outputs).reshape(2, outputs)
        return weight * gain[:, None, None, None], bias * gain + shift


def resnet128(layers: Sequence[DlibLayer]) -> Graph:
    """Input n x 3 x 150 x 150 RGB, 0 to 255; output ``y`` n x 128."""
    left = _Layers(layers)
    graph = Graph()
    x = graph.input("x", ["n", 3, RESNET_CHIP, RESNET_CHIP])
    weight, bias = left.conv(3, 32, 7)
    # The input's mean and scale go into the first convolution, which has no padding.
    bias = bias - np.einsum("oihw,i->o", weight, RESNET_MEAN / RESNET_SCALE)
    x = graph.relu(graph.convolve(x, _f4(weight / RESNET_SCALE), _f4(bias), stride=2))
    x = graph.max_pool(x, 3, 2)
    channels, side = 32, 35
    for width, blocks, halves in RESNET_STAGES:
        for block in range(blocks):
            down = halves and block == 0
            x = _residual(graph, left, x, (channels, width, side), down=down)
            channels, side = width, side // 2 if down else side
    x = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])
    matrix = _f4(left.take("fc_2", 256 * 128).reshape(256, 128))
    return graph.output(graph.node("MatMul", [x, graph.weight(matrix)]), "y", ["n", 128])


def _residual(
    graph: Graph, left: _Layers, x: str, shape: tuple[int, int, int], *, down: bool
) -> str:
    """dlib's block: two convolutions plus the input, which is halved and zero-filled to fit."""
    inputs, outputs, side = shape
    first, second = left.conv(inputs, outputs, 3), left.conv(outputs, outputs, 3)
    stride, padding = (2, (0, 0)) if down else (1, (1, 1))
    y = graph.relu(graph.convolve(x, _f4(first[0]), _f4(first[1]), stride, padding))
    y = graph.convolve(y, _f4(second[0]), _f4(second[1]), 1, (1, 1))
    if down:
        x = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        x = _grow(graph, x, outputs - inputs, 0)
        y = _grow(graph, y, 0, side // 2 - ((side - 3) // 2 + 1))
    return graph.relu(graph.node("Add", [x, y]))


def _grow(graph: Graph, x: str, channels: int, rows: int) -> str:
    """Zeros appended: whole maps at the end, rows below, columns to the right."""
    if not channels and not rows:
        return x
    pads = np.array([0, 0, 0, 0, 0, channels, rows, rows], np.int64)
    return graph.node("Pad", [x, graph.weight(pads)])


def _f4(values: NDArray[np.float64]) -> Array:
    return values.astype(np.float32)


# --- FaceNet ----------------------------------------------------------------------------------

BATCH_NORM_EPSILON = 1e-3


class _FaceNet:
    """Builds InceptionResnetV1 layer by layer, with its batch normalisations folded in."""

    def __init__(self, state: State) -> None:
        self.graph = Graph()
        self._state = state

    def conv(self, x: str, name: str, stride: int = 1) -> str:
        """A ``BasicConv2d``: convolution, normalisation, rectifier.

        Those of stride 1 keep the size of the maps, but for :data:`UNPADDED`.
        """
        weight = self._state[f"{name}.conv.weight"].astype(np.float64)
        gain, shift = self.normalisation(f"{name}.bn")
        rows, columns = weight.shape[2] // 2, weight.shape[3] // 2
        bare = stride != 1 or name in UNPADDED
        return self.graph.relu(
            self.graph.convolve(
                x,
                _f4(weight * gain[:, None, None, None]),
                _f4(shift),
                stride,
                (0, 0) if bare else (rows, columns),
            )
        )

    def chain(self, x: str, name: str, count: int, last_stride: int = 1) -> str:
        for index in range(count):
            x = self.conv(x, f"{name}.{index}", last_stride if index == count - 1 else 1)
        return x

    def residual(self, x: str, name: str, branches: Sequence[int], scale: float) -> str:
        """Branch 0 is one convolution, the others chains; joined, projected, scaled and added."""
        ends = [self.conv(x, f"{name}.branch0")]
        ends += [self.chain(x, f"{name}.branch{i + 1}", n) for i, n in enumerate(branches)]
        weight = self._state[f"{name}.conv2d.weight"] * np.float32(scale)
        bias = self._state[f"{name}.conv2d.bias"] * np.float32(scale)
        y = self.graph.convolve(self.graph.node("Concat", ends, axis=1), weight, bias)
        return self.graph.node("Add", [y, x])

    def normalisation(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight, bias, mean, variance = (
            self._state[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = weight / np.sqrt(variance + BATCH_NORM_EPSILON)
        return gain, bias - mean * gain


UNPADDED = frozenset({"conv2d_2a", "conv2d_4a"})
"""3 x 3 convolutions of stride 1 that the original does not pad."""


def facenet(state: State) -> Graph:
    """Input n x 3 x h x w, ``(pixel - 127.5) / 128``; output ``y`` n x 512 of length 1."""
    net = _FaceNet(state)
    graph = net.graph
    x = graph.input("x", ["n", 3, "h", "w"])
    x = net.conv(x, "conv2d_1a", 2)
    x = net.conv(net.conv(x, "conv2d_2a"), "conv2d_2b")
    x = net.conv(graph.max_pool(x, 3, 2), "conv2d_3b")
    x = net.conv(net.conv(x, "conv2d_4a"), "conv2d_4b", 2)
    for block in range(5):
        x = graph.relu(net.residual(x, f"repeat_1.{block}", (2, 3), 0.17))
    ends = [net.conv(x, "mixed_6a.branch0", 2), net.chain(x, "mixed_6a.branch1", 3, 2)]
    x = graph.node("Concat", [*ends, graph.max_pool(x, 3, 2)], axis=1)
    for block in range(10):
        x = graph.relu(net.residual(x, f"repeat_2.{block}", (3,), 0.10))
    ends = [net.chain(x, f"mixed_7a.branch{i}", n, 2) for i, n in enumerate((2, 2, 3))]
    x = graph.node("Concat", [*ends, graph.max_pool(x, 3, 2)], axis=1)
    for block in range(5):
        x = graph.relu(net.residual(x, f"repeat_3.{block}", (3,), 0.20))
    x = net.residual(x, "block8", (3,), 1.0)
    return _facenet_head(net, graph.node("GlobalAveragePool", [x]), state)


def _facenet_head(net: _FaceNet, x: str, state: State) -> Graph:
    gain, shift = net.normalisation("last_bn")
    weight = state["last_linear.weight"].astype(np.float64) * gain[:, None]
    x = net.graph.dense(net.graph.node("Flatten", [x]), _f4(weight), _f4(shift))
    x = net.graph.node("LpNormalization", [x], axis=1, p=2)
    return net.graph.output(x, "y", ["n", 512])
