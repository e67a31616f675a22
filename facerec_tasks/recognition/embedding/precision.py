"""The arithmetic embeddings are computed in: ``fp32``, or ``int8-<digest>``.

An int8 network is made from photos of one's own (:mod:`quantization`), so there are many, and the
embeddings of two do not mix. Its name says which it is: the beginning of the SHA-256 of its file.
"""

import hashlib
import re
from typing import Any

FP32 = "fp32"
INT8 = "int8"

_KNOWN = re.compile(rf"{FP32}|{INT8}-[0-9a-f]{{16}}")


def of_network(network: bytes) -> str:
    """What an int8 network is called."""
    return f"{INT8}-{hashlib.sha256(network).hexdigest()[:16]}"


def is_known(precision: Any) -> bool:
    """Whether this is a precision at all: it becomes part of a file's name."""
    return isinstance(precision, str) and _KNOWN.fullmatch(precision) is not None


def network_name(engine: str, precision: str) -> str:
    """Name of the engine's network in this precision, without ``.onnx``."""
    return engine if precision == FP32 else f"{engine}-{precision}"
