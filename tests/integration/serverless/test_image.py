"""The container images, as Lambda runs them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facerec_tasks.settings import Settings
from local.emulators import video_functions
from local.emulators.lambda_images import has_docker, in_image
from local.emulators.lambda_service import LambdaService

from .conftest import RETRIES, Buckets

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]  # making them takes minutes


@pytest.fixture
def images(settings: Settings, buckets: Buckets, tmp_path: Path) -> Iterator[LambdaService]:
    if not has_docker():
        pytest.skip("no Docker engine runs here")
    functions = [in_image(function) for function in video_functions.functions()]
    with LambdaService(functions, tmp_path, settings, retries=RETRIES) as running:
        yield running


@pytest.mark.usefixtures("known")
def test_the_images_find_who_is_on_a_video(
    images: LambdaService, buckets: Buckets, clips: Path, eventually: Callable[..., None]
) -> None:
    buckets.upload("clip.mp4", (clips / "two.mp4").read_bytes())
    buckets.upload("clip.mp4", (clips / "eileen.mp4").read_bytes())
    buckets.upload("bad.mp4", b"no video")
    for event in buckets.events():
        images.send(video_functions.SPLITTING, event)
    eventually(lambda: images.idle, within=120)
    assert not [result.payload for _, result in images.results if result.failed]
    answers = buckets.answers()
    assert answers.pop("clip.txt") == "Eileen_Collins"
    assert list(answers) == ["bad.refused.json"]
