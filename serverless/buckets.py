"""The three buckets of the Lambda functions: videos in, frames between, names out."""

from dataclasses import replace
from typing import IO, Any

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError
from facerec_tasks.settings import Settings
from serverless.frames import SplitVideo, list_key
from serverless.uploads import VideoUpload


class VideoBuckets:
    """S3 as the two functions use it. Errors come as :class:`facerec_tasks.errors.AwsError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._s3 = settings, client(settings, "s3")

    # Videos

    def identified(self, upload: VideoUpload) -> VideoUpload:
        """That upload with its version and size, which an event made by hand may lack.

        Raises :class:`NotFound` when there is no such video, and :class:`ConfigurationError` when
        the bucket keeps no versions: frames of two videos of one name would be taken for one.
        """
        if upload.version and upload.size is not None:
            return upload
        chosen: dict[str, Any] = {"VersionId": upload.version} if upload.version else {}
        with translated():
            found = self._s3.head_object(
                Bucket=self._settings.video_bucket, Key=upload.key, **chosen
            )
        version = upload.version or found.get("VersionId")
        if not version or version == "null":
            raise ConfigurationError(f"bucket {self._settings.video_bucket} is not versioned")
        return replace(upload, version=version, size=found["ContentLength"])

    def fetch(self, upload: VideoUpload, file: IO[bytes]) -> None:
        """Writes that version of a video into ``file``. Raises :class:`NotFound`."""
        assert upload.version
        with translated():
            self._s3.download_fileobj(
                self._settings.video_bucket,
                upload.key,
                file,
                ExtraArgs={"VersionId": upload.version},
            )

    # Frames

    def put(self, key: str, body: bytes, content_type: str) -> None:
        with translated():
            self._s3.put_object(
                Bucket=self._settings.frame_bucket, Key=key, Body=body, ContentType=content_type
            )

    def get(self, key: str) -> bytes:
        """Raises :class:`NotFound`."""
        with translated():
            found = self._s3.get_object(Bucket=self._settings.frame_bucket, Key=key)
            return found["Body"].read()

    def put_split(self, split: SplitVideo) -> None:
        self.put(list_key(split.upload), split.to_json(), "application/json")

    def get_split(self, upload: VideoUpload) -> SplitVideo:
        """What ``video-splitting`` left of that upload. Raises :class:`NotFound`."""
        return SplitVideo.from_json(self.get(list_key(upload)))
