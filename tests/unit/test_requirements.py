"""Pins of different roles meet in one environment: in the image, in `make run`, in the tests."""

import re
from collections import defaultdict
from pathlib import Path

APART = {"lint.txt", "localstack.txt"}
"""In environments of their own."""


def test_roles_agree_on_the_version_of_what_they_share() -> None:
    versions: dict[str, set[str]] = defaultdict(set)
    for file in Path("requirements").glob("*.txt"):
        if file.name not in APART:
            for name, version in re.findall(r"^([\w.-]+)==(\S+)", file.read_text(), re.MULTILINE):
                versions[name].add(version)
    assert len(versions) > 50
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_every_copyleft_licence_was_looked_at() -> None:
    assert "NOT LOOKED AT" not in Path("requirements/LICENCES.md").read_text()
