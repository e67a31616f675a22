"""Files of ``torch.save`` and dlib: read exactly or refused, never run, never inflated."""

import io
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facerec_tasks.recognition.conversion.checkpoint import read_torch
from facerec_tasks.recognition.conversion.dlib_weights import read_dlib
from facerec_tasks.recognition.conversion.errors import CheckpointError
from tests.golden import torch_file as tf

NUMBERS = np.arange(6, dtype=np.float32)


@pytest.mark.parametrize("write", [tf.legacy, tf.zipped])
def test_reads_both_formats(write: Callable[..., bytes]) -> None:
    content = tf.mapping({"a": tf.tensor("0", [2, 3]), "name": tf.text("Zoë")})
    storage = NUMBERS if write is tf.legacy else NUMBERS.tobytes()
    read = read_torch(write(content, [storage]))
    assert read["name"] == "Zoë"
    assert read["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not read["a"].flags.writeable


def test_reads_a_part_of_a_storage_and_a_transposed_one() -> None:
    part = tf.tensor("0", [2], offset=3, length=6)
    turned = tf.tensor("0", [3, 2], strides=[1, 3], length=6)
    first, second = read_torch(tf.zipped(tf.listing([part, turned]), [NUMBERS.tobytes()]))
    assert first.tolist() == [3, 4]
    assert second.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_reads_other_kinds_of_numbers_and_a_scalar() -> None:
    counted = np.array([7], np.int64)
    content = tf.listing([tf.tensor("0", [], kind="LongStorage"), tf.tensor("1", [0])])
    scalar, empty = read_torch(tf.zipped(content, [counted.tobytes(), b""]))
    assert scalar.tolist() == 7
    assert empty.shape == (0,)


class Payload:
    ran = False

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import builtins; builtins.facerec_was_here = True",)


HOSTILE = {
    "a payload": lambda: tf.zipped(pickle.dumps(Payload(), 2)[2:-1]),
    "a payload in the old format": lambda: tf.legacy(pickle.dumps(Payload(), 2)[2:-1]),
    "a call of getattr": lambda: tf.zipped(b"cbuiltins\ngetattr\n(" + tf.text("x") + b"tR"),
    "a foreign name": lambda: tf.zipped(b"cos\nsystem\n"),
    "a class instance": lambda: tf.zipped(b"(ios\nsystem\n"),
    "an object": lambda: tf.zipped(b"cos\nsystem\n)\x81"),
    "a zero-stride giant": lambda: tf.zipped(
        tf.tensor("0", [10**6, 10**6], strides=[0, 0], length=1), [b"\0\0\0\0"]
    ),
    "a claim of more than there is": lambda: tf.zipped(
        tf.tensor("0", [10**9], length=10**9), [b"\0\0\0\0"]
    ),
    "a claim of more in the old format": lambda: tf.legacy(
        tf.tensor("0", [10**9], length=10**9), [np.zeros(1, np.float32)]
    ),
    "a stride past the end": lambda: tf.zipped(
        tf.tensor("0", [2, 2], strides=[1000, 1], length=6), [NUMBERS.tobytes()]
    ),
    "a negative offset": lambda: tf.zipped(
        tf.tensor("0", [2], offset=-1, length=6), [NUMBERS.tobytes()]
    ),
    "a negative stride": lambda: tf.zipped(
        tf.tensor("0", [2], strides=[-1], length=6), [NUMBERS.tobytes()]
    ),
    "a negative size": lambda: tf.zipped(tf.tensor("0", [-2], length=6), [NUMBERS.tobytes()]),
    "more dimensions than anything has": lambda: tf.zipped(
        tf.tensor("0", [1] * 40, length=6), [NUMBERS.tobytes()]
    ),
    "a huge memo index": lambda: tf.zipped(b"]r\xff\xff\xff\x7f."),
    "a zip bomb": lambda: tf.zipped(
        tf.tensor("0", [10**7]), [b"\0" * 4 * 10**7], zipfile.ZIP_DEFLATED
    ),
    "no storage": lambda: tf.zipped(tf.tensor("0", [6])),
    "an empty stack": lambda: tf.zipped(b"R"),
    "a mark without an end": lambda: tf.zipped(b"("),
    "a key that is a tensor": lambda: tf.zipped(b"}(" + tf.tensor("0", [6]) + b"Nu", [b"\0" * 24]),
    "a cut archive": lambda: tf.zipped(tf.tensor("0", [6]), [NUMBERS.tobytes()])[:-30],
    "a cut old file": lambda: tf.legacy(tf.tensor("0", [6]), [NUMBERS])[:-1],
    "nothing": lambda: b"",
    "text": lambda: b"hello",
    "a view of a storage": lambda: tf.legacy(
        tf.tensor("0", [6], view=b"(" + tf.text("1") + tf.number(0) + tf.number(2) + b"t"),
        [NUMBERS],
    ),
}


@pytest.mark.parametrize("what", [name for name in HOSTILE if name != "a huge memo index"])
def test_refuses(what: str) -> None:
    data = HOSTILE[what]()
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_torch(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20 + 4 * len(data)
    assert not hasattr(__builtins__, "facerec_was_here")


def test_checkpoint_error_has_a_reason() -> None:
    with pytest.raises(CheckpointError, match="compressed"):
        read_torch(HOSTILE["a zip bomb"]())
    with pytest.raises(CheckpointError, match=r"builtins\.exec|__builtin__\.exec"):
        read_torch(HOSTILE["a payload"]())


def test_a_huge_memo_index_costs_nothing() -> None:
    tracemalloc.start()
    assert read_torch(HOSTILE["a huge memo index"]()) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_many_tensors_on_one_storage_cost_no_more_than_it() -> None:
    storage = np.zeros(10**6, np.float32).tobytes()
    content = tf.listing([tf.tensor("0", [10**6])] * 1000)
    data = tf.zipped(content, [storage])
    tracemalloc.start()
    tensors = read_torch(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tensors) == 1000
    assert peak < 20 * 2**20


def test_refuses_two_entries_of_one_name() -> None:
    file = io.BytesIO(tf.zipped(tf.listing([])))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", tf.program(b"N"))
    with pytest.raises(CheckpointError, match="two entries"):
        read_torch(file.getvalue())


VALID = [
    tf.zipped(tf.mapping({"a": tf.tensor("0", [2, 3])}), [NUMBERS.tobytes()]),
    tf.legacy(tf.mapping({"a": tf.tensor("0", [2, 3])}), [NUMBERS]),
]


@settings(deadline=None)
@given(st.sampled_from(VALID), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1))
def test_damage_is_refused_or_harmless(valid: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(valid)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    with suppress(CheckpointError):
        read_torch(bytes(damaged))


def dlib_layer(kind: str, values: np.ndarray[Any, Any], before: bytes = b"") -> bytes:
    size = struct.pack("<H", len(values))
    header = b"\x01\x02" + b"\x02" + size + b"\x01\x01" * 3
    return bytes([1, len(kind)]) + kind.encode() + before + header + values.tobytes()


def test_reads_dlibs_layers_in_order() -> None:
    file = b"settings" + dlib_layer("con_4", NUMBERS) + dlib_layer("affine_", NUMBERS[:4])
    file += dlib_layer("fc_2", NUMBERS, b"\x01\x80\x02\x00\x01") + b"trailer"
    layers = read_dlib(file)
    assert [(layer.kind, layer.parameters.size) for layer in layers] == [
        ("con_4", 6),
        ("affine_", 4),
        ("fc_2", 6),
    ]


@pytest.mark.parametrize("cut", [1, 12, 20, 30])
def test_refuses_a_cut_dlib_file(cut: int) -> None:
    with pytest.raises(CheckpointError):
        read_dlib(dlib_layer("con_4", NUMBERS)[:cut])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_dlib_tag_are_refused_or_read(data: bytes) -> None:
    with suppress(CheckpointError):
        read_dlib(b"\x01\x05con_4" + data)
