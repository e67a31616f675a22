"""Rules for every source file: spelling, the field's words, one meaning a name, short modules."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BRITISH = re.compile(
    r"colour|behaviour|neighbour|favour|honour|grey\b|centre\b|organis|normalis|recognis"
    r"|serialis|synchronis|initialis|optimis[ei]|authoris|minimis|maximis|summaris|analyse|labelled\b"
    r"|enrolment|enrols\b|modelled",
    re.IGNORECASE,
)
KEPT = {
    "CHANGELOG.md": "recognis",
    "docs/glossary.md": "enrolment",
    "webapp/services/keys.py": "recognis",
}
"""The scope of a key as release 0.1 spelled it; the spelling of ISO/IEC 2382-37."""
FOLDERS = ("ami_build", "autoscale", "benchmarks", "celery_sqs/src", "cli", "docs", "facerec_tasks")
FOLDERS += ("local", "serverless", "webapp")
FORMER = (
    ("door", "bell"), ("late", "comer"), ("ante", "room"), ("regis", "trar"), ("pati", "ent\\b"),
    ("te", "ther"), ("gra", "ve\\b"), ("hyper", "visor"), ("told_", "plainly"), ("bur", "ied\\b"),
)  # fmt: skip
"""Each in two parts, so that a search for the words does not find this list."""
LONGEST_MODULE = 400
KINDS = {".py", ".md", ".html", ".js", ".css", ".yaml", ".in"}


def test_american_spelling() -> None:
    files = [*ROOT.glob("*.md"), *(f for name in FOLDERS for f in (ROOT / name).rglob("*.*"))]
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in files
        if file.suffix in KINDS
        for word in BRITISH.findall(file.read_text())
        if word != KEPT.get(str(file.relative_to(ROOT)))
    ]
    assert found == []


def test_no_private_vocabulary() -> None:
    """Words of 0.1 that stood for things the field has names for (docs/glossary.md)."""
    gone = [first + second for first, second in FORMER]
    words = re.compile("|".join(rf"\b{word}" for word in gone) + "|for want of|\\bso many\\b", re.I)
    files = [
        f for name in (*FOLDERS, "tests", "celery_sqs/tests") for f in (ROOT / name).rglob("*.py")
    ]
    found = [
        f"{file.relative_to(ROOT)}: {word}"
        for file in files
        if file != Path(__file__)
        for word in words.findall(file.read_text())
    ]
    assert found == []


def test_no_class_name_stands_for_two_things() -> None:
    where: dict[str, list[str]] = {}
    for file in (f for name in FOLDERS for f in (ROOT / name).rglob("*.py")):
        for name in re.findall(r"^class (\w+)", file.read_text(), re.M):
            where.setdefault(name, []).append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


def test_no_module_is_longer_than_a_stranger_reads() -> None:
    files = (
        f for name in (*FOLDERS, "tests", "celery_sqs/tests") for f in (ROOT / name).rglob("*.py")
    )
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}
