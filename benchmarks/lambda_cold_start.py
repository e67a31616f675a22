"""Cold starts of the Lambda functions: from the start of the process to the first answer.

``python -m benchmarks.lambda_cold_start [--runs N] [--images] [--json]`` drives both through the
Runtime API on the embedded AWS, with a video of one second. Not in it: what Lambda itself needs to
place a function and to fetch its image.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery_sqs.testing import isolated

from facerec_tasks.aws import client
from facerec_tasks.settings import Settings, get_settings
from facerec_tasks.storage.model_files import ModelFiles
from facerec_tasks.storage.people import People
from facerec_tasks.storage.state_bucket import StateBucket
from local.emulators import video_functions
from local.emulators.embedded_aws import embedded_aws
from local.emulators.lambda_images import in_image
from local.emulators.lambda_runtime import Function, FunctionEnvironment
from local.emulators.lambda_service import LambdaService
from local.emulators.resources import create_buckets
from local.samples import portraits
from local.samples.videos import Coding, Shot, write


def measure(runs: int, wrap: Callable[[Function], Function]) -> dict[str, float]:
    """Medians in seconds: ``init`` to the first question for work, ``first`` and ``warm`` runs."""
    settings = get_settings()
    create_buckets(settings)
    video_functions.create_resources(settings)
    state = StateBucket(settings)
    portraits.enrol(People(state), ModelFiles(state, settings))
    splitting, recognition = (wrap(function) for function in video_functions.functions())
    found: dict[str, list[float]] = {}
    for run in range(runs):
        events = [_event(settings, f"clip-{run}-{number}.mp4") for number in range(2)]
        for function, payloads in (
            (splitting, [json.dumps(event).encode() for event in events]),
            (recognition, [_told(event) for event in events]),
        ):
            for name, seconds in _times(settings, function, payloads).items():
                found.setdefault(f"{function.name.replace('-', '_')}_{name}_s", []).append(seconds)
    return {name: round(statistics.median(times), 3) for name, times in found.items()}


def _times(settings: Settings, function: Function, payloads: list[bytes]) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp())
    idle = (sys.executable, "-c", "import time; time.sleep(3600)")
    nobody = Function(video_functions.RECOGNITION, idle, 3600)
    with LambdaService([nobody], folder / "told", settings, retries=()) as told:
        os.environ["AWS_ENDPOINT_URL_LAMBDA"] = told.url  # who is told does not count here
        environment = FunctionEnvironment(function, folder)
        try:
            if not environment.ready():
                raise SystemExit(f"{function.name} does not start: {environment.log.read_text()}")
            init = environment.asked_after
            first, warm = (environment.invoke(payload) for payload in payloads)
        finally:
            environment.close()
    for result in (first, warm):
        if result.failed:
            raise SystemExit(f"{function.name} failed: {result.payload}")
    return {"init": init, "cold": init + first.seconds, "warm": warm.seconds}


def _event(settings: Settings, key: str) -> dict[str, Any]:
    s3 = client(settings, "s3")
    video = (settings.state_dir / "clip.mp4").read_bytes()
    put = s3.put_object(Bucket=settings.video_bucket, Key=key, Body=video)
    found = {"key": key, "versionId": put["VersionId"], "size": len(video), "sequencer": "0A"}
    return {"Records": [{"s3": {"bucket": {"name": settings.video_bucket}, "object": found}}]}


def _told(event: dict[str, Any]) -> bytes:
    found = event["Records"][0]["s3"]["object"]
    upload = {name: found[name] for name in ("key", "size", "sequencer")}
    return json.dumps({"upload": upload | {"version": found["versionId"]}}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lambda_cold_start")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", action="store_true", help="in their container images")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded_aws() as endpoint:
        os.environ.update(isolated({}, endpoint))
        os.environ |= {
            "FACEREC_ID": "coldstart",
            "FACEREC_STATE_DIR": folder,
            "FACEREC_MODELS_DIR": str(Path("models").resolve()),
        }
        get_settings.cache_clear()
        shot = Shot(("Grace_Hopper",), 1.0)
        write(Path(folder) / "clip.mp4", [shot], Coding(width=640, height=360))
        figures = measure(options.runs, in_image if options.images else lambda function: function)
    if options.json:
        print(json.dumps({"figures": figures}))
    else:
        for name, seconds in figures.items():
            print(f"{name:32} {seconds:7.3f}")


if __name__ == "__main__":
    main()
