"""``python -m local.samples.first_photo URL``: sends a sample photo and prints the answer.

It waits until somebody listens. A process of its own, so that whoever starts it need not carry what
makes the photo. The photo is purged again: the buckets are the newcomer's, and empty.
"""

import sys

import urllib3

from facerec_tasks.errors import AwsError
from facerec_tasks.settings import get_settings
from facerec_tasks.storage.photos import Photos, Selection
from local.processes.readiness import answers, wait_until
from local.samples.portraits import SamplePhoto, sample_photo

TIMEOUT = 120.0
"""Seconds for the answer: a machine starts, a worker boots, a photo is recognized."""


def send(url: str, sample: SamplePhoto) -> tuple[int, str]:
    """Status and text of the answer; raises urllib3's errors."""
    wait_until(lambda: answers(f"{url}/healthz"), TIMEOUT)  # else it is time for the photo's error
    print(
        f"facerec: sending {sample.file_name}, another picture of {sample.name.replace('_', ' ')}",
        file=sys.stderr,
    )
    answer = urllib3.request(
        "POST",
        url,
        fields={"inputFile": (sample.file_name, sample.data, "image/jpeg")},
        timeout=TIMEOUT,
        retries=False,
    )
    return answer.status, answer.data.decode(errors="replace").strip()


def main(arguments: list[str]) -> int:
    (url,) = arguments
    sample = sample_photo()
    try:
        status, text = send(url, sample)
    except urllib3.exceptions.HTTPError as error:
        status, text = 0, str(error)
    if status != 200:
        print(f"the first photo was answered with {status}: {text}", file=sys.stderr)
        return 1
    print(text)
    try:
        Photos(get_settings()).purge(Selection(names=frozenset({sample.file_name})))
    except AwsError as error:
        print(f"the first photo stays in the buckets: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
