from pathlib import Path

import pytest
from pydantic import ValidationError

from facerec_tasks.recognition.images.limits import LIMITS
from facerec_tasks.settings import LARGEST_PHOTO, Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("FACEREC_ID", "PORT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # no .env of the developer


def test_the_names_of_the_contract_follow_from_the_id() -> None:
    settings = Settings(id="1229-team")
    assert settings.in_bucket == "1229-team-in-bucket"
    assert settings.out_bucket == "1229-team-out-bucket"
    assert settings.state_bucket == "1229-team-state-bucket"
    assert settings.request_queue == "1229-team-req-queue"
    assert settings.dead_letter_queue == "1229-team-req-dlq"
    assert settings.response_queue == "1229-team-resp-queue"


def test_the_defaults_are_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert (settings.id, settings.port, settings.region) == ("facerec", 8000, "us-east-1")
    assert (settings.max_instances, settings.flower_port) == (15, 5555)
    assert settings.in_flight_urls == ("http://127.0.0.1:9000",)


def test_port_region_and_endpoint_come_from_their_usual_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    settings = Settings()
    assert settings.port == 9000
    assert settings.region == "eu-north-1"
    assert settings.endpoint_url == "http://127.0.0.1:4566"


def test_a_dotenv_file_is_read(tmp_path) -> None:
    (tmp_path / ".env").write_text("FACEREC_ID=fromfile\nUNRELATED=1\n")
    assert Settings().id == "fromfile"


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(id="Has_Capitals", port=0, max_instances=-1)
    assert caught.value.error_count() == 3


def test_a_task_may_not_outlast_the_request_that_waits_for_it() -> None:
    with pytest.raises(ValidationError, match="FACEREC_TASK_TIME_LIMIT must be below"):
        Settings(task_time_limit=300)


def test_the_region_is_that_of_the_users_aws_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-west-1\n[profile lab]\nregion = eu-north-1\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert Settings().region == "eu-west-1"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert Settings().region == "eu-north-1"
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert Settings().region == "us-west-2"
    for name in ("AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert Settings().region == "us-east-1"


def test_a_profile_that_is_not_there_is_no_reason_not_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "production")
    assert Settings().region == "us-east-1"


def test_no_photo_is_accepted_that_is_too_large_to_be_decoded() -> None:
    assert LIMITS.max_bytes == LARGEST_PHOTO
    with pytest.raises(ValidationError, match="max_upload_bytes"):
        Settings(max_upload_bytes=LARGEST_PHOTO + 1)
