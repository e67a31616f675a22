"""Networks from outside: what is read from the file, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from facerec_tasks.recognition.conversion import network_inspection
from facerec_tasks.recognition.conversion.network_inspection import (
    NetworkShape,
    UnusableNetwork,
    inspect,
)
from tests.small_networks import network, write


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (network(), NetworkShape("input.1", None, 112, 32)),
        (network(input_name="data", batch=2), NetworkShape("data", 2, 112, 32)),
        (network(16, 64, batch=1, input_name="x:0"), NetworkShape("x:0", 1, 64, 16)),
        (network(shape=["n", 3, "h", "w"]), NetworkShape("input.1", None, None, 32)),
    ],
)
def test_network_inspection_reads_shapes(tmp_path: Path, made: object, shape: NetworkShape) -> None:
    path = write(tmp_path / "small.onnx", made)  # type: ignore[arg-type]
    found, data = inspect(path, 112)
    assert found == shape
    assert data == path.read_bytes()


def _external(tmp_path: Path) -> object:
    """Weights that lie in another file, here one that nobody should be able to have read."""
    made = network()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("offset", "0")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path.parent / "secret").write_bytes(bytes(4 * 192 * 32))
    return made


def _endless() -> object:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Identity", ["v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, None),
        ],
    )
    true = helper.make_node(
        "Constant", [], ["yes"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True])
    )
    return network(
        extra=[true, helper.make_node("Loop", ["", "yes", "input.1"], ["start"], body=body)]
    )


def _foreign() -> object:
    return network(extra=[helper.make_node("Steal", ["input.1"], ["start"], domain="evil")])


def _not_finite() -> object:
    return network(extra=[helper.make_node("Log", ["negative"], ["start"]),
                          helper.make_node("Neg", ["input.1"], ["negative"])][::-1])  # fmt: skip


def _channels_last() -> object:
    turned = helper.make_node("Transpose", ["input.1"], ["start"], perm=[0, 3, 1, 2])
    return network(shape=["n", 112, 112, 3], extra=[turned])


def _gray() -> object:
    three = helper.make_node("Concat", ["input.1"] * 3, ["start"], axis=1)
    return network(shape=["n", 1, 112, 112], extra=[three])


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (_endless(), "Loop"),
        (_foreign(), "evil"),
        (_not_finite(), "finite"),
        (_channels_last(), "export it with 3 first"),
        (_gray(), "not faces x 3"),
        (network(batch=100_000), "at once"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, made: object, word: str
) -> None:
    with pytest.raises(UnusableNetwork, match=word):
        inspect(write(tmp_path / "small.onnx", made), 112)  # type: ignore[arg-type]


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "small.onnx", _external(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(UnusableNetwork, match="another file"):
        inspect(path, 112)


@pytest.mark.parametrize("data", [b"", b"\x00", b"PK\x03\x04", b"\xff" * 4096])
def test_what_is_no_network_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(data)
    with pytest.raises(UnusableNetwork, match=r"no ONNX file|limits"):
        inspect(path, 112)


def test_damaged_networks_are_refused_or_work(tmp_path: Path) -> None:
    whole = network().SerializeToString()
    random = np.random.default_rng(0)
    for _ in range(3):
        damaged = bytearray(whole[: int(random.integers(100, len(whole)))])
        damaged[int(random.integers(0, 100))] ^= 0xFF
        (tmp_path / "small.onnx").write_bytes(damaged)
        try:
            shape, _ = inspect(tmp_path / "small.onnx", 112)
        except UnusableNetwork:
            continue
        assert shape.dimension == 32


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_inspection, "MAX_BYTES", 1000)
    with pytest.raises(UnusableNetwork, match="larger than"):
        inspect(write(tmp_path / "small.onnx", network()), 112)


def test_a_network_that_wants_too_much_memory_ends_the_child_only(tmp_path: Path) -> None:
    """A gigabyte of zeros eight times over, from a file of some kilobytes."""
    wide = [
        helper.make_node(
            "Constant", [], ["size"],
            value=helper.make_tensor("s", TensorProto.INT64, [4], [1, 3, 112 * 256, 112 * 256]),
        ),
        helper.make_node("Expand", ["input.1", "size"], ["start"]),
    ]  # fmt: skip
    made = network(shape=["n", 3, 1, 1], extra=wide, side=112)
    with pytest.raises(UnusableNetwork):
        inspect(write(tmp_path / "small.onnx", made), 112)
