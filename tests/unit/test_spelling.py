"""One spelling everywhere: the American one."""

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
