"""Nothing that runs on an emulated AWS can reach a real account."""

from celery_sqs.testing import isolated

HOSTILE = {
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SECRET_ACCESS_KEY": "real",
    "AWS_SESSION_TOKEN": "real",
    "AWS_ENDPOINT_URL": "https://example.org",
    "AWS_ENDPOINT_URL_S3": "https://s3.example.org",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/token",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.2/credentials",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "internal",
    "PATH": "/bin",
}


def test_no_credential_profile_or_endpoint_of_the_user_is_left() -> None:
    made = isolated(HOSTILE, "http://127.0.0.1:4566", "eu-central-1")
    assert not {"production", "AKIAREAL", "real", "/token"} & set(made.values())
    assert {name for name in made if name.startswith("AWS_")} == {
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    }
    assert made["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert made["AWS_REGION"] == "eu-central-1"


def test_a_proxy_is_not_asked_for_this_machine() -> None:
    made = isolated(HOSTILE, "http://127.0.0.1:4566")
    assert made["NO_PROXY"] == made["no_proxy"] == "internal,127.0.0.1,localhost"


def test_the_rest_of_the_environment_stays() -> None:
    made = isolated(HOSTILE, "http://127.0.0.1:4566")
    assert made["PATH"] == "/bin"
    assert made["HTTPS_PROXY"] == "http://proxy:3128"
