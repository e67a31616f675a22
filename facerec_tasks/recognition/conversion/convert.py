"""Weights to ONNX, once, at set-up or when the image is baked. Needs ``onnx``; never needs torch.

``python -m facerec_tasks.recognition.conversion.convert --out models``, with
``--engine facenet [--weights FILE]`` or ``--precision int8 --photos FOLDER``.

The detector's weights lie in the facenet-pytorch wheel and ``resnet128``'s in the
face_recognition_models wheel; both packages are looked up, never imported. A file that was made
from the same weights by the same recipe is left alone, so running this again costs next to nothing.
"""

import argparse
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.onnx_cpp2py_export.checker import ValidationError

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.recognition.conversion import facenet_weights, networks, quantization
from facerec_tasks.recognition.conversion.checkpoint import read_torch
from facerec_tasks.recognition.conversion.dlib_weights import read_dlib
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.conversion.facenet_weights import WeightsMissing
from facerec_tasks.recognition.conversion.graph import Graph
from facerec_tasks.recognition.embedding.precision import FP32, INT8, network_name
from facerec_tasks.recognition.gallery import precision_check
from facerec_tasks.recognition.gallery.photo_folder import NotAFolder

RECIPE = "5"
"""Raise it when :mod:`networks` writes something else, so that old files are made anew."""


EXPECTED = (
    WeightsMissing,
    CheckpointError,
    NotAFolder,
    quantization.TooFewFaces,
    quantization.Worse,
    OSError,
)
"""What the command tells in a line."""


@dataclass(frozen=True)
class Network:
    """One network: where its weights lie and how it is written from them."""

    name: str
    find: Callable[[Path | None], Path]
    write: Callable[[bytes], Graph]
    sha256: str
    """What the weights must hash to."""


def _in_wheel(package: str, distribution: str, relative: str) -> Callable[[Path | None], Path]:
    def find(_weights: Path | None) -> Path:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(root) / relative
            if path.is_file():
                return path
        raise WeightsMissing(
            f"{relative} of the package {distribution} is not installed; "
            "run: pip install --no-deps -r requirements/data.txt"
        )

    return find


def _of_torch(write: Callable[[Any], Graph]) -> Callable[[bytes], Graph]:
    return lambda data: write(read_torch(data))


def _mtcnn(name: str, write: Callable[[Any], Graph], sha256: str) -> Network:
    find = _in_wheel("facenet_pytorch", "facenet-pytorch", f"data/{name}.pt")
    return Network(name, find, _of_torch(write), sha256)


DETECTOR = (
    _mtcnn(
        "pnet", networks.pnet, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"
    ),
    _mtcnn(
        "rnet", networks.rnet, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"
    ),
    _mtcnn(
        "onet", networks.onet, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"
    ),
)
EMBEDDERS = {
    "resnet128": Network(
        "resnet128",
        _in_wheel(
            "face_recognition_models",
            "face-recognition-models",
            "models/dlib_face_recognition_resnet_model_v1.dat",
        ),
        lambda data: networks.resnet128(read_dlib(data)),
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    "facenet": Network(
        "facenet", facenet_weights.locate, _of_torch(networks.facenet), facenet_weights.SHA256
    ),
}


def ensure(
    out: Path,
    engine: str = "resnet128",
    weights: Path | None = None,
    sha256: str | None = None,
) -> list[Path]:
    """Makes the detector's networks and ``engine``'s in ``out``; returns those it had to write.

    ``weights`` is a checkpoint of ``InceptionResnetV1`` for the engine ``facenet``; ``sha256`` says
    which, when it is another than the published one. Raises
    :class:`WeightsMissing` or :class:`CheckpointError`.
    """
    embedder = EMBEDDERS[engine]
    if engine == "facenet" and sha256:
        embedder = replace(embedder, sha256=sha256.lower())
    out.mkdir(parents=True, exist_ok=True)
    made = [_ensure_one(out, network, weights) for network in (*DETECTOR, embedder)]
    return [path for path in made if path is not None]


def _ensure_one(out: Path, network: Network, weights: Path | None) -> Path | None:
    path = out / f"{network.name}.onnx"
    wanted = {"source_sha256": network.sha256, "recipe": RECIPE}
    if _metadata(path) == wanted:
        return None
    source = network.find(weights)
    data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != network.sha256:
        raise WeightsMissing(
            f"{source} is not the file it should be: its SHA-256 is {digest}, not {network.sha256}"
            + ("; give --sha256 if you trust it" if weights else "")
        )
    write_atomically(path, _written(network, data, wanted, str(source)))
    return path


def resnet128_of(weights: bytes) -> bytes:
    """The ONNX file of a network of resnet128's structure, from dlib's ``.dat``.

    Raises :class:`CheckpointError`.
    """
    digest = hashlib.sha256(weights).hexdigest()
    return _written(EMBEDDERS["resnet128"], weights, {"source_sha256": digest}, "it")


def _written(network: Network, weights: bytes, metadata: dict[str, str], source: str) -> bytes:
    try:
        return bytes(network.write(weights).model(metadata).SerializeToString())
    except CheckpointError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, ValidationError) as error:
        # What a checkpoint of another network runs into first.
        raise CheckpointError(f"{source} holds another network: {error!r}") from error


def _metadata(path: Path) -> dict[str, str] | None:
    """What the file says it was made from; none when it is missing or no network."""
    try:
        model = onnx.load(path)
    except (OSError, DecodeError):
        return None
    return {entry.key: entry.value for entry in model.metadata_props}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Convert the engine's weights to ONNX.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the networks")
    parser.add_argument("--engine", choices=sorted(EMBEDDERS), default="resnet128")
    parser.add_argument("--weights", type=Path, help="checkpoint for the engine facenet")
    parser.add_argument("--sha256", help="of your own checkpoint, if it is not the published one")
    parser.add_argument("--precision", choices=(FP32, INT8), default=FP32)
    parser.add_argument("--photos", type=Path, help="int8: people to make it from, NAME/*.jpg")
    parser.add_argument("--force", action="store_true", help="int8: though it is worse")
    options = parser.parse_args(arguments)
    if options.precision == INT8 and (options.engine != "resnet128" or not options.photos):
        parser.error("--precision int8 is for the engine resnet128 and needs --photos")
    if options.weights and options.engine != "facenet":
        parser.error(
            f"--weights is for the engine facenet: {options.engine} has weights of its own; "
            "another network: facerec engine add FILE"
        )
    try:
        made = ensure(options.out, options.engine, options.weights, options.sha256)
        if options.precision == INT8:
            made.append(_int8(options.out, options.photos, force=options.force))
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    for path in made:
        print(f"made {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if not made:
        print(f"{options.out} is up to date")
    return 0


def _int8(out: Path, photos: Path, *, force: bool) -> Path:
    """Makes the int8 network and compares; keeps it only if it is as good, or ``force``."""
    tried = quantization.tried_on(out, photos)
    print(precision_check.table(tried.before, tried.after))
    against = precision_check.objection(tried.before, tried.after)
    if against and not force:
        raise quantization.Worse(f"not kept: {against} (--force keeps it all the same)")
    path = out / f"{network_name('resnet128', tried.precision)}.onnx"
    write_atomically(path, tried.network)
    return path


if __name__ == "__main__":
    sys.exit(main())
