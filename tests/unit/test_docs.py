"""The documentation points to what is there: pages, commands and their options, make targets."""

import pkgutil
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LIBRARY = ROOT / "celery_sqs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), LIBRARY / "README.md", *LIBRARY.glob("docs/*.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAME = re.compile(
    r"`((?:ami_build|autoscale|benchmarks|celery_sqs|cli|facerec_tasks|local|serverless|webapp)(?:\.\w+)+)`"
)
CODE = re.compile(r"^```\w*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def lines(program: str) -> Iterator[tuple[str, str]]:
    """Page, and each line of code in it that calls the program."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # of earlier releases, too
            continue
        for block, word in CODE.findall(page.read_text()):
            for line in (block or word).splitlines():
                called = re.match(rf"\s*(?:\$ )?(?:\.venv/bin/)?{program} (\S.*)", line)
                if called:
                    yield str(page.relative_to(ROOT)), called[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not re.match(r"https?:|mailto:", link):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_index_links_every_page_once() -> None:
    index = DOCS / "README.md"
    linked = Counter((DOCS / link).resolve() for link in LINK.findall(index.read_text()))
    pages = {page for page in DOCS.rglob("*") if page.suffix in {".md", ".yml", ".json"}} - {index}
    assert {page: linked[page] for page in pages if linked[page] != 1} == {}


def test_commands_in_the_documentation_exist_with_their_options() -> None:
    unknown = []
    for page, line in lines("facerec"):
        command: click.Command = main
        for word in shlex.split(re.split(r" {2,}|#|\[|…|;|\|", line)[0]):
            options = {name for p in command.params for name in (*p.opts, "--help", "--version")}
            if word.startswith("--"):
                if word.partition("=")[0] not in options:
                    unknown.append(f"{page}: facerec {line}: {word}")
            elif isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                takes_value = word.islower() and word.replace("-", "").isalpha()
                if found is not None:
                    command = found
                elif takes_value and "--" not in line.partition(word)[0]:
                    unknown.append(f"{page}: facerec {line}: {word}")
    assert unknown == []


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(page, line.split()[0]) for page, line in lines("make")}
    assert {one for one in named if one[1].islower() and one[1] not in targets} == set()


def test_names_in_the_documentation_are_those_of_the_code() -> None:
    """A module, or what stands in one."""
    unknown = []
    for page in PAGES:
        names = [] if page.name == "CHANGELOG.md" else NAME.findall(page.read_text())
        for name in names:
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as error:
                unknown.append(f"{page.relative_to(ROOT)}: {name}: {error}")
    assert unknown == []


def test_tests_in_the_documentation_exist() -> None:
    """A link whose text is the name of a test leads to the file that has it."""
    missing, found = [], 0
    for page in PAGES:
        for name, path in re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", page.read_text()):
            found += 1
            if f"def {name}(" not in (page.parent / path).read_text():
                missing.append(f"{page.relative_to(ROOT)}: {name}")
    assert missing == []
    assert found > 40
