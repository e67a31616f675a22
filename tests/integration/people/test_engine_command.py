"""`facerec engine` and `facerec people engine`: a network of one's own, and back."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli.commands.engine import engine
from cli.commands.people import people as people_command
from facerec_tasks.engine import Engine
from facerec_tasks.recognition.conversion import convert
from facerec_tasks.recognition.gallery.enrollment import Batch, Enroller
from facerec_tasks.recognition.gallery.gallery import EngineMismatch, Gallery
from facerec_tasks.settings import Settings
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators.resources import create_buckets
from local.samples import portraits
from tests.golden import random_facenet, torch_file
from tests.small_networks import network, write


@pytest.fixture(autouse=True)
def announced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No worker runs here: what would be broadcast to them."""
    create_buckets(settings)
    commands: list[str] = []
    monkeypatch.setattr("cli.gallery_broadcast.app.control.broadcast", commands.append)
    return commands


@pytest.fixture
def known(settings: Settings) -> People:
    """The sample people, one photo each."""
    batch = Batch(Enroller.load("resnet128", settings.models_dir), Gallery.empty("resnet128"))
    for portrait in portraits.portraits():
        assert batch.add(portrait.name, portrait.path.read_bytes()) is None
    made = People(StateBucket(settings))
    made.add(batch.samples)
    return made


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Takes two faces at once, by an odd name."""
    return write(tmp_path / "Small Net.onnx", network(48, input_name="data", batch=2))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(engine, [str(a) for a in arguments])


def switch(*arguments: object) -> Result:
    return CliRunner().invoke(people_command, ["engine", *(str(a) for a in arguments)])


def test_a_network_is_added_listed_and_removed(small: Path) -> None:
    added = run("add", small, "--color", "bgr", "--license", "MIT", "--json")
    assert added.exit_code == 0, added.output
    described = json.loads(added.stdout)
    assert (described["name"], described["dimension"], described["color"]) == (
        "small-net", 48, "bgr",
    )  # fmt: skip
    assert [one["name"] for one in json.loads(run("list", "--json").stdout)] == [
        "resnet128", "facenet", "small-net",
    ]  # fmt: skip
    assert "* resnet128" in run("list").stdout
    assert run("add", small, "--name", "small-net").exit_code == 0  # the same again
    assert run("remove", "small-net").exit_code == 0
    assert "no engine was added" in run("remove", "small-net").stderr


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--sha256", "0" * 64], "SHA-256 is"),
        (["--name", "resnet128"], "comes with the product"),
        (["--name", "../up"], "not a name"),
        (["--license", "a\nb"], "one line"),
    ],
)
def test_what_cannot_be_added_is_refused(small: Path, options: list[str], word: str) -> None:
    refused = run("add", small, *options)
    assert refused.exit_code == 1
    assert word in refused.stderr
    assert len(json.loads(run("list", "--json").stdout)) == 2


def test_one_name_is_one_network(small: Path, tmp_path: Path) -> None:
    assert run("add", small, "--name", "mine").exit_code == 0
    other = write(tmp_path / "other.onnx", network(48, batch=1))
    assert "another network is called mine" in run("add", other, "--name", "mine").stderr


def test_engine_change_reembeds_everybody_and_workers_follow(
    known: People, small: Path, settings: Settings, announced: list[str]
) -> None:
    running = Engine(settings)
    assert run("add", small).exit_code == 0
    before = known.gallery().to_bytes()
    refused = switch("small-net")
    assert "too few to judge by" in refused.stderr
    assert known.gallery().to_bytes() == before
    assert announced == []

    done = switch("small-net", "--force")
    assert done.exit_code == 0, done.output
    assert announced == ["refresh_gallery"]
    gallery = known.gallery()
    assert (gallery.engine, gallery.dimension, len(gallery)) == ("small-net", 48, 2)
    assert gallery.target_fpir == 0.01
    running.source_of("default").refresh()
    answer = running(portraits.portraits()[0].path.read_bytes())
    assert (answer["engine"], answer["name"]) == ("small-net", portraits.portraits()[0].name)
    assert "in use" in run("remove", "small-net").stderr

    assert switch("resnet128", "--force").exit_code == 0
    back = known.gallery()
    assert np.allclose(back.embeddings, Gallery.from_bytes(before).embeddings, atol=1e-5)
    assert back.threshold == Gallery.from_bytes(before).threshold
    running.source_of("default").refresh()
    assert running(portraits.sample_photo().data)["name"] == "Grace_Hopper"


def test_people_are_enrolled_and_found_by_an_engine_of_ones_own(
    small: Path, settings: Settings
) -> None:
    assert run("add", small).exit_code == 0
    assert switch("small-net").exit_code == 0  # nobody is enrolled: used from now on
    (portrait, other) = portraits.portraits()[:2]
    for one in (portrait, other):
        # a network of random weights takes everybody for the same
        command = ["add", one.name, str(one.path), "--force"]
        added = CliRunner().invoke(people_command, command)
        assert added.exit_code == 0, added.output
    answer = Engine(settings)(portrait.path.read_bytes())
    assert answer["name"] == portrait.name
    assert [one.name for one in answer["faces"][0].candidates] == [portrait.name, other.name]


def test_a_photo_looked_at_by_the_engine_before_is_not_enrolled(
    known: People, small: Path, settings: Settings
) -> None:
    late = Enroller.load("resnet128", settings.models_dir).examine(
        portraits.sample_photo().data, strict=False
    )
    assert run("add", small).exit_code == 0
    assert switch("small-net", "--force").exit_code == 0
    with pytest.raises(EngineMismatch, match="enrol it again"):
        known.add({"Grace": [late]})  # type: ignore[list-item]


def test_facenets_structure_from_a_file_of_ones_own(
    known: People, tmp_path: Path, settings: Settings
) -> None:
    """Seeded weights: who is who cannot be told, but the same photo is the same face."""
    checkpoint = tmp_path / "random.pt"
    checkpoint.write_bytes(torch_file.state(random_facenet.state()))
    convert.ensure(
        tmp_path, "facenet", checkpoint, hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    )
    added = run("add", tmp_path / "facenet.onnx", "--preset", "facenet", "--name", "vggface2",
                "--json")  # fmt: skip
    assert added.exit_code == 0, added.output
    described = json.loads(added.stdout)
    assert (described["dimension"], described["template"]) == (512, None)
    assert switch("vggface2", "--force").exit_code == 0
    portrait = portraits.portraits()[0]
    answer = Engine(settings)(portrait.path.read_bytes())
    assert answer["faces"][0].candidates[0].distance < 0.01


def test_missing_or_altered_network_is_reported(
    known: People, small: Path, settings: Settings
) -> None:
    assert run("add", small).exit_code == 0
    assert switch("small-net", "--force").exit_code == 0
    state = StateBucket(settings)
    (stored,) = [e.name for e in state.list("gallery/engines/") if e.name.endswith(".onnx")]
    state.put(stored, b"something else")
    for path in (settings.state_dir / "networks").rglob("*.onnx"):
        path.write_bytes(b"damaged")
    with pytest.raises(Exception, match="facerec engine add"):
        Engine(settings)


def test_unknown_engine_is_reported(known: People) -> None:
    assert "there are resnet128, facenet" in switch("magic").stderr
    assert "is missing" in switch("facenet").stderr


def test_weights_for_an_engine_that_has_its_own_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        convert.main(["--out", str(tmp_path), "--weights", str(tmp_path / "none.dat")])
    assert ended.value.code == 2
    assert "facerec engine add" in capsys.readouterr().err
