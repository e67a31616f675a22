#!/usr/bin/python3
"""Writes FACEREC_MACHINE=<EC2 instance id> to the file it is given; asks IMDSv2 until it knows.

A FACEREC_MACHINE in the environment is taken as it is. The standard library alone.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

import os
import re
import sys
import time
import urllib.request
from pathlib import Path

ENDPOINT = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
TIMEOUT = 2.0
LONGEST_PAUSE = 5.0
NAME = r"[A-Za-z0-9_.-]{1,63}"
"""What FACEREC_MACHINE may be: see facerec_tasks/settings.py."""


def ask(method: str, path: str, headers: dict[str, str]) -> str:
    url = ENDPOINT + path
    request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # link-local, no proxy
    with opener.open(request, timeout=TIMEOUT) as answer:
        body: bytes = answer.read(1024)
    return body.decode("ascii")


def instance_id() -> str:
    """Raises :class:`OSError` or :class:`ValueError` for no answer, or not the one we asked for."""
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = {"X-aws-ec2-metadata-token": ask("PUT", "/latest/api/token", ttl)}
    found = ask("GET", "/latest/meta-data/instance-id", token).strip()
    if not re.fullmatch(NAME, found):
        raise ValueError(f"{found!r} is no instance id")
    return found


def main() -> None:
    target, pause = Path(sys.argv[1]), 0.1
    machine = os.environ.get("FACEREC_MACHINE", "")
    if machine and not re.fullmatch(NAME, machine):
        sys.exit(f"FACEREC_MACHINE {machine!r}: letters, digits, _, . and -, at most 63")
    while not machine:
        try:
            machine = instance_id()
        except (OSError, ValueError) as error:
            print(f"no instance id yet, again in {pause:.1f} s: {error}", file=sys.stderr)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
    target.write_text(f"FACEREC_MACHINE={machine}\n")
    print(f"this is {machine}")


if __name__ == "__main__":
    main()
