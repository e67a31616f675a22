"""The networks a gallery asks for, on this machine.

The product's own in fp32 were converted when the machine was set up. An int8 network is made from
the photos of one's own people, and an engine may be one that was added: both lie beside the
gallery, and a machine fetches them when it first needs them.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from facerec_tasks.atomic_file import write_atomically
from facerec_tasks.recognition.detection.detector import Detector
from facerec_tasks.recognition.embedding import precision
from facerec_tasks.recognition.embedding.description import EmbedderDescription
from facerec_tasks.recognition.embedding.embedder import Embedder
from facerec_tasks.recognition.gallery.gallery import Gallery
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.recognition.session import ModelMissing
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.collections import Collections
from facerec_tasks.storage.people import ORPHAN_AGE
from facerec_tasks.storage.state_bucket import StateBucket


class ModelFiles:
    """Loads what is here, fetches what is not."""

    def __init__(self, state: StateBucket, settings: Settings) -> None:
        self._state = state
        self._models_dir = settings.models_dir
        self._min_score = settings.min_face_score
        self._fetched = settings.state_dir / "networks"

    def recognizer(self, gallery: Gallery, detector: Detector | None = None) -> Recognizer:
        """The engine of that gallery, in its precision; with a detector that is loaded already.

        Raises :class:`ModelMissing`, or :class:`~facerec_tasks.errors.AwsError` when the network
        cannot be fetched now.
        """
        folder = self._folder(gallery)
        embedder = Embedder(gallery.embedder, folder, gallery.precision)
        detector = detector or Detector(self._models_dir, min_score=self._min_score)
        return Recognizer(detector, embedder, gallery)

    def stage(self, engine: str, network: bytes) -> str:
        """Keeps an int8 network on this machine, to be tried; returns the precision it gives."""
        name = precision.of_network(network)
        write_atomically(self._fetched / _file(engine, name), network)
        return name

    def publish(self, gallery: Gallery) -> None:
        """Puts the network of that gallery where every machine finds it; before the gallery."""
        if gallery.precision != precision.FP32:
            path = self._folder(gallery) / _file(gallery.engine, gallery.precision)
            self._state.put(_stored(gallery.engine, gallery.precision), path.read_bytes())

    def forget_unused(self) -> None:
        """Erases the int8 networks that no collection uses, but for new ones.

        A new one may belong to a change of precision under way on another machine.
        """
        used = {_stored(*one) for one in Collections(self._state).engines()}
        oldest = datetime.now(UTC) - ORPHAN_AGE
        for entry in list(self._state.list(layout.GALLERY_NETWORKS)):
            if entry.name not in used and entry.modified < oldest:
                self._state.erase(entry.name)

    def _folder(self, gallery: Gallery) -> Path:
        """Where the embedder's network lies; fetched there if need be."""
        if gallery.embedder.sha256 is not None:
            return self._added(gallery.embedder, gallery.embedder.sha256)
        if gallery.precision == precision.FP32:
            return self._models_dir
        file = _file(gallery.engine, gallery.precision)
        for folder in (self._models_dir, self._fetched):
            if _is_whole(folder / file, gallery.precision):
                return folder
        self._fetch(gallery, self._fetched / file)
        return self._fetched

    def _added(self, described: EmbedderDescription, sha256: str) -> Path:
        folder = self._fetched / sha256
        path = folder / _file(described.name, precision.FP32)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            stored = self._state.find(layout.engine_network(described.name, sha256))
            if stored is None or hashlib.sha256(stored.data).hexdigest() != sha256:
                raise ModelMissing(
                    f"the network of the engine {described.name} is not in the state bucket; "
                    "add it again: facerec engine add"
                )
            write_atomically(path, stored.data)
        return folder

    def _fetch(self, gallery: Gallery, path: Path) -> None:
        stored = self._state.find(_stored(gallery.engine, gallery.precision))
        if stored is None or precision.of_network(stored.data) != gallery.precision:
            raise ModelMissing(
                f"the network {path.name} of the gallery is not in the state bucket; "
                "run: facerec people precision fp32"
            )
        write_atomically(path, stored.data)


def _is_whole(path: Path, name: str) -> bool:
    """Not so after a power cut, say."""
    return path.is_file() and precision.of_network(path.read_bytes()) == name


def _file(engine: str, name: str) -> str:
    return f"{precision.network_name(engine, name)}.onnx"


def _stored(engine: str, name: str) -> str:
    return layout.GALLERY_NETWORKS + _file(engine, name)
