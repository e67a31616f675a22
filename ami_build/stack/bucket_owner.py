"""Whose a bucket is: names are global, so a bucket may be in another account or region."""

from botocore.exceptions import ClientError

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError, Forbidden, NotFound
from facerec_tasks.settings import Settings

REGION_HEADER = "x-amz-bucket-region"
"""In every answer to HeadBucket. botocore follows S3's 301 to another region by itself, so the
status says nothing: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html"""


def bucket_region(settings: Settings, bucket: str) -> str | None:
    """Region of a bucket of this account; empty for another account's, None for none at all.

    Raises :class:`facerec_tasks.errors.AwsError`.
    """
    try:
        with translated():
            found = client(settings, "s3").head_bucket(Bucket=bucket)
    except NotFound:
        return None
    except Forbidden:
        return ""
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 301:
            return _region(error.response)
        raise
    return _region(found) or settings.region


def check_region(settings: Settings) -> None:
    """Raises :class:`ConfigurationError` where the system is in another region of this account.

    S3 answers for its buckets from every region; machines, queues and topics would be made in the
    wrong one.
    """
    there = bucket_region(settings, settings.state_bucket)
    if there and there != settings.region:
        raise ConfigurationError(
            f"{settings.id} is in {there}, and this is {settings.region}: set AWS_REGION={there}"
        )


def _region(answer: object) -> str:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})  # type: ignore[attr-defined]
    return str(headers.get(REGION_HEADER, ""))
