"""One photo sent to a web tier as any client does, while its sender does something else."""

import threading

import urllib3

from facerec_tasks.errors import ConfigurationError

TIMEOUT = 120.0
"""Seconds for the answer: a machine starts, a worker boots, a photo is recognised."""


class FirstPhoto:
    """A photo on its way. Its thread ends with the process."""

    def __init__(self, url: str, file_name: str, data: bytes) -> None:
        self._url = url
        self._field = (file_name, data, "image/jpeg")
        self._answer: str | None = None
        self._fault: str | None = None
        threading.Thread(target=self._post, name="first-photo", daemon=True).start()

    def _post(self) -> None:
        try:
            answer = urllib3.request(
                "POST",
                self._url,
                fields={"inputFile": self._field},
                timeout=TIMEOUT + 10,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            self._fault = f"was not answered: {error}"
            return
        text = answer.data.decode(errors="replace").strip()
        if answer.status == 200:
            self._answer = text
        else:
            self._fault = f"was answered with {answer.status}: {text}"

    def answer(self) -> str | None:
        """The text of the answer, none yet; raises :class:`ConfigurationError` for another."""
        if self._fault:
            raise ConfigurationError(f"the first photo {self._fault}")
        return self._answer
