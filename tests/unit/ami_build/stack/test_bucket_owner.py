"""Buckets of other regions and accounts, as S3 and botocore answer for them."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from ami_build.stack import bucket_owner as module
from ami_build.stack.bucket_owner import bucket_region
from facerec_tasks.settings import Settings

HERE, ELSEWHERE = "us-east-1", "eu-west-1"


class _Raw:
    def stream(self) -> Iterator[bytes]:
        yield b""


def answering(region: str, requests: list[tuple[str, str]]) -> Callable[..., AWSResponse]:
    """S3 for a bucket in ``region``: 301 from every other region's endpoint, as AWS answers."""

    def answer(request: object, **_: object) -> AWSResponse:
        url = str(request.url)  # type: ignore[attr-defined]
        requests.append((str(request.method), url))  # type: ignore[attr-defined]
        status = 200 if f"s3.{region}." in url or region == HERE else 301
        return AWSResponse(url, status, {"x-amz-bucket-region": region}, _Raw())

    return answer


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[str, str]]]:
    """Installs an S3 whose buckets are in a region; returns the requests it gets."""

    def install(region: str) -> list[tuple[str, str]]:
        requests: list[tuple[str, str]] = []
        s3 = boto3.client(
            "s3", region_name=HERE, aws_access_key_id="a", aws_secret_access_key="b",
            endpoint_url=None, config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        s3.meta.events.register("before-send.s3", answering(region, requests))
        monkeypatch.setattr(module, "client", lambda settings, service: s3)
        return requests

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return install


def test_a_bucket_of_another_region_is_not_ours_although_botocore_follows_the_redirect(
    lab: Callable[[str], list[tuple[str, str]]],
) -> None:
    requests = lab(ELSEWHERE)
    settings = Settings(id="lab-4711", region=HERE)
    assert bucket_region(settings, settings.in_bucket) == ELSEWHERE
    assert any(f"s3.{ELSEWHERE}." in url for _, url in requests), "botocore went there by itself"


def test_a_bucket_of_this_region_is_ours(lab: Callable[[str], list[tuple[str, str]]]) -> None:
    lab(HERE)
    settings = Settings(id="lab-4711", region=HERE)
    assert bucket_region(settings, settings.in_bucket) == HERE


class _Silent(BaseHTTPRequestHandler):
    status = 404

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(("status", "expected"), [(404, None), (403, "")])
def test_a_missing_bucket_and_another_accounts_are_told_apart(
    status: int, expected: str | None
) -> None:
    handler = type("Handler", (_Silent,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        settings = Settings(id="lab-4711", region=HERE, endpoint_url=url)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ACCESS_KEY_ID", "a")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "b")
            region = bucket_region(settings, settings.in_bucket)
        server.shutdown()
    assert region == expected
