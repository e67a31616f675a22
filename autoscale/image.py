"""The image that new machines are launched from: the newest of our own named ``app-tier-ami``."""

import logging
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from facerec_tasks.aws import client, translated
from facerec_tasks.errors import ConfigurationError, FacerecError
from facerec_tasks.settings import Settings

logger = logging.getLogger(__name__)

IMAGE = "app-tier-ami"


class CurrentImage:
    """Its id, looked up seldom: it changes when an image is baked or taken back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._id: str | None = None
        self._looked = float("-inf")

    def forget(self) -> None:
        """EC2 does not know it any more."""
        self._id, self._looked = None, float("-inf")

    def seen(self, within: float) -> str | None:
        """The id as of at most ``within`` seconds ago; none where there is no such image.

        When EC2 does not answer it is what it was: nothing follows from silence.
        """
        if time.monotonic() - self._looked >= within:
            try:
                self._look()
            except (FacerecError, ClientError, BotoCoreError) as error:
                logger.warning("the current image could not be looked up: %s", error)
        return self._id

    def required(self) -> str:
        """The id; raises :class:`ConfigurationError` where there is no such image."""
        if self._id is None:
            self._look()
        if self._id is None:
            raise ConfigurationError(f"no image named {IMAGE}: bake one, or run `facerec up`")
        return self._id

    def _look(self) -> None:
        filters: Any = [{"Name": "name", "Values": [IMAGE]}]
        with translated():
            found = client(self._settings, "ec2").describe_images(Owners=["self"], Filters=filters)
        newest = max(found["Images"], key=lambda i: i.get("CreationDate", ""), default=None)
        # None for the second in which a bake's image takes the place of the last: no change yet.
        self._id = str(newest["ImageId"]) if newest else self._id
        self._looked = time.monotonic()
