"""What an ONNX file of somebody else's holds, found out in a child process with limits.

The file is hostile until shown otherwise: it may be large, refer to other files, name operators
nobody knows, loop, or crash the library that reads it. The child reads it as bytes (so that nothing
beside it is opened), walks the graph, loads it in ONNX Runtime and runs it once. It prints one line
of JSON; whatever else happens to it is an :class:`UnusableNetwork`.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 512 * 1024 * 1024
"""Of the file; ResNet100 in fp32 has 261 MB."""
MAX_NODES = 20_000
MAX_MEMORY = 4 * 1024**3
"""Bytes of address space of the child."""
CPU_SECONDS = 60
TIMEOUT = 120.0
"""Seconds until the child is killed."""
MAX_BATCH = 64
DOMAINS = frozenset({"", "ai.onnx"})
REFUSED = frozenset({"Loop", "Scan", "SequenceMap"})
"""Operators that run as long as the file wants."""


class UnusableNetwork(Exception):
    """Raised for a file that is no face-embedding network this product can run; says why."""


@dataclass(frozen=True)
class NetworkShape:
    """What the file says of itself, and what one run of it gave."""

    input: str
    batch: int | None
    """Faces it takes at once; None when it leaves that open."""
    side: int | None
    """Pixels; None when it leaves that open."""
    dimension: int


def inspect(path: Path, side: int) -> tuple[NetworkShape, bytes]:
    """The shape of the network in a file, and the file. ``side``: where the network leaves it open.

    Raises :class:`UnusableNetwork`, and :class:`OSError` for a file that cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnusableNetwork(f"{path} is larger than {MAX_BYTES // 2**20} MB")
    data = path.read_bytes()
    command = [sys.executable, "-m", __name__, str(side)]
    try:
        # Through a pipe: what is inspected is what is kept, whatever becomes of the file.
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnusableNetwork(f"{path}: loading and running it takes too long") from None
    answer = _answer(done.stdout)
    if done.returncode or answer is None:
        raise UnusableNetwork(f"{path}: it cannot be loaded and run within the limits")
    if "refused" in answer:
        raise UnusableNetwork(f"{path}: {str(answer['refused'])[:300]}")
    return NetworkShape(**answer), data


def _answer(output: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(output[-2000:].splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return found if isinstance(found, dict) else None


# The child


def main() -> int:
    """Reads a network from standard input; prints one line of JSON."""
    _limit()
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        print(json.dumps(asdict(_inspected(data, int(sys.argv[1])))))
    except UnusableNetwork as unusable:
        print(json.dumps({"refused": str(unusable)}))
    return 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _inspected(data: bytes, side: int) -> NetworkShape:
    _check_graph(data)
    import numpy as np

    from facerec_tasks.recognition import session

    try:
        loaded = session.of_bytes(data)
    except Exception as error:
        raise UnusableNetwork(f"ONNX Runtime does not load it: {error}") from error
    name, shape, kind = _only_input(loaded)
    batch, side_there = _shape(shape)
    probe = np.zeros((batch or 1, 3, side_there or side, side_there or side), np.float32)
    probe += np.linspace(0, 1, probe.size, dtype=np.float32).reshape(probe.shape)
    if kind != "tensor(float)":
        raise UnusableNetwork(f"its input is {kind}, not tensor(float)")
    try:
        found = np.asarray(loaded.run(None, {name: probe})[0])
    except Exception as error:
        raise UnusableNetwork(f"it cannot be run: {error}") from error
    if found.dtype != np.float32 or found.size % len(probe) or not np.isfinite(found).all():
        raise UnusableNetwork("its output is not one row of finite numbers for each face")
    if len(found) != len(probe) or found.ndim < 2:
        raise UnusableNetwork(f"its output has the shape {found.shape}, not faces x numbers")
    return NetworkShape(name, batch, side_there, found.size // len(probe))


def _only_input(loaded: Any) -> tuple[str, list[Any], str]:
    inputs = loaded.get_inputs()
    if len(inputs) != 1:
        raise UnusableNetwork(f"it has {len(inputs)} inputs, not one")
    return inputs[0].name, list(inputs[0].shape), inputs[0].type


def _shape(shape: list[Any]) -> tuple[int | None, int | None]:
    """Batch and side of an input of faces x 3 x side x side."""
    fixed = [size if isinstance(size, int) else None for size in shape]
    if len(fixed) == 4 and fixed[3] == 3 and fixed[1] != 3:
        raise UnusableNetwork("its input is faces x height x width x 3: export it with 3 first")
    if len(fixed) != 4 or fixed[1] not in (3, None) or fixed[2] != fixed[3]:
        raise UnusableNetwork(f"its input has the shape {shape}, not faces x 3 x side x side")
    if fixed[0] is not None and not 0 < fixed[0] <= MAX_BATCH:
        raise UnusableNetwork(f"it takes {fixed[0]} faces at once; 1 to {MAX_BATCH} are possible")
    return fixed[0], fixed[2]


def _check_graph(data: bytes) -> None:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise UnusableNetwork("it is no ONNX file") from error
    if not model.graph.node:
        raise UnusableNetwork("it is no ONNX file, or an empty one")
    if model.functions:
        raise UnusableNetwork("it defines operators of its own")
    count = 0
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_location or tensor.external_data:
                raise UnusableNetwork("its weights lie in another file: export it as one file")
        for node in graph.node:
            count += 1
            if node.domain not in DOMAINS or node.op_type in REFUSED or count > MAX_NODES:
                raise UnusableNetwork(f"it uses {node.domain or 'the operator'} {node.op_type}")


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and those within its nodes."""
    pending = [graph]
    while pending:
        one = pending.pop()
        yield one
        for node in one.node:
            for attribute in node.attribute:
                pending += [attribute.g] if attribute.HasField("g") else []
                pending += attribute.graphs


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else [])
            yield from attribute.tensors


if __name__ == "__main__":
    sys.exit(main())
