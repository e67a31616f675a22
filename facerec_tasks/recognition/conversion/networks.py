"""The five networks, written from their weights. Only conversion uses this.

Layers follow facenet-pytorch 2.6 (``models/mtcnn.py``, ``models/inception_resnet_v1.py``) and
dlib's ``examples/dnn_face_recognition_ex.cpp``. Some are rearranged, which changes no value beyond
rounding:

- scale-and-shift layers are folded into the convolution before them;
- MTCNN's softmax over two classes becomes the difference of its two logits (the sigmoid of it is
  the same probability), its heads are one layer, and the order in which it flattens maps is folded
  into the weights;
- FaceNet's largest convolutions take fewer multiplications (:meth:`_FaceNet.pair`);
- MTCNN's PReLU, for which ONNX Runtime has no fast code, is written with rectifiers, for which it
  has: the networks run twice as fast (:class:`_Cascade`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facerec_tasks.recognition.conversion.dlib_weights import DlibLayer
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.conversion.graph import Graph

Array = NDArray[np.float32]
State = Mapping[str, Array]


def pnet(state: State) -> Graph:
    """Input n x 3 x h x w; output ``y`` n x 5 x h' x w': face logit, four box corrections."""
    net = _Cascade(state, ["n", 3, "h", "w"])
    net.entrance("1", pool=2)
    net.layer("2")
    net.layer("3")
    weight, bias = _heads(state, "conv4_1", ["conv4_2"])
    return net.graph.output(net.graph.convolve(net.x, weight, bias), "y", ["n", 5, "oh", "ow"])


def rnet(state: State) -> Graph:
    """Input n x 3 x 24 x 24; output ``y`` n x 5: face logit, four box corrections."""
    net = _Cascade(state, ["n", 3, 24, 24])
    net.layer("1", pool=3)
    net.layer("2", pool=3)
    net.layer("3")
    net.flat_dense("4", (64, 3, 3))
    weight, bias = _heads(state, "dense5_1", ["dense5_2"])
    return net.graph.output(net.graph.dense(net.x, weight, bias), "y", ["n", 5])


def onet(state: State) -> Graph:
    """Input n x 3 x 48 x 48; output ``y`` n x 15: face logit, four box corrections, 5 x, 5 y."""
    net = _Cascade(state, ["n", 3, 48, 48])
    net.layer("1", pool=3)
    net.layer("2", pool=3)
    net.layer("3", pool=2)
    net.layer("4")
    net.flat_dense("5", (128, 3, 3))
    weight, bias = _heads(state, "dense6_1", ["dense6_2", "dense6_3"])
    return net.graph.output(net.graph.dense(net.x, weight, bias), "y", ["n", 15])


BLOCK = 16
"""Channels ONNX Runtime keeps together on AVX-512; 8 on AVX2 divide it too."""


class _Cascade:
    """Builds one network of MTCNN layer by layer; ``x`` is the last layer's output.

    PReLU with slope a below zero is written, for a <= 1, as x + relu((a - 1) x). Maps are filled up
    with zeros to whole blocks of channels, else the rectifiers would leave the fast layout.
    """

    def __init__(self, state: State, shape: Sequence[int | str]) -> None:
        self.graph = Graph()
        self.x = self.graph.input("x", shape)
        self._state = state
        self._signs = np.ones(3, np.float32)
        """-1 for channels of ``x`` that hold the negative of the original's."""

    def entrance(self, layer: str, pool: int) -> None:
        """Convolution, PReLU and pooling, with the pooling first: on a quarter of the values.

        With p the maximum of x over a window and q the maximum of -x, the window's maximum of
        PReLU(x) is PReLU(p) for a >= 0, and max(p, -a q) = p + relu(-a q - p) for a < 0, where the
        convolution gives -x as further channels. For a > 1 what comes out is
        -PReLU(p) = -p + relu((1 - a) p), and the next layer's weights make up for the sign.
        """
        weight, bias, slope = self._weights(layer)
        falling = np.flatnonzero(slope < 0)
        weight = np.concatenate([weight, -weight[falling]])
        bias = np.concatenate([bias, -bias[falling]])
        x = self.graph.convolve(self.x, _filled(weight), _filled(bias))
        x = self.graph.max_pool(x, pool, 2, ceil=True)

        channels, inputs = len(slope), _blocks(len(weight))
        signs = np.where(slope > 1, -1, 1).astype(np.float32)
        straight = np.zeros((_blocks(channels), inputs, 1, 1), np.float32)
        bent = np.zeros_like(straight)
        each = np.arange(channels)
        straight[each, each, 0, 0] = signs
        bent[each, each, 0, 0] = np.where(slope < 0, -1, -np.abs(1 - slope))
        bent[falling, channels + np.arange(len(falling)), 0, 0] = -slope[falling]
        none = np.zeros(len(straight), np.float32)
        y = self.graph.relu(self.graph.convolve(x, bent, none))
        self.x = self.graph.node("Add", [self.graph.convolve(x, straight, none), y])
        self._signs = _filled(signs)

    def layer(self, layer: str, pool: int | None = None) -> None:
        """Convolution, PReLU and, if ``pool``, pooling.

        Slopes above 1 rise all the way, so they can wait until behind the pooling.
        """
        weight, bias, slope = self._weights(layer)
        steep = slope > 1
        if steep.any() and not pool:
            raise CheckpointError(f"prelu{layer} has a slope above 1: not the MTCNN we know")
        x = self.graph.convolve(self.x, _filled(weight), _filled(bias))
        x = self._bent(x, np.where(steep, 0, slope - 1))
        if pool:
            x = self.graph.max_pool(x, pool, 2, ceil=True)
        signs = np.where(steep, -1, 1).astype(np.float32)
        if steep.any():
            x = self._bent(x, np.where(steep, 1 - slope, 0), signs)
        self.x, self._signs = x, _filled(signs)

    def _bent(self, x: str, bend: Array, straight: Array | None = None) -> str:
        """``straight`` x + relu(``bend`` x), channel by channel; ``straight`` is 1 if not given."""
        y = self.graph.relu(self.graph.along_rows(x, _filled(bend)[:, None]))
        if straight is not None:
            x = self.graph.along_rows(x, _filled(straight)[:, None])
        return self.graph.node("Add", [x, y])

    def flat_dense(self, layer: str, maps: tuple[int, int, int]) -> None:
        """MTCNN flattens width, height, channel; ONNX channel, height, width."""
        channels, height, width = maps
        weight, bias = self._state[f"dense{layer}.weight"], self._state[f"dense{layer}.bias"]
        theirs = weight.reshape(-1, width, height, channels)
        ours = theirs.transpose(0, 3, 2, 1).reshape(len(theirs), -1)
        x = self.graph.dense(self.graph.node("Flatten", [self.x]), ours, bias)
        self.x = self.graph.node(
            "PRelu", [x, self.graph.weight(self._state[f"prelu{layer}.weight"])]
        )

    def _weights(self, layer: str) -> tuple[Array, Array, Array]:
        """Of convolution and PReLU; the convolution's inputs as ``x`` has them."""
        weight = self._state[f"conv{layer}.weight"]
        missing = len(self._signs) - weight.shape[1]
        weight = np.pad(weight, ((0, 0), (0, missing), (0, 0), (0, 0)))
        weight = weight * self._signs[:, None, None]
        return weight, self._state[f"conv{layer}.bias"], self._state[f"prelu{layer}.weight"]


def _blocks(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _filled(values: Array) -> Array:
    """Zeros appended to the first dimension up to a whole number of blocks."""
    missing = _blocks(len(values)) - len(values)
    return np.pad(values, [(0, missing)] + [(0, 0)] * (values.ndim - 1))


def _heads(state: State, classes: str, rest: Sequence[str]) -> tuple[Array, Array]:
    """One layer for all heads: logit of face minus logit of no face, then the others' outputs."""
    weight, bias = state[f"{classes}.weight"], state[f"{classes}.bias"]
    weights = [weight[1:] - weight[:1], *(state[f"{name}.weight"] for name in rest)]
    biases = [bias[1:] - bias[:1], *(state[f"{name}.bias"] for name in rest)]
    return np.concatenate(weights), np.concatenate(biases)


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
        if outputs > inputs:
            x = graph.convolve(x, _identity(outputs, inputs), np.zeros(outputs, np.float32))
        missing = side // 2 - ((side - 3) // 2 + 1)
        if missing:
            pads = np.array([0, 0, 0, 0, 0, 0, missing, missing], np.int64)
            y = graph.node("Pad", [y, graph.weight(pads)])
    return graph.relu(graph.node("Add", [x, y]))


def _identity(outputs: int, inputs: int) -> Array:
    """A convolution that copies ``inputs`` maps and adds empty ones, in the fast layout."""
    return np.eye(outputs, inputs, dtype=np.float32)[:, :, None, None]


def _f4(values: NDArray[np.float64]) -> Array:
    return values.astype(np.float32)


# --- FaceNet ----------------------------------------------------------------------------------

BATCH_NORM_EPSILON = 1e-3
FACENET_SIDE = 240


class _FaceNet:
    """Builds InceptionResnetV1 layer by layer, with its batch normalizations folded in."""

    def __init__(self, state: State) -> None:
        self.graph = Graph()
        self._state = state

    def conv(self, x: str, name: str, stride: int = 1) -> str:
        """A ``BasicConv2d``: convolution, normalization, rectifier.

        Those of stride 1 keep the size of the maps, but for :data:`UNPADDED`.
        """
        weight, bias = self.weights(name)
        padding = (0, 0) if stride != 1 or name in UNPADDED else _half(weight)
        return self.graph.relu(self.graph.convolve(x, _f4(weight), _f4(bias), stride, padding))

    def weights(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight and bias of a convolution with its normalization folded in."""
        weight = self._state[f"{name}.conv.weight"].astype(np.float64)
        gain, shift = self.normalization(f"{name}.bn")
        return weight * gain[:, None, None, None], shift

    def pair(self, x: str, first: str, second: str, width: int) -> str:
        """A 3 x 3 convolution and one of stride 2 behind it; the first with a third fewer products.

        Even and odd columns of the first's output stay apart, for the second takes even, odd, even
        and needs one odd column less. ``width``: columns of ``x``.
        """
        even, odd = self._columns(x, first, width)
        weight, bias = self.weights(second)
        evens = self.graph.convolve(even, _f4(weight[..., [0, 2]]), _f4(bias), (2, 1))
        odds = self.graph.convolve(odd, _f4(weight[..., [1]]), _f4(bias * 0), (2, 1))
        return self.graph.relu(self.graph.node("Add", [evens, odds]))

    def _columns(self, x: str, name: str, width: int) -> tuple[str, str]:
        """Even and odd columns of a ``BasicConv2d`` by Winograd's F(2, 3) along the rows.

        Two columns from four products with 3 x 1 kernels instead of six (Lavin and Gray 2015,
        section 4.1); of the odd ones the last is left out.
        """
        weight, bias = self.weights(name)
        left, middle, right = (weight[..., [tap]] for tap in range(3))
        border = 0 if name in UNPADDED else 1
        pairs = -(-(width + 2 * border - 2) // 2)
        pads = (border, 2 * pairs + 2 - width - border)

        def product(taps: Sequence[int], kernel: NDArray[np.float64], shift: Any = 0) -> str:
            mixed = self.graph.along_rows(x, _alike(weight.shape[1], taps), 2, pads)
            shifts = np.full(len(kernel), shift, np.float32)
            return self.graph.convolve(mixed, _f4(kernel), shifts, 1, (border, 0))

        plus = product([0, 1, 1, 0], (left + middle + right) / 2)
        minus = product([0, -1, 1, 0], (left - middle + right) / 2)
        even = self._sum(self._sum(plus, minus), product([1, 0, -1, 0], left, bias))
        less = _alike(len(weight), [1, 0])
        odd = self._sum(self.graph.along_rows(plus, less), self.graph.along_rows(minus, -less))
        odd = self._sum(odd, product([0, -1, 0, 1, 0, 0], right, bias))
        return self.graph.relu(even), self.graph.relu(odd)

    def _sum(self, x: str, y: str) -> str:
        return self.graph.node("Add", [x, y])

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

    def normalization(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        weight, bias, mean, variance = (
            self._state[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = weight / np.sqrt(variance + BATCH_NORM_EPSILON)
        return gain, bias - mean * gain


def _alike(channels: int, taps: Sequence[int]) -> Array:
    """The same taps for every channel."""
    return np.tile(np.array(taps, np.float32), (channels, 1))


def _half(weight: NDArray[np.float64]) -> tuple[int, int]:
    """Padding that keeps the maps' size."""
    return weight.shape[2] // 2, weight.shape[3] // 2


UNPADDED = frozenset({"conv2d_2a", "conv2d_4a"})
"""3 x 3 convolutions of stride 1 that the original does not pad."""


def facenet(state: State) -> Graph:
    """Input n x 3 x 240 x 240, ``(pixel - 127.5) / 128``; output ``y`` n x 512 of length 1."""
    net = _FaceNet(state)
    graph = net.graph
    x = graph.input("x", ["n", 3, FACENET_SIDE, FACENET_SIDE])
    x = net.conv(x, "conv2d_1a", 2)
    x = net.conv(net.conv(x, "conv2d_2a"), "conv2d_2b")
    x = net.conv(graph.max_pool(x, 3, 2), "conv2d_3b")
    x = net.pair(x, "conv2d_4a", "conv2d_4b", 58)
    for block in range(5):
        x = graph.relu(net.residual(x, f"repeat_1.{block}", (2, 3), 0.17))
    y = net.conv(x, "mixed_6a.branch1.0")
    y = net.pair(y, "mixed_6a.branch1.1", "mixed_6a.branch1.2", 27)
    ends = [net.conv(x, "mixed_6a.branch0", 2), y]
    x = graph.node("Concat", [*ends, graph.max_pool(x, 3, 2)], axis=1)
    for block in range(10):
        x = graph.relu(net.residual(x, f"repeat_2.{block}", (3,), 0.10))
    ends = [net.chain(x, f"mixed_7a.branch{i}", 2, 2) for i in range(2)]
    y = net.conv(x, "mixed_7a.branch2.0")
    ends.append(net.pair(y, "mixed_7a.branch2.1", "mixed_7a.branch2.2", 13))
    x = graph.node("Concat", [*ends, graph.max_pool(x, 3, 2)], axis=1)
    for block in range(5):
        x = graph.relu(net.residual(x, f"repeat_3.{block}", (3,), 0.20))
    x = net.residual(x, "block8", (3,), 1.0)
    return _facenet_head(net, graph.node("GlobalAveragePool", [x]), state)


def _facenet_head(net: _FaceNet, x: str, state: State) -> Graph:
    gain, shift = net.normalization("last_bn")
    weight = state["last_linear.weight"].astype(np.float64) * gain[:, None]
    x = net.graph.dense(net.graph.node("Flatten", [x]), _f4(weight), _f4(shift))
    x = net.graph.node("LpNormalization", [x], axis=1, p=2)
    return net.graph.output(x, "y", ["n", 512])
