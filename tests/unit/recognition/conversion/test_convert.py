"""Networks are made from the right weights, once and whole; wrong ones are refused."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnx
import pytest

from facerec_tasks.recognition.conversion import convert, facenet_weights
from facerec_tasks.recognition.conversion.errors import CheckpointError
from facerec_tasks.recognition.conversion.facenet_weights import WeightsMissing
from tests.golden import torch_file

BODY = b"weights" * 100_000
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's cache, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "checkpoints" / facenet_weights.FILE_NAME


class Release(BaseHTTPRequestHandler):
    """Serves ``/whole``, cuts ``/cut`` short and knows nothing else."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/gone" else 200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: 1000 if self.path != "/whole" else None])

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def release() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Release)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_are_fetched_with_a_bar(
    tmp_path: Path, release: str, capsys: pytest.CaptureFixture[str]
) -> None:
    facenet_weights.fetch(tmp_path / "new" / "weights.pt", f"{release}/whole", DIGEST)
    assert (tmp_path / "new" / "weights.pt").read_bytes() == BODY
    assert "100% of 1 MB" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["cut", "gone"])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    tmp_path: Path, release: str, path: str
) -> None:
    with pytest.raises(WeightsMissing, match="--weights FILE"):
        facenet_weights.fetch(tmp_path / "weights.pt", f"{release}/{path}", DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_another_file_than_the_published_one_is_refused(tmp_path: Path, release: str) -> None:
    with pytest.raises(WeightsMissing, match="another file"):
        facenet_weights.fetch(tmp_path / "weights.pt", f"{release}/whole")
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_release_is_said_so(cache: Path) -> None:
    with pytest.raises(WeightsMissing, match="resnet128 needs no download") as caught:
        facenet_weights.locate(url="http://127.0.0.1:9/nobody-listens")
    assert str(cache) in str(caught.value)


def test_weights_in_torchs_cache_are_used(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(BODY)
    assert facenet_weights.locate() == cache


def test_convert_command_reports_errors(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(BODY)
    out = ["--out", str(tmp_path / "models"), "--engine", "facenet"]
    for given, complaint in (
        ([], "is not the file it should be"),
        (["--weights", str(cache)], "give --sha256"),
        (["--weights", str(cache), "--sha256", DIGEST], "not a file of torch.save"),
        (["--weights", str(tmp_path / "nowhere.pt")], "there is no file"),
    ):
        assert convert.main([*out, *given]) == 1
        assert complaint in capsys.readouterr().err


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "other.pt"
    checkpoint.write_bytes(torch_file.state({"conv1.weight": np.zeros((1, 1), np.float32)}))
    with pytest.raises(CheckpointError, match="another network"):
        convert.ensure(
            tmp_path, "facenet", checkpoint, hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        )


def test_a_damaged_or_outdated_network_is_made_again(tmp_path: Path, models_dir: Path) -> None:
    for name in ("pnet", "rnet", "onet", "resnet128"):
        (tmp_path / f"{name}.onnx").write_bytes((models_dir / f"{name}.onnx").read_bytes())
    assert convert.ensure(tmp_path) == []
    damaged, outdated, missing = (tmp_path / f"{name}.onnx" for name in ("pnet", "rnet", "onet"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    model = onnx.load(outdated)
    model.metadata_props[0].value = "older"
    onnx.save(model, outdated)
    missing.unlink()
    assert convert.ensure(tmp_path) == [damaged, outdated, missing]
    assert convert.main(["--out", str(tmp_path)]) == 0


def test_missing_wheels_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsMissing, match=r"facenet-pytorch .* requirements/data\.txt"):
        convert.ensure(tmp_path)
