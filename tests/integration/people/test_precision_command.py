"""`facerec people precision`: tried on the enrolled people, then for all machines, and back."""

import json
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.commands.people import people as command
from facerec_tasks.engine import Engine
from facerec_tasks.errors import ConfigurationError, Unavailable
from facerec_tasks.recognition.conversion import quantization
from facerec_tasks.recognition.embedding.metrics import Embeddings
from facerec_tasks.recognition.gallery import precision_check
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller, Sample
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery, GalleryError
from facerec_tasks.recognition.gallery.precision_check import Accuracy
from facerec_tasks.recognition.recognizer import Recognizer
from facerec_tasks.settings import Settings
from facerec_tasks.storage import layout
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket, Stored
from local.emulators.resources import create_buckets
from local.processes.child import Child
from local.samples import portraits
from tests import own_people
from tests.data_pt import saved

EACH = 6
PHOTO = portraits.sample_photo("Grace_Hopper").data


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 network made from these people."""
    recognizer = Recognizer.load(Path("models"), Gallery.empty("resnet128"))
    faces = quantization.faces_of(recognizer, (photo for _, photo in own_people.photos(EACH)))
    file = tmp_path_factory.mktemp("network") / "int8.onnx"
    file.write_bytes(quantization.quantized(Path("models"), faces))
    return file


@pytest.fixture(scope="module")
def enrollment() -> dict[str, list[Sample]]:
    batch = Batch(
        Enroller.load("resnet128", Path("models")), Gallery.empty("resnet128"), strict=False
    )
    for name, photo in own_people.photos(EACH):
        assert batch.add(name, photo) is None
    return batch.samples


@pytest.fixture
def storage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> StateBucket:
    create_buckets(settings)
    monkeypatch.setattr("cli.gallery_broadcast.app.control.broadcast", lambda _: None)
    return StateBucket(settings)


@pytest.fixture
def people(storage: StateBucket, enrollment: dict[str, list[Sample]]) -> People:
    known = People(storage)
    known.add(enrollment)
    return known


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["precision", *(str(a) for a in arguments)])


def test_switches_all_embeddings_and_back(
    people: People, storage: StateBucket, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "FEWEST", 2 * EACH)
    before = people.edit(lambda gallery: gallery.with_threshold(0.45))
    engine = Engine(settings)
    assert engine(PHOTO)["name"] == "Grace"
    result = run("int8", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["before"]["right"] == report["after"]["right"] == 1.0
    eighth = people.gallery()
    assert eighth.precision == report["precision"]
    assert (eighth.names, eighth.photos) == (before.names, before.photos)
    moved = np.linalg.norm(eighth.embeddings - before.embeddings, axis=1)
    assert (moved > 1e-4).all()
    assert (moved < 0.25).all()
    assert [entry.name for entry in storage.list(layout.GALLERY_NETWORKS)] == [
        f"{layout.GALLERY_NETWORKS}resnet128-{eighth.precision}.onnx"
    ]

    engine.source_of("default").refresh()
    assert engine(PHOTO)["name"] == "Grace"
    assert engine.current().gallery.precision == eighth.precision
    added = ["add", "New", str(portraits.portraits()[1].path), "--force"]
    assert CliRunner().invoke(command, added).exit_code == 0
    assert people.gallery().precision == eighth.precision

    assert run("fp32").exit_code == 0
    assert people.gallery().precision == "fp32"
    back = people.gallery().embeddings[: len(before.photos)]
    assert np.allclose(back, before.embeddings, atol=1e-5)


def test_refuses_what_cannot_be_judged_unless_forced(
    people: People, storage: StateBucket, network: Path
) -> None:
    result = run("int8", "--network", network)
    assert result.exit_code == 1
    assert "12 photos of people who have several are too few" in result.stderr
    assert people.gallery().precision == "fp32"
    assert not list(storage.list(layout.GALLERY_NETWORKS)), "no other machine hears of it"
    assert run("int8", "--network", network, "--force").exit_code == 0
    assert people.gallery().precision.startswith("int8-")


def test_refuses_what_is_worse(
    people: People, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_check, "FEWEST", 2 * EACH)
    measured = Accuracy.of

    def worse(gallery: Gallery) -> Accuracy:
        spoilt = gallery.precision != "fp32"
        return measured(gallery.with_threshold(0.01) if spoilt else gallery)

    monkeypatch.setattr(Accuracy, "of", worse)
    result = run("int8", "--network", network)
    assert result.exit_code == 1
    assert "worse by" in result.stderr
    assert people.gallery().precision == "fp32"


def test_a_file_that_is_no_network_changes_nothing(people: People, tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no network")
    for file, word in ((tmp_path / "no.onnx", "cannot be used"), ("models/onet.onnx", "another")):
        result = run("int8", "--network", file, "--force")
        assert result.exit_code == 1
        assert word in result.stderr
        assert people.gallery().precision == "fp32"


def test_empty_gallery_can_switch_its_precision_back(
    people: People, storage: StateBucket, network: Path
) -> None:
    assert run("int8", "--network", network, "--force").exit_code == 0
    for name in ("Grace", "Eileen"):
        people.remove(name)
    assert people.gallery().precision.startswith("int8-")
    assert run("fp32").exit_code == 0
    assert (people.gallery().precision, len(people.gallery())) == ("fp32", 0)


def test_faces_without_photos_cannot_be_computed_again(storage: StateBucket, network: Path) -> None:
    faces = np.eye(2, 128, dtype=np.float32)
    imported = Gallery.empty("resnet128").with_person("Ann", faces, ["", ""])
    People(storage).replace(imported)
    assert "came without their photos" in run("int8", "--network", network, "--force").stderr
    assert "10 faces at least" in run("int8", "--force").stderr


def test_the_customers_gallery_stays_in_fp32(storage: StateBucket, tmp_path: Path) -> None:
    (tmp_path / "data.pt").write_bytes(saved(["Ann"], 0.0))
    imported = CliRunner().invoke(command, ["import", str(tmp_path / "data.pt"), "--without-model"])
    assert imported.exit_code == 0
    assert "int8 is offered for resnet128 only" in run("int8", "--force").stderr


def test_edits_meanwhile_are_kept(
    people: People, storage: StateBucket, settings: Settings, network: Path
) -> None:
    """Somebody is enrolled and somebody removed while the embeddings are computed, and somebody is
    renamed between the last reading of the gallery and its writing."""
    networks = ModelFiles(storage, settings)
    name = networks.stage("resnet128", network.read_bytes())
    recognizer = networks.recognizer(Gallery.empty("resnet128", precision=name))
    others = People(storage)

    def edits(_before: Gallery, _after: Gallery) -> None:
        others.remove("Eileen")
        others.add({"New": [Sample(PHOTO, np.ones(128, np.float32))]})

    def embed(photo: bytes, _box: object) -> Embeddings:
        if photo == PHOTO:
            others.rename("Grace", "Amazing Grace")
        embedding: Embeddings = recognizer.detect_and_embed(photo).embeddings[0]
        return embedding

    made = people.recompute(recognizer.gallery, embed, edits)
    assert made.names == ("Amazing Grace", "New")
    assert people.gallery().to_bytes() == made.to_bytes()
    (new,) = made.embeddings[made.person_index == 1]
    np.testing.assert_allclose(new, recognizer.detect_and_embed(PHOTO).embeddings[0], atol=1e-5)


def test_a_photo_looked_at_in_the_old_precision_is_not_enrolled(
    people: People, network: Path, enrollment: dict[str, list[Sample]]
) -> None:
    assert run("int8", "--network", network, "--force").exit_code == 0
    before = people.gallery().to_bytes()
    late = Sample(b"another photo", enrollment["Grace"][0].embedding)
    with pytest.raises(EngineMismatch, match="enrol it again"):
        people.add({"Grace": [late]})
    assert people.gallery().to_bytes() == before


def test_a_photo_on_which_no_face_is_found_any_more_is_named(people: People) -> None:
    with pytest.raises(GalleryError, match="no face is found on a photo of"):
        people.recompute(Gallery.empty("resnet128"), lambda *_: None, lambda *_: None)


def test_worker_without_the_network_requeues_photos(
    people: People, storage: StateBucket, settings: Settings, network: Path
) -> None:
    engine = Engine(settings)
    assert run("int8", "--network", network, "--force").exit_code == 0
    precision = people.gallery().precision
    shutil.rmtree(settings.state_dir / "networks")
    file = f"{layout.GALLERY_NETWORKS}resnet128-{precision}.onnx"
    whole = storage.get(file)
    assert whole
    storage.put(file, whole.data[:-1])
    engine.source_of("default").refresh()
    with pytest.raises(ConfigurationError, match="not in the state bucket"):
        engine(PHOTO)
    storage.put(file, whole.data)
    assert engine(PHOTO)["outcome"] == "named"


def test_while_s3_fails_the_network_is_fetched_later(
    people: People, settings: Settings, network: Path
) -> None:
    class Failing(StateBucket):
        def get(self, name: str, *, if_none_match: str | None = None) -> Stored | None:
            raise Unavailable("SlowDown")

    assert run("int8", "--network", network, "--force").exit_code == 0
    shutil.rmtree(settings.state_dir / "networks")
    with pytest.raises(Unavailable):
        ModelFiles(Failing(settings), settings).recognizer(people.gallery())


def test_a_copy_damaged_on_disk_is_fetched_again(
    people: People, storage: StateBucket, settings: Settings, network: Path
) -> None:
    assert run("int8", "--network", network, "--force").exit_code == 0
    (copy,) = (settings.state_dir / "networks").iterdir()
    copy.write_bytes(b"")
    assert ModelFiles(storage, settings).recognizer(people.gallery())
    assert copy.read_bytes() == network.read_bytes()


def test_unused_networks_are_cleaned_up(
    people: People, storage: StateBucket, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("int8", "--network", network, "--force").exit_code == 0
    assert run("fp32").exit_code == 0
    assert len(list(storage.list(layout.GALLERY_NETWORKS))) == 1, (
        "another machine may be about to use it"
    )
    monkeypatch.setattr("facerec_tasks.storage.model_files.ORPHAN_AGE", timedelta(seconds=-5))
    assert run("fp32").exit_code == 0
    assert not list(storage.list(layout.GALLERY_NETWORKS))


STREAM = """
import sys
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.buckets import Storage
from facerec_tasks.tasks import recognize

photo = open(sys.argv[1], "rb").read()
version = Storage(get_settings()).photos.put("test_00.jpg", photo, "image/jpeg")
while True:
    waiting = [recognize.apply_async(("test_00.jpg", version)) for _ in range(4)]
    for answer in waiting:
        fields = answer.get(timeout=60)
        print(fields["name"], round(fields["faces"][0]["distance"], 6), flush=True)
"""


def test_running_workers_follow_and_no_task_is_lost(
    resources: Settings,
    enrollment: dict[str, list[Sample]],
    network: Path,
    spawn: Callable[..., Child],
    eventually: Callable[..., None],
    tmp_path: Path,
) -> None:
    People(StateBucket(resources)).add(enrollment)
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    worker = [sys.executable, "-m", "celery", "-A", "facerec_tasks.worker", "worker"]
    spawn([*worker, "-P", "prefork", "-c", "2"], log="worker")
    stream = spawn([sys.executable, "-c", STREAM, str(tmp_path / "photo.jpg")], log="stream")

    def answers() -> list[str]:
        return (tmp_path / "stream.log").read_text().splitlines()

    def settled(distance: str) -> bool:
        return answers()[-16:] == [distance] * 16

    eventually(lambda: len(answers()) > 8, within=60)
    whole = answers()[0]
    for arguments in (["int8", "--network", str(network), "--force"], ["fp32"]):
        switch = [sys.executable, "-c", "from cli.main import main; main()", "people", "precision"]
        edit = spawn([*switch, *arguments], log="edit")
        assert edit.wait(60)
        assert edit.exit_code == 0, (tmp_path / "edit.log").read_text()
        if arguments == ["fp32"]:
            eventually(lambda: settled(whole), within=20)
        else:
            eventually(lambda: whole not in answers()[-16:], within=20)
    assert len(set(answers())) == 2, "one distance in each precision, and nobody else's name"
    assert stream.exit_code is None, "it ends when a task is not answered"
