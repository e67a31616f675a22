"""One ONNX Runtime session per network: one thread, no spinning, shared by forked children."""

import os
from pathlib import Path
from typing import Any

# ONNX Runtime 1.31 reports to its makers, keeps a device id in ~/.cache and a thread that does not
# survive a fork, all from the moment it is imported, unless this is set by then.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

from facerec_tasks.recognition.embedding.precision import FP32

REMEDY = "run: python -m facerec_tasks.recognition.conversion.convert --out {} --engine {}"
INT8_REMEDY = "copy it there, or compute the gallery again: facerec people precision fp32"
"""An int8 network cannot be made again: another set of photos makes another network."""


class ModelMissing(Exception):
    """Raised when a network is not here, or is none; says the remedy."""


def load(models_dir: Path, network: str, engine: str = "resnet128", precision: str = FP32) -> Any:
    """The session of ``<models_dir>/<network>.onnx``.

    With one thread and no pool of its own a session loaded before ``fork`` works in the children,
    and its weights stay shared. Raises :class:`ModelMissing`, also for a file that is no network.
    """
    path = models_dir / f"{network}.onnx"
    if not path.is_file():
        remedy = REMEDY.format(models_dir, engine) if precision == FP32 else INT8_REMEDY
        raise ModelMissing(f"{path} is missing; {remedy}")
    try:
        return _session(str(path))
    except Exception as error:  # ONNX Runtime's own have no common base but this
        raise ModelMissing(f"{path} cannot be used: {error}") from error


def of_bytes(network: bytes) -> Any:
    """The session of a network that no other file belongs to; raises what ONNX Runtime raises."""
    return _session(network)


def _session(network: str | bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # warnings about hardware probing are no news to anyone
    return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
